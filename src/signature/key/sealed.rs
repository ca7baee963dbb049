//! What is inside a `cosign.key`: JSON that says how the key was encrypted, by scrypt and the box
//! `nacl/secretbox` (Chains specification §5.1).
//!
//! The `sigstore` crate writes and reads this too; it needs 64 MiB to derive the key, three times what the agent needs
//! otherwise, which is why reading is done here.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crypto_secretbox::aead::Aead as _;
use crypto_secretbox::{KeyInit as _, XSalsa20Poly1305};
use serde::Deserialize;
use zeroize::Zeroizing;

/// The two values of N that cosign has written; a hostile file cannot ask for gigabytes.
const LOG_N: [(u32, u8); 2] = [(32_768, 15), (65_536, 16)];
const NONCE: usize = 24;

#[derive(Deserialize)]
struct Sealed {
    kdf: Derivation,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Derivation {
    name: String,
    params: Parameters,
    salt: String,
}

#[derive(Deserialize)]
struct Parameters {
    #[serde(rename = "N")]
    n: u32,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// The PKCS#8 key in `json`; `None` when the password is wrong, or anything is not as cosign writes it.
pub(super) fn open(json: &[u8], password: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let Sealed { kdf, cipher, ciphertext } = serde_json::from_slice(json).ok()?;
    if kdf.name != "scrypt" || cipher.name != "nacl/secretbox" || (kdf.params.r, kdf.params.p) != (8, 1) {
        return None;
    }
    let (_, log_n) = LOG_N.into_iter().find(|(n, _)| *n == kdf.params.n)?;
    let decoded = |text: &str| BASE64_STANDARD.decode(text).ok();
    let (salt, ciphertext) = (decoded(&kdf.salt)?, decoded(&ciphertext)?);
    let nonce: [u8; NONCE] = decoded(&cipher.nonce)?.try_into().ok()?;
    let key = Zeroizing::new(hallmark_scrypt::derive_key(password, &salt, log_n));
    let plain = XSalsa20Poly1305::new((&*key).into()).decrypt((&nonce).into(), &*ciphertext).ok()?;
    Some(Zeroizing::new(plain))
}

#[cfg(test)]
mod tests {
    use sigstore::crypto::signing_key::SigStoreKeyPair;

    use super::*;
    use crate::signature::key::generated::GeneratedKey;

    /// What the `sigstore` crate wrote for a new key and this password.
    fn sealed(password: &[u8]) -> serde_json::Value {
        let pem = GeneratedKey::new().unwrap().to_cosign(password).unwrap();
        SigStoreKeyPair::from_encrypted_pem(pem.as_bytes(), password).unwrap();
        serde_json::from_slice(pem::parse(&*pem).unwrap().contents()).unwrap()
    }

    #[test]
    fn one_with_other_parameters_is_refused_before_anything_is_derived() {
        let whole = sealed(b"secret");
        assert!(open(whole.to_string().as_bytes(), b"secret").is_some());
        for (pointer, other) in [
            ("/kdf/name", serde_json::Value::from("argon2")),
            ("/kdf/params/N", (1 << 30).into()),
            ("/kdf/params/N", 1024.into()),
            ("/kdf/params/r", 16.into()),
            ("/kdf/params/p", 2.into()),
            ("/kdf/salt", "%".into()),
            ("/cipher/name", "aes".into()),
            ("/cipher/nonce", "AAAA".into()),
            ("/ciphertext", "AAAA".into()),
        ] {
            let mut changed = whole.clone();
            *changed.pointer_mut(pointer).unwrap() = other;
            assert!(open(changed.to_string().as_bytes(), b"secret").is_none(), "{pointer}");
        }
        assert!(open(b"{}", b"secret").is_none());
    }
}
