//! A key in the transit engine of Vault or `OpenBao`.
//!
//! Guarantees: a token that ended before its time, or was revoked, costs one more login and no signature; one that is
//! refused right after it was got is refused for good, so that a missing permission does not become a stream of logins.

use super::login::VaultVariables;
use super::session::{Held, Session};
use super::{Failure, KeyVersion, failure};
use crate::client::cloud::kms::{Hash, Scheme};
use crate::client::http::Clients;
use crate::client::vault::{Error, KeyName, TransitKey, Vault};
use crate::config;
use crate::credential::registry_config::RegistryConfig;

/// Where the engine is mounted when nobody says.
const USUAL_MOUNT: &str = "transit";

/// All keys but Ed25519, which hashes by itself.
const SCHEME: Scheme = Scheme { name: "sha2-256", hash: Hash::Sha256 };

/// One key, and the session in which it is used.
pub(super) struct VaultKey {
    vault: Vault,
    name: KeyName,
    session: Session,
}

impl VaultKey {
    pub(super) fn of(
        key: &str,
        settings: &config::Kms,
        registries: &RegistryConfig,
        clients: &Clients,
        surroundings: &VaultVariables,
    ) -> Result<Self, Failure> {
        let address = settings.address.as_deref().or(surroundings.address.as_deref());
        let address = address.ok_or_else(|| failure(Error::Address { reason: "there is none" }))?;
        let vault =
            Vault::new(address, surroundings.namespace.clone(), clients, registries).map_err(failure)?;
        if vault.is_open() {
            tracing::warn!("tokens go to Vault at {} over plain HTTP: give it TLS", vault.server());
        }
        let mount = surroundings.mount.clone().unwrap_or_else(|| USUAL_MOUNT.to_owned());
        let name = KeyName { mount, name: key.to_owned() };
        Ok(Self { vault, name, session: Session::of(settings, surroundings)? })
    }

    /// The newest version of the key.
    pub(super) async fn read(&self) -> Result<KeyVersion, Failure> {
        let held = self.session.token(&self.vault).await?;
        let mut answer = self.vault.key(&held.token, &self.name).await;
        if let Some(held) = self.anew(&held, answer.as_ref().err()).await? {
            answer = self.vault.key(&held.token, &self.name).await;
        }
        let TransitKey { version, public } = answer.map_err(failure)?;
        Ok(KeyVersion { name: version.to_string(), public, scheme: SCHEME })
    }

    /// A signature over `message` by this version of the key.
    pub(super) async fn sign(&self, key: &KeyVersion, message: &[u8]) -> Result<Vec<u8>, Failure> {
        // A number, since `read` wrote it.
        let version = key.name.parse().unwrap_or_default();
        let key = &TransitKey { version, public: key.public.clone() };
        let held = self.session.token(&self.vault).await?;
        let mut answer = self.vault.sign(&held.token, &self.name, key, message).await;
        if let Some(held) = self.anew(&held, answer.as_ref().err()).await? {
            answer = self.vault.sign(&held.token, &self.name, key, message).await;
        }
        answer.map_err(failure)
    }

    /// Another token, where this one was refused and another may be accepted.
    async fn anew(&self, held: &Held, error: Option<&Error>) -> Result<Option<Held>, Failure> {
        let refused = matches!(error, Some(Error::Denied { .. }));
        if !refused || !self.session.end(held).await {
            return Ok(None);
        }
        self.session.token(&self.vault).await.map(Some)
    }
}
