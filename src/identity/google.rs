//! Identity tokens of Google Cloud: of the service account that `GOOGLE_APPLICATION_CREDENTIALS` has the key of, else of
//! the machine or pod, and of one that the process may impersonate (credentials specification §9.1).
//!
//! Guarantees: the metadata server is asked by its address, and never through a proxy; what is impersonated with is what
//! the clouds' own credentials are (`credential::cloud`): the file of `GOOGLE_APPLICATION_CREDENTIALS`, else the machine.

use async_trait::async_trait;
use jiff::Timestamp;

use super::job::{address, service};
use super::provider::Provider;
use super::token::IdentityToken;
use super::{Error, TokenSource};
use crate::client::cloud::{Web, identity};
use crate::credential::Redacted;
use crate::credential::cloud::google;
use crate::error::Diagnose as _;

/// Where a service account is impersonated.
const IAM: &str = "https://iamcredentials.googleapis.com";

/// What the environment says of Google Cloud.
#[derive(Clone, Default)]
pub struct Variables {
    /// Those that credentials of registries know too.
    pub credentials: google::Variables,
    /// `GOOGLE_SERVICE_ACCOUNT_NAME`: whom to impersonate.
    pub account: Option<String>,
    /// `CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS`: IAM Credentials behind a private endpoint.
    pub iam_endpoint: Option<String>,
}

/// The process in Google Cloud.
pub struct GoogleToken {
    variables: Variables,
    /// Whom to impersonate; nobody for the machine's own account.
    account: Option<String>,
    web: Web,
}

impl GoogleToken {
    /// The tokens of the process's own service account: that of its key, else the machine's.
    pub fn of_machine(variables: Variables, web: Web) -> Self {
        Self { variables, account: None, web }
    }

    /// The tokens of `account`.
    pub fn of_account(variables: Variables, account: String, web: Web) -> Self {
        Self { variables, account: Some(account), web }
    }

    async fn ask(&self, audience: &str) -> Result<Redacted, Error> {
        let provider = self.provider();
        let failed = |error| service(provider, error);
        let variables = &self.variables.credentials;
        let Some(account) = &self.account else {
            let of_file = google::identity_token(variables, &self.web, audience, Timestamp::now()).await;
            if let Some(token) = of_file.map_err(|error| unusable(provider, error))? {
                return Ok(token);
            }
            let endpoint = google::metadata_server(variables).map_err(|error| unusable(provider, error))?;
            return identity::of_machine(&self.web, &endpoint, audience).await.map_err(failed);
        };
        let own = google::access_token(variables, &self.web, Timestamp::now()).await;
        let own = own.map_err(|error| unusable(provider, error))?;
        let endpoint = self.variables.iam_endpoint.as_deref().unwrap_or(IAM);
        let mut endpoint = address(provider, endpoint, "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS")?;
        endpoint.set_path("/v1/projects/-/serviceAccounts/");
        if let Ok(mut path) = endpoint.path_segments_mut() {
            path.pop_if_empty().push(&format!("{account}:generateIdToken"));
        }
        identity::of_impersonated(&self.web, &endpoint, account, &own, audience).await.map_err(failed)
    }
}

fn unusable(provider: Provider, error: crate::credential::cloud::Failure) -> Error {
    Error::Service { provider, class: error.class(), hint: error.hint(), source: Box::new(error) }
}

#[async_trait]
impl TokenSource for GoogleToken {
    fn provider(&self) -> Provider {
        if self.account.is_some() { Provider::GoogleImpersonate } else { Provider::Google }
    }

    async fn token(&self, audience: &str) -> Result<IdentityToken, Error> {
        let text = self.ask(audience).await?;
        let provider = self.provider();
        IdentityToken::parse(text.expose_text().as_ref()).map_err(|reason| Error::Token { provider, reason })
    }
}

#[cfg(test)]
mod tests;
