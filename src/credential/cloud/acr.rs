//! The identity of the process in Azure, for Azure Container Registry (credentials specification §1.6). What a token of
//! Entra ID becomes is the refresh token of the registry, which is exchanged like any identity token (§5.4).

use jiff::Timestamp;
use url::Url;

use super::entra::{Entra, Purpose, Variables};
use super::host;
use super::{Failure, Granted};
use crate::client::cloud::Web;
use crate::client::cloud::azure::{self, AccessToken, Application};
use crate::credential::{Credential, Login, Redacted};

/// The identity.
pub(super) struct Acr(Entra);

impl Acr {
    pub(super) fn new(variables: Variables, web: Web) -> Self {
        Self(Entra::new(variables, web))
    }

    pub(super) async fn credential(&self, registry: &str, now: Timestamp) -> Result<Granted, Failure> {
        let (token, whose) = self.0.token(&of(registry), now).await?;
        self.exchanged(registry, self.0.tenant(), &token, &whose, now).await
    }

    /// What the registry grants to `application`, which `assertion` opens.
    pub(super) async fn federated(
        &self,
        registry: &str,
        application: &Application,
        assertion: &Redacted,
        now: Timestamp,
    ) -> Result<Granted, Failure> {
        let (token, whose) = self.0.of_application(&of(registry), application, assertion, now).await?;
        self.exchanged(registry, Some(&application.tenant), &token, &whose, now).await
    }

    async fn exchanged(
        &self,
        registry: &str,
        tenant: Option<&str>,
        token: &AccessToken,
        whose: &str,
        now: Timestamp,
    ) -> Result<Granted, Failure> {
        let endpoint = Url::parse(&format!("https://{registry}"));
        let endpoint =
            endpoint.map_err(|_| Failure::Unusable { variable: "the registry", wrong: "it is no host" })?;
        let refresh = azure::exchange(self.0.web(), &endpoint, tenant, token, whose, now).await?;
        let fallback = Login { username: NOBODY.to_owned(), password: refresh.token.clone() };
        let credential = Credential::IdentityToken { token: refresh.token, fallback: Some(fallback) };
        Ok(Granted::until(credential, now, refresh.expires_at))
    }
}

fn of(registry: &str) -> Purpose<'_> {
    Purpose { resource: azure::REGISTRIES, authority: host::azure_authority(registry), of: registry }
}

/// The user name that stands for "the password is a token".
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
