//! Sigstore bundles (v0.3): a signature with all that is needed to verify it, in one document, as cosign 3 writes and
//! reads them; older ones are read as well.
//!
//! # Guarantees
//!
//! - What is written holds one envelope or one digest, the leaf of a certificate or a hint to a key, never a chain,
//!   and every entry and timestamp that was gathered.
//! - A bundle that was read is bounded and well formed, and nothing in it was verified; `verification` does that.
//!
//! The signature of an image is in this layout an in-toto statement about it ([`image_statement`](crate::payload::image_statement)), as real cosign
//! writes it; simple signing in an envelope, as Chains writes it, is what no verifier accepts (D1 of the Chains
//! specification, §8.1).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sigstore_types as wire;
use wire::{SignatureContent, VerificationMaterialContent};

use super::certificate::{Certificate, CertificateError};
use super::covered::{Covered, Signature, SignedBy};
use super::entry::Entry;
use super::log::Evidence;
use super::public_key::PublicKey;
use super::timestamp::SignedTimestamp;
use crate::artifact::digest::Digest;
use crate::error::{Class, Diagnose};

/// Media type of the bundles written here; of the artifact, of its layer, and of the document itself.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
pub use crate::payload::IMAGE_PREDICATE;
/// The payload type of every statement.
pub const STATEMENT: &str = "application/vnd.in-toto+json";
/// A statement may hold a whole `PipelineRun`, and base64 adds a third.
const LARGEST: usize = 32 * 1024 * 1024;
/// Entries and timestamps: as many as cosign looks at.
const MOST: usize = 32;

/// A bundle that somebody gave; nothing in it was verified.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// What was signed.
    pub content: Content,
    /// The raw signature.
    pub signature: Vec<u8>,
    /// Whose it is said to be.
    pub by: Material,
    /// What is to prove it.
    pub evidence: Evidence,
}

/// What a bundle says was signed.
#[derive(Debug, Clone)]
pub enum Content {
    /// An envelope, with what it holds.
    Envelope {
        /// Its type.
        payload_type: String,
        /// What is inside.
        payload: Vec<u8>,
    },
    /// Something outside, by its digest if that is given.
    Message {
        /// SHA-256 of it; a hint, since the verifier has the message.
        digest: Option<Vec<u8>>,
    },
}

/// Whose signature a bundle says it holds.
#[derive(Debug, Clone)]
pub enum Material {
    /// Whoever holds a key that the verifier has; the hint helps to find it.
    KeyHint(String),
    /// Whom a certificate names.
    Certificate(Box<Certificate>),
}

/// Why bytes are no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// More than any bundle.
    #[error("the bundle is larger than {LARGEST} bytes")]
    TooLarge,
    /// Not the JSON of a bundle.
    #[error("the bundle does not decode")]
    Malformed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// More entries or timestamps than anybody looks at.
    #[error("the bundle has {0} entries and timestamps, more than {MOST}")]
    TooMuchEvidence(usize),
    /// It comes with a certificate that is none.
    #[error("the certificate of the bundle cannot be used")]
    Certificate(#[source] CertificateError),
    /// It comes with a timestamp that is none.
    #[error("a timestamp of the bundle cannot be used")]
    Timestamp(#[source] super::timestamp::TimestampError),
    /// Since version 0.2 a promise of the log is not enough.
    #[error("a log entry of the bundle has no inclusion proof")]
    NoInclusionProof,
    /// A content that is known to nobody here.
    #[error("the bundle holds neither an envelope nor a signature")]
    Content,
}

/// Writes the bundle of `signature`.
pub fn write(signature: &Signature<'_>, evidence: &Evidence) -> Result<Vec<u8>, BundleError> {
    let bytes = wire::SignatureBytes::from_bytes(signature.bytes);
    let content = match signature.covered {
        // Without a key id: what it would name is in the material.
        Covered::Envelope { payload_type, payload } => {
            let signature = wire::DsseSignature::new(bytes, wire::KeyId::default());
            let payload = wire::PayloadBytes::from_bytes(payload);
            SignatureContent::DsseEnvelope(wire::DsseEnvelope::new(payload_type, payload, signature))
        }
        Covered::Payload(payload) => {
            let digest = wire::DigestBytes::new(Digest::of(payload).as_bytes().to_vec());
            let digest = wire::MessageDigest::new(wire::HashAlgorithm::Sha2256, digest);
            SignatureContent::MessageSignature(wire::MessageSignature::new(bytes).with_message_digest(digest))
        }
    };
    let stamps = evidence
        .timestamps
        .iter()
        .map(|timestamp| wire::Rfc3161Timestamp::new(wire::TimestampToken::from_bytes(timestamp.der())));
    let material = wire::VerificationMaterial::new(material(signature.by))
        .with_tlog_entries(evidence.entries.iter().map(|entry| entry.0.clone()).collect())
        .with_timestamp_verification_data(wire::TimestampVerificationData::new(stamps.collect()));
    let bundle = wire::Bundle::new(wire::MediaType::Bundle0_3, material, content);
    serde_json::to_vec(&bundle).map_err(|error| BundleError::Malformed(error.into()))
}

fn material(by: SignedBy<'_>) -> VerificationMaterialContent {
    match by {
        SignedBy::Key(key) => {
            VerificationMaterialContent::PublicKey(wire::PublicKeyIdentifier::new(key_hint(key)))
        }
        SignedBy::Certificate(certificate) => {
            let der = wire::DerCertificate::from_bytes(certificate.leaf_der());
            VerificationMaterialContent::Certificate(wire::CertificateContent::new(der))
        }
    }
}

/// How bundles call a key: the hash of its DER.
pub fn key_hint(key: &PublicKey) -> String {
    BASE64_STANDARD.encode(Digest::of(key.der()).as_bytes())
}

impl Diagnose for BundleError {
    fn class(&self) -> Class {
        Class::Permanent
    }

    fn label(&self) -> &'static str {
        "bundle"
    }
}

impl Bundle {
    /// Reads a bundle of any version.
    pub fn read(json: &[u8]) -> Result<Self, BundleError> {
        if json.len() > LARGEST {
            return Err(BundleError::TooLarge);
        }
        let bundle: wire::Bundle =
            serde_json::from_slice(json).map_err(|error| BundleError::Malformed(error.into()))?;
        let promises_do = bundle.media_type == wire::MediaType::Bundle0_1;
        let (content, signature) = content(bundle.content)?;
        let material = bundle.verification_material;
        let timestamps = material.timestamp_verification_data.rfc3161_timestamps;
        let count = material.tlog_entries.len() + timestamps.len();
        if count > MOST {
            return Err(BundleError::TooMuchEvidence(count));
        }
        if !promises_do && material.tlog_entries.iter().any(|entry| entry.inclusion_proof.is_none()) {
            return Err(BundleError::NoInclusionProof);
        }
        let timestamps = timestamps.into_iter().map(|timestamp| {
            SignedTimestamp::read(timestamp.signed_timestamp.into_bytes()).map_err(BundleError::Timestamp)
        });
        let evidence = Evidence {
            entries: material.tlog_entries.into_iter().map(Entry).collect(),
            timestamps: timestamps.collect::<Result<_, _>>()?,
            stamped: None,
        };
        Ok(Self { content, signature, by: by(material.content)?, evidence })
    }

    /// What it holds, seen as a signature over `message` where it holds no envelope, and by `key` where it holds no
    /// certificate. `None` when the one or the other is missing, or when the bundle says by its digest that it is about
    /// another message.
    pub fn signature<'a>(
        &'a self,
        message: Option<&'a [u8]>,
        key: Option<&'a PublicKey>,
    ) -> Option<Signature<'a>> {
        let covered = match &self.content {
            Content::Envelope { payload_type, payload } => Covered::Envelope { payload_type, payload },
            Content::Message { digest } => {
                let is_it = |message: &&[u8]| {
                    digest.as_ref().is_none_or(|digest| Digest::of(message).as_bytes()[..] == digest[..])
                };
                Covered::Payload(message.filter(is_it)?)
            }
        };
        let by = match &self.by {
            Material::Certificate(certificate) => SignedBy::Certificate(certificate),
            Material::KeyHint(_) => SignedBy::Key(key?),
        };
        Some(Signature { covered, bytes: &self.signature, by })
    }
}

fn content(content: SignatureContent) -> Result<(Content, Vec<u8>), BundleError> {
    match content {
        SignatureContent::DsseEnvelope(envelope) => {
            let (payload_type, payload) = (envelope.payload_type, envelope.payload.into_bytes());
            Ok((Content::Envelope { payload_type, payload }, envelope.signature.sig.into_bytes()))
        }
        SignatureContent::MessageSignature(message) => {
            let digest = message
                .message_digest
                .filter(|digest| digest.algorithm == wire::HashAlgorithm::Sha2256)
                .map(|digest| digest.digest.into_bytes());
            Ok((Content::Message { digest }, message.signature.into_bytes()))
        }
        _ => Err(BundleError::Content),
    }
}

fn by(material: VerificationMaterialContent) -> Result<Material, BundleError> {
    let ders = match material {
        VerificationMaterialContent::PublicKey(key) => return Ok(Material::KeyHint(key.hint)),
        VerificationMaterialContent::Certificate(certificate) => vec![certificate.raw_bytes.into_bytes()],
        VerificationMaterialContent::X509CertificateChain { certificates } => {
            certificates.into_iter().map(|certificate| certificate.raw_bytes.into_bytes()).collect()
        }
        _ => return Err(BundleError::Content),
    };
    let certificate = Certificate::of_ders(ders).map_err(BundleError::Certificate)?;
    Ok(Material::Certificate(Box::new(certificate)))
}

#[cfg(test)]
mod tests;
