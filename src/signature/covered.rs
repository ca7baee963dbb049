//! A signature as logs, timestamp authorities, bundles and verifiers see it: what it covers, its bytes, and whose it
//! is. A borrowed view: it owns nothing and proves nothing.

use std::borrow::Cow;

use super::certificate::Certificate;
use super::dsse;
use super::public_key::PublicKey;

/// What a signature covers.
#[derive(Debug, Clone, Copy)]
pub enum Covered<'a> {
    /// These bytes as they stand: simple signing.
    Payload(&'a [u8]),
    /// A payload inside a DSSE envelope.
    Envelope {
        /// The type that the envelope gives.
        payload_type: &'a str,
        /// What is inside.
        payload: &'a [u8],
    },
}

/// Whose signature it is.
#[derive(Debug, Clone, Copy)]
pub enum SignedBy<'a> {
    /// Whoever holds this key.
    Key(&'a PublicKey),
    /// Whom this certificate names.
    Certificate(&'a Certificate),
}

/// A signature with what it covers and whose it is.
#[derive(Debug, Clone, Copy)]
pub struct Signature<'a> {
    /// What it covers.
    pub covered: Covered<'a>,
    /// The raw signature.
    pub bytes: &'a [u8],
    /// Whose it is.
    pub by: SignedBy<'a>,
}

impl<'a> Signature<'a> {
    /// The bytes that were signed.
    pub fn message(&self) -> Cow<'a, [u8]> {
        match self.covered {
            Covered::Payload(bytes) => Cow::Borrowed(bytes),
            Covered::Envelope { payload_type, payload } => {
                Cow::Owned(dsse::pre_authentication_encoding(payload_type, payload))
            }
        }
    }

    /// The key that it verifies with.
    pub fn key(&self) -> &'a PublicKey {
        match self.by {
            SignedBy::Key(key) => key,
            SignedBy::Certificate(certificate) => certificate.key(),
        }
    }

    /// Whose it is, as PEM: what logs of version 1 take and return.
    pub fn pem(&self) -> String {
        match self.by {
            SignedBy::Key(key) => key.to_pem(),
            SignedBy::Certificate(certificate) => certificate.leaf_pem(),
        }
    }

    /// Whose it is, as DER.
    pub fn der(&self) -> &'a [u8] {
        match self.by {
            SignedBy::Key(key) => key.der(),
            SignedBy::Certificate(certificate) => certificate.leaf_der(),
        }
    }
}
