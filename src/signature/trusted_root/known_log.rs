//! A log whose key is known: its identity, its key, and when it was in use.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use sigstore_crypto::{SigningScheme, VerificationKey};
use sigstore_trust_root::trusted_root::PublicKey;
use sigstore_types::{DerPublicKey, SignatureBytes, TimeRange};
use x509_cert::der::Decode as _;
use x509_cert::spki::SubjectPublicKeyInfoRef;

use crate::artifact::digest::Digest;

/// A log and its key; cheap to clone.
#[derive(Clone)]
pub struct KnownLog {
    url: String,
    id: Vec<u8>,
    key: Arc<VerificationKey>,
    valid: Option<TimeRange>,
}

/// Why a log of a trust root cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Neither a hash nor the id of a checkpoint's key.
    #[error("its id has {0} bytes, wanted 32")]
    Id(usize),
    /// Not a key at all.
    #[error("its key does not decode")]
    Malformed,
    /// A key, of a kind that signatures are not verified with here.
    #[error("its key is of an unknown kind")]
    UnknownKind(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Two logs with one id: which of their keys counts would be a matter of order.
    #[error("another log has the same id")]
    Twice,
    /// It ends before it begins.
    #[error("its time ends before it begins")]
    Window,
}

impl KnownLog {
    pub(super) fn new(url: &str, id: &[u8], key: &PublicKey) -> Result<Self, KeyError> {
        if id.len() != 32 {
            return Err(KeyError::Id(id.len()));
        }
        if key.valid_for.is_some_and(|valid| valid.end.is_some_and(|end| end < valid.start)) {
            return Err(KeyError::Window);
        }
        let verifies = Arc::new(verification_key(&key.raw_bytes)?);
        Ok(Self { url: url.to_owned(), id: id.to_vec(), key: verifies, valid: key.valid_for })
    }

    /// A log of version 1 by the key that it shows itself; such a log is identified by the hash of its key.
    pub fn of_pem(url: &str, pem: &str) -> Result<Self, KeyError> {
        let block = pem::parse(pem).ok().filter(|block| block.tag() == "PUBLIC KEY");
        Self::of_der(url, block.ok_or(KeyError::Malformed)?.contents())
    }

    /// The same by the key as `SubjectPublicKeyInfo` in DER.
    pub fn of_der(url: &str, der: &[u8]) -> Result<Self, KeyError> {
        let id = Digest::of(der).as_bytes().to_vec();
        let key = Arc::new(verification_key(&DerPublicKey::new(der.to_vec()))?);
        Ok(Self { url: url.to_owned(), id, key, valid: None })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its id: the hash of its key, or of its key with its name (version 2).
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// Whether it was in use at `time`.
    pub fn is_valid(&self, time: Timestamp) -> bool {
        self.valid.is_none_or(|valid| valid.contains(time))
    }

    /// Whether it had come into use by `time`: what it signed counts longer than it is in use.
    pub fn has_begun(&self, time: Timestamp) -> bool {
        self.valid.is_none_or(|valid| valid.has_started_by(time))
    }

    /// Whether `signature` over `message` is its own.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify(message, &SignatureBytes::from_bytes(signature)).is_ok()
    }
}

impl fmt::Debug for KnownLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.url, hex::encode(&self.id))
    }
}

fn verification_key(der: &DerPublicKey) -> Result<VerificationKey, KeyError> {
    VerificationKey::from_spki(der)
        // RSA is told without its hash, and some roots hold the bare key.
        .or_else(|_| VerificationKey::from_der(der, SigningScheme::RsaPkcs1Sha256))
        .map_err(|error| match SubjectPublicKeyInfoRef::from_der(der.as_bytes()) {
            Ok(_) => KeyError::UnknownKind(error.into()),
            Err(_) => KeyError::Malformed,
        })
}
