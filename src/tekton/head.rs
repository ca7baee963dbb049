//! The little of a run that decides what to do with it. A watch decodes every event into this and drops the rest,
//! so that the runs which are done and signed cost nothing.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::{ANNOTATION_PREFIX, Kind};

/// Value of the annotation `signed` on a run that is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Everything that was asked for is in place.
    True,
    /// Given up.
    Failed,
}

/// Identity of one run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunKey {
    /// TaskRun or PipelineRun.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// So that a run created again under the same name is another run.
    pub uid: String,
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}

/// See the module.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RunHead {
    metadata: HeadMetadata,
    spec: HeadSpec,
    status: HeadStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HeadMetadata {
    name: String,
    namespace: String,
    uid: String,
    resource_version: String,
    deletion_timestamp: Option<Timestamp>,
    finalizers: Vec<String>,
    labels: BTreeMap<String, String>,
    owner_references: Vec<OwnerReference>,
    #[serde(deserialize_with = "ours")]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct OwnerReference {
    kind: String,
    name: String,
    uid: String,
    controller: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HeadSpec {
    managed_by: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HeadStatus {
    completion_time: Option<Timestamp>,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

impl RunHead {
    /// Which run this is.
    pub fn key(&self, kind: Kind) -> RunKey {
        let HeadMetadata { name, namespace, uid, .. } = self.metadata.clone();
        RunKey { kind, namespace, name, uid }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// The PipelineRun that made it.
    pub fn pipeline_run(&self) -> Option<RunKey> {
        let is_it = |owner: &&OwnerReference| owner.controller && owner.kind == Kind::PipelineRun.as_str();
        let owner = self.metadata.owner_references.iter().find(is_it)?;
        let (name, uid) = (owner.name.clone(), owner.uid.clone());
        Some(RunKey { kind: Kind::PipelineRun, namespace: self.metadata.namespace.clone(), name, uid })
    }

    /// Its identity.
    pub fn uid(&self) -> &str {
        &self.metadata.uid
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.metadata.namespace
    }

    /// Its version.
    pub fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }

    /// All its labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.metadata.labels
    }

    /// All its finalizers.
    pub fn finalizers(&self) -> &[String] {
        &self.metadata.finalizers
    }

    /// When its deletion was asked for.
    pub fn deleted_at(&self) -> Option<Timestamp> {
        self.metadata.deletion_timestamp
    }

    /// The controller that runs it, when it is not Tekton's own.
    pub fn managed_by(&self) -> Option<&str> {
        self.spec.managed_by.as_deref().filter(|by| !by.is_empty() && *by != "tekton.dev/pipeline")
    }

    /// Whether it is done, successfully or not (Chains specification §2.2).
    pub fn is_done(&self) -> bool {
        self.status.conditions.iter().any(|condition| {
            condition.kind == "Succeeded" && (condition.status == "True" || condition.status == "False")
        })
    }

    /// Whether it is done and went well.
    pub fn has_succeeded(&self) -> bool {
        self.status
            .conditions
            .iter()
            .any(|condition| condition.kind == "Succeeded" && condition.status == "True")
    }

    /// When it was done.
    pub fn completed_at(&self) -> Option<Timestamp> {
        self.status.completion_time
    }

    /// The mark that it carries.
    pub fn mark(&self) -> Option<Mark> {
        match self.annotation("signed") {
            Some("true") => Some(Mark::True),
            Some("failed") => Some(Mark::Failed),
            _ => None,
        }
    }

    /// The same head without the mark `failed`: for a run that is tried again in spite of it.
    pub fn reopened(mut self) -> Self {
        if self.mark() == Some(Mark::Failed) {
            self.metadata.annotations.remove("signed");
        }
        self
    }

    /// Whether its owner asked to leave it alone (`chains.tekton.dev/skip: "true"`).
    pub fn is_skipped(&self) -> bool {
        self.annotation("skip") == Some("true")
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.metadata.annotations.get(name).map(String::as_str)
    }
}

/// The three annotations that a decision needs, without their prefix; payloads and foreign annotations are
/// skipped while they are read, since they may be large.
fn ours<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Ours;

    impl<'de> serde::de::Visitor<'de> for Ours {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("annotations")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = BTreeMap::new();
            while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                match name.strip_prefix(ANNOTATION_PREFIX) {
                    Some(short @ ("signed" | "skip" | "retries")) => {
                        found.insert(short.to_owned(), map.next_value()?);
                    }
                    _ => {
                        map.next_value::<serde::de::IgnoredAny>()?;
                    }
                }
            }
            Ok(found)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }
    }

    deserializer.deserialize_any(Ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(json: &str) -> RunHead {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_run_is_done_when_succeeded_is_no_longer_unknown() {
        for (status, done) in [("True", true), ("False", true), ("Unknown", false), ("", false)] {
            let json =
                format!(r#"{{"status":{{"conditions":[{{"type":"Succeeded","status":"{status}"}}]}}}}"#);
            assert_eq!(head(&json).is_done(), done, "{status}");
        }
        assert!(!head(r#"{"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#).is_done());
        assert!(!head("{}").is_done());
    }

    #[test]
    fn only_the_annotations_that_decide_are_kept() {
        let json = r#"{"metadata":{"annotations":{"a":"b","chains.tekton.dev/payload-x":"AAAA",
            "chains.tekton.dev/signed":"true","chains.tekton.dev/skip":"true"}}}"#;
        let head = head(json);
        assert_eq!(head.metadata.annotations.len(), 2);
        assert_eq!(head.mark(), Some(Mark::True));
        assert!(head.is_skipped());
    }

    #[test]
    fn null_annotations_and_odd_marks_are_no_marks() {
        assert_eq!(head(r#"{"metadata":{"annotations":null}}"#).mark(), None);
        assert_eq!(head(r#"{"metadata":{"annotations":{"chains.tekton.dev/signed":"yes"}}}"#).mark(), None);
        assert_eq!(
            head(r#"{"metadata":{"annotations":{"chains.tekton.dev/signed":"failed"}}}"#).mark(),
            Some(Mark::Failed)
        );
    }

    #[test]
    fn the_pipeline_run_that_controls_a_run_is_its_owner_and_nobody_else() {
        let json = r#"{"metadata":{"namespace":"ci","ownerReferences":[
            {"kind":"PipelineRun","name":"other","uid":"1"},
            {"kind":"CustomRun","name":"custom","uid":"2","controller":true},
            {"apiVersion":"tekton.dev/v1","kind":"PipelineRun","name":"release","uid":"3","controller":true}]}}"#;
        let owner = head(json).pipeline_run().unwrap();
        assert_eq!((owner.to_string().as_str(), owner.uid.as_str()), ("PipelineRun ci/release", "3"));
        assert_eq!(head("{}").pipeline_run(), None);
    }

    #[test]
    fn tekton_itself_is_not_a_foreign_controller() {
        assert_eq!(head(r#"{"spec":{"managedBy":"tekton.dev/pipeline"}}"#).managed_by(), None);
        assert_eq!(
            head(r#"{"spec":{"managedBy":"kueue.x-k8s.io/multikueue"}}"#).managed_by(),
            Some("kueue.x-k8s.io/multikueue")
        );
    }
}
