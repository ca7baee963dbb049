//! The tokens out of an answer of a token endpoint, checked. Pure.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{Error, Relation};
use crate::credential::Redacted;
use crate::identity::token::IdentityToken;

/// What a login is worth.
pub struct Granted {
    /// Who logged in.
    pub identity: IdentityToken,
    /// What brings the next identity token, where the provider gives that.
    pub refresh_token: Option<Redacted>,
}

/// Why an identity token is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is none, or it is none.
    #[error("there is none in the answer")]
    Missing,
    /// Of another issuer.
    #[error("another issuer made it")]
    Issuer,
    /// For another client.
    #[error("it is for another client")]
    Audience,
    /// Of the past.
    #[error("it has ended")]
    Ended,
    /// The answer to another question.
    #[error("it answers another login")]
    Nonce,
}

#[derive(Deserialize)]
struct Answer {
    id_token: Option<String>,
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct Nonce {
    nonce: Option<String>,
}

/// Reads an answer of status 200.
pub(super) fn read(
    body: &[u8],
    relation: &Relation,
    nonce: Option<&str>,
    now: Timestamp,
) -> Result<Granted, Error> {
    let refused = |problem| Error::Token { issuer: relation.issuer.clone(), problem };
    let answer: Answer = serde_json::from_slice(body).map_err(|_| refused(Problem::Missing))?;
    let refresh_token = answer.refresh_token.map(Redacted::from).filter(|token| !token.is_empty());
    let text = answer.id_token.map(Zeroizing::new).ok_or_else(|| refused(Problem::Missing))?;
    let identity = IdentityToken::parse(&text).map_err(|_| refused(Problem::Missing))?;
    let claims = identity.claims();
    if claims.issuer.as_deref() != Some(&relation.issuer) {
        return Err(refused(Problem::Issuer));
    }
    if !claims.audience.contains(&relation.client) {
        return Err(refused(Problem::Audience));
    }
    if claims.expiry <= now {
        return Err(refused(Problem::Ended));
    }
    if nonce.is_some() && nonce != claimed_nonce(&text).as_deref() {
        return Err(refused(Problem::Nonce));
    }
    Ok(Granted { identity, refresh_token })
}

fn claimed_nonce(token: &str) -> Option<String> {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    serde_json::from_slice::<Nonce>(&payload).ok()?.nonce
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    fn relation() -> Relation {
        Relation { issuer: "https://login.example".into(), client: "hallmark".into() }
    }

    fn claims() -> Value {
        json!({"iss": "https://login.example", "sub": "ada", "aud": "hallmark", "exp": 1_700_000_060, "nonce": "n"})
    }

    fn answer(claims: &Value) -> Value {
        let token = crate::identity::token::tests::token(claims);
        json!({"id_token": token, "access_token": "a", "refresh_token": "r"})
    }

    fn problem(answer: &Value, nonce: Option<&str>) -> Option<Problem> {
        match read(answer.to_string().as_bytes(), &relation(), nonce, now()) {
            Ok(_) => None,
            Err(Error::Token { problem, .. }) => Some(problem),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_token_for_this_login_is_taken_with_what_renews_it() {
        let granted = read(answer(&claims()).to_string().as_bytes(), &relation(), Some("n"), now()).unwrap();
        assert_eq!(granted.identity.claims().subject, "ada");
        assert_eq!(granted.refresh_token, Some(Redacted::from("r")));
        assert_eq!(problem(&answer(&claims()), None), None, "a renewal answers no question");
    }

    #[test]
    fn a_token_of_somebody_else_or_of_another_time_is_not() {
        let with = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            answer(&claims)
        };
        for (answer, expected) in [
            (with("iss", json!("https://evil.example")), Problem::Issuer),
            (with("iss", json!(null)), Problem::Issuer),
            (with("aud", json!(["other"])), Problem::Audience),
            (with("exp", json!(1_700_000_000)), Problem::Ended),
            (with("nonce", json!("other")), Problem::Nonce),
            (with("nonce", json!(null)), Problem::Nonce),
            (json!({"access_token": "a"}), Problem::Missing),
            (json!({"id_token": "canary"}), Problem::Missing),
            (json!([]), Problem::Missing),
        ] {
            assert_eq!(problem(&answer, Some("n")), Some(expected), "{answer}");
        }
    }
}
