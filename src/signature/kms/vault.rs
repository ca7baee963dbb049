//! A key in the transit engine of Vault or `OpenBao`.
//!
//! Guarantees: a token that ended before its time, or was revoked, costs one more login and no signature; one that is
//! refused right after it was got is refused for good, so that a missing permission does not become a stream of logins.

use super::login::Surroundings;
use super::session::{Held, Session};
use super::{Failure, Reference, failure};
use crate::client::http::Clients;
use crate::client::vault::{Error, KeyName, TransitKey, Vault};
use crate::config;
use crate::credential::registry_config::RegistryConfig;

/// Where the engine is mounted when nobody says.
const USUAL_MOUNT: &str = "transit";

/// One key, and the session in which it is used.
pub struct VaultKey {
    vault: Vault,
    name: KeyName,
    session: Session,
}

impl VaultKey {
    pub(super) fn of(
        reference: &Reference,
        settings: &config::Kms,
        registries: &RegistryConfig,
        clients: &Clients,
        surroundings: &Surroundings,
    ) -> Result<Self, Failure> {
        let address = settings.address.as_deref().or(surroundings.address.as_deref());
        let address = address.ok_or_else(|| failure(Error::Address { reason: "there is none" }))?;
        let vault =
            Vault::new(address, surroundings.namespace.clone(), clients, registries).map_err(failure)?;
        if vault.is_open() {
            tracing::warn!("tokens go to Vault at {} over plain HTTP: give it TLS", vault.server());
        }
        let mount = surroundings.mount.clone().unwrap_or_else(|| USUAL_MOUNT.to_owned());
        let name = KeyName { mount, name: reference.key().to_owned() };
        Ok(Self { vault, name, session: Session::of(settings, surroundings)? })
    }

    /// The newest version of the key.
    pub(super) async fn read(&self) -> Result<TransitKey, Failure> {
        let held = self.session.token(&self.vault).await?;
        let mut answer = self.vault.key(&held.token, &self.name).await;
        if let Some(held) = self.anew(&held, answer.as_ref().err()).await? {
            answer = self.vault.key(&held.token, &self.name).await;
        }
        answer.map_err(failure)
    }

    /// A signature over `message` by this version of the key.
    pub(super) async fn sign(&self, key: &TransitKey, message: &[u8]) -> Result<Vec<u8>, Failure> {
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
