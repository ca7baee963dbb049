//! The `auth` field and logins (credentials specification §2.2, §2.4).
//!
//! Guarantees: passwords stay byte for byte as they were (less trailing NUL bytes in `auth`, as docker does), and
//! what is refused is refused with a reason that repeats nothing of it.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::credential::{Credential, Login, Redacted};

/// Why an `auth` field or a login cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::credential) enum MalformedAuth {
    /// No base64, or no colon inside.
    #[error("auth is not base64(user:password)")]
    NotUserPassword,
    /// base64 of base64.
    #[error("auth looks double-encoded: it must be base64(user:password) once")]
    DoubleEncoded,
    /// Nothing in front of the colon.
    #[error("empty username")]
    EmptyUsername,
    /// Nothing behind it.
    #[error("empty password")]
    EmptyPassword,
    /// Names must be text.
    #[error("the username is not UTF-8")]
    UsernameNotText,
}

/// Decodes `auth`: blanks around it are dropped, the first colon parts name and password.
pub(in crate::credential) fn decode(auth: &[u8]) -> Result<Login, MalformedAuth> {
    let decoded = decode_base64(auth).ok_or(MalformedAuth::NotUserPassword)?;
    let Some((username, password)) = split_at_colon(&decoded) else {
        let twice = decode_base64(&decoded).is_some_and(|inner| split_at_colon(&inner).is_some());
        return Err(if twice { MalformedAuth::DoubleEncoded } else { MalformedAuth::NotUserPassword });
    };
    let end = password.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    login(username, password.get(..end).unwrap_or_default())
}

/// A login whose two parts are not empty: with an empty one, other tools silently go anonymous.
pub(super) fn login(username: &[u8], password: &[u8]) -> Result<Login, MalformedAuth> {
    let username = std::str::from_utf8(username).map_err(|_| MalformedAuth::UsernameNotText)?;
    if username.is_empty() {
        return Err(MalformedAuth::EmptyUsername);
    }
    if password.is_empty() {
        return Err(MalformedAuth::EmptyPassword);
    }
    Ok(Login { username: username.to_owned(), password: Redacted::from(password) })
}

/// Whether the password that goes with `_json_key` is something else than a Google key.
pub(super) fn is_suspicious_json_key(credential: &Credential) -> bool {
    #[derive(Deserialize)]
    struct GoogleKey<'a> {
        #[serde(borrow, rename = "client_email")]
        _client_email: std::borrow::Cow<'a, str>,
    }
    match credential {
        Credential::Basic(login) if login.username == "_json_key" => {
            serde_json::from_slice::<GoogleKey<'_>>(login.password.expose()).is_err()
        }
        _ => false,
    }
}

/// Line breaks inside are dropped as in MIME, since `base64` wraps at 76 columns unless told otherwise.
fn decode_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = text.trim_ascii();
    let joined: Zeroizing<Vec<u8>> =
        Zeroizing::new(text.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect());
    STANDARD_ANY_PADDING.decode(&*joined).ok().map(Zeroizing::new)
}

fn split_at_colon(decoded: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some((decoded.get(..colon)?, decoded.get(colon + 1..)?))
}

/// The standard alphabet; padding may be missing.
pub(super) const STANDARD_ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn decoded(auth: &str) -> Result<(String, Vec<u8>), MalformedAuth> {
        decode(auth.as_bytes()).map(|login| (login.username, login.password.expose().to_vec()))
    }

    fn pair(username: &str, password: &[u8]) -> (String, Vec<u8>) {
        (username.to_owned(), password.to_vec())
    }

    #[test]
    fn every_row_of_the_auth_table_without_an_identity_token() {
        for (auth, expected) in [
            ("dXNlcjpwYXNz", Ok(pair("user", b"pass"))),
            ("dXNlcjpwYXNzMQ==", Ok(pair("user", b"pass1"))),
            ("dXNlcjpwYXNzMQ", Ok(pair("user", b"pass1"))),
            ("dXNlcjpwOmE=", Ok(pair("user", b"p:a"))),
            ("dXNlcg==", Err(MalformedAuth::NotUserPassword)),
            ("!!!", Err(MalformedAuth::NotUserPassword)),
            (" dXNlcjpwYXNz", Ok(pair("user", b"pass"))),
            ("dXNlcjpw\r\nYXNz\n", Ok(pair("user", b"pass"))),
        ] {
            assert_eq!(decoded(auth), expected, "{auth}");
        }
        for (inner, expected) in [
            (&b"user:"[..], Err(MalformedAuth::EmptyPassword)),
            (b":pw", Err(MalformedAuth::EmptyUsername)),
            (b"user:pw\0\0", Ok(pair("user", b"pw"))),
            (b"user:\0", Err(MalformedAuth::EmptyPassword)),
            (b"user:p\0w", Ok(pair("user", b"p\0w"))),
            (b"user:\xff\xfe", Ok(pair("user", b"\xff\xfe"))),
            (b"\xff:pw", Err(MalformedAuth::UsernameNotText)),
            (b"dXNlcjpwYXNz", Err(MalformedAuth::DoubleEncoded)),
        ] {
            assert_eq!(decoded(&STANDARD.encode(inner)), expected, "{inner:?}");
        }
    }

    #[test]
    fn a_json_key_is_suspicious_unless_it_is_json_with_a_client_email() {
        let credential = |username: &str, password: &str| {
            Credential::Basic(Login { username: username.into(), password: password.into() })
        };
        assert!(is_suspicious_json_key(&credential("_json_key", "hunter2")));
        assert!(is_suspicious_json_key(&credential("_json_key", "{}")));
        let key = "{\n  \"type\": \"service_account\",\n  \"client_email\": \"a@b\"\n}\n";
        assert!(!is_suspicious_json_key(&credential("_json_key", key)));
        assert!(!is_suspicious_json_key(&credential("user", "hunter2")));
    }
}
