//! Keys that stay in AWS KMS, Google Cloud KMS or Azure Key Vault, over HTTP: their public halves, and signatures by them
//! (Chains specification §5.3).
//!
//! # Guarantees
//!
//! - Each request has ten seconds and goes through the circuit of its host; an answer is read up to 64 KiB, and no redirect
//!   is followed.
//! - Only the hash of what is signed leaves the process.
//! - What a service says reaches errors cut, on one line, without anything that was sent to it in secret, beside the URI of
//!   the key and what to do.
//!
//! # Caveats
//!
//! It keeps nothing: who asks, and for how long an answer serves, is decided in `signature::kms`.

mod asked;
mod aws;
mod azure;
mod error;
mod google;

use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use bytes::Bytes;
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderValue};
use jiff::Timestamp;
use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;
use url::Url;
use zeroize::Zeroizing;

pub use asked::{Asked, Operation, Vendor};
pub use aws::AwsKey;
pub use azure::AzureKey;
pub use error::Error;
pub use google::GoogleKey;

use super::aws::Keys;
use super::{LARGEST_ANSWER, Web, said};
use crate::client::http::{Service, body};
use crate::client::retry_after::retry_after;
use crate::credential::Redacted;
use crate::signature::public_key::PublicKey;

const PATIENCE: Duration = Duration::from_secs(10);

/// One version of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyVersion {
    /// Which one, as the service names it.
    pub name: String,
    /// Its public half.
    pub public: PublicKey,
    /// How it signs.
    pub scheme: Scheme,
}

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheme {
    /// As the service names it.
    pub name: &'static str,
    /// What of a message is signed.
    pub hash: Hash,
}

/// What of a message is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// A key of one of the services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudKey {
    /// As the operator wrote it.
    pub uri: String,
    /// Where it is.
    pub place: Place,
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// AWS KMS.
    Aws(AwsKey),
    /// Google Cloud KMS.
    Google(GoogleKey),
    /// Azure Key Vault, or a managed HSM.
    Azure(AzureKey),
}

/// What the service knows the agent by.
#[derive(Debug, Clone)]
pub enum Pass {
    /// Access keys of AWS.
    Keys(Keys),
    /// A token.
    Token(Redacted),
}

/// One question.
struct Question<'a> {
    web: &'a Web,
    pass: &'a Pass,
    address: Url,
    asked: Asked,
}

impl Hash {
    fn of(self, message: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, message)
    }
}

impl CloudKey {
    /// The version of the key that signs now.
    ///
    /// # Errors
    ///
    /// The service is away, refuses, or the key signs nothing that can be verified.
    pub async fn read(&self, web: &Web, pass: &Pass, now: Timestamp) -> Result<KeyVersion, Error> {
        match &self.place {
            Place::Aws(key) => key.read(&self.question(web, pass, Operation::Read)?, now).await,
            Place::Google(key) => {
                let version = match &key.version {
                    Some(version) => version.clone(),
                    None => key.newest(&self.question(web, pass, Operation::List)?).await?,
                };
                key.read(&version, &self.question(web, pass, Operation::Read)?).await
            }
            Place::Azure(key) => key.read(&self.question(web, pass, Operation::Read)?).await,
        }
    }

    /// A signature over `message` by this version.
    ///
    /// # Errors
    ///
    /// The service is away or refuses.
    pub async fn sign(
        &self,
        web: &Web,
        pass: &Pass,
        version: &KeyVersion,
        message: &[u8],
        now: Timestamp,
    ) -> Result<Vec<u8>, Error> {
        let question = self.question(web, pass, Operation::Sign)?;
        let digest = version.scheme.hash.of(message);
        match &self.place {
            Place::Aws(key) => key.sign(version, digest.as_ref(), &question, now).await,
            Place::Google(_) => google::sign(version, digest.as_ref(), &question).await,
            Place::Azure(key) => key.sign(version, digest.as_ref(), &question).await,
        }
    }

    fn question<'a>(
        &self,
        web: &'a Web,
        pass: &'a Pass,
        operation: Operation,
    ) -> Result<Question<'a>, Error> {
        let (vendor, address) = match &self.place {
            Place::Aws(key) => (Vendor::Aws, key.endpoint.clone()),
            Place::Google(key) => (Vendor::Google, key.endpoint.clone()),
            Place::Azure(key) => (Vendor::Azure, key.vault.clone()),
        };
        crate::client::http::admit(&address).map_err(Error::Address)?;
        let asked = Asked::of(vendor, &address, operation, &self.uri);
        Ok(Question { web, pass, address, asked })
    }
}

impl Question<'_> {
    /// Below the address of the service, with its token.
    fn request(
        &self,
        method: http::Method,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<RequestBuilder, Error> {
        let mut address = self.address.clone();
        address.set_path(path);
        if !query.is_empty() {
            address.query_pairs_mut().extend_pairs(query);
        }
        let Pass::Token(token) = self.pass else { return Err(self.malformed()) };
        let text = Zeroizing::new(format!("Bearer {}", token.expose_text().as_ref()));
        // What is no header is sent empty, and refused by whoever reads it.
        let mut bearer = HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
        bearer.set_sensitive(true);
        let client = self.web.to(&address).map_err(Error::Setup)?;
        Ok(client.request(method, address).header(AUTHORIZATION, bearer))
    }

    fn post(
        &self,
        path: &str,
        query: &[(&str, &str)],
        content: &serde_json::Value,
    ) -> Result<RequestBuilder, Error> {
        let request = self.request(http::Method::POST, path, query)?;
        Ok(request.header(http::header::CONTENT_TYPE, "application/json").body(content.to_string()))
    }

    /// Sends `request` and reads its answer.
    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Error> {
        let circuits = self.web.clients.circuits();
        let entered = circuits.enter(Service::Kms, &self.asked.origin, Instant::now());
        let passage = entered.map_err(|silent| self.away(silent))?;
        let sent = passage.told(request.timeout(PATIENCE).send().await);
        let response = sent.map_err(|error| self.away(error.without_url()))?;
        let (status, wait) = (response.status(), retry_after(response.headers(), Timestamp::now()));
        let content = body(response, LARGEST_ANSWER).await;
        if status != StatusCode::OK {
            return Err(self.refusal(status, &content.unwrap_or_default(), wait));
        }
        let content = content.map_err(|error| self.away(error))?;
        serde_json::from_slice(&content).map_err(|_| self.malformed())
    }

    fn refusal(&self, status: StatusCode, content: &Bytes, wait: Option<Duration>) -> Error {
        let secrets = match self.pass {
            Pass::Keys(keys) => keys.secrets(),
            Pass::Token(token) => vec![token],
        };
        let said = said::shown(content, &secrets);
        let meaning = self.asked.vendor.meaning(status.as_u16(), &said, content);
        let answer = format!("{} {said}", status.as_u16()).trim_end().to_owned();
        Error::of(meaning, &self.asked, answer, wait)
    }

    fn away(&self, source: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::Away { asked: Box::new(self.asked.clone()), source: Box::new(source) }
    }

    fn malformed(&self) -> Error {
        Error::Malformed { asked: Box::new(self.asked.clone()) }
    }

    /// A key of this kind signs nothing that can be verified.
    fn unfit(&self, kind: &str) -> Error {
        let kind = kind.chars().filter(|c| !c.is_control()).take(60).collect();
        Error::Kind { asked: Box::new(self.asked.clone()), kind }
    }
}
