//! What an entry says it is about, held against the signature that it travels with: with an entry about another
//! signature, digest or key, anybody could lend a forged signature somebody else's time (CVE-2022-36056).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use sigstore_types::KindVersion;

use crate::signature::covered::{Covered, Signature};

/// In what an entry differs from the signature that it comes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Not the body of an entry of its kind.
    #[error("its body does not decode")]
    Body,
    /// A kind of entry for another kind of signature.
    #[error("its kind does not fit")]
    Kind,
    /// Something else was signed.
    #[error("it has another digest")]
    Digest,
    /// Another signature.
    #[error("it has another signature")]
    Signature,
    /// Somebody else's signature.
    #[error("it has another key or certificate")]
    Verifier,
}

/// Where each kind of entry keeps what it is about.
struct Places {
    algorithm: &'static str,
    digest: &'static str,
    signature: &'static str,
    verifiers: &'static [&'static str],
    /// Version 1 writes digests in hexadecimal and keys as PEM, version 2 bytes in base64.
    is_v1: bool,
}

const HASHED_V1: Places = Places {
    algorithm: "/spec/data/hash/algorithm",
    digest: "/spec/data/hash/value",
    signature: "/spec/signature/content",
    verifiers: &["/spec/signature/publicKey/content"],
    is_v1: true,
};
const HASHED_V2: Places = Places {
    algorithm: "/spec/hashedRekordV002/data/algorithm",
    digest: "/spec/hashedRekordV002/data/digest",
    signature: "/spec/hashedRekordV002/signature/content",
    verifiers: &[
        "/spec/hashedRekordV002/signature/verifier/x509Certificate/rawBytes",
        "/spec/hashedRekordV002/signature/verifier/publicKey/rawBytes",
    ],
    is_v1: false,
};
const DSSE: Places = Places {
    algorithm: "/spec/payloadHash/algorithm",
    digest: "/spec/payloadHash/value",
    signature: "/spec/signatures/0/signature",
    verifiers: &["/spec/signatures/0/verifier"],
    is_v1: true,
};
const INTOTO: Places = Places {
    algorithm: "/spec/content/payloadHash/algorithm",
    digest: "/spec/content/payloadHash/value",
    signature: "/spec/content/envelope/signatures/0/sig",
    verifiers: &["/spec/content/envelope/signatures/0/publicKey"],
    is_v1: true,
};

/// Whether `body`, of an entry of this kind, is about `signature`.
pub(super) fn matches(kind: KindVersion, body: &[u8], signature: &Signature<'_>) -> Result<(), Mismatch> {
    let body: Value = serde_json::from_slice(body).map_err(|_| Mismatch::Body)?;
    if text(&body, "/kind")? != kind.kind() || text(&body, "/apiVersion")? != kind.version() {
        return Err(Mismatch::Kind);
    }
    let (places, covered) = match (kind, signature.covered) {
        (KindVersion::HashedRekordV001, _) => (HASHED_V1, signature.message()),
        (KindVersion::HashedRekordV002, _) => (HASHED_V2, signature.message()),
        (KindVersion::DsseV001, Covered::Envelope { payload, .. }) => (DSSE, payload.into()),
        (KindVersion::IntotoV002, Covered::Envelope { payload, .. }) => (INTOTO, payload.into()),
        _ => return Err(Mismatch::Kind),
    };
    if body.pointer("/spec/signatures/1").or(body.pointer("/spec/content/envelope/signatures/1")).is_some() {
        return Err(Mismatch::Signature);
    }
    if digest(&body, &places)? != hash(text(&body, places.algorithm)?, &covered).ok_or(Mismatch::Digest)? {
        return Err(Mismatch::Digest);
    }
    let logged = decoded(&body, places.signature)?;
    // in-toto entries hold the text of the signature, encoded once more.
    let logged = if kind == KindVersion::IntotoV002 { base64(&logged)? } else { logged };
    if logged != signature.bytes {
        return Err(Mismatch::Signature);
    }
    if verifier(&body, &places)? == signature.der() { Ok(()) } else { Err(Mismatch::Verifier) }
}

fn text<'a>(body: &'a Value, place: &str) -> Result<&'a str, Mismatch> {
    body.pointer(place).and_then(Value::as_str).ok_or(Mismatch::Body)
}

fn decoded(body: &Value, place: &str) -> Result<Vec<u8>, Mismatch> {
    base64(text(body, place)?.as_bytes())
}

fn base64(text: &[u8]) -> Result<Vec<u8>, Mismatch> {
    BASE64_STANDARD.decode(text).map_err(|_| Mismatch::Body)
}

fn digest(body: &Value, places: &Places) -> Result<Vec<u8>, Mismatch> {
    if places.is_v1 {
        return hex::decode(text(body, places.digest)?).map_err(|_| Mismatch::Body);
    }
    decoded(body, places.digest)
}

fn hash(algorithm: &str, covered: &[u8]) -> Option<Vec<u8>> {
    match algorithm {
        "sha256" | "SHA2_256" => Some(sigstore_crypto::sha256(covered).as_bytes().to_vec()),
        "sha384" | "SHA2_384" => Some(sigstore_crypto::sha384(covered).as_bytes().to_vec()),
        "sha512" | "SHA2_512" => Some(sigstore_crypto::sha512(covered).as_bytes().to_vec()),
        _ => None,
    }
}

/// The key or certificate in DER.
fn verifier(body: &Value, places: &Places) -> Result<Vec<u8>, Mismatch> {
    let place = places.verifiers.iter().find(|place| body.pointer(place).is_some());
    let bytes = decoded(body, place.ok_or(Mismatch::Body)?)?;
    if places.is_v1 {
        return pem::parse(bytes).map(pem::Pem::into_contents).map_err(|_| Mismatch::Body);
    }
    Ok(bytes)
}
