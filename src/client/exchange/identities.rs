//! The API of Chainguard's identities: whose tokens may assume what, and which roles that has. Pull tokens are identities
//! whose keys are known, and end when those are deleted (credentials specification §6.9, §7.2).
//!
//! Guarantees: the token for the API goes to the API only; answers are read up to 1 MiB within 15 s.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use reqwest::Client;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
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
const IDENTITIES: &str = "identities";

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
    /// Whose tokens may assume it, when their issuer publishes its keys.
    #[serde(default, alias = "claimMatch", skip_serializing_if = "Option::is_none")]
    pub claim_match: Option<ClaimMatch>,
}

/// Tokens that are known by what they claim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ClaimMatch {
    /// The issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The issuer, as a regular expression.
    #[serde(alias = "issuerPattern", skip_serializing_if = "Option::is_none")]
    pub issuer_pattern: Option<String>,
    /// The subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The subject, as a regular expression.
    #[serde(alias = "subjectPattern", skip_serializing_if = "Option::is_none")]
    pub subject_pattern: Option<String>,
    /// What else the service matches; kept as it is.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
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
    /// What else the service knows of it; kept as it is.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Listed<T> {
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Role {
    id: String,
    #[serde(default)]
    name: String,
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
        self.listed(self.address(IDENTITIES, "")).await
    }

    /// The identity with this UID.
    pub async fn find(&self, id: &str) -> Result<Identity, Error> {
        let mut address = self.address(IDENTITIES, "");
        address.query_pairs_mut().append_pair("id", id);
        let found = self.listed::<Identity>(address).await?.into_iter().find(|identity| identity.id == id);
        found.ok_or_else(|| Error::IdentityNotFound {
            host: host(&self.api),
            answer: "it is not in the list".to_owned(),
            identity: id.to_owned(),
        })
    }

    /// Replaces the identity with the UID of this one.
    pub async fn update(&self, identity: &Identity) -> Result<Identity, Error> {
        let content = serde_json::to_value(identity).unwrap_or_default();
        let answer = self.ask(Method::PUT, &identity.id, Some(&content)).await?;
        serde_json::from_slice(&answer).map_err(|_| self.unexpected())
    }

    /// Deletes an identity: its tokens are of no use from now on.
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        self.ask(Method::DELETE, id, None).await.map(drop)
    }

    /// The UID of the role of this name.
    pub async fn role(&self, name: &str) -> Result<String, Error> {
        let mut address = self.address("roles", "");
        address.query_pairs_mut().append_pair("name", name);
        let found = self.listed::<Role>(address).await?.into_iter().find(|role| role.name == name);
        let unknown = || Error::RoleNotFound { host: host(&self.api), role: name.to_owned() };
        found.map(|role| role.id).ok_or_else(unknown)
    }

    /// Gives an identity a role in the group `parent`; both by their UIDs.
    pub async fn bind(&self, parent: &str, identity: &str, role: &str) -> Result<(), Error> {
        let content = json!({"identity": identity, "role": role});
        self.send(Method::POST, self.address("rolebindings", parent), parent, Some(&content)).await.map(drop)
    }

    async fn listed<T: DeserializeOwned>(&self, address: Url) -> Result<Vec<T>, Error> {
        let answer = self.send(Method::GET, address, "", None).await?;
        let listed: Listed<T> = serde_json::from_slice(&answer).map_err(|_| self.unexpected())?;
        Ok(listed.items)
    }

    async fn ask(&self, method: Method, id: &str, content: Option<&Value>) -> Result<Vec<u8>, Error> {
        self.send(method, self.address(IDENTITIES, id), id, content).await
    }

    async fn send(
        &self,
        method: Method,
        address: Url,
        id: &str,
        content: Option<&Value>,
    ) -> Result<Vec<u8>, Error> {
        let mut request = self.client.request(method, address).timeout(TIMEOUT);
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

    fn address(&self, kind: &str, id: &str) -> Url {
        let mut address = self.api.clone();
        let segments = ["iam", "v1", kind].into_iter().chain(id.split('/').filter(|part| !part.is_empty()));
        if let Ok(mut path) = address.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        address
    }

    fn unexpected(&self) -> Error {
        Error::Unexpected { host: host(&self.api), answer: "with something that is no identity".to_owned() }
    }
}
