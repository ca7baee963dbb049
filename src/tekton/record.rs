//! What is written on a run: one JSON merge patch with the mark, its outcome and, only when one of ours is
//! there, the finalizers that remain. A merge patch names nothing that it does not mean, so annotations that
//! Chains or others applied stay.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::completed::Absent;
use super::head::RunHead;
use super::{ANNOTATION_PREFIX, Kind};

/// The outcome annotation is cut to this, so that a run with a thousand images can still be marked.
const MAX_OUTCOME: usize = 4 * 1024;
const MAX_REASON: usize = 300;

/// Failed attempts that are written on the run: `retries` goes from 0 to 3, as Chains counts, and stays there.
pub const RETRIES_WRITTEN: u32 = 4;

/// The name under which Chains up to 0.26 held TaskRuns.
const LEGACY_FINALIZER: &str = "chains.tekton.dev";

/// One artifact at one store, as the annotation `chains.tekton.dev/outcome` tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OutcomeEntry {
    /// Image or run.
    pub artifact: String,
    /// Digest of an image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub digest: String,
    /// Name of the store.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub store: String,
    /// Where in the store.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// Key id or identity.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub signer: String,
    /// Where the log has it, and the id of the log's key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub log: String,
    /// `stored`, `present`, `skipped` or `failed`; `absent` for a child that a statement goes without.
    pub result: &'static str,
    /// Why, where that is not plain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl From<&Absent<'_>> for OutcomeEntry {
    fn from(absent: &Absent<'_>) -> Self {
        Self {
            artifact: format!("{} {}", absent.kind, absent.name),
            result: "absent",
            reason: absent.reason.to_string(),
            ..Self::default()
        }
    }
}

/// The annotation's text: at most 4 KiB, and it says how many entries did not fit.
pub fn outcome(entries: &[OutcomeEntry]) -> String {
    let mut shown: Vec<OutcomeEntry> = Vec::new();
    let mut text = String::from("[]");
    for (position, entry) in entries.iter().enumerate() {
        let mut entry = entry.clone();
        entry.reason = entry.reason.chars().take(MAX_REASON).collect();
        shown.push(entry);
        let longer = to_json(&shown, entries.len() - position - 1);
        if longer.len() > MAX_OUTCOME {
            shown.pop();
            return to_json(&shown, entries.len() - position);
        }
        text = longer;
    }
    // Every entry fitted: the last text was made with nothing left out.
    text
}

fn to_json(entries: &[OutcomeEntry], left_out: usize) -> String {
    let mut list: Vec<Value> = entries.iter().filter_map(|entry| serde_json::to_value(entry).ok()).collect();
    if left_out > 0 {
        list.push(json!({"artifact": format!("{left_out} more"), "result": "not-shown"}));
    }
    Value::Array(list).to_string()
}

/// The finalizer that holds a run of this kind.
pub fn finalizer(kind: Kind) -> &'static str {
    match kind {
        Kind::TaskRun => "chains.tekton.dev/taskrun",
        Kind::PipelineRun => "chains.tekton.dev/pipelinerun",
    }
}

/// Whether a finalizer is one of Chains' or ours, whoever set it.
pub fn is_ours(finalizer: &str) -> bool {
    finalizer == LEGACY_FINALIZER
        || [Kind::TaskRun, Kind::PipelineRun].map(self::finalizer).contains(&finalizer)
}

/// Whether a run is held by one of ours.
pub fn is_held(head: &RunHead) -> bool {
    head.finalizers().iter().any(|finalizer| is_ours(finalizer))
}

/// A patch that sets annotations (names without prefix) and, when `release`, lets the run go.
pub fn patch(head: &RunHead, uid: &str, annotations: &BTreeMap<String, String>, release: bool) -> Value {
    let annotations: BTreeMap<String, &String> =
        annotations.iter().map(|(name, value)| (prefixed(name), value)).collect();
    // The uid makes the API server refuse the patch for another run of the same name.
    let mut metadata = Map::from_iter([("uid".to_owned(), json!(uid))]);
    if !annotations.is_empty() {
        metadata.insert("annotations".to_owned(), json!(annotations));
    }
    if release && is_held(head) {
        let others: Vec<&String> = head.finalizers().iter().filter(|name| !is_ours(name)).collect();
        metadata.insert("finalizers".to_owned(), json!(others));
        // The list replaces the old one whole, so it must be the one that was looked at.
        metadata.insert("resourceVersion".to_owned(), json!(head.resource_version()));
    }
    json!({"metadata": metadata})
}

/// A patch that holds a run until it is signed.
pub fn hold(head: &RunHead, kind: Kind, uid: &str) -> Value {
    let all: Vec<&str> = head.finalizers().iter().map(String::as_str).chain([finalizer(kind)]).collect();
    json!({"metadata": {"uid": uid, "resourceVersion": head.resource_version(), "finalizers": all}})
}

fn prefixed(name: &str) -> String {
    if name.starts_with(ANNOTATION_PREFIX) { name.to_owned() } else { format!("{ANNOTATION_PREFIX}{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(finalizers: &[&str]) -> RunHead {
        serde_json::from_value(
            json!({"metadata": {"uid": "u", "resourceVersion": "7", "finalizers": finalizers}}),
        )
        .unwrap()
    }

    fn signed() -> BTreeMap<String, String> {
        BTreeMap::from([("signed".to_owned(), "true".to_owned())])
    }

    #[test]
    fn a_mark_without_our_finalizer_asks_for_no_version() {
        assert_eq!(
            patch(&head(&["foregroundDeletion"]), "u", &signed(), true),
            json!({"metadata": {"uid": "u", "annotations": {"chains.tekton.dev/signed": "true"}}})
        );
    }

    #[test]
    fn a_mark_takes_every_finalizer_of_ours_along_and_leaves_the_others() {
        let head = head(&["chains.tekton.dev/taskrun", "other", "chains.tekton.dev"]);
        let patch = patch(&head, "u", &signed(), true);
        assert_eq!(patch["metadata"]["finalizers"], json!(["other"]));
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
    }

    #[test]
    fn progress_does_not_let_the_run_go() {
        let patch = patch(&head(&["chains.tekton.dev/taskrun"]), "u", &signed(), false);
        assert!(patch["metadata"].get("finalizers").is_none());
    }

    #[test]
    fn holding_keeps_what_others_hold() {
        let patch = hold(&head(&["other"]), Kind::PipelineRun, "u");
        assert_eq!(patch["metadata"]["finalizers"], json!(["other", "chains.tekton.dev/pipelinerun"]));
    }

    #[test]
    fn an_outcome_of_a_thousand_images_fits_and_says_how_many_it_left_out() {
        let entry = OutcomeEntry {
            artifact: "registry.example/app".into(),
            result: "stored",
            ..OutcomeEntry::default()
        };
        let text = outcome(&vec![entry; 1000]);
        assert!(text.len() <= MAX_OUTCOME, "{}", text.len());
        let list: Vec<Value> = serde_json::from_str(&text).unwrap();
        let more: usize = list.last().unwrap()["artifact"]
            .as_str()
            .unwrap()
            .strip_suffix(" more")
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(list.len() - 1 + more, 1000);
    }

    #[test]
    fn a_long_reason_is_cut() {
        let entry = OutcomeEntry { reason: "x".repeat(10_000), result: "failed", ..OutcomeEntry::default() };
        assert!(outcome(&[entry]).len() < 1000);
        assert_eq!(outcome(&[]), "[]");
    }
}
