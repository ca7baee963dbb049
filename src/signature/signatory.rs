//! In whose name a signature is made, and by what one that lies somewhere is recognised as ours.
//!
//! A key is recognised by its signature alone. A certificate is made anew for each run, so an identity is recognised
//! by a certificate that names it and reaches one of the roots, whatever key that certificate is for: *already
//! there* in the words of the store. Whether the certificate was valid when it signed is for verifiers to say, who
//! have log entries and timestamps; what they refuse is not mended by signing the same again.

use std::sync::Arc;

use super::bundle::{Bundle, Content, Material};
use super::certificate::Certificate;
use super::entry::Entry;
use super::public_key::{KEY_ID_LENGTH, PublicKey};
use super::trusted_root::TrustedRoot;
use super::verification::{Demands, certificate_holds};
use super::{content_verifies, dsse};
use crate::payload::Payload;

/// Who signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signatory {
    /// The holder of a key.
    Key(PublicKey),
    /// Whoever an authority certified under this name.
    Identity(Arc<Identity>),
}

/// A name, and the authorities that are believed about it.
#[derive(Debug)]
pub struct Identity {
    /// The name that certificates carry.
    pub name: String,
    /// Who vouched for it to the authority.
    pub issuer: Option<String>,
    /// The authorities.
    pub root: Arc<TrustedRoot>,
}

/// Two are one when they have the same name, whoever is believed about it.
impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.issuer) == (&other.name, &other.issuer)
    }
}

impl Eq for Identity {}

/// What lies beside a signature; empty where there is nothing: a key has no certificate.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside<'a> {
    /// The leaf as PEM.
    pub certificate: &'a str,
    /// Intermediates and root as PEM.
    pub chain: &'a str,
    /// The entry of a log, as cosign keeps it.
    pub entry: &'a str,
    /// A signed timestamp, as cosign keeps it.
    pub timestamp: &'a str,
}

impl Beside<'_> {
    /// Whether a log or a timestamp authority gave something; what it proves is for verifiers to say.
    pub fn is_recorded(&self) -> bool {
        Entry::of_annotation(self.entry).is_ok() || !self.timestamp.is_empty()
    }
}

impl Signatory {
    /// A short name for outcomes and tables: the key's id, or the identity.
    pub fn id(&self) -> &str {
        match self {
            Self::Key(key) => key.id(),
            Self::Identity(identity) => &identity.name,
        }
    }

    /// Whether stored content is a signature over `payload` by this signatory.
    pub fn signed(&self, payload: &Payload, content: &[u8], beside: Beside<'_>) -> bool {
        match self {
            Self::Key(key) => content_verifies(payload, content, key),
            Self::Identity(identity) => {
                Certificate::from_pem(beside.certificate, beside.chain).is_ok_and(|certificate| {
                    identity.key_of(&certificate).is_some_and(|key| content_verifies(payload, content, key))
                })
            }
        }
    }

    /// Whether a bundle holds a signature over `payload` by this signatory.
    pub fn signed_bundle(&self, payload: &Payload, bundle: &Bundle) -> bool {
        let Content::Envelope { payload_type, payload: content } = &bundle.content else { return false };
        if payload_type != payload.media_type || *content != payload.bytes {
            return false;
        }
        let key = match (self, &bundle.by) {
            (Self::Key(key), _) => Some(key),
            (Self::Identity(identity), Material::Certificate(certificate)) => identity.key_of(certificate),
            (Self::Identity(_), Material::KeyHint(_)) => None,
        };
        let message = dsse::pre_authentication_encoding(payload_type, content);
        key.is_some_and(|key| key.verifies(&message, &bundle.signature))
    }

    /// About how many bytes an envelope of this signatory around `payload` has: exactly for Ed25519 and RSA, within a
    /// few for the others.
    pub fn typical_envelope_length(&self, payload: &Payload) -> usize {
        let signature = match self {
            Self::Key(key) => key.typical_signature_length(),
            // Certificates are asked for P-256 keys.
            Self::Identity(_) => 71,
        };
        dsse::envelope_length(payload.media_type, payload.bytes.len(), KEY_ID_LENGTH, signature)
    }
}

impl Identity {
    /// The key of a certificate, if that is for this identity.
    fn key_of<'c>(&self, certificate: &'c Certificate) -> Option<&'c PublicKey> {
        let is_ours = certificate.names() == [self.name.as_str()]
            && (self.issuer.is_none() || certificate.issuer() == self.issuer.as_deref());
        let then = certificate.beginning();
        let holds = certificate_holds(certificate, &self.root, &[then], Demands::default());
        (is_ours && holds.is_ok()).then(|| certificate.key())
    }
}

#[cfg(test)]
mod tests;
