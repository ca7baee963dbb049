//! Every type of key, imported, signing, verified; and every bad file with its error. The keys are made by
//! openssl and cosign and live in `tests/fixtures/keys`; they sign nothing outside these tests.

use std::collections::BTreeMap;

use super::keyring::KeyRing;
use super::*;
use crate::signature::public_key::Algorithm;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/fixtures/keys/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn files(entries: &[(&str, Vec<u8>)]) -> BTreeMap<String, Vec<u8>> {
    entries.iter().map(|(name, content)| ((*name).to_owned(), content.clone())).collect()
}

#[test]
fn every_type_of_key_signs_and_verifies() {
    for (file, algorithm) in [
        ("p256.pem", Algorithm::P256),
        ("p384.pem", Algorithm::P384),
        ("p521.pem", Algorithm::P521),
        ("ed25519.pem", Algorithm::Ed25519),
        ("rsa2048.pem", Algorithm::Rsa),
    ] {
        let key = Key::from_pem(file, &fixture(file)).unwrap();
        assert_eq!(key.public_key().algorithm(), algorithm);
        let signature = key.sign_now(b"message").unwrap();
        assert!(key.public_key().verifies(b"message", &signature), "{file}");
        assert!(!key.public_key().verifies(b"massage", &signature), "{file}");
    }
}

#[test]
fn the_public_half_and_its_fingerprint_are_those_that_openssl_and_ssh_keygen_print() {
    for name in ["p256", "p384", "p521", "ed25519", "rsa2048"] {
        let key = Key::from_pem(name, &fixture(&format!("{name}.pem"))).unwrap();
        assert_eq!(key.public_key().to_pem().as_bytes(), fixture(&format!("{name}.pub")), "{name}");
        let fingerprint = String::from_utf8(fixture(&format!("{name}.fingerprint"))).unwrap();
        assert_eq!(key.public_key().id(), fingerprint.trim(), "{name}");
    }
}

#[test]
fn a_key_that_cosign_encrypted_is_the_key_that_cosign_published() {
    let key = Key::from_cosign("cosign.key", &fixture("cosign.key"), b"correct horse").unwrap();
    assert_eq!(key.public_key().to_pem().as_bytes(), fixture("cosign.pub"));
    let signature = key.sign_now(b"message").unwrap();
    assert!(key.public_key().verifies(b"message", &signature));
}

#[test]
fn a_wrong_password_names_the_file_and_the_remedy_and_no_secret() {
    for password in [&b"wrong horse"[..], b"", b"correct horse\n"] {
        let error = Key::from_cosign("cosign.key", &fixture("cosign.key"), password).err().unwrap();
        assert!(matches!(error, KeyError::Decrypt { .. }));
        assert!(error.to_string().contains("cosign.key"));
        assert!(!format!("{error} {error:?} {}", error.remedy()).contains("horse"));
    }
}

#[test]
fn a_pem_of_another_type_is_named_with_what_was_wanted() {
    for (file, found) in [("ec-sec1.pem", "EC PRIVATE KEY"), ("p256.pub", "PUBLIC KEY")] {
        let error = Key::from_pem("x509.pem", &fixture(file)).err().unwrap();
        assert_eq!(
            error.to_string(),
            format!("x509.pem holds a PEM block of type {found:?}, wanted \"PRIVATE KEY\"")
        );
        assert!(error.remedy().contains("openssl pkcs8"));
    }
    let error = Key::from_cosign("cosign.key", &fixture("p256.pem"), b"").err().unwrap();
    assert!(matches!(error, KeyError::WrongType { .. }));
}

#[test]
fn short_and_damaged_keys_are_refused() {
    for content in [fixture("rsa1024.pem"), damaged(&fixture("p256.pem"))] {
        assert!(matches!(Key::from_pem("x509.pem", &content), Err(KeyError::Unsupported { .. })));
    }
    for content in [b"".to_vec(), b"no pem".to_vec(), vec![b'-'; 100_000]] {
        assert!(matches!(Key::from_pem("x509.pem", &content), Err(KeyError::NotPem { .. })));
    }
}

/// A PEM file whose DER was cut off.
fn damaged(pem_file: &[u8]) -> Vec<u8> {
    let block = pem::parse(pem_file).unwrap();
    pem::encode(&pem::Pem::new(block.tag(), &block.contents()[..40])).into_bytes()
}

#[test]
fn all_x509_keys_sign_and_the_plain_name_comes_first() {
    let ring = KeyRing::import(
        "tekton-chains/signing-secrets",
        &files(&[
            ("x509-old.pem", fixture("p384.pem")),
            ("x509.pem", fixture("p256.pem")),
            ("cosign.key", fixture("cosign.key")),
            ("cosign.pub", fixture("cosign.pub")),
        ]),
    )
    .unwrap();
    let algorithms: Vec<_> = ring.keys().iter().map(|key| key.public_key().algorithm()).collect();
    assert_eq!(algorithms, [Algorithm::P256, Algorithm::P384]);
}

#[test]
fn one_bad_file_refuses_the_ring_and_none_says_where_it_looked() {
    let bad = files(&[("x509.pem", fixture("p256.pem")), ("x509-new.pem", b"oops".to_vec())]);
    assert!(matches!(KeyRing::import("dir", &bad), Err(Error::Key(KeyError::NotPem { .. }))));
    let Err(error) = KeyRing::import("tekton-chains/signing-secrets", &files(&[])) else { panic!("no key") };
    assert!(error.to_string().contains("tekton-chains/signing-secrets"));
    let no_password = files(&[("cosign.key", fixture("cosign.key"))]);
    assert!(matches!(KeyRing::import("dir", &no_password), Err(Error::Key(KeyError::NoPassword { .. }))));
}
