//! Private keys out of PEM files: which type, is it whole, and what is its public half.
//!
//! Decrypting `cosign.key` is the `sigstore` crate's work; it takes only the scrypt parameters that cosign
//! itself writes, so a hostile file cannot ask for gigabytes.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P521_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RsaKeyPair,
};
use p384::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _};
use sigstore::crypto::signing_key::SigStoreKeyPair;

use super::{Key, Secret};
use crate::signature::public_key::{Algorithm, PublicKey};

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
    let damaged = |_| KeyError::Decrypt { file: name.to_owned() };
    let pair = SigStoreKeyPair::from_encrypted_pem(pem, password).map_err(damaged)?;
    let der = pair.private_key_to_der().map_err(damaged)?;
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
    let curves = [
        (&ECDSA_P256_SHA256_ASN1_SIGNING, Algorithm::P256, "nistp256"),
        (&ECDSA_P521_SHA256_ASN1_SIGNING, Algorithm::P521, "nistp521"),
    ];
    curves.into_iter().find_map(|(signing, algorithm, curve)| {
        let pair = EcdsaKeyPair::from_pkcs8(signing, der).ok()?;
        let point = pair.public_key().as_ref().to_vec();
        let spki = pair.public_key().as_der().ok()?;
        let public = PublicKey::new(algorithm, &point, spki.as_ref(), &ssh_ecdsa(curve, &point));
        Some((Secret::Ecdsa(pair), public))
    })
}

fn p384(der: &[u8]) -> Option<Halves> {
    let key = p384::SecretKey::from_pkcs8_der(der).ok()?;
    let public = key.public_key();
    let point = p384::EncodedPoint::from(&public);
    let spki = public.to_public_key_der().ok()?;
    let ssh = ssh_ecdsa("nistp384", point.as_bytes());
    let public = PublicKey::new(Algorithm::P384, point.as_bytes(), spki.as_bytes(), &ssh);
    Some((Secret::P384(Box::new(key.into())), public))
}

fn ed25519(der: &[u8]) -> Option<Halves> {
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
    let raw = pair.public_key().as_ref().to_vec();
    let spki = pair.public_key().as_der().ok()?;
    let ssh = [ssh_string(b"ssh-ed25519"), ssh_string(&raw)].concat();
    let public = PublicKey::new(Algorithm::Ed25519, &raw, spki.as_ref(), &ssh);
    Some((Secret::Ed25519(pair), public))
}

fn rsa(der: &[u8]) -> Option<Halves> {
    let pair = RsaKeyPair::from_pkcs8(der).ok()?;
    if pair.public_modulus_len() * 8 < RSA_MIN_BITS {
        return None;
    }
    let key = pair.public_key();
    let spki = key.as_der().ok()?;
    let exponent = ssh_integer(key.exponent().big_endian_without_leading_zero());
    let modulus = ssh_integer(key.modulus().big_endian_without_leading_zero());
    let ssh = [ssh_string(b"ssh-rsa"), exponent, modulus].concat();
    let public = PublicKey::new(Algorithm::Rsa, key.as_ref(), spki.as_ref(), &ssh);
    Some((Secret::Rsa(pair), public))
}

fn ssh_ecdsa(curve: &str, point: &[u8]) -> Vec<u8> {
    let kind = format!("ecdsa-sha2-{curve}");
    [ssh_string(kind.as_bytes()), ssh_string(curve.as_bytes()), ssh_string(point)].concat()
}

/// RFC 4251 §5: length, then bytes.
fn ssh_string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

/// RFC 4251 §5: a number whose first bit is set gets a zero byte in front, else it would be negative.
fn ssh_integer(bytes: &[u8]) -> Vec<u8> {
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        ssh_string(&[&[0], bytes].concat())
    } else {
        ssh_string(bytes)
    }
}
