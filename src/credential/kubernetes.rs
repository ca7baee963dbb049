//! The keychain of a run from the cluster: pod, pod template, service account, and the Secrets that they name
//! now (credentials specification §1.2, sources 1 to 4); in [`own`] those of the agent's own account (source 6).
//!
//! Secrets are read by name, one by one, never listed. What was read may serve later runs of the same namespace
//! for a minute. Pods and service accounts decide whose credentials count: a pod is read anew each time, and a service
//! account after its run was known to have ended, once for all runs of which that is true at the same time.
//! Not found and forbidden are problems of one source; only an API server that does not answer is an error.

mod accounts;
mod own;
mod policy;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::{Api, Client};

use self::own::OwnAccount;
use super::cloud::account::Accounts;
use super::docker_config::Reading;
use super::named::{NamedSecret, RunReferences, empty_places, named_secrets, read_named};
use super::pod::Pod;
use super::{Consulted, Keychain, Location, Problem, ProblemCode, SecretRef, Source};
use crate::client::kubernetes::said;
use crate::error::{Class, Diagnose};

/// How long a Secret's content may be used again (R9).
const FRESH: Duration = Duration::from_mins(1);
/// Objects of one run that are read at the same time.
const AT_ONCE: usize = 16;
/// More Secrets than this are not remembered.
const CAPACITY: usize = 1024;

/// Reads credentials from the API server.
pub struct Cluster {
    client: Client,
    own: OwnAccount,
    accounts: accounts::Accounts,
    readings: Mutex<HashMap<NamedSecretKey, (Instant, Read)>>,
}

/// What may be used of what was read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Nothing: for attempts after a failure.
    Nothing,
    /// Secrets of the last minute, and service accounts that were read since this moment: when it was known that the
    /// run has ended.
    Known(Instant),
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
#[error("cannot read {what} from the API server: {}", said(.error))]
pub struct ApiError {
    what: String,
    error: Arc<kube::Error>,
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
        Self::of(client, OwnAccount::default())
    }

    /// The same for somebody else, who knows the name of the agent's account.
    pub fn on_behalf_of(client: Client, namespace: &str, account: &str) -> Self {
        Self::of(client, OwnAccount::named(namespace, account))
    }

    fn of(client: Client, own: OwnAccount) -> Self {
        Self { client, own, accounts: accounts::Accounts::default(), readings: Mutex::default() }
    }

    /// Gathers the keychain of one run; with `accounts` its service account's own identity in clouds is a source
    /// (`registry.run-identity`).
    pub async fn keychain(
        &self,
        run: &RunReferences,
        accounts: Option<&Accounts>,
        reuse: Reuse,
    ) -> Result<Keychain, ApiError> {
        let (anew, known) = match reuse {
            Reuse::Nothing => (true, Instant::now()),
            Reuse::Known(at) => (false, at),
        };
        let mut keychain = Keychain::default();
        let pods = self.pods(run, &mut keychain).await?;
        let pods: Vec<&Pod> = pods.iter().collect();
        let mut found = Vec::new();
        for name in run.accounts(&pods) {
            let source = Source::ServiceAccountSecrets;
            found.extend(self.service_account(&run.namespace, &name, known, source, &mut keychain).await?);
        }
        let found: Vec<&ServiceAccount> = found.iter().map(|account| &**account).collect();
        if let Some(accounts) = accounts {
            keychain.fetchers =
                found.iter().flat_map(|account| accounts.of(&run.namespace, account)).collect();
        }
        let named = named_secrets(run, &pods, &found);
        keychain.looked_at = empty_places(run, &pods, &found);
        for (secret, Read { reading, version }) in self.readings(&run.namespace, named, anew).await? {
            let consulted = Consulted::secret(&run.namespace, &secret.name, version);
            if !keychain.consulted.contains(&consulted) {
                keychain.consulted.push(consulted);
            }
            let read = reading.entries.first().map(|entry| entry.location.clone());
            let unread = || Location::Secret(SecretRef::unread(&run.namespace, &secret.name));
            keychain.add(secret.source, read.unwrap_or_else(unread), reading);
        }
        Ok(keychain)
    }

    async fn pods(&self, run: &RunReferences, keychain: &mut Keychain) -> Result<Vec<Pod>, ApiError> {
        let api = Api::<Pod>::namespaced(self.client.clone(), &run.namespace);
        let asked: Vec<_> = run.pods().map(|name| api.get_opt(name)).collect();
        let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
        let mut pods = Vec::new();
        for (name, found) in run.pods().zip(answers) {
            let what = Location::Pod(format!("{}/{name}", run.namespace));
            let gone =
                (ProblemCode::PodGone, "it was deleted; the pod template and the service account remain");
            let found = found.map_err(Arc::new);
            pods.extend(Self::settle(found, Source::PodImagePullSecrets, what, gone, keychain)?);
        }
        Ok(pods)
    }

    async fn service_account(
        &self,
        namespace: &str,
        name: &str,
        known: Instant,
        source: Source,
        keychain: &mut Keychain,
    ) -> Result<Option<Arc<ServiceAccount>>, ApiError> {
        let what = Location::ServiceAccount(format!("{namespace}/{name}"));
        let found = self.accounts.read(&self.client, namespace, name, known).await;
        let gone =
            (ProblemCode::ServiceAccountNotFound, "it does not exist; only the pod's credentials are left");
        let account = Self::settle(found, source, what, gone, keychain)?;
        let version = account.as_ref().and_then(|account| account.metadata.resource_version.clone());
        keychain.consulted.push(Consulted::service_account(namespace, name, version));
        Ok(account)
    }

    /// What every one of `named` holds, in their order. A Secret that several sources name is read once.
    async fn readings(
        &self,
        namespace: &str,
        named: Vec<NamedSecret>,
        anew: bool,
    ) -> Result<Vec<(NamedSecret, Read)>, ApiError> {
        let mut distinct: Vec<&str> = named.iter().map(|secret| secret.name.as_str()).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let of_name = |name: &str| named.iter().filter(|secret| secret.name == name).collect::<Vec<_>>();
        let groups: Vec<Vec<&NamedSecret>> = distinct.into_iter().map(of_name).collect();
        let asked: Vec<_> = groups.iter().map(|group| self.read(namespace, group, anew)).collect();
        let read: Vec<_> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        let mut read: HashMap<NamedSecret, Read> = read.into_iter().flatten().collect();
        let in_order = named.into_iter().filter_map(|secret| {
            let found = read.remove(&secret)?;
            Some((secret, found))
        });
        Ok(in_order.collect())
    }

    async fn reading(&self, namespace: &str, secret: &NamedSecret, anew: bool) -> Result<Read, ApiError> {
        let read = self.read(namespace, &[secret], anew).await?;
        Ok(read.into_iter().next().map(|(_, read)| read).unwrap_or_default())
    }

    /// One Secret for every source that names it.
    async fn read(
        &self,
        namespace: &str,
        sources: &[&NamedSecret],
        anew: bool,
    ) -> Result<Vec<(NamedSecret, Read)>, ApiError> {
        let key = |secret: &NamedSecret| (namespace.to_owned(), secret.clone());
        let remembered = |secret: &&NamedSecret| {
            let secret = NamedSecret::clone(secret);
            Some((secret.clone(), self.remembered(&key(&secret))?))
        };
        let known: Option<Vec<_>> = sources.iter().map(remembered).collect();
        if let Some(known) = known.filter(|_| !anew) {
            return Ok(known);
        }
        let Some(first) = sources.first() else { return Ok(Vec::new()) };
        let location = Location::Secret(SecretRef::unread(namespace, &first.name));
        let found = Api::<Secret>::namespaced(self.client.clone(), namespace).get_opt(&first.name).await;
        let gone = (ProblemCode::SecretNotFound, "it does not exist");
        let mut missing = Keychain::default();
        let found =
            Self::settle(found.map_err(Arc::new), first.source.clone(), location, gone, &mut missing)?;
        let read = sources.iter().map(|secret| {
            let secret = NamedSecret::clone(secret);
            let Some(found) = &found else {
                let problem =
                    |problem: &Problem| Problem { source: secret.source.clone(), ..problem.clone() };
                let problems = missing.problems.iter().map(problem).collect();
                let reading = Reading { problems, ..Reading::default() };
                return (secret, Read { reading, version: None });
            };
            let version = found.metadata.resource_version.clone();
            let read = Read { reading: read_named(namespace, &secret, found.clone()), version };
            self.remember(key(&secret), &read);
            (secret, read)
        });
        Ok(read.collect())
    }

    /// Turns "not found" and "forbidden" into problems; what is left is the object or a failure of the server.
    fn settle<K>(
        found: Result<Option<K>, Arc<kube::Error>>,
        source: Source,
        location: Location,
        gone: (ProblemCode, &str),
        keychain: &mut Keychain,
    ) -> Result<Option<K>, ApiError> {
        let (code, detail) = match found {
            Ok(Some(object)) => return Ok(Some(object)),
            Ok(None) => (gone.0, gone.1.to_owned()),
            Err(error) => match &*error {
                kube::Error::Api(status) if status.code == 403 => {
                    (ProblemCode::SecretForbidden, format!("{}: grant it that", status.message))
                }
                _ => return Err(ApiError { what: location.to_string(), error }),
            },
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
