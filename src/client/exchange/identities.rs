//! The API of Chainguard's identities: pull tokens are identities whose keys are known, and end when those are deleted
//! (credentials specification §6.9, §7.2).
//!
//! Guarantees: the token for the API goes to the API only; answers are read up to 1 MiB within 15 s.

use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::provider::Provider;
use super::{Error, client, host};
use crate::client::answer;
use crate::client::http::{Clients, body};
use crate::client::retry_after::retry_after;
use crate::credential::registry_config::RegistryConfig;
use crate::credential::{Credential, Redacted};

const LARGEST_ANSWER: usize = 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(15);

/// The API of one provider.
pub struct Identities {
    api: Url,
    client: Client,
    token: Redacted,
}

/// An identity.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Identity {
    /// Its UID, assigned by the service.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "createdAt")]
    pub created_at: Option<Timestamp>,
    /// Whose tokens may assume it, when it brings the keys of their issuer.
    #[serde(default, rename = "static", skip_serializing_if = "Option::is_none")]
    pub fixed: Option<Static>,
}

/// An issuer that is known by its keys alone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Static {
    /// The issuer.
    pub issuer: String,
    /// The subject.
    pub subject: String,
    /// Its key set, as JSON.
    #[serde(alias = "issuerKeys")]
    pub issuer_keys: String,
    /// When it ends.
    pub expiration: Timestamp,
}

impl Identities {
    /// The API of `provider`, for the holder of `token`; nothing where a provider has none.
    pub fn of(
        provider: &Provider,
        clients: &Clients,
        registries: &RegistryConfig,
        token: Redacted,
    ) -> Option<Result<Self, Error>> {
        let api = provider.api.clone()?;
        Some(client(provider, &api, clients, registries).map(|client| Self { api, client, token }))
    }

    /// Makes an identity below `parent`.
    pub async fn create(&self, parent: &str, identity: &Identity) -> Result<Identity, Error> {
        let content = serde_json::to_value(identity).unwrap_or_default();
        let answer = self.ask(Method::POST, parent, Some(&content)).await?;
        serde_json::from_slice(&answer).map_err(|_| self.unexpected())
    }

    /// Every identity that the holder of the token may see.
    pub async fn list(&self) -> Result<Vec<Identity>, Error> {
        #[derive(Deserialize)]
        struct Listed {
            #[serde(default)]
            items: Vec<Identity>,
        }
        let answer = self.ask(Method::GET, "", None).await?;
        let listed: Listed = serde_json::from_slice(&answer).map_err(|_| self.unexpected())?;
        Ok(listed.items)
    }

    /// Deletes an identity: its tokens are of no use from now on.
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        self.ask(Method::DELETE, id, None).await.map(drop)
    }

    async fn ask(&self, method: Method, id: &str, content: Option<&Value>) -> Result<Vec<u8>, Error> {
        let mut request = self.client.request(method, self.address(id)).timeout(TIMEOUT);
        request = request.bearer_auth(self.token.expose_text());
        if let Some(content) = content {
            request =
                request.header(http::header::CONTENT_TYPE, "application/json").body(content.to_string());
        }
        let away = |error: reqwest::Error| Error::Away {
            host: host(&self.api),
            source: Box::new(error.without_url()),
        };
        let response = request.send().await.map_err(away)?;
        let (status, retry_after) = (response.status(), retry_after(response.headers(), Timestamp::now()));
        let body = body(response, LARGEST_ANSWER).await;
        let body = body.map_err(|error| Error::Away { host: host(&self.api), source: Box::new(error) })?;
        if status.is_success() {
            return Ok(body.to_vec());
        }
        let said = answer::shown(&body, &Credential::RegistryToken(self.token.clone()));
        let (host, answer) = (host(&self.api), format!("{} {said}", status.as_u16()));
        Err(match status {
            StatusCode::NOT_FOUND => Error::IdentityNotFound { host, answer, identity: id.to_owned() },
            StatusCode::TOO_MANY_REQUESTS => Error::Throttled { host, answer, retry_after },
            status if status.is_server_error() => Error::Unavailable { host, answer, retry_after },
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::NotAllowed { host, answer },
            _ => Error::Unexpected { host, answer },
        })
    }

    fn address(&self, id: &str) -> Url {
        let mut address = self.api.clone();
        let segments =
            ["iam", "v1", "identities"].into_iter().chain(id.split('/').filter(|part| !part.is_empty()));
        if let Ok(mut path) = address.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        address
    }

    fn unexpected(&self) -> Error {
        Error::Unexpected { host: host(&self.api), answer: "with something that is no identity".to_owned() }
    }
}
