//! Secret bytes that cannot print (credentials specification §1.7, redaction).
//!
//! Guarantees: memory is zeroed when the value is dropped, `Debug` shows `[redacted]`, there is neither `Display`
//! nor `Serialize`, and equality takes the same time whatever the bytes are. Bytes and not text, because the
//! password in a docker config may be anything (§2.2); tokens come from JSON and are always text.
//!
//! Must not grow a convenience that copies the content anywhere.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};

use zeroize::Zeroizing;

/// What stands in place of a secret wherever text is shown.
pub const REDACTED: &str = "[redacted]";

/// A password or token.
#[derive(Clone)]
pub struct Redacted(Zeroizing<Vec<u8>>);

impl Redacted {
    /// The content; whoever calls this answers for where it goes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The content as text; bytes that are no UTF-8 (possible in passwords only) are replaced.
    pub fn expose_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// Whether there is no content at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces each occurrence of the secret in `text`, for answers of servers that echo what they were sent: as it
    /// is, inside a JSON text, and inside a URL or form.
    pub fn scrub(&self, text: &str) -> String {
        let Ok(secret) = std::str::from_utf8(&self.0) else { return text.to_owned() };
        if secret.is_empty() {
            return text.to_owned();
        }
        let json = Zeroizing::new(serde_json::Value::from(secret).to_string());
        let form: Zeroizing<String> = Zeroizing::new(url::form_urlencoded::byte_serialize(&self.0).collect());
        [secret, json.trim_matches('"'), &form]
            .into_iter()
            .fold(text.to_owned(), |text, written| text.replace(written, REDACTED))
    }
}

impl From<String> for Redacted {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text.into_bytes()))
    }
}

impl From<&str> for Redacted {
    fn from(text: &str) -> Self {
        Self(Zeroizing::new(text.as_bytes().to_vec()))
    }
}

impl From<&[u8]> for Redacted {
    fn from(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }
}

impl PartialEq for Redacted {
    fn eq(&self, other: &Self) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Redacted {}

impl Hash for Redacted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_slice().hash(state);
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_content_or_its_length() {
        assert_eq!(
            format!("{:?} {:#?}", Redacted::from("canary"), Redacted::from("c")),
            "[redacted] [redacted]"
        );
    }

    #[test]
    fn equality_compares_the_bytes() {
        assert_eq!(Redacted::from("canary"), Redacted::from("canary".to_owned()));
        assert_ne!(Redacted::from("canary"), Redacted::from("canarz"));
        assert_ne!(Redacted::from("canary"), Redacted::from("canar"));
        assert_eq!(Redacted::from(&b"\xff"[..]).expose(), b"\xff");
    }

    #[test]
    fn an_echoed_secret_is_scrubbed_and_an_empty_one_changes_nothing() {
        assert_eq!(Redacted::from("canary").scrub("bad token canary!"), "bad token [redacted]!");
        assert_eq!(Redacted::from("").scrub("text"), "text");
        let odd = Redacted::from("can\"ary\n/+");
        assert_eq!(odd.scrub(r#"{"password":"can\"ary\n/+"}"#), r#"{"password":"[redacted]"}"#);
        assert_eq!(odd.scrub("?password=can%22ary%0A%2F%2B&x=y"), "?password=[redacted]&x=y");
    }
}
