//! Verification by code that took no part in signing: its own reading of the registry, of manifests and of
//! envelopes, its own DSSE encoding, and the crate `p256` (Chains specification §6.2, §5.4).
//!
//! Must not use `signature`, `storage` or `payload`: a mistake that both sides share would verify.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{DerSignature, VerifyingKey};
use p256::pkcs8::DecodePublicKey as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::world::Account;
use crate::artifact::image::Image;
use crate::client::http::{self, BodyError, Clients, SetupError, Transport};

/// Nothing that the demo pushes is nearly as large.
const MAX_BODY: usize = 1024 * 1024;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What lies in the registry beside the image.
#[derive(Debug)]
pub(super) struct Pulled {
    /// Under the tag `.sig`.
    pub signature: Layer,
    /// Under the tag `.att`.
    pub attestation: Layer,
}

/// The one layer under a tag.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    /// Its tag.
    pub tag: String,
    /// What it says that it is.
    pub media_type: String,
    /// Its bytes.
    pub content: Bytes,
    /// The annotation that cosign reads the signature from.
    signature: String,
}

/// Why it does not verify.
#[derive(Debug, thiserror::Error)]
pub(super) enum VerifyError {
    #[error("cannot read {0} back from the registry")]
    Unreachable(String, #[source] reqwest::Error),
    #[error("the registry answered {1} for {0}")]
    Refused(String, reqwest::StatusCode),
    #[error("cannot read {0} back from the registry")]
    Body(String, #[source] BodyError),
    #[error("{0} is not what it should be")]
    Malformed(String, #[source] serde_json::Error),
    #[error("{0} is not base64")]
    Encoding(&'static str, #[source] base64::DecodeError),
    #[error("{0} does not verify")]
    Signature(&'static str),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("the public key is no P-256 key in PEM")]
    Key,
    #[error("{0}")]
    Claim(&'static str),
}

/// Reads signature and attestation with a credential that may only pull.
pub(super) async fn pull(
    registry: SocketAddr,
    reader: &Account,
    image: &Image,
) -> Result<Pulled, VerifyError> {
    let path = image.repository.path();
    let http = Clients::default().of(&Transport::default())?;
    let remote = Remote { registry, path, token: String::new(), http };
    let token = remote.token(reader).await?;
    let remote = Remote { token, ..remote };
    let tag = |suffix| format!("sha256-{}.{suffix}", image.digest.hex());
    Ok(Pulled { signature: remote.layer(tag("sig")).await?, attestation: remote.layer(tag("att")).await? })
}

/// Checks both signatures and what they sign, and that the check would notice a change.
pub(super) fn check(pulled: &Pulled, public_key: &str, image: &Image) -> Result<(), VerifyError> {
    let key = VerifyingKey::from_public_key_pem(public_key).map_err(|_| VerifyError::Key)?;
    check_signature(&pulled.signature, &key, image)?;
    check_attestation(&pulled.attestation, &key, image)
}

fn check_signature(layer: &Layer, key: &VerifyingKey, image: &Image) -> Result<(), VerifyError> {
    let signature = decoded("the signature", &layer.signature)?;
    verify("the signature", key, &layer.content, &signature)?;
    notice_a_change("a changed payload verifies too", key, &layer.content, &signature)?;

    let payload: Value = json("the payload", &layer.content)?;
    let text = |pointer| payload.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    claim(
        text("/critical/image/docker-manifest-digest") == image.digest.to_string(),
        "the payload names another digest",
    )?;
    let repository = image.repository.to_string();
    claim(text("/critical/identity/docker-reference") == repository, "the payload names another repository")
}

fn check_attestation(layer: &Layer, key: &VerifyingKey, image: &Image) -> Result<(), VerifyError> {
    let envelope: Envelope = json("the envelope", &layer.content)?;
    let [Signature { sig }] = envelope.signatures.as_slice() else {
        return Err(VerifyError::Claim("the envelope does not have exactly one signature"));
    };
    let (payload, signature) = (decoded("the statement", &envelope.payload)?, decoded("the signature", sig)?);
    let message = encoding(&envelope.payload_type, &payload);
    verify("the attestation", key, &message, &signature)?;
    notice_a_change("a changed statement verifies too", key, &message, &signature)?;

    let statement: Statement = json("the statement", &payload)?;
    let (name, digest) = (image.repository.to_string(), image.digest.hex());
    let is_image = |subject: &Subject| subject.name == name && subject.digest.sha256 == digest;
    claim(statement.subject.iter().any(is_image), "the image is not among the subjects of the statement")
}

fn verify(
    what: &'static str,
    key: &VerifyingKey,
    message: &[u8],
    signature: &[u8],
) -> Result<(), VerifyError> {
    // The crate's error says no more than that there is one, so that nobody learns from it.
    let signature = DerSignature::from_bytes(signature).map_err(|_| VerifyError::Signature(what))?;
    key.verify(message, &signature).map_err(|_| VerifyError::Signature(what))
}

/// Flips one bit in the middle of the message: a check that accepts it checks nothing.
fn notice_a_change(
    told: &'static str,
    key: &VerifyingKey,
    message: &[u8],
    signature: &[u8],
) -> Result<(), VerifyError> {
    let mut changed = message.to_vec();
    let middle = changed.len() / 2;
    for byte in changed.iter_mut().skip(middle).take(1) {
        *byte ^= 1;
    }
    claim(verify(told, key, &changed, signature).is_err(), told)
}

/// What a DSSE signature covers: `DSSEv1`, then type and payload, each behind its length.
fn encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

fn claim(holds: bool, otherwise: &'static str) -> Result<(), VerifyError> {
    if holds { Ok(()) } else { Err(VerifyError::Claim(otherwise)) }
}

fn decoded(what: &'static str, text: &str) -> Result<Vec<u8>, VerifyError> {
    BASE64_STANDARD.decode(text).map_err(|error| VerifyError::Encoding(what, error))
}

fn json<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, VerifyError> {
    serde_json::from_slice(bytes).map_err(|error| VerifyError::Malformed(what.to_owned(), error))
}

/// One repository of the registry, over plain HTTP.
struct Remote<'a> {
    registry: SocketAddr,
    path: &'a str,
    token: String,
    http: reqwest::Client,
}

impl Remote<'_> {
    async fn token(&self, reader: &Account) -> Result<String, VerifyError> {
        #[derive(Deserialize)]
        struct Granted {
            token: String,
        }
        let url = format!("http://{}/token?scope=repository:{}:pull", self.registry, self.path);
        let request = self.http.get(&url).basic_auth(reader.name, Some(reader.password.as_str()));
        let granted: Granted = json("the token", &answer("a token", request).await?)?;
        Ok(granted.token)
    }

    async fn layer(&self, tag: String) -> Result<Layer, VerifyError> {
        let manifest: Manifest = json(&tag, &self.read(&format!("manifests/{tag}")).await?)?;
        let [Descriptor { media_type, digest, annotations }] = manifest.layers.as_slice() else {
            return Err(VerifyError::Claim("there is not exactly one layer under a tag of a new image"));
        };
        let content = self.read(&format!("blobs/{digest}")).await?;
        Ok(Layer { tag, media_type: media_type.clone(), content, signature: annotations.signature.clone() })
    }

    async fn read(&self, what: &str) -> Result<Bytes, VerifyError> {
        let url = format!("http://{}/v2/{}/{what}", self.registry, self.path);
        let request = self.http.get(url).bearer_auth(&self.token).header(::http::header::ACCEPT, MANIFEST);
        answer(what, request).await
    }
}

async fn answer(what: &str, request: reqwest::RequestBuilder) -> Result<Bytes, VerifyError> {
    let response = request.send().await.map_err(|error| VerifyError::Unreachable(what.to_owned(), error))?;
    if !response.status().is_success() {
        return Err(VerifyError::Refused(what.to_owned(), response.status()));
    }
    http::body(response, MAX_BODY).await.map_err(|error| VerifyError::Body(what.to_owned(), error))
}

#[derive(Deserialize)]
struct Manifest {
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: String,
    annotations: Annotations,
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "dev.cosignproject.cosign/signature")]
    signature: String,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    sig: String,
}

#[derive(Deserialize)]
struct Statement {
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    name: String,
    digest: SubjectDigest,
}

#[derive(Deserialize)]
struct SubjectDigest {
    sha256: String,
}

#[cfg(test)]
mod tests;
