//! Rekor of version 2: `hashedrekord` for everything; of an envelope, the digest of what its signature covers.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::LARGEST_ANSWER;
use crate::artifact::digest::Digest;
use crate::client::log::{Endpoint, Error};
use crate::signature::covered::{Signature, SignedBy};
use crate::signature::entry::{Entry, Version};
use crate::signature::public_key::{Algorithm, PublicKey};

/// Sends `signature`; the answer comes when a checkpoint holds it, after some seconds.
pub(super) async fn record(
    endpoint: &Endpoint,
    signature: &Signature<'_>,
    now: Timestamp,
) -> Result<Entry, Error> {
    let key = signature.key();
    let details = details(key)
        .ok_or_else(|| Error::Algorithm { server: endpoint.server(), algorithm: key.algorithm() })?;
    let request = request(signature, details).to_string().into_bytes();
    let path = "/api/v2/log/entries";
    let answer = endpoint.post(path, "application/json", request, LARGEST_ANSWER, now).await?;
    if answer.status == StatusCode::CONFLICT {
        return Err(Error::Duplicate { server: endpoint.server() });
    }
    let entry = Entry::of_rekor_v2(&answer.body).filter(|entry| entry.version() == Version::V2);
    entry.ok_or_else(|| endpoint.unexpected("without a log entry"))
}

fn request(signature: &Signature<'_>, details: &str) -> Value {
    let by = match signature.by {
        SignedBy::Key(_) => "publicKey",
        SignedBy::Certificate(_) => "x509Certificate",
    };
    json!({
        "hashedRekordRequestV002": {
            "digest": BASE64_STANDARD.encode(Digest::of(&signature.message()).as_bytes()),
            "signature": {
                "content": BASE64_STANDARD.encode(signature.bytes),
                "verifier": {
                    by: { "rawBytes": BASE64_STANDARD.encode(signature.der()) },
                    "keyDetails": details,
                },
            },
        },
    })
}

/// How the log calls the kind of key, together with the hash that is signed here. It takes P-384 and P-521 with longer
/// hashes alone, and of Ed25519 only what signs a hash.
fn details(key: &PublicKey) -> Option<&'static str> {
    match (key.algorithm(), key.typical_signature_length()) {
        (Algorithm::P256, _) => Some("PKIX_ECDSA_P256_SHA_256"),
        (Algorithm::Rsa, 256) => Some("PKIX_RSA_PKCS1V15_2048_SHA256"),
        (Algorithm::Rsa, 384) => Some("PKIX_RSA_PKCS1V15_3072_SHA256"),
        (Algorithm::Rsa, 512) => Some("PKIX_RSA_PKCS1V15_4096_SHA256"),
        _ => None,
    }
}
