//! Keeps the serving certificate: made, shared among replicas by one Secret, renewed, and told to the API server.
//!
//! # Flow
//!
//! Read the Secret; make a certificate if it has none that serves; write it over the version that was read, so that of
//! several replicas one wins and the others read again; write the authorities into both webhook configurations; serve.
//!
//! # Guarantees
//!
//! - A certificate is served only after the API server was told its authority, and the one before it until then.
//! - Nothing is deleted, and no object but these three is touched.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::Notify;

use super::certificate::{CertificateError, Material, authorities};
use crate::client::kubernetes::said;
use crate::error::chain;

const LOOK_AGAIN: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_millis(500);
/// Until every API server has seen a new authority; the certificate before serves meanwhile.
const SETTLED: Duration = Duration::from_secs(5);

/// Which objects hold the certificate, and whom it names.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// The namespace of the Secret.
    pub(super) namespace: String,
    /// The Secret; it is there from the installation on.
    pub(super) secret: String,
    /// The webhook configurations, both of one name.
    pub(super) configuration: String,
    /// Names and addresses that the certificate is for.
    pub(super) names: Vec<String>,
}

/// The certificate of this moment.
#[derive(Debug, Default)]
pub(super) struct Served {
    certified: RwLock<Option<Arc<CertifiedKey>>>,
    first: Notify,
}

/// Keeps it.
pub(super) struct Keeper {
    client: Client,
    places: Places,
    served: Arc<Served>,
    current: Option<Material>,
}

/// Why the certificate could not be kept.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("cannot {action}: {}", said(.error))]
    Api { action: String, error: kube::Error },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("another replica was faster")]
    Raced,
}

impl Served {
    /// Whether there is one.
    pub(super) fn is_there(&self) -> bool {
        self.certified.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Waits for the first.
    pub(super) async fn first(&self) {
        if !self.is_there() {
            self.first.notified().await;
        }
    }

    fn put(&self, certified: Arc<CertifiedKey>) {
        *self.certified.write().unwrap_or_else(PoisonError::into_inner) = Some(certified);
        self.first.notify_one();
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certified.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Keeper {
    /// For these places.
    pub(super) fn new(client: Client, places: Places, served: Arc<Served>) -> Self {
        Self { client, places, served, current: None }
    }

    /// Keeps it for ever.
    pub(super) async fn run(mut self) {
        loop {
            let pause = match self.keep().await {
                Ok(()) => LOOK_AGAIN,
                Err(KeepError::Raced) => SOON,
                Err(error) => {
                    tracing::error!("the serving certificate is not in place: {}", chain(&error));
                    if self.current.is_some() { LOOK_AGAIN } else { SOON * 4 }
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn keep(&mut self) -> Result<(), KeepError> {
        let material = self.material().await?;
        let told = &material.authorities;
        self.tell::<ValidatingWebhookConfiguration>("validatingwebhookconfiguration", told).await?;
        self.tell::<MutatingWebhookConfiguration>("mutatingwebhookconfiguration", told).await?;
        if self.current.as_ref() == Some(&material) {
            return Ok(());
        }
        if self.current.is_some() {
            tokio::time::sleep(SETTLED).await;
        }
        self.served.put(material.certified()?);
        tracing::info!(names = self.places.names.join(","), "serving with a certificate of its own");
        self.current = Some(material);
        Ok(())
    }

    /// What the Secret holds, made anew when that does not serve.
    async fn material(&self) -> Result<Material, KeepError> {
        let Places { namespace, secret: name, names, .. } = &self.places;
        let secrets = Api::<Secret>::namespaced(self.client.clone(), namespace);
        let failed = |verb: &str| {
            let action = format!("{verb} Secret {namespace}/{name}, which the installation brings");
            move |error| KeepError::Api { action, error }
        };
        let mut secret = secrets.get(name).await.map_err(failed("read"))?;
        let (held, now) = (secret.data.as_ref().and_then(Material::read), Timestamp::now());
        if let Some(held) = held.filter(|held| held.serves(names, now)) {
            return Ok(held);
        }
        let made = Material::make(names, now, secret.data.as_ref().and_then(authorities))?;
        secret.data.get_or_insert_default().extend(made.write());
        match secrets.replace(name, &PostParams::default(), &secret).await {
            Ok(_) => {
                tracing::info!("made a serving certificate");
                Ok(made)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Err(KeepError::Raced),
            Err(source) => Err(failed("write")(source)),
        }
    }

    /// Writes the authorities where the API server looks for them.
    async fn tell<K>(&self, kind: &str, authorities: &str) -> Result<(), KeepError>
    where
        K: kube::Resource<DynamicType = ()> + DeserializeOwned + Clone + std::fmt::Debug + Configuration,
    {
        let (api, name) = (Api::<K>::all(self.client.clone()), &self.places.configuration);
        let failed = |verb: &str| {
            let action = format!("{verb} {kind} {name}");
            move |error| KeepError::Api { action, error }
        };
        let found = api.get(name).await.map_err(failed("read"))?;
        let stale: Vec<_> =
            found.webhooks().filter(|(_, bundle)| *bundle != authorities.as_bytes()).collect();
        if stale.is_empty() {
            return Ok(());
        }
        let bundle = k8s_openapi::ByteString(authorities.as_bytes().to_vec());
        let webhook = |name: &str| json!({"name": name, "clientConfig": {"caBundle": bundle}});
        let webhooks: Vec<_> = stale.iter().map(|(name, _)| webhook(name)).collect();
        let patch = Patch::Strategic(json!({ "webhooks": webhooks }));
        api.patch(name, &PatchParams::default(), &patch).await.map(drop).map_err(failed("patch"))
    }
}

/// What both kinds of configuration have in common.
trait Configuration {
    /// Name and authorities of each webhook.
    fn webhooks(&self) -> impl Iterator<Item = (&str, &[u8])>;
}

impl Configuration for ValidatingWebhookConfiguration {
    fn webhooks(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let all = self.webhooks.iter().flatten();
        all.map(|one| (one.name.as_str(), bundle(one.client_config.ca_bundle.as_ref())))
    }
}

impl Configuration for MutatingWebhookConfiguration {
    fn webhooks(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let all = self.webhooks.iter().flatten();
        all.map(|one| (one.name.as_str(), bundle(one.client_config.ca_bundle.as_ref())))
    }
}

fn bundle(bundle: Option<&k8s_openapi::ByteString>) -> &[u8] {
    bundle.map(|bundle| bundle.0.as_slice()).unwrap_or_default()
}
