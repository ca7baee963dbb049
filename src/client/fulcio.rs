//! Certificates of Fulcio, by its API v2 and, where that is not there, the legacy v1 (credentials specification §9.3,
//! §9.4).
//!
//! Requests of its own and not `sigstore-fulcio`: that one takes only key pairs of its own making, says nothing about
//! when to come back, and follows its own time-outs; this is little code on the client that all others use.
//!
//! # Guarantees
//!
//! - The token is not sent over plain HTTP to a host outside the cluster, unless the configuration allows that by name,
//!   and not to a Fulcio that says that it does not know the token's issuer.
//! - A certificate leaves here only when it is for our key, our name and our issuer (`signature::certificate`).
//! - What Fulcio said reaches errors cut, on one line and without the token.
//!
//! # Caveats
//!
//! It does not retry: whoever asks has other work meanwhile, and its class says whether to come back.

mod address;
mod error;
mod issuers;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use reqwest::{Client, RequestBuilder, Response};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

pub use error::Error;

use self::issuers::Issuers;
use self::wire::{Given, Question};
use super::answer;
use super::http::{Circuits, Clients, Service, Transport, body, trace_context};
use super::retry_after::retry_after;
use crate::credential::Credential;
use crate::identity::token::{IdentityToken, UnverifiedClaims};
use crate::signature::certificate::{Asked, Certificate, CertificateError};
use crate::signature::public_key::PublicKey;
use crate::signature::trusted_root::TrustedRoot;
use crate::signature::verification::{Demands, certificate_holds};

/// A chain has a few kilobytes, a list of issuers some more.
const LARGEST_ANSWER: usize = 256 * 1024;
/// How long the list of issuers is believed.
const ISSUERS_KEPT: Duration = Duration::from_mins(10);
/// How soon it is asked for again when a token would be refused by it: somebody may be mending it.
const ISSUERS_DOUBTED: Duration = Duration::from_secs(10);

/// A certificate authority; cheap to clone.
#[derive(Debug, Clone)]
pub struct Fulcio {
    base: Url,
    client: Client,
    circuits: Circuits,
    issuers: Arc<Mutex<Option<(Instant, Issuers)>>>,
}

impl Fulcio {
    /// The one at `address`, as `signers.x509.fulcio.address` has it.
    pub fn new(
        clients: &Clients,
        transport: &Transport,
        address: &str,
        allow_http: bool,
    ) -> Result<Self, Error> {
        let base = address::base(address, allow_http)?;
        let client = clients.of(transport).map_err(Error::Setup)?;
        Ok(Self { base, client, circuits: clients.circuits().clone(), issuers: Arc::default() })
    }

    /// A certificate for `key` in the name that `token` speaks for. `proof` is the key's signature over
    /// [`challenge`](crate::identity::token::UnverifiedClaims::challenge).
    pub async fn certificate(
        &self,
        token: &IdentityToken,
        key: &PublicKey,
        proof: &[u8],
        now: Timestamp,
    ) -> Result<Certificate, Error> {
        let claims = token.claims();
        self.admits(claims).await?;
        let question = Question { token, key, proof };
        let answer = match self.ask_v2(&question, now).await {
            Err(Error::NoFulcio { answer, .. }) => self.ask_v1(&question, now, answer).await?,
            answer => answer?,
        };
        let certificate = Certificate::of_ders(answer.ders).map_err(|reason| self.unfit(reason))?;
        let certificate = certificate.with_word(answer.word);
        let identity = claims.identity();
        let asked = Asked { key, identity: identity.as_deref(), issuer: claims.issuer.as_deref() };
        certificate.check(&asked, now).map_err(|reason| self.unfit(reason))?;
        Ok(certificate)
    }

    /// The authorities that it says its certificates come from.
    pub async fn trust_root(&self) -> Result<TrustedRoot, Error> {
        let chains = match self.read("api/v2/trustBundle").await {
            Ok(answer) => wire::authorities(&answer),
            Err(Error::NoFulcio { .. }) => {
                wire::blocks(&self.read("api/v1/rootCert").await?).map(|chain| vec![chain])
            }
            Err(error) => return Err(error),
        };
        let chains = chains.ok_or_else(|| self.unexpected("200 without a chain"))?;
        TrustedRoot::of_authorities(&chains).map_err(|source| Error::Root { host: self.host(), source })
    }

    /// Whether an authority of `root` issued `certificate`, and, where it knows certificate logs, one of them has it.
    pub fn must_hold(&self, certificate: &Certificate, root: &TrustedRoot) -> Result<(), Error> {
        let demands = Demands { certificate_log: true, ..Demands::default() };
        let held = certificate_holds(certificate, root, &[certificate.beginning()], demands);
        held.map(|_| ()).map_err(|reason| Error::Untrusted { host: self.host(), reason })
    }

    /// Whether Fulcio knows the token's issuer, by its own word; a Fulcio that does not say is asked all the same.
    pub async fn admits(&self, claims: &UnverifiedClaims) -> Result<(), Error> {
        let issuer = claims.issuer.as_deref().unwrap_or_default();
        let mut kept = self.issuers.lock().await;
        let is_stale = |(since, issuers): &(Instant, Issuers)| {
            let doubted = !issuers.know(issuer) || issuers.other_audience(issuer).is_some();
            since.elapsed() >= if doubted { ISSUERS_DOUBTED } else { ISSUERS_KEPT }
        };
        if kept.as_ref().is_none_or(is_stale) {
            let issuers = match self.read("api/v2/configuration").await {
                Ok(answer) => Issuers::read(&answer).unwrap_or_default(),
                Err(Error::NoFulcio { .. }) => Issuers::default(),
                // What is wrong will be told by the request for the certificate.
                Err(_) => return Ok(()),
            };
            *kept = Some((Instant::now(), issuers));
        }
        let Some((_, issuers)) = kept.as_ref() else { return Ok(()) };
        let (host, claims) = (self.host(), || Box::new(claims.clone()));
        if !issuers.know(issuer) {
            return Err(Error::UnknownIssuer { host, claims: claims(), configured: issuers.shown() });
        }
        match issuers.other_audience(issuer) {
            Some(audience) => Err(Error::OtherAudience {
                host,
                claims: claims(),
                audience: audience.chars().take(200).collect(),
            }),
            None => Ok(()),
        }
    }

    async fn ask_v2(&self, question: &Question<'_>, now: Timestamp) -> Result<Given, Error> {
        let request = self.client.post(self.at("api/v2/signingCert")).body(question.v2().to_string());
        let (_, answer) = self.ask(request, StatusCode::OK, question.token, now).await?;
        wire::given(&answer).ok_or_else(|| self.unexpected("200 without a chain that can be read"))
    }

    /// By the API of before; `v2` is what the newer one answered.
    async fn ask_v1(&self, question: &Question<'_>, now: Timestamp, v2: String) -> Result<Given, Error> {
        let request = self.client.post(self.at("api/v1/signingCert")).bearer_auth(question.token.reveal());
        let request = request.body(question.v1().to_string());
        match self.ask(request, StatusCode::CREATED, question.token, now).await {
            Err(Error::NoFulcio { address, .. }) => Err(Error::NoFulcio { address, answer: v2 }),
            answer => {
                let (headers, answer) = answer?;
                let sct = headers.get("SCT").and_then(|value| value.to_str().ok());
                let given = wire::given_v1(&answer, sct);
                given.ok_or_else(|| self.unexpected("201 without a chain that can be read"))
            }
        }
    }

    async fn ask(
        &self,
        request: RequestBuilder,
        good: StatusCode,
        token: &IdentityToken,
        now: Timestamp,
    ) -> Result<(HeaderMap, bytes::Bytes), Error> {
        let request = request.header(CONTENT_TYPE, "application/json").headers(trace_context());
        let response = self.send(request).await?;
        if response.status() != good {
            return Err(self.refusal(response, token, now).await);
        }
        let headers = response.headers().clone();
        Ok((headers, body(response, LARGEST_ANSWER).await.map_err(|error| self.away(error))?))
    }

    /// What anybody may read.
    async fn read(&self, path: &str) -> Result<bytes::Bytes, Error> {
        let response = self.send(self.client.get(self.at(path))).await?;
        let status = response.status().as_u16();
        if status == 200 {
            return body(response, LARGEST_ANSWER).await.map_err(|error| self.away(error));
        }
        let retry_after = retry_after(response.headers(), Timestamp::now());
        let said = body(response, LARGEST_ANSWER).await.unwrap_or_default();
        let said = wire::message(&said).map_or_else(|| said.to_vec(), String::into_bytes);
        let answer = format!("{status} {}", answer::shown(&said, &Credential::Anonymous));
        let (host, answer) = (self.host(), answer.trim_end().to_owned());
        match status {
            404 | 405 | 501 => Err(Error::NoFulcio { address: self.base.to_string(), answer }),
            _ => Err(Error::Unavailable { host, answer, retry_after }),
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let entered = self.circuits.enter(Service::Fulcio, &self.origin(), std::time::Instant::now());
        let passage = entered.map_err(|silent| self.away(silent))?;
        passage.told(request.send().await).map_err(|error| self.away(error.without_url()))
    }

    async fn refusal(&self, response: Response, token: &IdentityToken, now: Timestamp) -> Error {
        let (status, retry_after) = (response.status(), retry_after(response.headers(), now));
        let body = body(response, LARGEST_ANSWER).await.unwrap_or_default();
        let message = wire::message(&body).map(String::into_bytes);
        // The token is a bearer credential: it is taken out of what is shown like every other.
        let sent = Credential::RegistryToken(token.reveal().into());
        let message = answer::shown(&message.unwrap_or_else(|| body.to_vec()), &sent);
        let (host, answer) = (self.host(), format!("{} {message}", status.as_u16()));
        match status.as_u16() {
            400 | 401 | 403 if message.contains("identity token") || status != StatusCode::BAD_REQUEST => {
                Error::TokenRefused { host, answer, claims: Box::new(token.claims().clone()) }
            }
            404 | 405 | 501 => Error::NoFulcio { address: self.base.to_string(), answer },
            408 | 429 | 500..=599 => Error::Unavailable { host, answer, retry_after },
            _ => Error::Unexpected { host, answer },
        }
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path()));
        url
    }

    fn host(&self) -> String {
        let name = self.base.host_str().unwrap_or_default();
        self.base.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
    }

    fn away(&self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::Away { host: self.host(), origin: self.origin(), source: Box::new(source) }
    }

    fn origin(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    fn unexpected(&self, answer: &str) -> Error {
        Error::Unexpected { host: self.host(), answer: answer.to_owned() }
    }

    fn unfit(&self, reason: CertificateError) -> Error {
        Error::Certificate { host: self.host(), reason }
    }
}

#[cfg(test)]
mod tests;
