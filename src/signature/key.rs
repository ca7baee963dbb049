//! Signing with a private key from the Secret `signing-secrets`: `x509.pem` (PKCS#8) or `cosign.key`
//! (encrypted), of every type that cosign verifies (Chains specification §5.1; the peer takes ECDSA only).
//!
//! Importing is slow for `cosign.key` (scrypt, 0.2 s of CPU and 11 MiB): it happens once per version of the Secret,
//! never once per run. Private keys live inside the crypto library; none of these types prints one.

pub mod generated;
mod import;
pub mod keyring;
mod sealed;

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use p384::ecdsa::signature::hazmat::PrehashSigner as _;

pub use import::KeyError;

use super::public_key::PublicKey;
use super::signatory::Signatory;
use super::{Error, Signature, Signer};
use crate::artifact::digest::Digest;

/// A private key with the name of the file that it came from.
pub struct Key {
    name: String,
    secret: Secret,
    public: PublicKey,
}

enum Secret {
    /// P-256 and P-521.
    Ecdsa(EcdsaKeyPair),
    /// By a crate of its own: cosign verifies P-384 over SHA-256, which aws-lc-rs cannot sign.
    P384(Box<p384::ecdsa::SigningKey>),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Key {
    /// Reads an unencrypted PKCS#8 key (`x509.pem`). `name` is how messages call it.
    pub fn from_pem(name: &str, pem: &[u8]) -> Result<Self, KeyError> {
        import::from_pem(name, pem)
    }

    /// Reads a key that cosign encrypted (`cosign.key`). Slow on purpose: scrypt.
    pub fn from_cosign(name: &str, pem: &[u8], password: &[u8]) -> Result<Self, KeyError> {
        import::from_cosign(name, pem, password)
    }

    /// A new P-256 key that nobody else has and nobody keeps; `None` when the system yields no randomness.
    pub fn generate(name: &str) -> Option<Self> {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).ok()?;
        import::from_pkcs8(name, pkcs8.as_ref()).ok()
    }

    /// The file it came from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The bytes of a signature over `message`; hashing is part of signing.
    pub fn sign_now(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.signature(message).ok_or_else(|| Error::Refused { signer: self.name.clone() })
    }

    fn signature(&self, message: &[u8]) -> Option<Vec<u8>> {
        match &self.secret {
            Secret::Ecdsa(key) => key.sign(&SystemRandom::new(), message).ok().map(|s| s.as_ref().to_vec()),
            Secret::P384(key) => {
                let signature: p384::ecdsa::DerSignature =
                    key.sign_prehash(Digest::of(message).as_bytes()).ok()?;
                Some(signature.as_bytes().to_vec())
            }
            Secret::Ed25519(key) => Some(key.sign(message).as_ref().to_vec()),
            Secret::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

#[async_trait]
impl Signer for Key {
    async fn signatory(&self) -> Result<Signatory, Error> {
        Ok(Signatory::Key(self.public.clone()))
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, Error> {
        let (bytes, key) = (self.sign_now(message)?, self.public.clone());
        Ok(Signature { bytes, key, certificate: None })
    }
}

#[cfg(test)]
mod tests;
