//! New private keys, in the two forms in which the Secret `signing-secrets` holds them: encrypted as cosign does it, and
//! plain as `x509.pem`.
//!
//! The crypto library makes the key; encrypting it is the `sigstore` crate's work. The content lives in
//! memory that is wiped, and neither type prints.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sigstore::crypto::signing_key::SigStoreKeyPair;
use zeroize::Zeroizing;

use super::import::from_pkcs8;
use crate::signature::public_key::PublicKey;

/// A new ECDSA P-256 key, as cosign makes them.
pub struct GeneratedKey {
    pkcs8: Zeroizing<Vec<u8>>,
    public: PublicKey,
}

impl GeneratedKey {
    /// Nobody else has it; `None` when the system yields no randomness.
    pub fn new() -> Option<Self> {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new()).ok()?;
        let public = from_pkcs8("new key", pkcs8.as_ref()).ok()?.public_key().clone();
        Some(Self { pkcs8: Zeroizing::new(pkcs8.as_ref().to_vec()), public })
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// As `x509.pem`: PKCS#8, not encrypted.
    pub fn to_pem(&self) -> Zeroizing<String> {
        let text = Zeroizing::new(BASE64_STANDARD.encode(&*self.pkcs8));
        let mut pem = Zeroizing::new(String::with_capacity(text.len() + 128));
        pem.push_str("-----BEGIN PRIVATE KEY-----\n");
        for line in text.as_bytes().chunks(64) {
            // Base64 is ASCII.
            pem.extend(line.iter().copied().map(char::from));
            pem.push('\n');
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        pem
    }

    /// As `cosign.key`, encrypted by `password`, which may be empty. Slow on purpose: scrypt.
    pub fn to_cosign(&self, password: &[u8]) -> Option<Zeroizing<String>> {
        let pair = SigStoreKeyPair::from_der(&self.pkcs8).ok()?;
        pair.private_key_to_encrypted_pem(password).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::key::Key;

    #[test]
    fn both_forms_are_the_same_key_and_no_two_are_alike() {
        let (one, other) = (GeneratedKey::new().unwrap(), GeneratedKey::new().unwrap());
        assert_ne!(one.public_key(), other.public_key());
        let plain = Key::from_pem("x509.pem", one.to_pem().as_bytes()).unwrap();
        let encrypted = one.to_cosign(b"secret").unwrap();
        let encrypted = Key::from_cosign("cosign.key", encrypted.as_bytes(), b"secret").unwrap();
        for key in [plain, encrypted] {
            assert_eq!(key.public_key(), one.public_key());
            assert!(one.public_key().verifies(b"m", &key.sign_now(b"m").unwrap()));
        }
    }

    #[test]
    fn the_password_is_needed_byte_for_byte_and_may_be_empty() {
        let key = GeneratedKey::new().unwrap();
        let encrypted = key.to_cosign(b"").unwrap();
        assert!(Key::from_cosign("cosign.key", encrypted.as_bytes(), b"").is_ok());
        assert!(Key::from_cosign("cosign.key", encrypted.as_bytes(), b"\n").is_err());
        assert!(!encrypted.contains("BEGIN PRIVATE KEY"));
    }
}
