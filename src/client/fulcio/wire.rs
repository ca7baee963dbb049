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

/// The certificates of v2's answer, the leaf first, as DER.
pub(super) fn chain(answer: &[u8]) -> Option<Vec<Vec<u8>>> {
    serde_json::from_slice::<Answer>(answer).ok()?.signed.chain.ders()
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
struct SignedCertificate {
    chain: Chain,
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
