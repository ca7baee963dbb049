//! Public keys from their standard encoding (`SubjectPublicKeyInfo`, RFC 5280 §4.1.2.7), and the wire encoding of
//! OpenSSH from which their ids are made (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4).
//!
//! It tells kinds apart and takes no other than those that signatures are verified with; that a point lies on its
//! curve is found out by whoever verifies with it.

use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode as _, Reader as _, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::{Algorithm, PublicKey};

pub(super) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
pub(super) const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
pub(super) const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
pub(super) const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// 8192 bits with all that is around them; more is a way to make verifiers work.
const LARGEST: usize = 2048;

/// The key in `der`, if it is one of a kind that signs.
pub(super) fn read(der: &[u8]) -> Option<PublicKey> {
    if der.len() > LARGEST {
        return None;
    }
    let info = SubjectPublicKeyInfoRef::from_der(der).ok()?;
    let raw = info.subject_public_key.as_bytes()?;
    let (algorithm, ssh) = match info.algorithm.oid {
        EC => elliptic(info.algorithm.parameters_oid().ok()?, raw)?,
        ED25519 if raw.len() == 32 => (Algorithm::Ed25519, [string(b"ssh-ed25519"), string(raw)].concat()),
        RSA => (Algorithm::Rsa, rsa(raw)?),
        _ => return None,
    };
    Some(PublicKey::new(algorithm, raw, der, &ssh))
}

fn elliptic(curve: ObjectIdentifier, point: &[u8]) -> Option<(Algorithm, Vec<u8>)> {
    let (algorithm, name, coordinate) = match curve {
        P256 => (Algorithm::P256, "nistp256", 32),
        P384 => (Algorithm::P384, "nistp384", 48),
        P521 => (Algorithm::P521, "nistp521", 66),
        _ => return None,
    };
    // Uncompressed, as everybody writes it.
    let whole = point.first() == Some(&4) && point.len() == 1 + 2 * coordinate;
    let kind = format!("ecdsa-sha2-{name}");
    whole.then(|| (algorithm, [string(kind.as_bytes()), string(name.as_bytes()), string(point)].concat()))
}

fn rsa(der: &[u8]) -> Option<Vec<u8>> {
    let mut reader = SliceReader::new(der).ok()?;
    let (modulus, exponent): (UintRef<'_>, UintRef<'_>) =
        reader.sequence(|inner| Ok((inner.decode()?, inner.decode()?))).ok()?;
    let exponent = integer(exponent.as_bytes());
    Some([string(b"ssh-rsa"), exponent, integer(modulus.as_bytes())].concat())
}

/// RFC 4251 §5: length, then bytes.
fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

/// RFC 4251 §5: a number whose first bit is set gets a zero byte in front, else it would be negative.
fn integer(bytes: &[u8]) -> Vec<u8> {
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        string(&[&[0], bytes].concat())
    } else {
        string(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::signature::key::Key;

    fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
        use std::io::Write as _;
        use std::process::Stdio;
        let mut child = Command::new("openssl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "openssl {arguments:?}");
        output.stdout
    }

    #[test]
    fn every_kind_of_key_that_signs_is_read_as_its_private_half_gives_it() {
        for kind in [
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..],
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
            &["-algorithm", "ED25519"],
            &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        ] {
            let pem = openssl(&[&["genpkey"], kind].concat(), b"");
            let der = openssl(&["pkey", "-pubout", "-outform", "DER"], &pem);
            let (read, key) = (read(&der).unwrap(), Key::from_pem("k", &pem).unwrap());
            assert_eq!(&read, key.public_key(), "{kind:?}");
            assert!(read.verifies(b"message", &key.sign_now(b"message").unwrap()), "{kind:?}");
            assert_eq!(PublicKey::from_pem(&read.to_pem()).unwrap(), read);
        }
    }

    #[test]
    fn other_kinds_and_damaged_keys_are_none() {
        let x25519 = openssl(&["genpkey", "-algorithm", "X25519"], b"");
        let x25519 = openssl(&["pkey", "-pubout", "-outform", "DER"], &x25519);
        let good = Key::generate("k").unwrap();
        let good = good.public_key().der();
        let short = &good[..good.len() - 1];
        let compressed: Vec<u8> =
            good.iter().enumerate().map(|(i, b)| if i == 26 { 2 } else { *b }).collect();
        for der in [&x25519[..], short, &compressed, &[], &[0x30, 0x80], &vec![0x30; LARGEST + 1]] {
            assert!(read(der).is_none());
        }
        assert!(
            PublicKey::from_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").is_none()
        );
        assert!(PublicKey::from_pem(&"x".repeat(10_000)).is_none());
    }
}
