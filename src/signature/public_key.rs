//! A public key as verification needs it: algorithm, DER and the key id that envelopes name.
//!
//! The hash is SHA-256 for every elliptic curve and for RSA, whatever the curve's size: that is what
//! `cosign verify --key` computes when it is given no further option (tried with cosign 3.1.3). Some key management
//! services sign with the hash of a curve's own size alone; such signatures verify too.

pub mod raw;
mod spki;

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{self as algorithm, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};

use crate::artifact::digest::Digest;

/// How long every key id is: `SHA256:` and 43 characters.
pub const KEY_ID_LENGTH: usize = 50;

/// Kinds of key that sign and verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// NIST P-256 with SHA-256.
    P256,
    /// NIST P-384 with SHA-256.
    P384,
    /// NIST P-521 with SHA-256.
    P521,
    /// Pure Ed25519.
    Ed25519,
    /// RSA, PKCS#1 v1.5 with SHA-256.
    Rsa,
}

impl Algorithm {
    /// The usual one first.
    fn verifications(self) -> &'static [&'static dyn VerificationAlgorithm] {
        match self {
            Self::P256 => &[&algorithm::ECDSA_P256_SHA256_ASN1],
            Self::P384 => &[&algorithm::ECDSA_P384_SHA256_ASN1, &algorithm::ECDSA_P384_SHA384_ASN1],
            Self::P521 => &[&algorithm::ECDSA_P521_SHA256_ASN1, &algorithm::ECDSA_P521_SHA512_ASN1],
            Self::Ed25519 => &[&algorithm::ED25519],
            Self::Rsa => &[
                &algorithm::RSA_PKCS1_2048_8192_SHA256,
                &algorithm::RSA_PKCS1_2048_8192_SHA384,
                &algorithm::RSA_PKCS1_2048_8192_SHA512,
            ],
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "ECDSA P-256",
            Self::P384 => "ECDSA P-384",
            Self::P521 => "ECDSA P-521",
            Self::Ed25519 => "Ed25519",
            Self::Rsa => "RSA",
        })
    }
}

/// A public key; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey(Arc<Parts>);

#[derive(PartialEq, Eq, Hash)]
struct Parts {
    algorithm: Algorithm,
    /// What the algorithm verifies with: an uncompressed point, 32 bytes, or an `RSAPublicKey`.
    raw: Vec<u8>,
    /// `SubjectPublicKeyInfo`.
    der: Vec<u8>,
    id: String,
}

impl PublicKey {
    /// `raw` in the algorithm's own encoding, `der` as `SubjectPublicKeyInfo`, `ssh` in the wire encoding of
    /// OpenSSH, from which the key id is made.
    fn new(algorithm: Algorithm, raw: &[u8], der: &[u8], ssh: &[u8]) -> Self {
        let id = format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(Digest::of(ssh).as_bytes()));
        Self(Arc::new(Parts { algorithm, raw: raw.to_vec(), der: der.to_vec(), id }))
    }

    /// Reads a `SubjectPublicKeyInfo`; `None` for what no signature is verified with.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        spki::read(der)
    }

    /// Reads a PEM file such as `cosign.pub`.
    pub fn from_pem(text: &str) -> Option<Self> {
        const LARGEST: usize = 8 * 1024;
        let block = (text.len() <= LARGEST).then(|| pem::parse(text).ok()).flatten()?;
        (block.tag() == "PUBLIC KEY").then(|| Self::from_der(block.contents())).flatten()
    }

    /// The key id in envelopes: the OpenSSH fingerprint (Chains specification §5.4).
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// As `SubjectPublicKeyInfo`.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// About how many bytes a signature has: exactly for Ed25519 and RSA, within two for the others.
    pub fn typical_signature_length(&self) -> usize {
        match self.0.algorithm {
            Algorithm::P256 => 71,
            Algorithm::P384 => 103,
            Algorithm::P521 => 138,
            Algorithm::Ed25519 => 64,
            // The raw key is the modulus, a public exponent of three bytes and ten bytes of DER around them.
            Algorithm::Rsa => self.0.raw.len().saturating_sub(14),
        }
    }

    /// Which kind of key.
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// Whether `signature` over `message` was made with this key.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let by = |one: &&'static dyn VerificationAlgorithm| {
            UnparsedPublicKey::new(*one, &self.0.raw).verify(message, signature).is_ok()
        };
        self.0.algorithm.verifications().iter().any(by)
    }

    /// As a PEM file, for `cosign verify --key`.
    pub fn to_pem(&self) -> String {
        let text = BASE64_STANDARD.encode(&self.0.der);
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END PUBLIC KEY-----\n");
        pem
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.algorithm, self.0.id)
    }
}
