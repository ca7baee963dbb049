//! Why a signature is not believed.

use jiff::Timestamp;

use super::SctError;
use crate::signature::entry::EntryError;
use crate::signature::timestamp::TimestampError;

/// Why a signature is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not over these bytes, or not by this key.
    #[error("the signature does not verify")]
    Signature,
    /// By somebody else.
    #[error("the signature is by another key")]
    OtherKey,
    /// Nobody is named.
    #[error("the signature comes without a certificate, so nobody is named")]
    NoCertificate,
    /// Somebody else is named.
    #[error("the certificate names {0:?}, which is not accepted")]
    OtherName(Vec<String>),
    /// Somebody else vouched for the name.
    #[error("the certificate names the issuer {0:?}, which is not accepted")]
    OtherIssuer(Option<String>),
    /// The certificate was not good then.
    #[error("the certificate is valid from {from} to {to}, and the signature is of {at}")]
    NotThen {
        /// Its beginning.
        from: Timestamp,
        /// Its end.
        to: Timestamp,
        /// When the signature is proven to have existed; now, when nothing proves it.
        at: Timestamp,
    },
    /// Nobody issued certificates then.
    #[error("the trust root has no certificate authority for {0}")]
    NoAuthority(Timestamp),
    /// Not from anybody whom we trust.
    #[error("the certificate does not come from an authority of the trust root: {source}")]
    Chain {
        /// When it was looked at.
        at: Timestamp,
        /// What is wrong with it.
        source: webpki::Error,
    },
    /// No certificate log vouches for the certificate.
    #[error("the certificate is in no certificate log of the trust root: {0}")]
    Sct(#[from] SctError),
    /// An entry proves nothing.
    #[error(transparent)]
    Entry(EntryError),
    /// There is none.
    #[error("the signature is in no transparency log")]
    NoEntry,
    /// A timestamp proves nothing.
    #[error(transparent)]
    Timestamp(TimestampError),
    /// There is none.
    #[error("the signature has no timestamp")]
    NoTimestamp,
    /// What is there is by nobody whom we know, or tells no time.
    #[error(
        "nothing by anybody in the trust root proves when it was signed, neither a log entry nor a timestamp"
    )]
    NoTime,
}

impl Refusal {
    /// A word out of a closed set, for scripts and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Signature => "bad_signature",
            Self::OtherKey => "other_key",
            Self::NoCertificate => "no_certificate",
            Self::OtherName(_) => "other_identity",
            Self::OtherIssuer(_) => "other_issuer",
            Self::NotThen { .. } => "certificate_not_valid_then",
            Self::NoAuthority(_) | Self::Chain { .. } => "untrusted_certificate",
            Self::Sct(_) => "bad_sct",
            Self::Entry(_) => "bad_log_entry",
            Self::NoEntry => "no_log_entry",
            Self::Timestamp(_) => "bad_timestamp",
            Self::NoTimestamp => "no_timestamp",
            Self::NoTime => "no_proof_of_time",
        }
    }
}
