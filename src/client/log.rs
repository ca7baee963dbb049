//! The conversation that logs and timestamp authorities have in common: one request, one bounded answer, and what each
//! status means (Chains specification §7).
//!
//! Plain HTTP is allowed anywhere: what is sent is about to be public, and what comes back is verified.

mod error;

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use reqwest::{Client, RequestBuilder};
use url::Url;

pub use error::{Error, Kind};

use super::answer;
use super::http::{Circuits, Clients, Service, Transport, admit, body, trace_context};
use super::retry_after::retry_after;
use crate::credential::Credential;

/// The base of an address, and who is there.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    kind: Kind,
    /// As it was set, without a slash at the end.
    pub(super) address: String,
    url: Url,
    client: Client,
    circuits: Circuits,
}

/// An answer that is neither a refusal nor an outage.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Endpoint {
    pub(super) fn new(
        kind: Kind,
        clients: &Clients,
        transport: &Transport,
        address: &str,
    ) -> Result<Self, Error> {
        let refused = |reason| Error::Address { kind, reason };
        let url = Url::parse(address).map_err(|_| refused("it is no URL"))?;
        admit(&url).map_err(|_| refused("it leads to an inner address that must not be used"))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(refused("it is neither https nor http"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("it carries a password"));
        }
        let client = clients.of(transport).map_err(|source| Error::Setup { kind, source })?;
        let circuits = clients.circuits().clone();
        Ok(Self { kind, address: address.trim_end_matches('/').to_owned(), url, client, circuits })
    }

    /// Posts `content` to `path` under the base.
    pub(super) async fn post(
        &self,
        path: &str,
        media_type: &str,
        content: Vec<u8>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Answer, Error> {
        let request = self.client.post(self.at(path)).header(http::header::CONTENT_TYPE, media_type);
        self.send(request.body(content), limit, now).await
    }

    /// Gets what is at `path` under the base.
    pub(super) async fn get(&self, path: &str, limit: usize, now: Timestamp) -> Result<Answer, Error> {
        self.send(self.client.get(self.at(path)), limit, now).await
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        url
    }

    async fn send(&self, request: RequestBuilder, limit: usize, now: Timestamp) -> Result<Answer, Error> {
        let service = match self.kind {
            Kind::Rekor => Service::Log,
            Kind::Timestamp => Service::Timestamp,
        };
        let entered = self.circuits.enter(service, &self.origin(), Instant::now());
        let passage = entered.map_err(|silent| self.away(silent))?;
        let sent = request.headers(trace_context()).send().await;
        let response = passage.told(sent).map_err(|error| self.away(error.without_url()))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = body(response, limit).await.map_err(|error| self.away(error))?;
        match status.as_u16() {
            200 | 201 | 409 => Ok(Answer { status, headers, body }),
            code => Err(self.refusal(code, &headers, &body, now)),
        }
    }

    fn refusal(&self, status: u16, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Error {
        let (server, answer) = (self.server(), shown(status, body));
        match status {
            400 | 401 | 403 | 407 | 413 | 422 => Error::Refused { server, answer },
            // Redirects are not followed: the address is to be the log's own.
            300..=399 | 404 | 405 | 501 => Error::Nobody { server, address: self.address.clone(), answer },
            408 | 425 | 429 | 500..=599 => {
                Error::Unavailable { server, answer, retry_after: retry_after(headers, now) }
            }
            _ => Error::Unexpected { server, answer },
        }
    }

    /// An answer that has no meaning here.
    pub(super) fn unexpected(&self, answer: &str) -> Error {
        Error::Unexpected { server: self.server(), answer: answer.to_owned() }
    }

    /// Proof that proves nothing.
    pub(super) fn unproven(&self, reason: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::Unproven { server: self.server(), reason: Box::new(reason) }
    }

    fn away(&self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::Away { server: self.server(), origin: self.origin(), source: Box::new(source) }
    }

    fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Who is there, for messages.
    pub(super) fn server(&self) -> String {
        let name = self.url.host_str().unwrap_or_default();
        let host = self.url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        format!("{} at {host}", self.kind)
    }
}

fn shown(status: u16, body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Failure {
        message: String,
    }
    let message = serde_json::from_slice::<Failure>(body).map(|failure| failure.message.into_bytes());
    let message = answer::shown(message.as_deref().unwrap_or(body), &Credential::Anonymous);
    format!("{status} {message}").trim_end().to_owned()
}
