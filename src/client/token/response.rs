//! A token response: its fields, and how long the token serves (credentials specification §5.3, §5.6).
//!
//! Guarantees: what the token claims about itself can only shorten its use; no text from the response is in an
//! error. Pure, time is an argument.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::credential::{Redacted, jwt};

/// A bearer with its lifetime, and the identity token that replaces the one it was asked with.
#[derive(Debug)]
pub struct Token {
    /// What stands in the header.
    pub bearer: Redacted,
    /// Replaces the identity token that it was asked with.
    pub successor: Option<Redacted>,
    /// When it ends, at the latest.
    pub expires_at: Timestamp,
}

/// What is wrong with a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// Not JSON, or of other types than a token response has.
    NotJson,
    /// No field with a token.
    NoToken,
}

#[derive(Deserialize)]
struct Fields {
    token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<Seconds>,
    issued_at: Option<String>,
}

/// Some servers write numbers as texts.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Whole(i64),
    Fraction(f64),
    Text(String),
}

impl Token {
    /// Reads the body of a response that came `now`.
    pub fn parse(body: &[u8], now: Timestamp) -> Result<Self, Malformed> {
        let fields: Fields = serde_json::from_slice(body).map_err(|_| Malformed::NotJson)?;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty()).map(Redacted::from);
        let bearer = given(fields.access_token);
        let bearer = bearer.or_else(|| given(fields.token)).ok_or(Malformed::NoToken)?;
        let issued_at = fields.issued_at.and_then(|text| text.parse().ok());
        let lifetime = fields.expires_in.and_then(Seconds::positive).unwrap_or(DEFAULT_LIFETIME);
        let expires_at = expiry(issued_at, lifetime, now);
        let claimed = jwt::unverified_expiry(bearer.expose());
        Ok(Self {
            expires_at: claimed.map_or(expires_at, |claimed| claimed.min(expires_at)),
            successor: given(fields.refresh_token),
            bearer,
        })
    }
}

impl Seconds {
    /// The lifetime, at most ten years, which keeps sums of it within bounds; nothing if it is no time at all.
    fn positive(self) -> Option<SignedDuration> {
        const LONGEST: i64 = 10 * 365 * 24 * 3600;
        let seconds = match self {
            Self::Whole(seconds) => seconds,
            Self::Fraction(seconds) => SignedDuration::try_from_secs_f64(seconds).ok()?.as_secs(),
            Self::Text(text) => text.trim().parse().ok()?,
        };
        (seconds > 0).then(|| SignedDuration::from_secs(seconds.min(LONGEST)))
    }
}

/// The time of issue counts when it lies in the past by more than the clocks may differ (a token from a cache);
/// one that would make a token expired on arrival says that the clocks differ more, and does not count either.
fn expiry(issued_at: Option<Timestamp>, lifetime: SignedDuration, now: Timestamp) -> Timestamp {
    let after = |start: Timestamp| start.saturating_add(lifetime).unwrap_or(Timestamp::MAX);
    issued_at
        .filter(|issued_at| now.duration_since(*issued_at) > CLOCK_SKEW)
        .map(after)
        .filter(|expires_at| *expires_at > now)
        .unwrap_or_else(|| after(now))
}

/// When to fetch the next token: the larger of 10 s and a tenth of the lifetime before the end.
pub fn refresh_at(expires_at: Timestamp, now: Timestamp) -> Timestamp {
    let margin = (expires_at.duration_since(now) / 10).max(SMALLEST_MARGIN);
    expires_at.saturating_sub(margin).unwrap_or(now).max(now)
}

const DEFAULT_LIFETIME: SignedDuration = SignedDuration::from_secs(60);
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(30);
const SMALLEST_MARGIN: SignedDuration = SignedDuration::from_secs(10);

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T12:00:00Z".parse().unwrap()
    }

    fn token(body: &str) -> Token {
        Token::parse(body.as_bytes(), now()).unwrap()
    }

    fn lifetime(body: &str) -> i64 {
        token(body).expires_at.duration_since(now()).as_secs()
    }

    #[test]
    fn row_6_the_access_token_wins_over_the_token() {
        assert_eq!(token(r#"{"access_token":"A","token":"B"}"#).bearer.expose(), b"A");
        assert_eq!(token(r#"{"access_token":"","token":"B"}"#).bearer.expose(), b"B");
        assert_eq!(token(r#"{"access_token":null,"token":"B"}"#).bearer.expose(), b"B");
    }

    #[test]
    fn a_response_without_token_or_without_json_is_told_apart() {
        for body in ["{}", r#"{"token":""}"#, r#"{"refresh_token":"canary"}"#] {
            assert_eq!(Token::parse(body.as_bytes(), now()).unwrap_err(), Malformed::NoToken, "{body}");
        }
        for body in ["", "<html>", "[]", r#"{"token":7}"#, "\u{ff}"] {
            assert_eq!(Token::parse(body.as_bytes(), now()).unwrap_err(), Malformed::NotJson, "{body}");
        }
    }

    #[test]
    fn a_token_lives_60_seconds_unless_told_otherwise() {
        for (expires_in, expected) in [
            ("300", 300),
            ("\"300\"", 300),
            ("300.9", 300),
            ("null", 60),
            ("0", 60),
            ("-5", 60),
            ("1e300", 60),
            ("\"soon\"", 60),
            ("9223372036854775807", 10 * 365 * 24 * 3600),
        ] {
            assert_eq!(
                lifetime(&format!(r#"{{"token":"t","expires_in":{expires_in}}}"#)),
                expected,
                "{expires_in}"
            );
        }
        assert_eq!(lifetime(r#"{"token":"t"}"#), 60);
    }

    #[test]
    fn the_time_of_issue_counts_unless_the_clocks_disagree() {
        let lifetime_issued = |issued_at: &str| {
            lifetime(&format!(r#"{{"token":"t","expires_in":300,"issued_at":"{issued_at}"}}"#))
        };
        assert_eq!(lifetime_issued("2026-01-01T11:58:00Z"), 180, "from a cache");
        assert_eq!(lifetime_issued("2026-01-01T11:59:40Z"), 300, "within the tolerance");
        assert_eq!(lifetime_issued("2026-01-01T12:30:00Z"), 300, "the future cannot lengthen it");
        assert_eq!(lifetime_issued("2026-01-01T08:00:00Z"), 300, "no server hands out expired tokens");
        assert_eq!(lifetime_issued("2026-01-01T12:58:00+01:00"), 180, "with an offset");
        assert_eq!(lifetime_issued("yesterday"), 300);
    }

    #[test]
    fn a_claimed_expiry_can_only_shorten() {
        let at = |offset: i64| {
            let claims = format!(r#"{{"exp":{}}}"#, now().as_second() + offset);
            let body =
                format!(r#"{{"token":"e30.{}.c2ln","expires_in":300}}"#, URL_SAFE_NO_PAD.encode(claims));
            lifetime(&body)
        };
        assert_eq!(at(100), 100);
        assert_eq!(at(1000), 300);
        assert_eq!(at(-50), -50);
    }

    #[test]
    fn a_token_is_refreshed_before_it_ends() {
        let refreshed = |seconds: i64| {
            let expires_at = now() + SignedDuration::from_secs(seconds);
            refresh_at(expires_at, now()).duration_since(now()).as_secs()
        };
        assert_eq!(refreshed(3600), 3240);
        assert_eq!(refreshed(60), 50);
        assert_eq!(refreshed(5), 0);
        assert_eq!(refreshed(-5), 0);
        assert_eq!(refresh_at(Timestamp::MIN, now()), now());
    }

    #[test]
    fn no_secret_of_a_response_prints() {
        let token = token(r#"{"token":"canary","refresh_token":"canary"}"#);
        assert!(token.successor.is_some() && !format!("{token:?}").contains("canary"));
    }
}
