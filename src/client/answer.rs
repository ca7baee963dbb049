//! What a server said, made fit to be shown (credentials specification §1.7, redaction).
//!
//! Guarantees: at most 256 characters on one line, without the secrets that were sent and without anything that
//! looks like a JWT. Scrubbing comes before cutting, so that no half of a secret is left at the end.

use std::borrow::Cow;

use crate::credential::Credential;
use crate::credential::secret::REDACTED;

/// The body of an answer to a request that carried `credential`.
pub fn shown(body: &[u8], credential: &Credential) -> String {
    const LONGEST: usize = 256;
    let text = credential.scrub(&String::from_utf8_lossy(body));
    let text = without_jwts(&text);
    let one_line = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    one_line.take(LONGEST).collect()
}

/// Replaces words of the alphabet of JWTs that begin as every JWT does, with `{"` in base64.
fn without_jwts(text: &str) -> Cow<'_, str> {
    if !text.contains(JWT_START) {
        return Cow::Borrowed(text);
    }
    let is_of_jwt = |c: char| c.is_ascii_alphanumeric() || "-_.=".contains(c);
    let mut scrubbed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(JWT_START) {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|c| !is_of_jwt(c)).unwrap_or(from.len()));
        scrubbed.push_str(before);
        scrubbed.push_str(if word.contains('.') { REDACTED } else { word });
        rest = after;
    }
    scrubbed.push_str(rest);
    Cow::Owned(scrubbed)
}

const JWT_START: &str = "eyJ";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::Login;

    #[test]
    fn known_secrets_and_jwts_are_replaced() {
        let credential = Credential::Basic(Login { username: "user".into(), password: "canary".into() });
        let body = br#"{"error":"bad password canary","id_token":"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln","eyJ":"x"}"#;
        assert_eq!(
            shown(body, &credential),
            r#"{"error":"bad password [redacted]","id_token":"[redacted]","eyJ":"x"}"#
        );
    }

    #[test]
    fn long_texts_are_cut_after_they_were_scrubbed() {
        let credential = Credential::RegistryToken("canary".repeat(10).as_str().into());
        let body = format!("{}{}{}", "x".repeat(250), "canary".repeat(10), "y".repeat(1000));
        assert_eq!(shown(body.as_bytes(), &credential), format!("{}[redac", "x".repeat(250)));
    }

    #[test]
    fn the_answer_stays_on_one_line() {
        assert_eq!(shown(b" a\r\nb\x1b[31m\xff ", &Credential::Anonymous), "a  b [31m\u{fffd}");
    }
}
