//! Signing with a key that stays in a key management service (`signers.kms.kmsref`, Chains specification §5.3).
//!
//! # Guarantees
//!
//! - One client, one session and one public key for each version of the configuration, never one for each run. The key is
//!   read again every five minutes, so that a rotated one is taken up; within one run it is always the same version.
//! - A signature leaves here only when it verifies with the public key that the service gave.
//! - A service that is away fails runs for a moment without being asked anew by each of them, and is asked again after it.

mod cloud;
mod login;
mod pkcs11;
mod reference;
mod session;
mod vault;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;

pub use login::VaultVariables;
pub use reference::{Reference, ReferenceError};

use cloud::CloudKey;
use pkcs11::ModuleKey;
use vault::VaultKey;

use super::signatory::Signatory;
use super::{Error, Signature, Signer};
use crate::client::cloud::Web;
use crate::client::cloud::kms::KeyVersion;
use crate::client::http::Clients;
use crate::config;
use crate::credential::registry_config::RegistryConfig;
use crate::error::{Class, Diagnose};
use crate::signature::public_key::PublicKey;

/// How long a public key is taken for the current one.
const KEPT: Duration = Duration::from_mins(5);
/// How long one failure answers everybody.
const FRESH_FAILURE: Duration = Duration::from_secs(2);

type Failure = Arc<dyn Diagnose + Send + Sync>;

/// What the environment of the process says of key management services.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Of Vault; the ConfigMap comes first.
    pub vault: VaultVariables,
    /// Of clouds: who the process is there.
    pub clouds: crate::credential::cloud::Surroundings,
}

/// A key of a key management service.
pub struct Kms {
    reference: Reference,
    key: Key,
    known: Mutex<Known>,
}

/// Who keeps it.
enum Key {
    Vault(Box<VaultKey>),
    Cloud(Box<CloudKey>),
    Module(ModuleKey),
}

#[derive(Default)]
struct Known {
    key: Option<(Instant, Arc<KeyVersion>)>,
    failed: Option<(Instant, Failure)>,
}

/// What the service gave is no signature by its key.
#[derive(Debug, thiserror::Error)]
#[error("what {0} gave as a signature does not verify with its public key")]
struct Unverified(Reference);

impl Diagnose for Unverified {
    fn class(&self) -> Class {
        Class::Misconfigured
    }

    fn label(&self) -> &'static str {
        "kms_malformed"
    }
}

impl Key {
    async fn read(&self) -> Result<KeyVersion, Failure> {
        match self {
            Self::Vault(key) => key.read().await,
            Self::Cloud(key) => key.read().await,
            Self::Module(key) => key.read().await,
        }
    }

    async fn sign(&self, version: &KeyVersion, message: &[u8]) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Vault(key) => key.sign(version, message).await,
            Self::Cloud(key) => key.sign(version, message).await,
            Self::Module(key) => key.sign(version, message).await,
        }
    }
}

impl Kms {
    /// As the configuration has it; nothing is asked of anybody yet.
    pub fn of(
        settings: &config::Kms,
        registries: &RegistryConfig,
        clients: &Clients,
        surroundings: &Surroundings,
    ) -> Result<Self, Error> {
        let reference = settings.key.as_deref().ok_or_else(|| refused(failure(ReferenceError::Missing)))?;
        let reference: Reference =
            reference.parse().map_err(|error: ReferenceError| refused(failure(error)))?;
        let key = match &reference {
            Reference::Vault { key, .. } => {
                let key = VaultKey::of(key, settings, registries, clients, &surroundings.vault);
                Key::Vault(Box::new(key.map_err(refused)?))
            }
            Reference::Pkcs11(uri) => Key::Module(ModuleKey::of(uri).map_err(refused)?),
            _ => {
                let web = Web::of(clients.clone(), Arc::new(registries.clone()));
                let key = CloudKey::of(&reference, web, &surroundings.clouds);
                Key::Cloud(Box::new(key.map_err(refused)?))
            }
        };
        Ok(Self { reference, key, known: Mutex::default() })
    }

    /// What signs one run.
    pub fn of_run(self: &Arc<Self>) -> Arc<dyn Signer> {
        Arc::new(OfRun { kms: Arc::clone(self), key: OnceCell::new() })
    }

    /// The public half, as it is now.
    pub async fn public_key(&self) -> Result<PublicKey, Error> {
        Ok(self.current().await.map_err(refused)?.public.clone())
    }

    /// The current version of the key.
    async fn current(&self) -> Result<Arc<KeyVersion>, Failure> {
        let mut known = self.known.lock().await;
        if let Some((_, key)) = known.key.as_ref().filter(|(since, _)| since.elapsed() < KEPT) {
            return Ok(Arc::clone(key));
        }
        if let Some((_, failed)) = known.failed.as_ref().filter(|(since, _)| since.elapsed() < FRESH_FAILURE)
        {
            return Err(Arc::clone(failed));
        }
        match self.key.read().await {
            Ok(key) => {
                let key = Arc::new(key);
                let changed = known.key.as_ref().is_none_or(|(_, before)| *before != key);
                if changed {
                    tracing::info!(key = %self.reference, version = key.name, id = key.public.id(), "signing key");
                }
                *known = Known { key: Some((Instant::now(), Arc::clone(&key))), failed: None };
                Ok(key)
            }
            Err(error) => {
                known.failed = Some((Instant::now(), Arc::clone(&error)));
                Err(error)
            }
        }
    }

    /// Has the key read again, when the service does not take a version any more.
    async fn forget(&self) {
        self.known.lock().await.key = None;
    }
}

/// What signs one run: with the version that was current when it began.
struct OfRun {
    kms: Arc<Kms>,
    key: OnceCell<Arc<KeyVersion>>,
}

impl OfRun {
    async fn key(&self) -> Result<&Arc<KeyVersion>, Error> {
        self.key.get_or_try_init(|| self.kms.current()).await.map_err(refused)
    }
}

#[async_trait]
impl Signer for OfRun {
    async fn signatory(&self) -> Result<Signatory, Error> {
        Ok(Signatory::Key(self.key().await?.public.clone()))
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, Error> {
        let key = self.key().await?;
        let bytes = match self.kms.key.sign(key, message).await {
            Ok(bytes) => bytes,
            Err(error) => {
                if matches!(error.label(), "kms_refused" | "kms_bad_key" | "kms_no_key") {
                    self.kms.forget().await;
                }
                return Err(refused(error));
            }
        };
        if !key.public.verifies(message, &bytes) {
            return Err(refused(failure(Unverified(self.kms.reference.clone()))));
        }
        Ok(Signature { bytes, key: key.public.clone(), certificate: None })
    }
}

fn failure(error: impl Diagnose + Send + Sync + 'static) -> Failure {
    Arc::new(error)
}

fn refused(failure: Failure) -> Error {
    Error::Service(failure)
}
