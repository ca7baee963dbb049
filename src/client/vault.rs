//! Vault and `OpenBao` over HTTP: logging in, keeping a token alive, and the transit engine, which holds keys and signs with
//! them (Chains specification §5.3).
//!
//! # Guarantees
//!
//! - Each request has the time-outs of every client of the process and goes through the circuit of its host; an answer is read up to 256 KiB; no redirect is
//!   followed, so that a token goes to the configured server alone.
//! - What the server says reaches errors cut, on one line, without the token or JWT that was sent.
//! - No message that is signed leaves the process where its hash will do: all keys but Ed25519.
//!
//! # Caveats
//!
//! It keeps nothing: which token is used, and for how long, is decided in `signature::kms`.

mod error;
mod wire;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use jiff::Timestamp;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use url::{Host, Url};
use zeroize::Zeroizing;

pub use error::{Error, Operation};

use super::answer;
use super::http::{Circuits, Clients, Service, Transport, admit, body};
use super::retry_after::retry_after;
use crate::artifact::digest::Digest;
use crate::credential::registry_config::RegistryConfig;
use crate::credential::{Credential, Redacted};
use crate::signature::public_key::{Algorithm, PublicKey};

/// A key with many old versions has some kilobytes for each.
const LARGEST_ANSWER: usize = 256 * 1024;

/// One server.
pub struct Vault {
    address: Url,
    namespace: Option<String>,
    client: Client,
    circuits: Circuits,
}

/// A token, and how long it lives.
pub struct Lease {
    /// The token.
    pub token: Redacted,
    /// How long it lives; `None` for ever.
    pub lasts: Option<Duration>,
    /// Whether it can be made to live longer.
    pub renewable: bool,
}

/// A key of the transit engine, in its newest version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransitKey {
    /// Its version.
    pub version: u64,
    /// Its public half.
    pub public: PublicKey,
}

/// The name of a key, and where the engine is mounted that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName {
    /// `transit`, unless somebody mounted it elsewhere.
    pub mount: String,
    /// The name.
    pub name: String,
}

impl Vault {
    /// The server at `address`, `https://host:8200`; reached as the table of its name in the registry configuration file
    /// says, if there is one. `namespace` is one of Vault's own.
    pub fn new(
        address: &str,
        namespace: Option<String>,
        clients: &Clients,
        registries: &RegistryConfig,
    ) -> Result<Self, Error> {
        let refused = |reason| Error::Address { reason };
        let url = Url::parse(address).map_err(|_| refused("it is no URL; write it as https://host:8200"))?;
        admit(&url).map_err(|_| refused("it leads to an inner address that must not be used"))?;
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
            return Err(refused("it is neither https nor http; write it as https://host:8200"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("it carries a password"));
        }
        let client = clients.of(&Transport::to(address, registries)).map_err(Error::Setup)?;
        Ok(Self { address: url, namespace, client, circuits: clients.circuits().clone() })
    }

    /// A token for whoever `jwt` speaks of, in `role` of the method mounted at `path`: JWT or Kubernetes.
    pub async fn login(&self, path: &str, role: &str, jwt: &Redacted) -> Result<Lease, Error> {
        let operation = Operation::Login { path: path.to_owned(), role: role.to_owned() };
        let url = self.at(&["auth", path, "login"]);
        let content = json!({"role": role, "jwt": jwt.expose_text()});
        let request = with_body(self.client.post(url), &content);
        wire::lease(&self.ask(&operation, request, jwt).await?).ok_or_else(|| self.malformed(&operation))
    }

    /// Makes a token live longer; it stays the same token.
    pub async fn renew(&self, token: &Redacted) -> Result<Lease, Error> {
        let request = with_body(self.client.post(self.at(&["auth", "token", "renew-self"])), &json!({}));
        let answer = self.ask(&Operation::Renew, with_token(request, token), token).await?;
        wire::lease(&answer).ok_or_else(|| self.malformed(&Operation::Renew))
    }

    /// How long a token lives that somebody else got.
    pub async fn look_up(&self, token: &Redacted) -> Result<Lease, Error> {
        let request = self.client.get(self.at(&["auth", "token", "lookup-self"]));
        let answer = self.ask(&Operation::LookUp, with_token(request, token), token).await?;
        let (lasts, renewable) = wire::lifetime(&answer).ok_or_else(|| self.malformed(&Operation::LookUp))?;
        Ok(Lease { token: token.clone(), lasts, renewable })
    }

    /// The newest version of a key.
    pub async fn key(&self, token: &Redacted, key: &KeyName) -> Result<TransitKey, Error> {
        let operation = Operation::Read(key.clone());
        let request = self.client.get(self.at(&[&key.mount, "keys", &key.name]));
        let answer = self.ask(&operation, with_token(request, token), token).await?;
        wire::key(&answer, key).map_err(|kind| match kind {
            Some(kind) => Error::Kind { server: self.server(), key: key.name.clone(), kind },
            None => self.malformed(&operation),
        })
    }

    /// A signature over `message` by this version of a key.
    pub async fn sign(
        &self,
        token: &Redacted,
        key: &KeyName,
        with: &TransitKey,
        message: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let operation = Operation::Sign(key.clone());
        // Ed25519 hashes by itself, and differently.
        let whole = with.public.algorithm() == Algorithm::Ed25519;
        let digest = Digest::of(message);
        let input = if whole { message } else { digest.as_bytes().as_slice() };
        let content = json!({"input": BASE64_STANDARD.encode(input), "prehashed": !whole, "key_version": with.version,
            "signature_algorithm": "pkcs1v15", "marshaling_algorithm": "asn1"});
        let url = self.at(&[&key.mount, "sign", &key.name, "sha2-256"]);
        let request = with_token(with_body(self.client.post(url), &content), token);
        let answer = self.ask(&operation, request, token).await?;
        wire::signature(&answer, with.version).ok_or_else(|| self.malformed(&operation))
    }

    /// Whether tokens go there without TLS, and further than this machine.
    pub fn is_open(&self) -> bool {
        let near = match self.address.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        self.address.scheme() == "http" && !near
    }

    /// Who is asked, for messages.
    pub fn server(&self) -> String {
        let name = self.address.host_str().unwrap_or_default();
        self.address.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
    }

    fn at(&self, path: &[&str]) -> Url {
        let mut url = self.address.clone();
        url.set_query(None);
        url.set_fragment(None);
        if let Ok(mut segments) = url.path_segments_mut() {
            // A mount may lie deeper: `team/transit`.
            let parts = path.iter().flat_map(|part| part.split('/')).filter(|part| !part.is_empty());
            segments.pop_if_empty().push("v1").extend(parts);
        }
        url
    }

    async fn ask(
        &self,
        operation: &Operation,
        mut request: RequestBuilder,
        secret: &Redacted,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        // Without it a proxy that was made to forward somebody else's request would be obeyed.
        request = request.header("X-Vault-Request", "true");
        if let Some(namespace) = &self.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        let entered = self.circuits.enter(Service::Kms, &self.origin(), Instant::now());
        let passage = entered.map_err(|silent| self.away(silent))?;
        let sent = passage.told(request.send().await);
        let response = sent.map_err(|error| self.away(error.without_url()))?;
        let (status, wait) = (response.status(), retry_after(response.headers(), Timestamp::now()));
        let body = body(response, LARGEST_ANSWER).await;
        let body = body.map_err(|error| self.away(error))?;
        if status == StatusCode::OK {
            return Ok(Zeroizing::new(body.to_vec()));
        }
        let said = secret.scrub(&wire::said(&body));
        let said = answer::shown(said.as_bytes(), &Credential::Anonymous);
        Err(error::of(status, &said, wait, self.server(), operation))
    }

    fn away(&self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::Away { server: self.server(), origin: self.origin(), source: Box::new(source) }
    }

    fn origin(&self) -> String {
        self.address.origin().ascii_serialization()
    }

    fn malformed(&self, operation: &Operation) -> Error {
        Error::Malformed { server: self.server(), operation: operation.clone() }
    }
}

fn with_body(request: RequestBuilder, content: &Value) -> RequestBuilder {
    request.header(http::header::CONTENT_TYPE, "application/json").body(content.to_string())
}

fn with_token(request: RequestBuilder, token: &Redacted) -> RequestBuilder {
    // A value with line breaks is refused by the server's own words, not by a panic here.
    let mut value = http::HeaderValue::from_bytes(token.expose().trim_ascii())
        .unwrap_or_else(|_| http::HeaderValue::from_static("unusable"));
    value.set_sensitive(true);
    request.header("X-Vault-Token", value)
}
