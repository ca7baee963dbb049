//! SCRAM (RFC 5802, RFC 7677) as brokers speak it, without channel binding.
//!
//! Guarantees: the password does not leave the process; a broker that does not know it is found out, since it has to
//! prove that it does; neither a short derivation nor an endless one is made for it.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use crate::credential::Redacted;

/// Fewer rounds than the standard asks for would help whoever wants to guess the password.
const FEWEST: u32 = 4096;
/// Kafka has 16384 at most.
const MOST: u32 = 65_536;

/// Which hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha512,
}

/// After the first message, and before the broker's answer.
pub(super) struct First {
    hash: Hash,
    nonce: String,
    bare: String,
}

/// What the broker has to prove.
pub(super) struct Last(Vec<u8>);

/// What is wrong with what the broker says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    #[error("what it says is not SCRAM")]
    Form,
    #[error("it wants {0} rounds, not {FEWEST} to {MOST}")]
    Rounds(u32),
    #[error("it does not know the password itself")]
    Proof,
    #[error("{0}")]
    Said(String),
}

impl First {
    /// `nonce` is random, of printable letters without commas.
    pub(super) fn new(hash: Hash, user: &str, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self { hash, bare: format!("n={user},r={nonce}"), nonce }
    }

    /// The first message.
    pub(super) fn message(&self) -> Vec<u8> {
        format!("n,,{}", self.bare).into_bytes()
    }

    /// The second message, in answer to the broker's first, and what it has to say then.
    pub(super) fn answer(&self, said: &[u8], password: &Redacted) -> Result<(Vec<u8>, Last), Wrong> {
        let said = std::str::from_utf8(said).map_err(|_| Wrong::Form)?;
        let nonce = field(said, 'r').filter(|nonce| nonce.len() > self.nonce.len()).ok_or(Wrong::Form)?;
        let salt = field(said, 's').and_then(|salt| BASE64_STANDARD.decode(salt).ok()).ok_or(Wrong::Form)?;
        let rounds = field(said, 'i').and_then(|rounds| rounds.parse::<u32>().ok()).ok_or(Wrong::Form)?;
        if !nonce.starts_with(&self.nonce) || salt.is_empty() {
            return Err(Wrong::Form);
        }
        let rounds = NonZeroU32::new(rounds)
            .filter(|rounds| (FEWEST..=MOST).contains(&rounds.get()))
            .ok_or(Wrong::Rounds(rounds))?;
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{said},{without_proof}", self.bare);

        let salted = self.hash.salted(password, &salt, rounds);
        let client_key = self.hash.signed(&salted, b"Client Key");
        let stored = digest::digest(self.hash.digest(), client_key.as_ref());
        let signature = self.hash.signed(stored.as_ref(), signed.as_bytes());
        let proof: Zeroizing<Vec<u8>> =
            Zeroizing::new(client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect());
        let server_key = self.hash.signed(&salted, b"Server Key");
        let expected = self.hash.signed(server_key.as_ref(), signed.as_bytes());
        let message = format!("{without_proof},p={}", BASE64_STANDARD.encode(&*proof));
        Ok((message.into_bytes(), Last(expected.as_ref().to_vec())))
    }
}

impl Last {
    /// Whether the broker knows the password too.
    pub(super) fn proves(&self, said: &[u8]) -> Result<(), Wrong> {
        let said = std::str::from_utf8(said).map_err(|_| Wrong::Form)?;
        if let Some(error) = field(said, 'e') {
            return Err(Wrong::Said(error.chars().take(100).collect()));
        }
        let proof =
            field(said, 'v').and_then(|proof| BASE64_STANDARD.decode(proof).ok()).ok_or(Wrong::Form)?;
        constant_time::verify_slices_are_equal(&proof, &self.0).map_err(|_| Wrong::Proof)
    }
}

impl Hash {
    fn salted(self, password: &Redacted, salt: &[u8], rounds: NonZeroU32) -> Zeroizing<Vec<u8>> {
        let algorithm = match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        };
        let mut salted = Zeroizing::new(vec![0; self.digest().output_len()]);
        pbkdf2::derive(algorithm, rounds, salt, password.expose(), &mut salted);
        salted
    }

    fn signed(self, key: &[u8], message: &[u8]) -> hmac::Tag {
        let algorithm = match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), message)
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

fn field(said: &str, name: char) -> Option<&str> {
    said.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn first() -> First {
        First::new(Hash::Sha256, "user", NONCE.to_owned())
    }

    #[test]
    fn the_exchange_is_that_of_the_standard() {
        // RFC 7677, section 3.
        assert_eq!(first().message(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (message, last) = first().answer(SERVER.as_bytes(), &Redacted::from("pencil")).unwrap();
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(String::from_utf8(message).unwrap(), expected);
        assert_eq!(last.proves(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
        assert_eq!(last.proves(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="), Err(Wrong::Form));
        assert_eq!(last.proves(b"v=AAAA"), Err(Wrong::Proof));
        assert_eq!(last.proves(b"e=invalid-proof"), Err(Wrong::Said("invalid-proof".to_owned())));
    }

    #[test]
    fn a_broker_that_wants_too_little_or_too_much_gets_no_proof() {
        let answer = |said: &str| first().answer(said.as_bytes(), &Redacted::from("pencil")).map(|_| ());
        for (from, to, wrong) in [
            ("i=4096", "i=1", Wrong::Rounds(1)),
            ("i=4096", "i=0", Wrong::Rounds(0)),
            ("i=4096", "i=2000000000", Wrong::Rounds(2_000_000_000)),
            ("r=rOpr", "r=xOpr", Wrong::Form),
            ("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "", Wrong::Form),
            ("s=W22ZaJ0SNY7soEsUEjb6gQ==", "s=", Wrong::Form),
        ] {
            assert_eq!(answer(&SERVER.replace(from, to)), Err(wrong), "{to}");
        }
        assert_eq!(first().answer(&[0xff], &Redacted::from("p")).map(|_| ()), Err(Wrong::Form));
    }

    #[test]
    fn names_with_the_letters_of_the_protocol_are_written_so_that_they_end_nothing() {
        let first = First::new(Hash::Sha512, "a=b,c", "n".to_owned());
        assert_eq!(first.message(), b"n,,n=a=3Db=2Cc,r=n");
    }
}
