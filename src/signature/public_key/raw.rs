//! Keys and signatures of services that write numbers where everybody else writes ASN.1: JSON Web Keys (RFC 7518 §6) and
//! PKCS #11. Pure; whatever does not fit is nothing.

use x509_cert::der::asn1::{Any, BitString, SequenceOf, UintRef};
use x509_cert::der::{Encode as _, oid::ObjectIdentifier};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::spki::{EC, P256, P384, P521, RSA};
use super::{Algorithm, PublicKey};

/// The key with this point, given by its two coordinates.
pub fn elliptic(curve: Algorithm, x: &[u8], y: &[u8]) -> Option<PublicKey> {
    let (oid, length) = match curve {
        Algorithm::P256 => (P256, 32),
        Algorithm::P384 => (P384, 48),
        Algorithm::P521 => (P521, 66),
        Algorithm::Ed25519 | Algorithm::Rsa => return None,
    };
    let point = [&[4][..], &padded(x, length)?, &padded(y, length)?].concat();
    info(EC, Any::from(&oid), &point)
}

/// The key with this modulus and public exponent.
pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<PublicKey> {
    info(RSA, Any::null(), &pair(modulus, exponent)?)
}

/// A signature by an elliptic curve as ASN.1, out of its two numbers, which are of one length.
pub fn ecdsa_signature(raw: &[u8]) -> Option<Vec<u8>> {
    let half = raw.len() / 2;
    let (r, s) = raw.split_at_checked(half).filter(|(r, s)| !r.is_empty() && r.len() == s.len())?;
    pair(r, s)
}

/// A sequence of two numbers that are not negative.
fn pair(one: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let mut numbers = SequenceOf::<UintRef<'_>, 2>::new();
    numbers.add(UintRef::new(one).ok()?).ok()?;
    numbers.add(UintRef::new(other).ok()?).ok()?;
    numbers.to_der().ok()
}

fn info(algorithm: ObjectIdentifier, parameters: Any, key: &[u8]) -> Option<PublicKey> {
    let algorithm = AlgorithmIdentifierOwned { oid: algorithm, parameters: Some(parameters) };
    let subject_public_key = BitString::from_bytes(key).ok()?;
    let info = SubjectPublicKeyInfoOwned { algorithm, subject_public_key };
    PublicKey::from_der(&info.to_der().ok()?)
}

/// With zeros in front: some leave them out, some write one more.
fn padded(number: &[u8], length: usize) -> Option<Vec<u8>> {
    let first = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    let digits = number.get(first..)?;
    let zeros = length.checked_sub(digits.len())?;
    Some([&vec![0; zeros], digits].concat())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
        EcdsaKeyPair, KeyPair as _,
    };

    use super::*;

    #[test]
    fn points_and_numbers_become_keys_and_signatures_that_verify_for_every_curve_with_the_hash_of_its_size() {
        for (curve, signing) in [
            (Algorithm::P256, &ECDSA_P256_SHA256_FIXED_SIGNING),
            (Algorithm::P384, &ECDSA_P384_SHA384_FIXED_SIGNING),
            (Algorithm::P521, &ECDSA_P521_SHA512_FIXED_SIGNING),
        ] {
            let pair = EcdsaKeyPair::generate(signing).unwrap();
            let point = &pair.public_key().as_ref()[1..];
            let (x, y) = point.split_at(point.len() / 2);
            let key = elliptic(curve, x, y).unwrap();
            assert_eq!(key.algorithm(), curve);
            // Often enough that numbers with zeros in front and with their first bit set are among them.
            for _ in 0..300 {
                let raw = pair.sign(&SystemRandom::new(), b"message").unwrap();
                let signature = ecdsa_signature(raw.as_ref()).unwrap();
                assert!(key.verifies(b"message", &signature), "{curve}");
                assert!(!key.verifies(b"other", &signature));
            }
        }
    }

    #[test]
    fn what_is_no_point_and_no_pair_is_nothing() {
        let long = [1; 33];
        assert!(elliptic(Algorithm::P256, &long, &[1; 32]).is_none());
        assert!(elliptic(Algorithm::Ed25519, &[1; 32], &[1; 32]).is_none());
        for raw in [&[][..], &[1], &[1, 2, 3]] {
            assert_eq!(ecdsa_signature(raw), None);
        }
        assert_eq!(padded(&[0, 0, 7], 2), Some(vec![0, 7]));
        assert_eq!(ecdsa_signature(&[0, 0x80, 0, 1]).unwrap(), [0x30, 7, 2, 2, 0, 0x80, 2, 1, 1]);
    }

    #[test]
    fn a_modulus_and_an_exponent_are_a_key() {
        let modulus = [&[0xc1][..], &[7; 255]].concat();
        let key = rsa(&modulus, &[1, 0, 1]).unwrap();
        assert_eq!((key.algorithm(), key.typical_signature_length()), (Algorithm::Rsa, 256));
    }
}
