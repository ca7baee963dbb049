//! Requests and answers of Fulcio's API v2 and of the legacy v1, as they travel (credentials specification §9.3).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::identity::token::IdentityToken;
use crate::signature::public_key::PublicKey;

/// What is asked for, in either version.
pub(super) struct Question<'a> {
    pub token: &'a IdentityToken,
    pub key: &'a PublicKey,
    /// The key's signature over the token's challenge.
    pub proof: &'a [u8],
}

impl Question<'_> {
    /// For `api/v2/signingCert`: the token travels in the body.
    pub(super) fn v2(&self) -> Value {
        json!({
            "credentials": {"oidcIdentityToken": self.token.reveal()},
            "publicKeyRequest": {
                "publicKey": {"algorithm": "ECDSA", "content": self.key.to_pem()},
                "proofOfPossession": BASE64_STANDARD.encode(self.proof),
            },
        })
    }

    /// For `api/v1/signingCert`: the token travels in the header.
    pub(super) fn v1(&self) -> Value {
        json!({
            "publicKey": {"algorithm": "ecdsa", "content": BASE64_STANDARD.encode(self.key.der())},
            "signedEmailAddress": BASE64_STANDARD.encode(self.proof),
        })
    }
}

/// The certificates of v1's answers, a text of PEM blocks, as DER.
pub(super) fn blocks(answer: &[u8]) -> Option<Vec<Vec<u8>>> {
    let blocks = pem::parse_many(answer).ok().filter(|blocks| !blocks.is_empty())?;
    Some(blocks.into_iter().map(pem::Pem::into_contents).collect())
}

/// A certificate as it was given.
pub(super) struct Given {
    /// It and those above it, as DER.
    pub ders: Vec<Vec<u8>>,
    /// The word of a certificate log beside it, in the encoding of TLS.
    pub word: Option<Vec<u8>>,
}

/// What v2 gives.
pub(super) fn given(answer: &[u8]) -> Option<Given> {
    let signed = serde_json::from_slice::<Answer>(answer).ok()?.signed;
    let word = match signed.signed_certificate_timestamp.filter(|text| !text.is_empty()) {
        Some(text) => Some(word(&text)?),
        None => None,
    };
    Some(Given { ders: signed.chain.ders()?, word })
}

/// What v1 gives; `sct` is its header of that name.
pub(super) fn given_v1(answer: &[u8], sct: Option<&str>) -> Option<Given> {
    let word = match sct.filter(|text| !text.is_empty()) {
        Some(text) => Some(word(text)?),
        None => None,
    };
    Some(Given { ders: blocks(answer)?, word })
}

/// What a certificate log answered to Fulcio, base64 of JSON (RFC 6962 §4.1), in the encoding of TLS (§3.2).
fn word(text: &str) -> Option<Vec<u8>> {
    let said: AddChain = serde_json::from_slice(&BASE64_STANDARD.decode(text).ok()?).ok()?;
    let id = BASE64_STANDARD.decode(said.id).ok().filter(|id| id.len() == 32)?;
    let extensions = BASE64_STANDARD.decode(said.extensions).ok()?;
    let length = u16::try_from(extensions.len()).ok()?.to_be_bytes();
    let signature = BASE64_STANDARD.decode(said.signature).ok()?;
    Some(
        [&[said.sct_version], &id[..], &said.timestamp.to_be_bytes(), &length, &extensions, &signature]
            .concat(),
    )
}

/// The chains of v2's `trustBundle`, each ending with the root, as DER.
pub(super) fn authorities(answer: &[u8]) -> Option<Vec<Vec<Vec<u8>>>> {
    serde_json::from_slice::<TrustBundle>(answer).ok()?.chains.into_iter().map(Chain::ders).collect()
}

/// What a refusal says.
pub(super) fn message(answer: &[u8]) -> Option<String> {
    serde_json::from_slice::<Failure>(answer).ok().map(|failure| failure.message)
}

#[derive(Deserialize)]
struct Answer {
    #[serde(alias = "signedCertificateEmbeddedSct", alias = "signedCertificateDetachedSct")]
    signed: SignedCertificate,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignedCertificate {
    chain: Chain,
    #[serde(default)]
    signed_certificate_timestamp: Option<String>,
}

#[derive(Deserialize)]
struct AddChain {
    sct_version: u8,
    id: String,
    timestamp: u64,
    #[serde(default)]
    extensions: String,
    signature: String,
}

#[derive(Deserialize)]
struct TrustBundle {
    chains: Vec<Chain>,
}

#[derive(Deserialize)]
struct Chain {
    certificates: Vec<String>,
}

impl Chain {
    fn ders(self) -> Option<Vec<Vec<u8>>> {
        let ders = self.certificates.iter().map(|pem| pem::parse(pem).ok().map(pem::Pem::into_contents));
        ders.collect()
    }
}

#[derive(Deserialize)]
struct Failure {
    message: String,
}
