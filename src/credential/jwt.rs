//! The expiry that a bearer token claims, read without trust (credentials specification §2.5, §5.6).
//!
//! A claimed expiry may only ever shorten the use of a token, so the signature does not matter here. Anything that
//! is no JWT simply claims nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;

/// The `exp` that `token` claims, when it is a JWT that has one.
pub fn unverified_expiry(token: &[u8]) -> Option<Timestamp> {
    let mut parts = token.split(|byte| *byte == b'.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let claims: UnverifiedClaims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    claims.exp?.timestamp()
}

#[derive(Deserialize)]
struct UnverifiedClaims {
    exp: Option<NumericDate>,
}

/// Seconds since 1970, which some issuers write with a fraction.
#[derive(Deserialize)]
#[serde(untagged)]
enum NumericDate {
    Seconds(i64),
    Fraction(f64),
}

impl NumericDate {
    fn timestamp(self) -> Option<Timestamp> {
        match self {
            Self::Seconds(seconds) => Timestamp::from_second(seconds).ok(),
            Self::Fraction(seconds) => {
                let since_1970 = jiff::SignedDuration::try_from_secs_f64(seconds).ok()?;
                Timestamp::from_duration(since_1970).ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> Vec<u8> {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims)).into_bytes()
    }

    #[test]
    fn whole_and_fractional_seconds_are_read() {
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(unverified_expiry(&token(r#"{"exp":1700000000}"#)), Some(at));
        assert_eq!(unverified_expiry(&token(r#"{"exp":1700000000.0,"sub":"x"}"#)), Some(at));
    }

    #[test]
    fn whatever_is_no_jwt_with_an_expiry_claims_nothing() {
        for claims in
            ["{}", "[]", r#"{"exp":"soon"}"#, r#"{"exp":9e99}"#, r#"{"exp":9223372036854775807}"#, ""]
        {
            assert_eq!(unverified_expiry(&token(claims)), None, "{claims}");
        }
        for text in ["", "opaque", "a.b", "a.b.c.d", "a.!!.c"] {
            assert_eq!(unverified_expiry(text.as_bytes()), None, "{text}");
        }
    }
}
