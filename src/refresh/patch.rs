//! What is written to a Secret: merge patches that change the content and our own annotations, and nothing else
//! (credentials specification §6.4). Pure.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::held::{CONTENT, STATUS};
use super::reason::Reason;
use super::request::{PREFIX, Request, short_hash};
use crate::client::exchange::RegistryToken;

/// What fits into annotation `message`.
const LONGEST_MESSAGE: usize = 256;

/// The Secret with a new token, if it is still at `version`.
pub fn filled(version: &str, config: &str, token: &RegistryToken, request: &Request) -> Value {
    let annotations = annotations([
        ("expires-at", rounded(token.expires_at).into()),
        ("refreshed-at", rounded(token.issued_at).into()),
        ("status", Reason::Ready.as_str().into()),
        ("message", Value::Null),
        ("token-hash", short_hash(token.token.expose()).into()),
        ("request-hash", request.fingerprint().into()),
    ]);
    json!({
        "metadata": {"resourceVersion": version, "annotations": annotations},
        "data": {CONTENT: BASE64_STANDARD.encode(config)},
    })
}

/// What is wrong, noted beside the content.
pub fn told(reason: Reason, message: &str) -> Value {
    let annotations = annotations([("status", reason.as_str().into()), ("message", message.into())]);
    json!({"metadata": {"annotations": annotations}})
}

/// Without our annotations.
pub fn released(version: &str) -> Value {
    let annotations = annotations(STATUS.map(|name| (name, Value::Null)));
    json!({"metadata": {"resourceVersion": version, "annotations": annotations}})
}

/// As much of a text as fits into the annotation.
pub fn message(text: &str) -> String {
    if text.chars().count() <= LONGEST_MESSAGE {
        return text.to_owned();
    }
    let cut: String = text.chars().take(LONGEST_MESSAGE - 1).collect();
    format!("{cut}…")
}

fn annotations<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (format!("{PREFIX}{name}"), value)).collect()
}

/// Whole seconds, as Kubernetes writes times.
fn rounded(at: jiff::Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::credential::Redacted;

    #[test]
    fn a_filled_secret_has_the_content_and_what_is_needed_to_judge_it_later() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let (token, expires_at) = (Redacted::from("t"), now + SignedDuration::from_millis(3_600_500));
        let token = RegistryToken { token, issued_at: now, expires_at };
        let asked = BTreeMap::from([(format!("{PREFIX}identity"), "uid".to_owned())]);
        let request = Request::of(&asked).unwrap().unwrap();
        let patch = filled("7", "{}", &token, &request);
        let annotations = patch["metadata"]["annotations"].as_object().unwrap();
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        assert_eq!(patch["data"], json!({CONTENT: "e30="}));
        assert_eq!(annotations[&format!("{PREFIX}expires-at")], "2023-11-14T23:13:20Z");
        assert_eq!(annotations[&format!("{PREFIX}status")], "Ready");
        assert_eq!(annotations[&format!("{PREFIX}message")], Value::Null, "an old one goes");
        assert_eq!(annotations.len(), STATUS.len());
        assert!(!annotations.values().any(|value| value == "uid"));
    }

    #[test]
    fn what_is_taken_away_is_everything_of_ours_and_nothing_else() {
        let patch = released("7");
        let annotations = patch["metadata"]["annotations"].as_object().unwrap();
        assert!(
            annotations.values().all(Value::is_null)
                && !annotations.contains_key(&format!("{PREFIX}identity"))
        );
        assert!(patch.get("data").is_none() && told(Reason::Expired, "x").get("data").is_none());
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        assert_eq!(message("short"), "short");
        let cut = message(&"é".repeat(400));
        assert!(cut.chars().count() == 256 && cut.ends_with("é…"));
    }
}
