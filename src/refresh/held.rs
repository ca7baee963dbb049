//! A Secret as the updater sees it: what its owner asks for, what it holds, and what was noted in it (credentials
//! specification §6.2, §6.4). Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use zeroize::Zeroizing;

use super::reason::Reason;
use super::request::{Mistake, PREFIX, Request, short_hash};
use crate::credential::Redacted;

/// The annotations that the updater writes.
pub const STATUS: [&str; 6] =
    ["expires-at", "refreshed-at", "status", "message", "token-hash", "request-hash"];
/// The type whose content is a docker config.
pub const TYPE: &str = "kubernetes.io/dockerconfigjson";
/// The key of that content.
pub const CONTENT: &str = ".dockerconfigjson";

/// A Secret.
pub struct Held {
    /// Never used again, unlike names.
    pub uid: String,
    /// The version that was read.
    pub version: String,
    /// What its owner asks for.
    pub request: Result<Option<Request>, Mistake>,
    /// Whether it is of the type that can be filled.
    pub is_docker_config: bool,
    /// Whether it says that it must not be changed.
    pub is_immutable: bool,
    /// The docker config; empty when there is none.
    pub content: Zeroizing<Vec<u8>>,
    /// What was noted with the last token.
    pub noted: Noted,
}

/// The annotations of the updater, as they stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noted {
    /// When the token ends.
    pub expires_at: Option<Timestamp>,
    /// When it was granted.
    pub refreshed_at: Option<Timestamp>,
    /// The state.
    pub status: Option<String>,
    /// What it says about the state.
    pub message: Option<String>,
    /// Which token.
    pub token_hash: Option<String>,
    /// For which request.
    pub request_hash: Option<String>,
}

impl Held {
    /// Takes in what the API server returned.
    pub fn of(secret: Secret) -> Self {
        let annotations = secret.metadata.annotations.unwrap_or_default();
        let content = secret.data.and_then(|mut data| data.remove(CONTENT)).map(|content| content.0);
        Self {
            uid: secret.metadata.uid.unwrap_or_default(),
            version: secret.metadata.resource_version.unwrap_or_default(),
            request: Request::of(&annotations),
            is_docker_config: secret.type_.as_deref() == Some(TYPE),
            is_immutable: secret.immutable == Some(true),
            content: Zeroizing::new(content.unwrap_or_default()),
            noted: Noted::of(&annotations),
        }
    }
}

impl Noted {
    fn of(annotations: &BTreeMap<String, String>) -> Self {
        let read = |name: &str| annotations.get(&format!("{PREFIX}{name}")).cloned();
        let time = |name: &str| read(name).and_then(|text| text.parse().ok());
        Self {
            expires_at: time("expires-at"),
            refreshed_at: time("refreshed-at"),
            status: read("status"),
            message: read("message"),
            token_hash: read("token-hash"),
            request_hash: read("request-hash"),
        }
    }

    /// Whether nothing was ever noted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether this token is the one that was noted.
    pub fn is_of(&self, token: &Redacted) -> bool {
        self.token_hash.as_deref() == Some(short_hash(token.expose()).as_str())
    }

    /// Whether this state is what stands there.
    pub fn says(&self, reason: Reason, message: &str) -> bool {
        self.status.as_deref() == Some(reason.as_str())
            && self.message.as_deref().unwrap_or_default() == message
    }
}

/// Whether the annotations concern the updater at all: the request of a person, or what is left of ours.
pub fn concerns(annotations: &BTreeMap<String, String>) -> bool {
    annotations.keys().any(|key| key.starts_with(PREFIX))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn held(secret: serde_json::Value) -> Held {
        Held::of(serde_json::from_value(secret).unwrap())
    }

    #[test]
    fn a_secret_without_anything_is_read_as_such() {
        let held = held(json!({"metadata": {"name": "x"}}));
        assert!(
            held.content.is_empty() && held.noted.is_empty() && !held.is_docker_config && !held.is_immutable
        );
        assert_eq!(held.request, Ok(None));
    }

    #[test]
    fn what_was_noted_is_read_back() {
        let annotation = |name: &str| format!("{PREFIX}{name}");
        let held =
            held(json!({"type": TYPE, "data": {CONTENT: "e30="}, "metadata": {"uid": "u", "annotations": {
                annotation("identity"): "id", annotation("expires-at"): "2026-01-01T00:00:00Z",
                annotation("refreshed-at"): "nonsense", annotation("status"): "Ready",
                annotation("token-hash"): short_hash(b"t"),
            }}}));
        assert_eq!(*held.content, b"{}");
        assert!(held.noted.is_of(&Redacted::from("t")) && !held.noted.is_of(&Redacted::from("u")));
        assert!(held.noted.expires_at.is_some() && held.noted.refreshed_at.is_none());
        assert!(held.noted.says(Reason::Ready, "") && !held.noted.says(Reason::Expired, ""));
    }

    #[test]
    fn only_annotations_of_the_updater_concern_it() {
        let with = |name: &str| concerns(&BTreeMap::from([(name.to_owned(), String::new())]));
        assert!(
            with(&format!("{PREFIX}identity")) && with(&format!("{PREFIX}status")) && !with("other/identity")
        );
    }
}
