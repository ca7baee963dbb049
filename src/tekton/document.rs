//! What `TaskRuns` and `PipelineRuns` have in common: the object as the cluster holds it, with readings of its
//! parts. The JSON is kept once and read in place, since some statements hold it whole (Chains specification
//! §4.3). What signing itself changes on a run is dropped from that JSON, so that a statement made again is
//! the same statement, and does not grow by those before it (defect D15 of §8.1).

use jiff::Timestamp;
use serde_json::Value;

use super::fields::Fields;
use super::param::RunResult;
use super::{ANNOTATION_PREFIX, Metadata};

/// A run as the cluster holds it.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) metadata: Metadata,
    pub(crate) json: Value,
}

/// Where the definition of a task, pipeline or step was fetched from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RefSource<'a>(pub(crate) &'a Value);

impl Document {
    pub(crate) fn new(mut json: Value) -> Self {
        let metadata = Metadata::of(json.child("metadata"));
        if let Some(metadata) = json.get_mut("metadata") {
            drop_marks_of_signing(metadata);
        }
        Self { metadata, json }
    }

    pub(crate) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.json.child("metadata").texts("labels")
    }

    /// Annotations, less those that signing writes.
    pub(crate) fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.json.child("metadata").texts("annotations")
    }

    pub(crate) fn spec(&self) -> &Value {
        self.json.child("spec")
    }

    pub(crate) fn status(&self) -> &Value {
        self.json.child("status")
    }

    pub(crate) fn results(&self) -> impl Iterator<Item = RunResult<'_>> {
        self.status().list("results").iter().map(RunResult::of)
    }

    pub(crate) fn params(&self) -> impl Iterator<Item = RunResult<'_>> {
        self.spec().list("params").iter().map(RunResult::of)
    }

    pub(crate) fn ref_source(&self) -> Option<RefSource<'_>> {
        RefSource::within(self.status())
    }

    pub(crate) fn feature_flags(&self) -> Option<&Value> {
        self.status().child("provenance").field("featureFlags")
    }

    pub(crate) fn started_at(&self) -> Option<Timestamp> {
        self.status().text("startTime").parse().ok()
    }

    pub(crate) fn completed_at(&self) -> Option<Timestamp> {
        self.status().text("completionTime").parse().ok()
    }

    /// Status of the condition `Succeeded`: `True`, `False`, `Unknown`, or nothing yet.
    pub(crate) fn succeeded(&self) -> Option<&str> {
        self.status()
            .list("conditions")
            .iter()
            .find(|condition| condition.text("type") == "Succeeded")
            .map(|condition| condition.text("status"))
    }

    /// Whether the run has ended (Chains specification §2.2).
    pub(crate) fn is_done(&self) -> bool {
        self.succeeded().is_some_and(|status| status != "Unknown")
    }
}

impl<'a> RefSource<'a> {
    /// The source in the provenance of a run's or a step's status.
    pub(crate) fn within(status: &'a Value) -> Option<Self> {
        status.child("provenance").field("refSource").map(Self)
    }

    pub(crate) fn uri(self) -> &'a str {
        self.0.text("uri")
    }

    pub(crate) fn entry_point(self) -> &'a str {
        self.0.text("entryPoint")
    }

    pub(crate) fn digest(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.texts("digest")
    }
}

fn drop_marks_of_signing(metadata: &mut Value) {
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.remove("managedFields");
        metadata.remove("resourceVersion");
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|name, _| !written_by_signing(name));
    }
    if let Some(finalizers) = metadata.get_mut("finalizers").and_then(Value::as_array_mut) {
        finalizers.retain(|name| !name.as_str().is_some_and(|name| name.starts_with("chains.tekton.dev")));
    }
}

/// Other annotations with the prefix are written by people and stay.
fn written_by_signing(annotation: &str) -> bool {
    annotation.strip_prefix(ANNOTATION_PREFIX).is_some_and(|name| {
        ["signed", "retries", "transparency", "outcome"].contains(&name)
            || ["payload-", "signature-", "cert-", "chain-"].iter().any(|prefix| name.starts_with(prefix))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_empty_object_reads_as_a_run_without_anything() {
        let document = Document::new(json!({}));
        assert_eq!(document.metadata.name, "");
        assert_eq!(document.results().count() + document.params().count(), 0);
        assert!(document.ref_source().is_none() && document.feature_flags().is_none());
        assert!(document.started_at().is_none() && document.succeeded().is_none());
    }

    #[test]
    fn what_signing_changes_is_dropped_from_the_json_and_kept_in_the_metadata() {
        let document =
            Document::new(json!({"metadata": {"name": "a", "managedFields": [{}], "generation": 3,
            "resourceVersion": "7", "finalizers": ["chains.tekton.dev/taskrun", "other"],
            "annotations": {"chains.tekton.dev/signed": "true", "chains.tekton.dev/payload-taskrun-1": "x",
                "chains.tekton.dev/transparency-upload": "true", "mine": "yes"}}}));
        assert_eq!(
            document.json,
            json!({"metadata": {"name": "a", "generation": 3, "finalizers": ["other"],
                "annotations": {"chains.tekton.dev/transparency-upload": "true", "mine": "yes"}}})
        );
        assert_eq!(document.metadata.resource_version, "7");
        assert_eq!(document.metadata.annotations["chains.tekton.dev/signed"], "true");
        assert_eq!(document.annotations().count(), 2);
    }

    #[test]
    fn the_condition_succeeded_is_found_among_others() {
        let document = Document::new(json!({"status": {"conditions": [
            {"type": "Ready", "status": "False"}, {"type": "Succeeded", "status": "True"}]}}));
        assert_eq!(document.succeeded(), Some("True"));
    }
}
