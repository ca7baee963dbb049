//! A timestamp that an authority signed over a signature (RFC 3161): proof that the signature existed then.
//!
//! Kept as the whole answer of the authority, which is what bundles and cosign's annotation hold. The digest inside is
//! that of the raw signature, not of what was signed.

mod token;

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use sigstore_types::{SignatureBytes, TimestampToken};

pub use token::{Nonce, TokenError, request};

use super::trusted_root::TrustedRoot;

/// The annotation of a layer that holds it.
pub const ANNOTATION: &str = "dev.sigstore.cosign/rfc3161timestamp";
/// With a chain of certificates inside it has a few kilobytes.
const LARGEST: usize = 64 * 1024;
/// Clocks may differ by so much before an authority counts as being ahead of time.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// A timestamp that somebody gave; not to be believed before it was verified.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedTimestamp(Vec<u8>);

/// Why a timestamp proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// Not a timestamp.
    #[error("the timestamp does not decode: {0}")]
    Malformed(#[from] TokenError),
    /// There is nobody to trust.
    #[error("the trust root has no timestamp authority")]
    NoAuthority,
    /// Over another signature.
    #[error("the timestamp is of another signature")]
    OtherSignature,
    /// By nobody whom we trust.
    #[error("the timestamp is by no authority of the trust root: {0}")]
    Untrusted(String),
    /// By somebody whom we trusted at another time.
    #[error("the timestamp is of {0}, when its authority was not in use")]
    OutOfUse(Timestamp),
    /// Clocks differ, or somebody lies.
    #[error("the timestamp is of {0}, which is still to come")]
    Future(Timestamp),
}

impl SignedTimestamp {
    /// What an authority answered. Only its form is looked at.
    pub fn read(der: Vec<u8>) -> Result<Self, TimestampError> {
        if der.len() > LARGEST {
            return Err(TokenError::TooLarge.into());
        }
        token::read(&der)?;
        Ok(Self(der))
    }

    /// When `signature` existed, by an authority that is trusted; `now` is when that is asked.
    pub fn verify(
        &self,
        root: &TrustedRoot,
        signature: &[u8],
        now: Timestamp,
    ) -> Result<Timestamp, TimestampError> {
        self.is_over(signature)?;
        let (token, signature) = (TimestampToken::from_bytes(&self.0), SignatureBytes::from_bytes(signature));
        let mut refused = TimestampError::NoAuthority;
        for authority in root.timestamp_authorities() {
            match sigstore_tsa::verify_timestamp_for_authority(&token, &signature, authority) {
                Ok(at) if at > now + SKEW => return Err(TimestampError::Future(at)),
                Ok(at) => return Ok(at),
                Err(sigstore_tsa::Error::TimestampOutsideValidity { time }) => {
                    refused = TimestampError::OutOfUse(time);
                }
                Err(error) if !matches!(refused, TimestampError::OutOfUse(_)) => {
                    refused = TimestampError::Untrusted(error.to_string());
                }
                Err(_) => {}
            }
        }
        Err(refused)
    }

    /// Whether it is over `signature`, whoever signed it.
    pub fn is_over(&self, signature: &[u8]) -> Result<(), TimestampError> {
        let inner = token::read(&self.0)?;
        if inner.is_over(signature) { Ok(()) } else { Err(TimestampError::OtherSignature) }
    }

    /// Whether it answers the request with this nonce.
    pub fn answers(&self, nonce: Nonce) -> bool {
        token::read(&self.0).is_ok_and(|inner| inner.nonce == Some(nonce))
    }

    /// The answer of the authority.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// What cosign's annotation says.
    pub fn to_annotation(&self) -> String {
        format!(r#"{{"SignedRFC3161Timestamp":"{}"}}"#, BASE64_STANDARD.encode(&self.0))
    }

    /// Reads cosign's annotation.
    pub fn of_annotation(text: &str) -> Result<Self, TimestampError> {
        #[derive(Deserialize)]
        struct Annotation {
            #[serde(rename = "SignedRFC3161Timestamp")]
            timestamp: String,
        }
        if text.len() > 2 * LARGEST {
            return Err(TokenError::TooLarge.into());
        }
        let annotation: Option<Annotation> = serde_json::from_str(text).ok();
        let der = annotation.and_then(|annotation| BASE64_STANDARD.decode(annotation.timestamp).ok());
        Self::read(der.ok_or(TokenError::Malformed)?)
    }
}

impl fmt::Debug for SignedTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignedTimestamp({} bytes)", self.0.len())
    }
}

#[cfg(test)]
pub(crate) mod tests;
