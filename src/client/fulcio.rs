//! Certificates of Fulcio, by its API v2 (credentials specification §9.3, §9.4).
//!
//! A request of its own and not `sigstore-fulcio`: that one takes only key pairs of its own making, says nothing about
//! when to come back, and follows its own time-outs; this is a hundred lines on the client that all others use.
//!
//! # Guarantees
//!
//! - The token is not sent over plain HTTP to a host outside the cluster, unless the configuration allows that by name.
//! - A certificate leaves here only when it is for our key, our name and our issuer (`signature::certificate`).
//! - What Fulcio said reaches errors cut, on one line and without the token.
//!
//! # Caveats
//!
//! It does not retry: whoever asks has other work meanwhile, and its class says whether to come back. The
//! legacy API v1 is not spoken.

mod error;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use jiff::Timestamp;
use reqwest::{Client, Response};
use serde::Deserialize;
use serde_json::json;
use url::{Host, Url};

pub use error::Error;

use super::answer;
use super::http::{Clients, Transport, admit, body};
use super::retry_after::retry_after;
use crate::credential::Credential;
use crate::identity::token::IdentityToken;
use crate::signature::certificate::{Asked, Certificate};
use crate::signature::public_key::PublicKey;

/// A chain has a few kilobytes.
const LARGEST_ANSWER: usize = 256 * 1024;

/// A certificate authority.
#[derive(Debug, Clone)]
pub struct Fulcio {
    endpoint: Url,
    client: Client,
}

impl Fulcio {
    /// The one at `address`, as `signers.x509.fulcio.address` has it.
    pub fn new(
        clients: &Clients,
        transport: &Transport,
        address: &str,
        allow_http: bool,
    ) -> Result<Self, Error> {
        let endpoint = endpoint(address, allow_http)?;
        let client = clients.of(transport).map_err(Error::Setup)?;
        Ok(Self { endpoint, client })
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
        let answer = self.ask(token, key, proof, now).await?;
        let certificate = Certificate::read(&answer).map_err(|reason| self.unfit(reason))?;
        let claims = token.claims();
        let identity = claims.identity();
        let asked = Asked { key, identity: identity.as_deref(), issuer: claims.issuer.as_deref() };
        certificate.check(&asked, now).map_err(|reason| self.unfit(reason))?;
        Ok(certificate)
    }

    async fn ask(
        &self,
        token: &IdentityToken,
        key: &PublicKey,
        proof: &[u8],
        now: Timestamp,
    ) -> Result<Vec<String>, Error> {
        let proof = BASE64_STANDARD.encode(proof);
        let request = json!({
            "credentials": {"oidcIdentityToken": token.reveal()},
            "publicKeyRequest": {
                "publicKey": {"algorithm": "ECDSA", "content": key.to_pem()},
                "proofOfPossession": proof,
            },
        });
        let sent = self.client.post(self.endpoint.clone());
        let sent = sent.header(http::header::CONTENT_TYPE, "application/json").body(request.to_string());
        let response = sent.send().await.map_err(|error| self.away(error.without_url()))?;
        if response.status() != StatusCode::OK {
            return Err(self.refusal(response, token, now).await);
        }
        let answer = body(response, LARGEST_ANSWER).await.map_err(|error| self.away(error))?;
        let answer: Answer =
            serde_json::from_slice(&answer).map_err(|_| self.unexpected("200 without a chain"))?;
        Ok(answer.chain())
    }

    async fn refusal(&self, response: Response, token: &IdentityToken, now: Timestamp) -> Error {
        let (status, retry_after) = (response.status(), retry_after(response.headers(), now));
        let body = body(response, LARGEST_ANSWER).await.unwrap_or_default();
        let message = serde_json::from_slice::<Failure>(&body).map(|failure| failure.message.into_bytes());
        // The token is a bearer credential: it is taken out of what is shown like every other.
        let sent = Credential::RegistryToken(token.reveal().into());
        let message = answer::shown(&message.unwrap_or_else(|_| body.to_vec()), &sent);
        let (host, answer) = (self.host(), format!("{} {message}", status.as_u16()));
        match status.as_u16() {
            400 | 401 | 403 if message.contains("identity token") || status != StatusCode::BAD_REQUEST => {
                Error::TokenRefused { host, answer, claims: Box::new(token.claims().clone()) }
            }
            404 | 405 | 501 => Error::NoFulcio { address: self.endpoint.to_string(), answer },
            408 | 429 | 500..=599 => Error::Unavailable { host, answer, retry_after },
            _ => Error::Unexpected { host, answer },
        }
    }

    fn host(&self) -> String {
        let name = self.endpoint.host_str().unwrap_or_default();
        self.endpoint.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
    }

    fn away(&self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::Away { host: self.host(), source: Box::new(source) }
    }

    fn unexpected(&self, answer: &str) -> Error {
        Error::Unexpected { host: self.host(), answer: answer.to_owned() }
    }

    fn unfit(&self, reason: crate::signature::certificate::CertificateError) -> Error {
        Error::Certificate { host: self.host(), reason }
    }
}

/// Where certificates are asked for, if the token may be sent there.
fn endpoint(address: &str, allow_http: bool) -> Result<Url, Error> {
    let refused = |reason| Error::Address { address: address.to_owned(), reason };
    let mut url = Url::parse(address).map_err(|_| refused("it is no URL"))?;
    admit(&url).map_err(|_| refused("it leads to an inner address that must not be used"))?;
    match url.scheme() {
        "https" => {}
        "http" if allow_http || is_inside(&url) => {}
        "http" => return Err(Error::PlainHttp { address: address.to_owned() }),
        _ => return Err(refused("it is neither https nor http")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Address {
            address: "(with a password)".to_owned(),
            reason: "it carries a password",
        });
    }
    let path = format!("{}/api/v2/signingCert", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_query(None);
    Ok(url)
}

/// Whether plain HTTP stays in the cluster or on this machine (§9.3).
fn is_inside(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
            let parents = labels.get(1..).unwrap_or_default();
            parents.is_empty() || parents.contains(&"svc") || parents.last() == Some(&"localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(alias = "signedCertificateEmbeddedSct", alias = "signedCertificateDetachedSct")]
    signed: SignedCertificate,
}

#[derive(Deserialize)]
struct SignedCertificate {
    chain: Chain,
}

#[derive(Deserialize)]
struct Chain {
    certificates: Vec<String>,
}

impl Answer {
    fn chain(self) -> Vec<String> {
        self.signed.chain.certificates
    }
}

#[derive(Deserialize)]
struct Failure {
    message: String,
}

#[cfg(test)]
mod tests;
