//! Requests to clouds: how a process proves who it is, and gets what their registries take for a password (credentials
//! specification §1.6).
//!
//! # Guarantees
//!
//! - Each request has five seconds, a metadata service one to be reached at all; an answer is read up to 64 KiB.
//! - No redirect is followed; a metadata service is never asked through a proxy.
//! - What a cloud says reaches errors cut, on one line, without anything that was sent to it in secret.
//!
//! # Caveats
//!
//! It keeps nothing and decides nothing: which identity there is, whom to ask for it and for how long an answer serves
//! is in `credential::cloud`.

pub mod aws;
pub mod azure;
mod error;
pub mod google;
pub mod identity;
pub mod kms;
pub(super) mod said;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use reqwest::{Client, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Deserializer};
use url::Url;
use zeroize::Zeroizing;

pub use error::Error;

use super::http::{Clients, Transport, body};
use super::registry::Registry;
use super::retry_after::retry_after;
use crate::credential::Redacted;
use crate::credential::registry_config::RegistryConfig;

const STEP: Duration = Duration::from_secs(5);
const METADATA_CONNECT: Duration = Duration::from_secs(1);
const LARGEST_ANSWER: usize = 64 * 1024;

/// The ways to a cloud.
#[derive(Clone)]
pub struct Web {
    clients: Clients,
    registries: Arc<RegistryConfig>,
}

/// One thing that is asked of a service; all of it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The service, by the name that its vendor gives it.
    pub service: &'static str,
    /// Its host.
    pub host: String,
    /// What is asked of it, and for whom.
    pub what: String,
    /// What to do when that is refused.
    pub remedy: &'static str,
}

impl Attempt {
    /// Asks `service` at `address`.
    pub(crate) fn at(address: &Url, service: &'static str, what: String, remedy: &'static str) -> Self {
        let name = address.host_str().unwrap_or_default();
        let host = address.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        Self { service, host, what, remedy }
    }

    fn malformed(&self) -> Error {
        Error::Malformed { attempt: Box::new(self.clone()) }
    }

    fn away(&self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::Away { attempt: Box::new(self.clone()), source: Box::new(source) }
    }
}

impl Web {
    /// With the clients of `registry`, and the proxies and authorities of `registries`.
    #[expect(clippy::needless_pass_by_value, reason = "a registry is a handle, and callers make one for it")]
    pub fn new(registry: Registry, registries: Arc<RegistryConfig>) -> Self {
        Self::of(registry.clients().clone(), registries)
    }

    /// The same with `clients`, for what is no registry.
    pub fn of(clients: Clients, registries: Arc<RegistryConfig>) -> Self {
        Self { clients, registries }
    }

    /// A client for a service of a cloud.
    fn to(&self, address: &Url) -> Result<Client, Error> {
        let transport = Transport::to(address.as_str(), &self.registries);
        self.clients.of(&transport).map_err(Error::Setup)
    }

    /// A client for the part of a cloud that a registry itself answers.
    fn to_registry(&self, registry: &str) -> Result<Client, Error> {
        let trust = self.registries.table_for(registry).map(|table| table.trust.clone()).unwrap_or_default();
        let transport = Transport::new(&self.registries, trust);
        self.clients.of(&transport).map_err(Error::Setup)
    }

    /// A client for what is on this machine, or answers for it; once it is known to be there.
    async fn metadata(&self, attempt: &Attempt, address: &Url) -> Result<Client, Error> {
        let host = address.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = address.port_or_known_default().unwrap_or(80);
        let connected = tokio::time::timeout(METADATA_CONNECT, tokio::net::TcpStream::connect((host, port)));
        match connected.await {
            Ok(Ok(_)) => self.clients.of(&Transport::default()).map_err(Error::Setup),
            Ok(Err(error)) => Err(attempt.away(error)),
            Err(elapsed) => Err(attempt.away(elapsed)),
        }
    }
}

/// Sends `request` and reads the answer; `secrets` are what it carries.
async fn ask(
    attempt: &Attempt,
    request: RequestBuilder,
    secrets: &[&Redacted],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let answered = async {
        let response = request.send().await.map_err(|error| attempt.away(error.without_url()))?;
        if !matches!(response.status(), StatusCode::OK | StatusCode::CREATED) {
            return Err(refusal(attempt, response, secrets).await);
        }
        let body = body(response, LARGEST_ANSWER).await.map_err(|error| attempt.away(error))?;
        Ok(Zeroizing::new(body.to_vec()))
    };
    match tokio::time::timeout(STEP, answered).await {
        Ok(answered) => answered,
        Err(elapsed) => Err(attempt.away(elapsed)),
    }
}

async fn refusal(attempt: &Attempt, response: Response, secrets: &[&Redacted]) -> Error {
    let (status, wait) = (response.status(), retry_after(response.headers(), Timestamp::now()));
    let body = body(response, LARGEST_ANSWER).await.unwrap_or_default();
    let said = said::shown(&body, secrets);
    let attempt = Box::new(attempt.clone());
    let answer = format!("{} {said}", status.as_u16()).trim_end().to_owned();
    match status.as_u16() {
        429 => Error::Throttled { attempt, answer, retry_after: wait },
        _ if said::is_throttling(&said) => Error::Throttled { attempt, answer, retry_after: wait },
        408 | 410 | 500..=599 => Error::Unavailable { attempt, answer, retry_after: wait },
        _ => Error::Denied { attempt, answer },
    }
}

/// An answer in JSON.
fn json<T: DeserializeOwned>(attempt: &Attempt, body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|_| attempt.malformed())
}

/// A secret in JSON.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Redacted, D::Error> {
    String::deserialize(deserializer).map(Redacted::from)
}

/// A secret in JSON that may be missing or null.
fn optional_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Redacted>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|text| text.map(Redacted::from))
}

/// A body of `application/x-www-form-urlencoded`.
fn form(request: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
    request.header(http::header::CONTENT_TYPE, FORM).body(encoded(fields))
}

fn encoded(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

const FORM: &str = "application/x-www-form-urlencoded";
