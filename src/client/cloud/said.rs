//! What a cloud says when it refuses: a code and a message, out of the shapes that AWS (XML and JSON), Google and Azure
//! have for them. Pure. What has none of these shapes is shown as it is; nothing that was sent in secret is.

use serde_json::Value;

use crate::client::answer;
use crate::credential::{Credential, Redacted};

/// Code and message, fit to be shown.
pub(in crate::client) fn shown(body: &[u8], secrets: &[&Redacted]) -> String {
    let text = String::from_utf8_lossy(body);
    let said = in_json(body).or_else(|| in_xml(&text)).unwrap_or_else(|| text.into_owned());
    let said = secrets.iter().fold(said, |said, secret| secret.scrub(&said));
    answer::shown(said.as_bytes(), &Credential::Anonymous)
}

/// Whether a refusal is one of asking too often; AWS says that with status 400.
pub(in crate::client) fn is_throttling(said: &str) -> bool {
    const CODES: [&str; 6] = [
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "ProvisionedThroughputExceededException",
        "SlowDown",
    ];
    let code = said.split(':').next().unwrap_or_default();
    CODES.contains(&code.trim())
}

fn in_json(body: &[u8]) -> Option<String> {
    let Value::Object(object) = serde_json::from_slice(body).ok()? else { return None };
    // Google nests what it says of its APIs, ACR has a list; their token services do neither.
    let inner = match (object.get("error"), object.get("errors")) {
        (Some(Value::Object(inner)), _) => inner,
        (_, Some(Value::Array(errors))) => errors.first()?.as_object()?,
        _ => &object,
    };
    let text = |names: &[&str]| {
        names.iter().find_map(|name| inner.get(*name)?.as_str()).filter(|text| !text.is_empty())
    };
    let code = text(&["__type", "code", "Code", "status", "error"]);
    // `com.amazonaws.ecr#AccessDeniedException`
    let code = code.map(|code| code.rsplit('#').next().unwrap_or(code));
    joined(code, text(&["message", "Message", "error_description"]))
}

fn in_xml(text: &str) -> Option<String> {
    joined(element(text, "Code").as_deref(), element(text, "Message").as_deref())
}

fn joined(code: Option<&str>, message: Option<&str>) -> Option<String> {
    match (code, message) {
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (code, message) => code.or(message).map(str::to_owned),
    }
}

/// The text of the first element `name`, which has no attributes and no elements in it: so AWS writes its answers.
pub(super) fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    let text = entities.iter().fold(text.trim().to_owned(), |text, (entity, c)| text.replace(entity, c));
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_a_refusal_is_a_code_and_a_message() {
        let sts = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>Not \
                   &quot;you&quot;</Message></Error></ErrorResponse>";
        for (body, said) in [
            (sts, "AccessDenied: Not \"you\""),
            (
                r#"{"__type":"com.amazonaws.ecr#AccessDeniedException","Message":"no"}"#,
                "AccessDeniedException: no",
            ),
            (r#"{"code":"InvalidToken","message":"old"}"#, "InvalidToken: old"),
            (r#"{"error":"invalid_grant","error_description":"expired"}"#, "invalid_grant: expired"),
            (
                r#"{"error":{"code":403,"message":"denied","status":"PERMISSION_DENIED"}}"#,
                "PERMISSION_DENIED: denied",
            ),
            (r#"{"errors":[{"code":"UNAUTHORIZED","message":"no role"}]}"#, "UNAUTHORIZED: no role"),
            (r#"{"message":"alone"}"#, "alone"),
            ("plain\ntext", "plain text"),
            ("", ""),
            ("{}", "{}"),
        ] {
            assert_eq!(shown(body.as_bytes(), &[]), said);
        }
    }

    #[test]
    fn what_was_sent_in_secret_is_not_said() {
        let (one, two) = (Redacted::from("canary-1"), Redacted::from("canary-2"));
        let body = br#"{"message":"neither canary-1 nor canary-2 is good"}"#;
        assert_eq!(shown(body, &[&one, &two]), "neither [redacted] nor [redacted] is good");
    }

    #[test]
    fn throttling_is_told_by_its_code_alone() {
        assert!(is_throttling("ThrottlingException: Rate exceeded"));
        assert!(is_throttling("Throttling"));
        assert!(!is_throttling("AccessDenied: not because of Throttling"));
    }

    #[test]
    fn an_element_is_read_without_trust_in_its_frame() {
        assert_eq!(element("<a> b&amp;lt; </a>", "a").as_deref(), Some("b&lt;"));
        for xml in ["<a></a>", "<a>b", "a>b</a>", ""] {
            assert_eq!(element(xml, "a"), None, "{xml}");
        }
    }
}
