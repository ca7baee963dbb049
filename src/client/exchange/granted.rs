//! What a token service grants: the token out of its answer, when it ends, and whether it is the one that was asked
//! for (credentials specification §6.3). Pure.
//!
//! Must not trust: the claims of a token only ever shorten its use, or refuse it.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

use crate::credential::Redacted;

/// A token that says nothing about its end is taken to last so long.
const USUAL_LIFETIME: SignedDuration = SignedDuration::from_hours(1);
const SHORTEST_USE: SignedDuration = SignedDuration::from_secs(60);

/// A token for a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryToken {
    /// The token.
    pub token: Redacted,
    /// When it was granted, by our clock.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Why an answer is no token for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not the JSON that was expected.
    #[error("it has no token")]
    NoToken,
    /// A header or a docker config could not carry it.
    #[error("its token has characters that no token has")]
    NotText,
    /// It ended, or will before anybody can use it.
    #[error("its token ends too soon")]
    TooShort,
    /// It is for another registry.
    #[error("its token is not for the audience that was asked for")]
    Audience,
}

impl Problem {
    pub(super) fn hint(self) -> Option<&'static str> {
        match self {
            Self::TooShort => Some("see that the clocks agree"),
            Self::Audience => Some("see that the identity may be used for this registry"),
            Self::NoToken | Self::NotText => None,
        }
    }
}

/// Reads an answer of status 200.
pub(super) fn read(body: &[u8], audience: &str, now: Timestamp) -> Result<RegistryToken, Problem> {
    let mut answer: Answer = serde_json::from_slice(body).map_err(|_| Problem::NoToken)?;
    let text = answer.take_token().ok_or(Problem::NoToken)?;
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Problem::NotText);
    }
    let claims = claims(&text);
    let claimed = claims.as_ref().and_then(|claims| seconds(claims.exp));
    let said = answer.ends_at(now);
    let expires_at = match (claimed, said) {
        (Some(claimed), Some(said)) => claimed.min(said),
        (one, other) => one.or(other).unwrap_or(now.saturating_add(USUAL_LIFETIME).unwrap_or(Timestamp::MAX)),
    };
    if let Some(claims) = &claims {
        if claims.aud.as_ref().is_some_and(|aud| !aud.contains(audience)) {
            return Err(Problem::Audience);
        }
        let begin = seconds(claims.iat).unwrap_or(now);
        let enough = SHORTEST_USE.min(expires_at.duration_since(begin) / 2);
        if expires_at.duration_since(now) <= enough {
            return Err(Problem::TooShort);
        }
    }
    if expires_at <= now {
        return Err(Problem::TooShort);
    }
    Ok(RegistryToken { token: Redacted::from(text.as_str()), issued_at: now, expires_at })
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<f64>,
    expiry: Option<String>,
}

impl Answer {
    fn take_token(&mut self) -> Option<Zeroizing<String>> {
        let token = self.token.take().filter(|token| !token.is_empty());
        token.or_else(|| self.access_token.take().filter(|token| !token.is_empty())).map(Zeroizing::new)
    }

    fn ends_at(&self, now: Timestamp) -> Option<Timestamp> {
        let after = self.expires_in.and_then(|after| SignedDuration::try_from_secs_f64(after).ok());
        let after = after.and_then(|after| now.checked_add(after).ok());
        after.or_else(|| self.expiry.as_deref()?.parse().ok())
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.token.zeroize();
        self.access_token.zeroize();
    }
}

/// What a token claims, if it is a JWT at all.
#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
    iat: Option<f64>,
    aud: Option<Audience>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn contains(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::Many(many) => many.iter().any(|one| one == wanted),
        }
    }
}

fn claims(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let decoded = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?);
    serde_json::from_slice(&decoded).ok()
}

fn seconds(number: Option<f64>) -> Option<Timestamp> {
    Timestamp::from_duration(SignedDuration::try_from_secs_f64(number?).ok()?).ok()
}

impl RegistryToken {
    /// How long it lives in all.
    pub fn lifetime(&self) -> SignedDuration {
        self.expires_at.duration_since(self.issued_at)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn now() -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    fn jwt(claims: &Value) -> String {
        format!("eyJhbGciOiJFUzI1NiJ9.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    fn end(answer: &Value) -> Result<i64, Problem> {
        let token = read(answer.to_string().as_bytes(), "cgr.dev", now())?;
        Ok(token.expires_at.duration_since(now()).as_secs())
    }

    #[test]
    fn the_end_comes_from_the_token_else_from_the_answer_else_it_is_an_hour() {
        let token = jwt(&json!({"exp": NOW + 900, "iat": NOW, "aud": ["cgr.dev"]}));
        assert_eq!(end(&json!({"token": token})), Ok(900));
        assert_eq!(end(&json!({"token": token, "expires_in": 300})), Ok(300), "the sooner one counts");
        assert_eq!(end(&json!({"access_token": "opaque", "expires_in": 120})), Ok(120));
        assert_eq!(end(&json!({"token": "opaque", "expiry": "2023-11-14T22:23:20Z"})), Ok(600));
        assert_eq!(end(&json!({"token": "opaque"})), Ok(3600));
    }

    #[test]
    fn a_token_for_another_registry_is_refused() {
        let with = |aud: Value| end(&json!({"token": jwt(&json!({"exp": NOW + 900, "aud": aud}))}));
        assert_eq!(with(json!("cgr.dev")), Ok(900));
        assert_eq!(with(json!(["other", "cgr.dev"])), Ok(900));
        assert_eq!(with(json!(["cgr.dev.example"])), Err(Problem::Audience));
        assert_eq!(with(json!([])), Err(Problem::Audience));
    }

    #[test]
    fn a_token_must_live_longer_than_a_minute_or_half_of_its_life() {
        let with = |iat: i64, exp: i64| {
            end(&json!({"token": jwt(&json!({"iat": NOW + iat, "exp": NOW + exp, "aud": "cgr.dev"}))}))
        };
        assert_eq!(with(0, 5), Ok(5), "short-lived as it is meant to be");
        assert_eq!(with(-3500, 61), Ok(61));
        assert_eq!(with(-3500, 60), Err(Problem::TooShort));
        assert_eq!(with(-10, 10), Err(Problem::TooShort));
        assert_eq!(with(0, -1), Err(Problem::TooShort));
        assert_eq!(end(&json!({"token": "opaque", "expires_in": 0})), Err(Problem::TooShort));
    }

    #[test]
    fn what_is_no_token_is_refused_whatever_it_is() {
        for answer in [json!({}), json!({"token": ""}), json!([1]), json!({"token": 5}), json!("x")] {
            assert_eq!(end(&answer), Err(Problem::NoToken), "{answer}");
        }
        for token in ["with blank", "new\nline", "umläut"] {
            assert_eq!(end(&json!({"token": token})), Err(Problem::NotText), "{token}");
        }
    }
}
