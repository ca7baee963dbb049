//! Whether one signature beside an image is what it should be: made by whom somebody trusts, over this image
//! (credentials specification §8.6). Pure; signature, chain, log entries and timestamps are for
//! [`crate::signature::verification`], what the signature says is for this module.
//!
//! # Guarantees
//!
//! - Nothing that a signature covers is believed before the signature verifies.
//! - A certificate counts at the time of signing, and only where that time is proved or somebody said that the
//!   certificate's own time is enough.
//! - Every refusal names what is wrong.

use std::fmt;

use jiff::Timestamp;

use super::identity::Identity;
use super::material::{Content, Material};
use super::trust::{Trusted, TrustedSigner};
use crate::artifact::digest::Digest;
use crate::signature::certificate::{Certificate, CertificateError};
use crate::signature::covered::{Covered, Signature, SignedBy};
use crate::signature::log::Evidence;
use crate::signature::timestamp::TimestampError;
use crate::signature::verification::{self as signature, Refusal};

mod claims;

pub use claims::Statement;

/// A signature that is what it should be.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Who made it.
    pub by: Signer,
    /// When it is proved to have existed first, where anything proves it.
    pub at: Option<Timestamp>,
    /// What it says beyond the image, for attestations.
    pub statement: Option<Statement>,
}

/// Who made a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// Whoever holds a key.
    Key {
        /// Its OpenSSH fingerprint.
        id: String,
    },
    /// Whom a certificate names.
    Identity {
        /// The names in it.
        names: Vec<String>,
        /// Who vouched for them.
        issuer: String,
    },
}

/// What is wrong with a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// cosign's annotation is missing.
    #[error("the layer has no annotation with a signature")]
    NoSignatureAnnotation,
    /// The annotation holds something else.
    #[error("the signature is not base64")]
    NotBase64,
    /// Something else than an envelope.
    #[error("the content is no DSSE envelope")]
    NotAnEnvelope,
    /// An envelope that nobody signed.
    #[error("the envelope holds no signature")]
    NoSignatureInEnvelope,
    /// Another media type than signatures and attestations have.
    #[error("the layer has the media type {0:?}, which is not that of a signature or attestation")]
    OtherMediaType(String),
    /// The layer cannot be read.
    #[error("the layer cannot be read: {reason}")]
    Unreadable {
        /// Why.
        reason: String,
        /// Whether that passes by itself.
        temporary: bool,
    },
    /// Not a bundle.
    #[error("the Sigstore bundle cannot be used: {0}")]
    Bundle(String),
    /// An entry that does not decode.
    #[error("the log entry beside the signature does not decode")]
    Entry,
    /// A timestamp that does not decode.
    #[error("the timestamp beside the signature cannot be used: {0}")]
    Timestamp(TimestampError),
    /// A certificate that does not decode.
    #[error("the certificate cannot be used: {0}")]
    MalformedCertificate(&'static str),
    /// A certificate that does not hold together.
    #[error("the certificate cannot be used: {0}")]
    Certificate(CertificateError),
    /// Signature, chain, log entry or timestamp do not hold.
    #[error("{}", Told(.0))]
    Refused(Refusal),
    /// A signature by a key where a certificate is asked for.
    #[error("it has no certificate: it was signed with a key")]
    NoCertificate,
    /// Somebody else.
    #[error("it was signed by {names:?} of issuer {issuer:?}, who is none of: {wanted}")]
    OtherIdentity {
        /// The names in the certificate.
        names: Vec<String>,
        /// Who vouched for them.
        issuer: Option<String>,
        /// Who was asked for.
        wanted: String,
    },
    /// Nothing tells when it was signed.
    #[error("nothing proves when it was signed: there is neither a log entry nor a timestamp")]
    NoProofOfTime,
    /// Not a payload of cosign.
    #[error("the signed payload is no simple-signing payload: {0}")]
    Payload(&'static str),
    /// Not a statement of in-toto.
    #[error("the signed payload is no in-toto statement: {0}")]
    NotAStatement(&'static str),
    /// A signature of something else.
    #[error("it signs {found}, not {wanted}: it was made for another image")]
    OtherImage {
        /// What it signs.
        found: String,
        /// The image.
        wanted: Digest,
    },
}

impl Flaw {
    /// A word of a closed set.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSignatureAnnotation
            | Self::NotBase64
            | Self::NotAnEnvelope
            | Self::NoSignatureInEnvelope
            | Self::OtherMediaType(_) => "MalformedLayer",
            Self::Unreadable { .. } => "Unreadable",
            Self::Bundle(_) => "MalformedBundle",
            Self::Entry => "LogEntryInvalid",
            Self::Timestamp(_) => "TimestampInvalid",
            Self::MalformedCertificate(_) | Self::Certificate(_) => "MalformedCertificate",
            Self::Refused(refusal) => refused(refusal),
            Self::NoCertificate => "NoCertificate",
            Self::OtherIdentity { .. } => "IdentityMismatch",
            Self::NoProofOfTime => "NoProofOfTime",
            Self::Payload(_) | Self::NotAStatement(_) => "MalformedPayload",
            Self::OtherImage { .. } => "OtherImage",
        }
    }

    /// Whether another attempt might come to another answer.
    pub fn is_undecided(&self) -> bool {
        matches!(self, Self::Unreadable { temporary: true, .. })
    }
}

fn refused(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Signature | Refusal::OtherKey => "SignatureMismatch",
        Refusal::NoCertificate => "NoCertificate",
        Refusal::OtherName(_) | Refusal::OtherIssuer(_) => "IdentityMismatch",
        Refusal::NotThen { .. } => "CertificateNotValid",
        Refusal::NoAuthority(_) | Refusal::Chain { .. } => "UntrustedCertificate",
        Refusal::Sct(_) => "SctInvalid",
        Refusal::Entry(_) => "LogEntryInvalid",
        Refusal::NoEntry => "NoLogEntry",
        Refusal::Timestamp(_) => "TimestampInvalid",
        Refusal::NoTimestamp => "NoTimestamp",
        Refusal::NoTime => "NoProofOfTime",
    }
}

/// What a refusal comes from.
struct Told<'a>(&'a Refusal);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        if *self.0 == Refusal::Signature {
            f.write_str(": the content was changed, or somebody else signed it")?;
        }
        Ok(())
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { id } => write!(f, "key {id}"),
            Self::Identity { names, issuer, .. } => write!(f, "{} of issuer {issuer}", names.join(", ")),
        }
    }
}

/// Whether `material` vouches for `image` in the name of whom is trusted.
pub fn check(
    material: &Material,
    image: &Digest,
    trusted: &Trusted,
    now: Timestamp,
) -> Result<Verified, Flaw> {
    let (by, times) = match &trusted.by {
        TrustedSigner::Key(key) => {
            let times = signed(material, signature::Trusted::Key(key), SignedBy::Key(key), trusted, now)?;
            (Signer::Key { id: key.id().to_owned() }, times)
        }
        TrustedSigner::Identities(identities) => {
            let certificate = material.certificate.as_ref().ok_or(Flaw::NoCertificate)?;
            let times = certified(material, certificate, identities, trusted, now)?;
            let (names, issuer) = (certificate.names().to_vec(), certificate.issuer().unwrap_or_default());
            (Signer::Identity { names, issuer: issuer.to_owned() }, times)
        }
    };
    let statement = match &material.content {
        Content::Payload(payload) => claims::payload(payload, image).map(|()| None)?,
        Content::Envelope { payload_type, payload } => Some(claims::statement(payload_type, payload, image)?),
    };
    Ok(Verified { by, at: times.into_iter().min(), statement })
}

/// The statement that `material` holds about `image`. Nobody has verified it: fit to be shown as a claim, and for
/// nothing else.
pub fn unverified_statement(material: &Material, image: &Digest) -> Result<Statement, Flaw> {
    match &material.content {
        Content::Payload(_) => Err(Flaw::NotAnEnvelope),
        Content::Envelope { payload_type, payload } => claims::statement(payload_type, payload, image),
    }
}

/// The certificate must be of one of `identities`; who signed is said before anything else that is wrong.
fn certified(
    material: &Material,
    certificate: &Certificate,
    identities: &[Identity],
    trusted: &Trusted,
    now: Timestamp,
) -> Result<Vec<Timestamp>, Flaw> {
    let (names, issuer) = (certificate.names(), certificate.issuer());
    let Some(identity) = identities.iter().find(|identity| identity.covers(names, issuer)) else {
        let wanted: Vec<String> = identities.iter().take(5).map(ToString::to_string).collect();
        let (names, issuer) = (names.to_vec(), issuer.map(str::to_owned));
        return Err(Flaw::OtherIdentity { names, issuer, wanted: wanted.join("; ") });
    };
    let (name, issuer) =
        (|name: &str| identity.subject.matches(name), |issuer: &str| identity.issuer.matches(issuer));
    let accepted = signature::Trusted::Identity(signature::Identity { name: &name, issuer: &issuer });
    signed(material, accepted, SignedBy::Certificate(certificate), trusted, now)
}

/// The times at which one of the signatures is proved to have existed.
fn signed(
    material: &Material,
    accepted: signature::Trusted<'_>,
    by: SignedBy<'_>,
    trusted: &Trusted,
    now: Timestamp,
) -> Result<Vec<Timestamp>, Flaw> {
    let covered = match &material.content {
        Content::Payload(payload) => Covered::Payload(payload),
        Content::Envelope { payload_type, payload } => Covered::Envelope { payload_type, payload },
    };
    let mut demands = trusted.demands;
    let counts = trusted.proof_of_time || demands.entry || demands.timestamp;
    let evidence = match &material.evidence {
        Ok(evidence) => evidence,
        Err(flaw) if counts => return Err(flaw.clone()),
        Err(_) => &Evidence::default(),
    };
    if trusted.proof_of_time {
        if evidence.is_empty() {
            return Err(Flaw::NoProofOfTime);
        }
        demands.time = true;
        // If it is the only one, the refusal says what is wrong with it.
        demands.entry |= evidence.timestamps.is_empty();
        demands.timestamp |= evidence.entries.is_empty();
    }
    let mut refused = Flaw::Refused(Refusal::Signature);
    for bytes in &material.signatures {
        let signature = Signature { covered, bytes, by };
        match signature::verify(&signature, evidence, accepted, &trusted.root, demands, now) {
            Ok(verified) => return Ok(verified.times),
            Err(refusal) => refused = Flaw::Refused(refusal),
        }
    }
    Err(refused)
}

#[cfg(test)]
pub(crate) mod tests;
