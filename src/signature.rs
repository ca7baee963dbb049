//! A signature over a payload: the port that makes one, and the value that travels to the stores.
//!
//! Two shapes exist (Chains specification §5.4): a simple-signing payload is signed as it stands, an in-toto
//! statement is signed inside a DSSE envelope with exactly one signature.
//!
//! This file holds no key and does no input or output; the signers in `signature/` do.

pub mod certificate;
pub mod dsse;
pub mod key;
pub mod public_key;

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::{About, Class, Diagnose};
use crate::payload::{Format, Payload};
use public_key::PublicKey;

/// Something that signs in the name of one public key.
#[async_trait]
pub trait Signer: Send + Sync {
    /// Signs `message`; hashing is part of signing.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error>;

    /// The key with which the signature verifies.
    fn public_key(&self) -> &PublicKey;
}

/// A payload with one signature over it.
#[derive(Debug, Clone)]
pub struct Signed {
    /// What was signed.
    pub payload: Arc<Payload>,
    /// The raw signature: over the payload's bytes, or over its DSSE pre-authentication encoding.
    pub signature: Vec<u8>,
    /// The envelope, when the format wraps the payload in one.
    pub envelope: Option<Vec<u8>>,
    /// The key that it verifies with.
    pub key: PublicKey,
}

impl Signed {
    /// What stores keep as "the signature" (Chains specification §5.4): the envelope where there is one.
    pub fn content(&self) -> &[u8] {
        self.envelope.as_deref().unwrap_or(&self.signature)
    }
}

/// Signs one payload.
pub async fn sign(payload: &Arc<Payload>, signer: &dyn Signer) -> Result<Signed, Error> {
    let key = signer.public_key().clone();
    let payload = Arc::clone(payload);
    if payload.format == Format::SimpleSigning {
        let signature = signer.sign(&payload.bytes).await?;
        return Ok(Signed { payload, signature, envelope: None, key });
    }
    let signature =
        signer.sign(&dsse::pre_authentication_encoding(payload.media_type, &payload.bytes)).await?;
    let envelope = dsse::envelope(payload.media_type, &payload.bytes, key.id(), &signature);
    Ok(Signed { payload, signature, envelope: Some(envelope), key })
}

/// Whether stored content is a signature over this payload by this key.
pub fn verifies(payload: &Payload, content: &[u8], key: &PublicKey) -> bool {
    if payload.format == Format::SimpleSigning {
        return key.verifies(&payload.bytes, content);
    }
    dsse::UnverifiedEnvelope::read(content).is_some_and(|envelope| {
        let message = dsse::pre_authentication_encoding(payload.media_type, &payload.bytes);
        envelope.carries(payload.media_type, &payload.bytes)
            && envelope.signatures().any(|signature| key.verifies(&message, &signature))
    })
}

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key is there but the operation failed.
    #[error("cannot sign with {signer}: the key refused the operation")]
    Refused {
        /// Which key, as its file is called.
        signer: String,
    },
    /// No key at all.
    #[error("no signing key: looked for x509.pem, x509-*.pem and cosign.key in {place}")]
    NoKey {
        /// The Secret or the directory that was read.
        place: String,
    },
    /// A key that cannot be used.
    #[error(transparent)]
    Key(#[from] key::KeyError),
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        Class::Misconfigured
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "signing",
            Self::NoKey { .. } => "no_key",
            Self::Key(_) => "bad_key",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { .. } => None,
            Self::NoKey { .. } => Some(
                "create one with: cosign generate-key-pair k8s://tekton-chains/signing-secrets".to_owned(),
            ),
            Self::Key(error) => Some(error.remedy().to_owned()),
        }
    }

    fn about(&self) -> Option<About> {
        match self {
            Self::NoKey { place } => Some(About { kind: "Secret", name: place.clone() }),
            Self::Refused { .. } | Self::Key(_) => None,
        }
    }
}
