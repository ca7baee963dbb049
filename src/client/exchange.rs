//! Identity tokens for registry tokens: the exchange of Chainguard and the one of RFC 8693 (credentials
//! specification §6.3, §6.8).
//!
//! # Guarantees
//!
//! - The identity token goes to the address of the provider only: no redirect is followed, and nothing is sent without
//!   TLS unless the provider is marked `insecure`.
//! - An answer is read up to 64 KiB within 15 s, whoever sends it and however slowly.
//! - A token leaves here only when it is for the audience that was asked for and lives long enough to be worth
//!   writing down; what the service said reaches errors cut, on one line and without either token.
//!
//! # Caveats
//!
//! It neither retries nor keeps anything: `refresh` and the credential helper decide that, each in its own way.

mod error;
mod granted;
pub mod identities;
pub mod provider;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::json;
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

pub use error::Error;
pub use granted::RegistryToken;
use provider::{Form, Provider, Style};

use super::answer;
use super::http::{Clients, Transport, body};
use super::retry_after::retry_after;
use crate::credential::registry_config::{RegistryConfig, Trust};
use crate::credential::{Credential, Redacted};
use crate::identity::token::IdentityToken;

const LARGEST_ANSWER: usize = 64 * 1024;
const TIMEOUT: Duration = Duration::from_secs(15);

/// What a registry token is wanted for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The identity to assume; opaque.
    pub identity: Option<&'a str>,
    /// Whom the token is for: the registry, unless somebody says otherwise.
    pub audience: &'a str,
    /// Rights to ask for, where the service knows any.
    pub scope: Option<&'a str>,
}

/// A token service that can be asked.
#[derive(Debug, Clone)]
pub struct Exchange {
    provider: Arc<Provider>,
    client: Client,
}

impl Exchange {
    /// With `provider`, whose host is trusted as `registries` says.
    pub fn with(
        provider: &Arc<Provider>,
        clients: &Clients,
        registries: &RegistryConfig,
    ) -> Result<Self, Error> {
        if let Form::Cloud(_) = provider.form {
            return Err(Error::OfCloud { provider: provider.name.clone() });
        }
        let client = client(provider, &provider.endpoint, clients, registries)?;
        Ok(Self { provider: Arc::clone(provider), client })
    }

    /// A registry token in exchange for `subject`.
    pub async fn token(
        &self,
        subject: &IdentityToken,
        asked: &Asked<'_>,
        now: Timestamp,
    ) -> Result<RegistryToken, Error> {
        // The client's own limits are for layers of images; here everything together is small.
        match tokio::time::timeout(TIMEOUT, self.ask(subject, asked, now)).await {
            Ok(answered) => answered,
            Err(elapsed) => Err(self.away(elapsed)),
        }
    }

    async fn ask(
        &self,
        subject: &IdentityToken,
        asked: &Asked<'_>,
        now: Timestamp,
    ) -> Result<RegistryToken, Error> {
        let request = self.request(subject, asked);
        let response = request.send().await.map_err(|error| self.away(error.without_url()))?;
        if response.status() != StatusCode::OK {
            return Err(self.refusal(response, subject, asked, now).await);
        }
        let body = body(response, LARGEST_ANSWER).await.map_err(|error| self.away(error))?;
        let body = Zeroizing::new(body.to_vec());
        granted::read(&body, asked.audience, now)
            .map_err(|problem| Error::Invalid { host: self.host(), problem })
    }

    fn request(&self, subject: &IdentityToken, asked: &Asked<'_>) -> RequestBuilder {
        match &self.provider.form {
            Form::Chainguard(style) => self.chainguard(*style, subject, asked),
            // Never made: see `with`.
            Form::Cloud(_) => self.client.post(self.provider.endpoint.clone()),
            Form::Rfc8693 { resource, subject_type, requested_type } => {
                let mut form = Serializer::new(String::new());
                form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
                    .append_pair("subject_token", subject.reveal())
                    .append_pair("subject_token_type", subject_type)
                    .append_pair("audience", asked.audience)
                    .append_pair("requested_token_type", requested_type)
                    .extend_pairs(resource.as_deref().map(|resource| ("resource", resource)))
                    .extend_pairs(asked.scope.map(|scope| ("scope", scope)))
                    .extend_pairs(asked.identity.map(|identity| ("identity", identity)));
                let request = self.client.post(self.provider.endpoint.clone());
                request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.finish())
            }
        }
    }

    fn chainguard(&self, style: Style, subject: &IdentityToken, asked: &Asked<'_>) -> RequestBuilder {
        let endpoint = self.provider.endpoint.clone();
        let request = match style {
            Style::Query => self.client.post(with_query(endpoint, asked)),
            Style::Json => {
                let mut wanted = json!({"aud": [asked.audience]});
                for (name, value) in [("identity", asked.identity), ("scope", asked.scope)] {
                    if let (Some(value), Some(wanted)) = (value, wanted.as_object_mut()) {
                        wanted.insert(name.to_owned(), value.into());
                    }
                }
                let request = self.client.post(endpoint);
                request.header(CONTENT_TYPE, "application/json").body(wanted.to_string())
            }
        };
        request.bearer_auth(subject.reveal())
    }

    async fn refusal(
        &self,
        response: Response,
        subject: &IdentityToken,
        asked: &Asked<'_>,
        now: Timestamp,
    ) -> Error {
        let (status, retry_after) = (response.status(), retry_after(response.headers(), now));
        let body = body(response, LARGEST_ANSWER).await.unwrap_or_default();
        let sent = Credential::RegistryToken(Redacted::from(subject.reveal()));
        let answer = format!("{} {}", status.as_u16(), answer::shown(&body, &sent));
        let (host, answer) = (self.host(), answer.trim_end().to_owned());
        match status.as_u16() {
            400 | 401 | 403 => Error::Denied { host, answer, claims: Box::new(subject.claims().clone()) },
            404 => Error::IdentityNotFound {
                host,
                answer,
                identity: asked.identity.unwrap_or_default().to_owned(),
            },
            429 => Error::Throttled { host, answer, retry_after },
            408 | 500..=599 => Error::Unavailable { host, answer, retry_after },
            _ => Error::Unexpected { host, answer },
        }
    }

    fn host(&self) -> String {
        host(&self.provider.endpoint)
    }

    fn away(&self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::Away { host: self.host(), source: Box::new(source) }
    }
}

/// The client for one of the addresses of a provider.
fn client(
    provider: &Provider,
    address: &Url,
    clients: &Clients,
    registries: &RegistryConfig,
) -> Result<Client, Error> {
    let table = registries.table_for(address.host_str().unwrap_or_default());
    let configured = table.map(|table| table.trust.clone()).unwrap_or_default();
    let trust = if provider.insecure { Trust::Insecure } else { configured };
    clients.of(&Transport::new(registries, trust)).map_err(Error::Setup)
}

fn host(address: &Url) -> String {
    let name = address.host_str().unwrap_or_default();
    address.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

fn with_query(mut endpoint: Url, asked: &Asked<'_>) -> Url {
    endpoint
        .query_pairs_mut()
        .append_pair("aud", asked.audience)
        .extend_pairs(asked.identity.map(|identity| ("identity", identity)))
        .extend_pairs(asked.scope.map(|scope| ("scope", scope)));
    endpoint
}

#[cfg(test)]
mod tests;
