//! The keychain of a run from the cluster: pod, pod template, service account, and the Secrets that they name
//! now (credentials specification §1.2, sources 1 to 4); in [`own`] those of the agent's own account (source 6).
//!
//! Secrets are read by name, one by one, never listed. What was read may serve later runs of the same namespace
//! for a minute; pods and service accounts are read anew each time, since they decide whose credentials count.
//! Not found and forbidden are problems of one source; only an API server that does not answer is an error.

mod own;
mod policy;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::{Api, Client};

use self::own::OwnAccount;
use super::docker_config::Reading;
use super::named::{NamedSecret, RunReferences, empty_places, named_secrets, read_named};
use super::pod::Pod;
use super::{Consulted, Keychain, Location, Problem, ProblemCode, SecretRef, Source};
use crate::error::{Class, Diagnose};

/// How long a Secret's content may be used again (R9).
const FRESH: Duration = Duration::from_mins(1);
/// More Secrets than this are not remembered.
const CAPACITY: usize = 1024;

/// Reads credentials from the API server.
pub struct Cluster {
    client: Client,
    own: OwnAccount,
    readings: Mutex<HashMap<NamedSecretKey, (Instant, Read)>>,
}

/// What a Secret held, at the version that it had; no version when it was not there.
#[derive(Clone, Default)]
struct Read {
    reading: Reading,
    version: Option<String>,
}

/// A Secret as one source reads it; the namespace keeps tenants apart.
type NamedSecretKey = (String, NamedSecret);

/// The API server did not answer; nothing can be said about the credentials.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {what} from the API server")]
pub struct ApiError {
    what: String,
    #[source]
    source: kube::Error,
}

impl Diagnose for ApiError {
    fn class(&self) -> Class {
        Class::Temporary
    }

    fn label(&self) -> &'static str {
        "api_server"
    }
}

impl Cluster {
    /// Reads with the rights of `client`; the agent's own account is whoever these rights belong to.
    pub fn new(client: Client) -> Self {
        Self { client, own: OwnAccount::default(), readings: Mutex::default() }
    }

    /// The same for somebody else, who knows the name of the agent's account.
    pub fn on_behalf_of(client: Client, namespace: &str, account: &str) -> Self {
        Self { client, own: OwnAccount::named(namespace, account), readings: Mutex::default() }
    }

    /// Gathers the keychain of one run. With `anew` nothing remembered is used: for attempts after a failure.
    pub async fn keychain(&self, run: &RunReferences, anew: bool) -> Result<Keychain, ApiError> {
        let mut keychain = Keychain::default();
        let pod = self.pod(run, &mut keychain).await?;
        let account = pod.as_ref().and_then(Pod::service_account).unwrap_or(&run.service_account);
        let source = Source::ServiceAccountSecrets;
        let account = self.service_account(&run.namespace, account, source, &mut keychain).await?;
        let named = named_secrets(run, pod.as_ref(), account.as_ref());
        keychain.looked_at = empty_places(run, pod.as_ref(), account.as_ref(), &named);
        let readings = join_all(named.iter().map(|secret| self.reading(&run.namespace, secret, anew))).await;
        for (secret, reading) in named.into_iter().zip(readings) {
            let Read { reading, version } = reading?;
            keychain.consulted.push(Consulted::secret(&run.namespace, &secret.name, version));
            let version = reading.entries.first().map(|entry| entry.location.clone());
            let location =
                version.unwrap_or_else(|| Location::Secret(SecretRef::unread(&run.namespace, &secret.name)));
            keychain.add(secret.source, location, reading);
        }
        Ok(keychain)
    }

    async fn pod(&self, run: &RunReferences, keychain: &mut Keychain) -> Result<Option<Pod>, ApiError> {
        let Some(name) = &run.pod else { return Ok(None) };
        let what = Location::Pod(format!("{}/{name}", run.namespace));
        let found = Api::<Pod>::namespaced(self.client.clone(), &run.namespace).get_opt(name).await;
        let gone = (ProblemCode::PodGone, "it was deleted; the pod template and the service account remain");
        Self::settle(found, Source::PodImagePullSecrets, what, gone, keychain)
    }

    async fn service_account(
        &self,
        namespace: &str,
        name: &str,
        source: Source,
        keychain: &mut Keychain,
    ) -> Result<Option<ServiceAccount>, ApiError> {
        let what = Location::ServiceAccount(format!("{namespace}/{name}"));
        let found = Api::<ServiceAccount>::namespaced(self.client.clone(), namespace).get_opt(name).await;
        let gone =
            (ProblemCode::ServiceAccountNotFound, "it does not exist; only the pod's credentials are left");
        let account = Self::settle(found, source, what, gone, keychain)?;
        let version = account.as_ref().and_then(|account| account.metadata.resource_version.clone());
        keychain.consulted.push(Consulted::service_account(namespace, name, version));
        Ok(account)
    }

    async fn reading(&self, namespace: &str, secret: &NamedSecret, anew: bool) -> Result<Read, ApiError> {
        let key = (namespace.to_owned(), secret.clone());
        if !anew && let Some(read) = self.remembered(&key) {
            return Ok(read);
        }
        let location = Location::Secret(SecretRef::unread(namespace, &secret.name));
        let found = Api::<Secret>::namespaced(self.client.clone(), namespace).get_opt(&secret.name).await;
        let gone = (ProblemCode::SecretNotFound, "it does not exist");
        let mut problems = Keychain::default();
        let Some(found) = Self::settle(found, secret.source.clone(), location, gone, &mut problems)? else {
            let reading = Reading { problems: problems.problems, ..Reading::default() };
            return Ok(Read { reading, version: None });
        };
        let version = found.metadata.resource_version.clone();
        let read = Read { reading: read_named(namespace, secret, found), version };
        self.remember(key, &read);
        Ok(read)
    }

    /// Turns "not found" and "forbidden" into problems; what is left is the object or a failure of the server.
    fn settle<K>(
        found: kube::Result<Option<K>>,
        source: Source,
        location: Location,
        gone: (ProblemCode, &str),
        keychain: &mut Keychain,
    ) -> Result<Option<K>, ApiError> {
        let (code, detail) = match found {
            Ok(Some(object)) => return Ok(Some(object)),
            Ok(None) => (gone.0, gone.1.to_owned()),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                (ProblemCode::SecretForbidden, format!("{}: grant it that", status.message))
            }
            Err(source) => return Err(ApiError { what: location.to_string(), source }),
        };
        keychain.problems.push(Problem { source, location, code, detail });
        Ok(None)
    }

    fn remembered(&self, key: &NamedSecretKey) -> Option<Read> {
        let readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        readings.get(key).filter(|(at, _)| at.elapsed() < FRESH).map(|(_, read)| read.clone())
    }

    fn remember(&self, key: NamedSecretKey, read: &Read) {
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        if readings.len() >= CAPACITY {
            readings.retain(|_, (at, _)| at.elapsed() < FRESH);
        }
        if readings.len() < CAPACITY {
            readings.insert(key, (Instant::now(), read.clone()));
        }
    }
}
