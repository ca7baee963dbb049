//! The JSON around the entries: which of the two historical shapes it has, and its bounds
//! (credentials specification §2.6).
//!
//! Entries stay raw here, so that a defect in one is a matter of that one alone.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Helpers;
use crate::credential::ProblemCode;

/// More bytes than this are not read: the limit of Kubernetes for a Secret.
pub(super) const LARGEST: usize = 1 << 20;

/// More entries than this are not read.
const MOST_ENTRIES: usize = 1000;

/// Where the entries stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `{"auths": {key: entry}}`.
    Config,
    /// `{key: entry}`.
    Legacy,
}

/// A docker config of either shape.
pub(super) struct Document<'a> {
    pub(super) shape: Shape,
    pub(super) entries: Object<'a>,
    /// Nothing if they are not what docker writes there.
    pub(super) helpers: Option<Helpers>,
}

type Object<'a> = BTreeMap<String, &'a RawValue>;

/// Why a document cannot be read at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum MalformedDocument {
    /// The position of the first error; the parser's message is left out, as it may repeat content.
    #[error("not valid JSON at line {line}, column {column}")]
    Syntax { line: usize, column: usize },
    /// Some other JSON.
    #[error("must be a JSON object")]
    NotAnObject,
    /// `auths` is a list or a text.
    #[error("auths must be an object")]
    AuthsNotAnObject,
    /// Bytes that are no text.
    #[error("not UTF-8 text")]
    NotText,
    /// Beyond the limits.
    #[error("larger than 1 MiB or more than 1000 entries")]
    TooLarge,
}

impl MalformedDocument {
    pub(super) fn code(self) -> ProblemCode {
        match self {
            Self::TooLarge => ProblemCode::TooLarge,
            _ => ProblemCode::MalformedJSON,
        }
    }
}

impl Shape {
    /// What to say when the content has the other shape.
    pub(super) fn mismatch(self) -> &'static str {
        match self {
            Self::Config => "the entries stand outside of \"auths\", as in a .dockercfg; they were read",
            Self::Legacy => "the entries stand inside \"auths\", as in a config.json; they were read",
        }
    }
}

impl<'a> Document<'a> {
    /// Reads a document that should have the shape `expected`.
    pub(super) fn parse(content: &'a [u8], expected: Shape) -> Result<Self, MalformedDocument> {
        if content.len() > LARGEST {
            return Err(MalformedDocument::TooLarge);
        }
        let text = std::str::from_utf8(content).map_err(|_| MalformedDocument::NotText)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut whole = object(text)?.ok_or(MalformedDocument::NotAnObject)?;
        let helpers = helpers_of(&mut whole);
        let (shape, entries) = match take(&mut whole, "auths") {
            Some(auths) => (Shape::Config, entries_of(auths)?),
            None if expected == Shape::Legacy => (Shape::Legacy, whole),
            None => {
                whole.retain(|key, value| looks_like_a_host(key) && value.get().starts_with('{'));
                (if whole.is_empty() { Shape::Config } else { Shape::Legacy }, whole)
            }
        };
        // An empty `auths` under the legacy type is a placeholder, not a mistake worth a warning.
        let shape = if entries.is_empty() { expected } else { shape };
        if entries.len() > MOST_ENTRIES {
            return Err(MalformedDocument::TooLarge);
        }
        Ok(Self { shape, entries, helpers })
    }
}

/// The members of a JSON object; `None` for other valid JSON.
fn object(text: &str) -> Result<Option<Object<'_>>, MalformedDocument> {
    match serde_json::from_str::<Object<'_>>(text) {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.is_data() => Ok(None),
        Err(error) => Err(MalformedDocument::Syntax { line: error.line(), column: error.column() }),
    }
}

fn entries_of(auths: &RawValue) -> Result<Object<'_>, MalformedDocument> {
    match auths.get() {
        "null" => Ok(Object::new()),
        text => object(text)?.ok_or(MalformedDocument::AuthsNotAnObject),
    }
}

/// Removes the member called `name`, in whatever case it is written.
fn take<'a>(object: &mut Object<'a>, name: &str) -> Option<&'a RawValue> {
    let key = object.keys().find(|key| key.eq_ignore_ascii_case(name))?.clone();
    object.remove(&key)
}

fn helpers_of(whole: &mut Object<'_>) -> Option<Helpers> {
    let default: Option<String> = member(whole, "credsStore")?;
    let by_registry: Option<BTreeMap<String, String>> = member(whole, "credHelpers")?;
    Some(Helpers {
        default: default.filter(|name| !name.is_empty()),
        by_registry: by_registry.unwrap_or_default(),
    })
}

/// The member called `name`, `Some(None)` if it is absent or null, and `None` if it has another type.
#[expect(clippy::option_option, reason = "absent and malformed are different things here, and both are used")]
fn member<T: DeserializeOwned>(whole: &mut Object<'_>, name: &str) -> Option<Option<T>> {
    take(whole, name).map_or(Some(None), |value| serde_json::from_str(value.get()).ok())
}

/// Tells registries from the settings that a docker config has beside `auths`.
fn looks_like_a_host(key: &str) -> bool {
    key.contains(['.', ':', '/']) || key == "localhost"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, expected: Shape) -> Result<(Shape, Vec<String>), MalformedDocument> {
        Document::parse(text.as_bytes(), expected)
            .map(|document| (document.shape, document.entries.into_keys().collect()))
    }

    fn keys(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn both_shapes_are_found_under_either_expectation() {
        let (config, legacy) = (r#"{"auths":{"ghcr.io":{}}}"#, r#"{"ghcr.io":{},"HttpHeaders":{}}"#);
        assert_eq!(parsed(config, Shape::Config), Ok((Shape::Config, keys(&["ghcr.io"]))));
        assert_eq!(parsed(config, Shape::Legacy), Ok((Shape::Config, keys(&["ghcr.io"]))));
        assert_eq!(parsed(legacy, Shape::Config), Ok((Shape::Legacy, keys(&["ghcr.io"]))));
        assert_eq!(parsed(legacy, Shape::Legacy), Ok((Shape::Legacy, keys(&["HttpHeaders", "ghcr.io"]))));
    }

    #[test]
    fn a_byte_order_mark_and_the_case_of_auths_do_not_matter() {
        assert_eq!(
            parsed("\u{feff}{\"Auths\":{\"ghcr.io\":{}}}", Shape::Config),
            Ok((Shape::Config, keys(&["ghcr.io"])))
        );
    }

    #[test]
    fn placeholders_are_empty_documents_of_the_expected_shape() {
        for text in ["{}", r#"{"auths":{}}"#, r#"{"auths":null}"#, r#"{"HttpHeaders":{"a":"b"}}"#] {
            assert_eq!(parsed(text, Shape::Config), Ok((Shape::Config, keys(&[]))), "{text}");
        }
        assert_eq!(parsed(r#"{"auths":{}}"#, Shape::Legacy), Ok((Shape::Legacy, keys(&[]))));
    }

    #[test]
    fn helpers_of_another_type_are_told_from_none_at_all() {
        let helpers =
            |text: &str| Document::parse(text.as_bytes(), Shape::Config).map(|document| document.helpers);
        for text in ["{}", r#"{"credsStore":"","credHelpers":null}"#] {
            assert_eq!(helpers(text), Ok(Some(Helpers::default())), "{text}");
        }
        for text in
            [r#"{"credsStore":7}"#, r#"{"credHelpers":["gcloud"]}"#, r#"{"credHelpers":{"gcr.io":{}}}"#]
        {
            assert_eq!(helpers(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn syntax_errors_have_a_position_and_repeat_nothing() {
        let error = parsed("{\"auths\":\n {\"ghcr.io\": canary", Shape::Config).unwrap_err();
        assert_eq!(error, MalformedDocument::Syntax { line: 2, column: 14 });
        assert!(!error.to_string().contains("canary"));
    }

    #[test]
    fn other_json_is_named_for_what_it_is_not() {
        for text in ["[]", "\"canary\"", "null", "7"] {
            assert_eq!(parsed(text, Shape::Config), Err(MalformedDocument::NotAnObject), "{text}");
        }
        for text in [r#"{"auths":[]}"#, r#"{"auths":"canary"}"#] {
            assert_eq!(parsed(text, Shape::Config), Err(MalformedDocument::AuthsNotAnObject), "{text}");
        }
        assert_eq!(Document::parse(b"{\"\xff\":1}", Shape::Config).err(), Some(MalformedDocument::NotText));
    }

    #[test]
    fn one_more_than_the_limits_is_too_large() {
        let entries = |count: usize| {
            let entries: Vec<String> = (0..count).map(|n| format!("\"r{n}.example\":{{}}")).collect();
            format!("{{\"auths\":{{{}}}}}", entries.join(","))
        };
        assert_eq!(parsed(&entries(1000), Shape::Config).unwrap().1.len(), 1000);
        assert_eq!(parsed(&entries(1001), Shape::Config), Err(MalformedDocument::TooLarge));
        let padded = |size: usize| format!("{{}}{}", " ".repeat(size - 2));
        assert!(parsed(&padded(1 << 20), Shape::Config).is_ok());
        assert_eq!(parsed(&padded((1 << 20) + 1), Shape::Config), Err(MalformedDocument::TooLarge));
    }
}
