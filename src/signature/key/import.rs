//! Private keys out of PEM files: which type, is it whole, and what is its public half.
//!
//! A `cosign.key` is decrypted first.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P521_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RsaKeyPair,
};
use p384::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _};

use super::{Key, Secret, sealed};
use crate::signature::public_key::PublicKey;

/// Shorter RSA keys are refused: they can be factored.
const RSA_MIN_BITS: usize = 2048;

/// A key file is never larger; more is not a key.
const MAX_PEM: usize = 64 * 1024;

const PKCS8: &str = "PRIVATE KEY";
const COSIGN: [&str; 2] = ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"];

/// Why a key file cannot be used. Never holds any of its content.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not PEM at all.
    #[error("{file} is not a PEM file")]
    NotPem {
        /// The file, as the Secret calls it.
        file: String,
    },
    /// A PEM file of something else.
    #[error("{file} holds a PEM block of type {found:?}, wanted {wanted:?}")]
    WrongType {
        /// The file, as the Secret calls it.
        file: String,
        /// What its first block says it is.
        found: String,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A private key of a type nobody can verify, or damaged.
    #[error(
        "{file} holds no usable key: not ECDSA (P-256, P-384, P-521), Ed25519 or RSA (2048 to 8192 bits), or damaged"
    )]
    Unsupported {
        /// The file, as the Secret calls it.
        file: String,
    },
    /// There is an encrypted key without a password.
    #[error("{file} is encrypted and there is no cosign.password beside it")]
    NoPassword {
        /// The file, as the Secret calls it.
        file: String,
    },
    /// Wrong password or damaged.
    #[error("{file} cannot be decrypted: the password in cosign.password is wrong, or the key is damaged")]
    Decrypt {
        /// The file, as the Secret calls it.
        file: String,
    },
}

impl KeyError {
    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NotPem { .. } | Self::Unsupported { .. } => {
                "put a private key there, for instance from: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
            }
            Self::WrongType { wanted: PKCS8, .. } => {
                "convert it to unencrypted PKCS#8: openssl pkcs8 -topk8 -nocrypt -in OLD.pem -out x509.pem"
            }
            Self::WrongType { .. } => "cosign.key must come from cosign generate-key-pair or import-key-pair",
            Self::NoPassword { .. } | Self::Decrypt { .. } => {
                "put the password that the key was generated with into cosign.password, byte for byte (a newline counts)"
            }
        }
    }
}

pub(super) fn from_pem(name: &str, pem: &[u8]) -> Result<Key, KeyError> {
    let block = first_block(name, pem)?;
    if block.tag() != PKCS8 {
        return Err(KeyError::WrongType { file: name.to_owned(), found: shown_tag(&block), wanted: PKCS8 });
    }
    from_pkcs8(name, block.contents())
}

pub(super) fn from_cosign(name: &str, pem: &[u8], password: &[u8]) -> Result<Key, KeyError> {
    let block = first_block(name, pem)?;
    if !COSIGN.contains(&block.tag()) {
        return Err(KeyError::WrongType {
            file: name.to_owned(),
            found: shown_tag(&block),
            wanted: COSIGN[0],
        });
    }
    let der = sealed::open(block.contents(), password)
        .ok_or_else(|| KeyError::Decrypt { file: name.to_owned() })?;
    from_pkcs8(name, &der)
}

fn first_block(name: &str, pem: &[u8]) -> Result<pem::Pem, KeyError> {
    let not_pem = || KeyError::NotPem { file: name.to_owned() };
    if pem.len() > MAX_PEM {
        return Err(not_pem());
    }
    pem::parse(pem).map_err(|_| not_pem())
}

/// A tag is text from outside; a real one is short.
fn shown_tag(block: &pem::Pem) -> String {
    block.tag().chars().take(60).collect()
}

type Halves = (Secret, PublicKey);

pub(super) fn from_pkcs8(name: &str, der: &[u8]) -> Result<Key, KeyError> {
    let (secret, public) = ecdsa(der)
        .or_else(|| p384(der))
        .or_else(|| ed25519(der))
        .or_else(|| rsa(der))
        .ok_or_else(|| KeyError::Unsupported { file: name.to_owned() })?;
    Ok(Key { name: name.to_owned(), secret, public })
}

fn ecdsa(der: &[u8]) -> Option<Halves> {
    [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P521_SHA256_ASN1_SIGNING].into_iter().find_map(|signing| {
        let pair = EcdsaKeyPair::from_pkcs8(signing, der).ok()?;
        let public = PublicKey::from_der(pair.public_key().as_der().ok()?.as_ref())?;
        Some((Secret::Ecdsa(pair), public))
    })
}

fn p384(der: &[u8]) -> Option<Halves> {
    let key = p384::SecretKey::from_pkcs8_der(der).ok()?;
    let public = PublicKey::from_der(key.public_key().to_public_key_der().ok()?.as_bytes())?;
    Some((Secret::P384(Box::new(key.into())), public))
}

fn ed25519(der: &[u8]) -> Option<Halves> {
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
    let public = PublicKey::from_der(pair.public_key().as_der().ok()?.as_ref())?;
    Some((Secret::Ed25519(pair), public))
}

fn rsa(der: &[u8]) -> Option<Halves> {
    let pair = RsaKeyPair::from_pkcs8(der).ok()?;
    if pair.public_modulus_len() * 8 < RSA_MIN_BITS {
        return None;
    }
    let public = PublicKey::from_der(pair.public_key().as_der().ok()?.as_ref())?;
    Some((Secret::Rsa(pair), public))
}
