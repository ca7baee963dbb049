//! `AdmissionReview` v1: what the API server asks, and what it is told (credentials specification §8.7). Pure.
//!
//! Guarantees: a review of another version or without an identifier is refused; a denial is at most 2 KiB and warnings
//! are cut, so that the API server takes both.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::shortened;

/// What is asked.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Request {
    /// Comes back in the answer.
    pub(super) uid: String,
    /// What kind of object it is about.
    pub(super) resource: Resource,
    /// The part of it, as `status`; empty for the object itself.
    pub(super) sub_resource: String,
    /// Its namespace.
    pub(super) namespace: String,
    /// What is done to it.
    pub(super) operation: String,
    /// As it would be.
    pub(super) object: Value,
    /// As it was.
    pub(super) old_object: Value,
}

/// A kind of object, by the name in its URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Resource {
    /// API group, empty for the core.
    pub(super) group: String,
    /// API version.
    pub(super) version: String,
    /// Plural name.
    #[serde(rename = "resource")]
    pub(super) plural: String,
}

/// What the API server is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// Each makes it a denial.
    pub(super) denials: Vec<String>,
    /// What the user should know.
    pub(super) warnings: Vec<String>,
    /// Texts of the object that become others.
    pub(super) replacements: Vec<Replacement>,
}

/// One text of the object that becomes another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replacement {
    /// Where, as a JSON pointer.
    pub(super) pointer: String,
    /// What it becomes.
    pub(super) text: String,
}

/// Why a review is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum MalformedReview {
    /// No JSON, or other types.
    #[error("the body is no AdmissionReview")]
    Json(#[from] serde_json::Error),
    /// Another kind or version.
    #[error("the body is no AdmissionReview of admission.k8s.io/v1 with a request")]
    Kind,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    api_version: String,
    kind: String,
    request: Option<Request>,
}

const VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";
/// The longest denial (§8.7).
const LONGEST: usize = 2048;
/// The API server warns about longer warnings and cuts them when all together are longer than 4 KiB.
const LONGEST_WARNING: usize = 256;
const MOST_WARNINGS: usize = 12;

impl Request {
    /// Reads the body of a request.
    pub(super) fn read(body: &[u8]) -> Result<Self, MalformedReview> {
        let envelope: Envelope = serde_json::from_slice(body)?;
        if envelope.api_version != VERSION || envelope.kind != KIND {
            return Err(MalformedReview::Kind);
        }
        envelope.request.filter(|request| !request.uid.is_empty()).ok_or(MalformedReview::Kind)
    }
}

impl Answer {
    /// A denial.
    pub(super) fn denied(why: impl Into<String>) -> Self {
        Self { denials: vec![why.into()], ..Self::default() }
    }

    /// Whether the object may be.
    pub(super) fn admits(&self) -> bool {
        self.denials.is_empty()
    }

    /// The review that carries it.
    pub(super) fn review(&self, uid: &str) -> Value {
        let mut response =
            Map::from_iter([("uid".to_owned(), json!(uid)), ("allowed".to_owned(), json!(self.admits()))]);
        let mut say = |name: &str, value: Value| response.insert(name.to_owned(), value);
        if !self.admits() {
            let message = shortened(&self.denials.join("\n"), LONGEST);
            say("status", json!({"code": 403, "reason": "Forbidden", "message": message}));
        } else if !self.replacements.is_empty() {
            let replace =
                |one: &Replacement| json!({"op": "replace", "path": one.pointer, "value": one.text});
            let patch: Vec<Value> = self.replacements.iter().map(replace).collect();
            say("patchType", json!("JSONPatch"));
            say("patch", json!(BASE64_STANDARD.encode(Value::from(patch).to_string())));
        }
        if !self.warnings.is_empty() {
            let told = self.warnings.iter().take(MOST_WARNINGS).map(|text| shortened(text, LONGEST_WARNING));
            say("warnings", told.collect::<Vec<_>>().into());
        }
        json!({"apiVersion": VERSION, "kind": KIND, "response": response})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(version: &str, uid: &str) -> Vec<u8> {
        json!({"apiVersion": version, "kind": "AdmissionReview", "request": {"uid": uid, "operation": "CREATE",
            "resource": {"group": "", "version": "v1", "resource": "pods"}, "namespace": "team-a",
            "object": {"kind": "Pod"}, "oldObject": null, "userInfo": {"username": "x"}}})
        .to_string()
        .into_bytes()
    }

    #[test]
    fn a_review_is_read_and_anything_else_is_refused() {
        let request = Request::read(&body(VERSION, "u-1")).unwrap();
        assert_eq!((request.uid.as_str(), request.resource.plural.as_str()), ("u-1", "pods"));
        assert!(request.sub_resource.is_empty() && request.old_object.is_null());
        for bad in [body("admission.k8s.io/v1beta1", "u"), body(VERSION, ""), b"{}".to_vec(), b"x".to_vec()] {
            assert!(Request::read(&bad).is_err());
        }
    }

    #[test]
    fn a_denial_carries_every_reason_and_no_patch() {
        let replacements = vec![Replacement { pointer: "/spec/containers/0/image".into(), text: "a".into() }];
        let answer = Answer { denials: vec!["one".into(), "two".into()], replacements, ..Answer::default() };
        let response = &answer.review("u")["response"];
        assert_eq!((&response["allowed"], &response["uid"]), (&json!(false), &json!("u")));
        assert_eq!(response["status"]["message"], "one\ntwo");
        assert!(response.get("patch").is_none());
    }

    #[test]
    fn a_patch_is_a_json_patch_in_base64() {
        let replacements = vec![Replacement { pointer: "/spec/a".into(), text: "b".into() }];
        let review = Answer { replacements, ..Answer::default() }.review("u");
        let patch = BASE64_STANDARD.decode(review["response"]["patch"].as_str().unwrap()).unwrap();
        let patch: Value = serde_json::from_slice(&patch).unwrap();
        assert_eq!(patch, json!([{"op": "replace", "path": "/spec/a", "value": "b"}]));
        assert_eq!(review["response"]["patchType"], "JSONPatch");
    }

    #[test]
    fn what_is_told_is_bounded_and_never_cut_inside_a_character() {
        let answer = Answer {
            denials: vec!["ä".repeat(2000)],
            warnings: vec!["ü".repeat(400); 40],
            replacements: Vec::new(),
        };
        let response = &answer.review("u")["response"];
        assert!(response["status"]["message"].as_str().unwrap().len() <= LONGEST);
        let warnings = response["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), MOST_WARNINGS);
        assert!(warnings.iter().all(|text| text.as_str().unwrap().len() <= LONGEST_WARNING));
    }
}
