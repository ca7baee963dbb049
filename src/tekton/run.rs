//! A `TaskRun` or `PipelineRun` as it is taken in at the door, from the API server or out of a manifest, and what
//! others ask of it. Bounded in size; everything else in it may be missing.

use jiff::Timestamp;
use serde_json::Value;

use super::completed::is_task_run;
use super::document::Document;
use super::fields::Fields;
use super::head::RunKey;
use super::{Kind, Metadata, v1beta1};

/// A run of one task.
#[derive(Debug, Clone)]
pub struct TaskRun(pub(crate) Document);

/// A run of a graph of tasks.
#[derive(Debug, Clone)]
pub struct PipelineRun(pub(crate) Document);

/// Either kind of run.
#[derive(Debug, Clone)]
pub enum Run {
    /// One task.
    Task(TaskRun),
    /// A graph of tasks.
    Pipeline(PipelineRun),
}

/// Why something is no run that can be read.
#[derive(Debug, thiserror::Error)]
pub enum MalformedRun {
    /// Larger than any object that a cluster stores.
    #[error("the run has {0} bytes, more than the {MAX_RUN_BYTES} that are read")]
    TooLarge(usize),
    /// No JSON.
    #[error("the run is not JSON")]
    Json(#[from] serde_json::Error),
    /// A list, a text, ….
    #[error("the run is not a JSON object")]
    NotAnObject,
    /// Another group or version of the API.
    #[error("apiVersion {0:?} is not tekton.dev/v1 or tekton.dev/v1beta1")]
    ApiVersion(String),
    /// Another kind of object.
    #[error("kind {0:?} is not TaskRun or PipelineRun")]
    Kind(String),
}

/// Four times what etcd stores at most, so that no real run is refused and nobody fills the memory.
pub const MAX_RUN_BYTES: usize = 8 << 20;

impl Run {
    /// Reads JSON as the API server sends it.
    pub fn from_slice(json: &[u8]) -> Result<Self, MalformedRun> {
        if json.len() > MAX_RUN_BYTES {
            return Err(MalformedRun::TooLarge(json.len()));
        }
        Self::from_value(serde_json::from_slice(json)?)
    }

    /// Takes an object of the API, or a manifest. Where `kind` or `apiVersion` is missing, as in the items of
    /// some lists, the kind is told from the shape and the version is v1.
    pub fn from_value(mut value: Value) -> Result<Self, MalformedRun> {
        if !value.is_object() {
            return Err(MalformedRun::NotAnObject);
        }
        let kind = kind_of(&value)?;
        match value.text("apiVersion") {
            "tekton.dev/v1" | "" => {}
            "tekton.dev/v1beta1" => v1beta1::convert(kind, &mut value),
            other => return Err(MalformedRun::ApiVersion(cut(other))),
        }
        let document = Document::new(value);
        Ok(match kind {
            Kind::TaskRun => Self::Task(TaskRun(document)),
            Kind::PipelineRun => Self::Pipeline(PipelineRun(document)),
        })
    }

    /// Which kind of run.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Task(_) => Kind::TaskRun,
            Self::Pipeline(_) => Kind::PipelineRun,
        }
    }

    /// Name, labels, annotations and the like.
    pub fn metadata(&self) -> &Metadata {
        &self.document().metadata
    }

    /// What it is called in the cluster.
    pub fn key(&self) -> RunKey {
        let Metadata { namespace, name, uid, .. } = self.metadata();
        RunKey { kind: self.kind(), namespace: namespace.clone(), name: name.clone(), uid: uid.clone() }
    }

    /// The service account as which the run's pods run.
    pub fn service_account(&self) -> &str {
        service_account(self.pod_settings())
    }

    /// Secrets that the pod template names for pulling images.
    pub fn image_pull_secrets(&self) -> Vec<&str> {
        image_pull_secrets(self.pod_settings())
    }

    /// The pod of a `TaskRun`; a `PipelineRun` has none of its own.
    pub fn pod_name(&self) -> Option<&str> {
        match self {
            Self::Task(run) => run.pod_name(),
            Self::Pipeline(_) => None,
        }
    }

    /// When the run ended.
    pub fn completed_at(&self) -> Option<Timestamp> {
        self.document().completed_at()
    }

    /// Whether the run has ended well.
    pub fn succeeded(&self) -> bool {
        self.document().succeeded() == Some("True")
    }

    /// Whether the run has ended (Chains specification §2.2).
    pub fn is_done(&self) -> bool {
        self.document().is_done()
    }

    /// The controller that runs it, if it is another than Tekton's own.
    pub fn managed_by(&self) -> Option<&str> {
        self.document().spec().field("managedBy").and_then(Value::as_str)
    }

    /// References to the children of a `PipelineRun`: kind and name.
    pub fn child_references(&self) -> impl Iterator<Item = (&str, &str)> {
        let children = self.document().status().list("childReferences");
        children.iter().map(|child| (child.text("kind"), child.text("name")))
    }

    /// Names of the `TaskRuns` of a `PipelineRun`, as it tells them.
    pub fn task_runs(&self) -> impl Iterator<Item = &str> {
        let task_runs = self.child_references().filter(|(kind, _)| is_task_run(kind));
        task_runs.map(|(_, name)| name).filter(|name| !name.is_empty())
    }

    pub(crate) fn document(&self) -> &Document {
        match self {
            Self::Task(TaskRun(document)) | Self::Pipeline(PipelineRun(document)) => document,
        }
    }

    /// Where service account and pod template are written.
    fn pod_settings(&self) -> &Value {
        let spec = self.document().spec();
        match self {
            Self::Task(_) => spec,
            Self::Pipeline(_) => spec.child("taskRunTemplate"),
        }
    }
}

fn service_account(settings: &Value) -> &str {
    match settings.text("serviceAccountName") {
        "" => "default",
        name => name,
    }
}

fn image_pull_secrets(settings: &Value) -> Vec<&str> {
    let secrets = settings.child("podTemplate").list("imagePullSecrets");
    secrets.iter().map(|secret| secret.text("name")).filter(|name| !name.is_empty()).collect()
}

impl TaskRun {
    /// Takes an object of the API; see [`Run::from_value`].
    pub fn from_value(value: Value) -> Result<Self, MalformedRun> {
        match Run::from_value(value)? {
            Run::Task(run) => Ok(run),
            Run::Pipeline(_) => Err(MalformedRun::Kind(Kind::PipelineRun.as_str().to_owned())),
        }
    }

    /// Name, labels, annotations and the like.
    pub fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    /// See [`Run::service_account`].
    pub fn service_account(&self) -> &str {
        service_account(self.0.spec())
    }

    /// See [`Run::image_pull_secrets`].
    pub fn image_pull_secrets(&self) -> Vec<&str> {
        image_pull_secrets(self.0.spec())
    }

    /// See [`Run::pod_name`].
    pub fn pod_name(&self) -> Option<&str> {
        Some(self.0.status().text("podName")).filter(|name| !name.is_empty())
    }

    /// Whether the run has ended, well or not.
    pub fn is_done(&self) -> bool {
        self.0.is_done()
    }
}

fn kind_of(value: &Value) -> Result<Kind, MalformedRun> {
    let (spec, status) = (value.child("spec"), value.child("status"));
    match value.text("kind") {
        "PipelineRun" => Ok(Kind::PipelineRun),
        "" if ["pipelineRef", "pipelineSpec", "taskRunTemplate"]
            .iter()
            .any(|name| spec.field(name).is_some())
            || ["pipelineSpec", "childReferences"].iter().any(|name| status.field(name).is_some()) =>
        {
            Ok(Kind::PipelineRun)
        }
        "TaskRun" | "" => Ok(Kind::TaskRun),
        other => Err(MalformedRun::Kind(cut(other))),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(value: Value) -> Run {
        Run::from_value(value).unwrap()
    }

    #[test]
    fn a_taskrun_answers_from_its_spec_and_status() {
        let run = run(json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"name": "one", "namespace": "build", "uid": "1", "labels": {"a": "b"}, "annotations": null},
            "spec": {"serviceAccountName": "builder", "managedBy": "other.dev/controller",
                "podTemplate": {"imagePullSecrets": [{"name": "pull"}, {}]}},
            "status": {"podName": "one-pod", "completionTime": "2026-01-02T03:04:05Z",
                "conditions": [{"type": "Succeeded", "status": "True"}]}}));
        assert_eq!(run.kind(), Kind::TaskRun);
        assert_eq!((run.metadata().name.as_str(), run.metadata().labels["a"].as_str()), ("one", "b"));
        assert_eq!((run.service_account(), run.image_pull_secrets()), ("builder", vec!["pull"]));
        assert_eq!((run.pod_name(), run.managed_by()), (Some("one-pod"), Some("other.dev/controller")));
        assert_eq!(run.completed_at().unwrap().to_string(), "2026-01-02T03:04:05Z");
        assert!(run.succeeded() && run.is_done());
    }

    #[test]
    fn a_pipelinerun_answers_from_its_template() {
        let run = run(json!({"kind": "PipelineRun", "spec": {"serviceAccountName": "not here",
            "taskRunTemplate": {"serviceAccountName": "builder", "podTemplate": {"imagePullSecrets": [{"name": "a"}]}}},
            "status": {"podName": "no", "childReferences": [{"kind": "TaskRun", "name": "x"}],
                "conditions": [{"type": "Succeeded", "status": "False"}]}}));
        assert_eq!(
            (run.service_account(), run.image_pull_secrets(), run.pod_name()),
            ("builder", vec!["a"], None)
        );
        assert_eq!(run.child_references().collect::<Vec<_>>(), [("TaskRun", "x")]);
        assert!(run.is_done() && !run.succeeded());
    }

    #[test]
    fn a_run_without_anything_has_the_default_service_account_and_has_not_ended() {
        let run = run(json!({"kind": "TaskRun", "spec": null, "status": null, "metadata": null}));
        assert_eq!((run.service_account(), run.pod_name(), run.managed_by()), ("default", None, None));
        assert!(!run.is_done() && !run.succeeded() && run.completed_at().is_none());
    }

    #[test]
    fn a_run_of_v1beta1_is_converted_on_the_way_in() {
        let run = run(json!({"apiVersion": "tekton.dev/v1beta1", "kind": "PipelineRun",
            "spec": {"serviceAccountName": "builder"}}));
        assert_eq!(run.service_account(), "builder");
    }

    #[test]
    fn without_a_kind_the_shape_tells() {
        for (value, kind) in [
            (json!({}), Kind::TaskRun),
            (json!({"spec": {"taskRef": {}}}), Kind::TaskRun),
            (json!({"spec": {"pipelineRef": {}}}), Kind::PipelineRun),
            (json!({"status": {"childReferences": []}}), Kind::PipelineRun),
        ] {
            assert_eq!(run(value.clone()).kind(), kind, "{value}");
        }
    }

    #[test]
    fn other_objects_are_refused_by_name() {
        for (value, message) in [
            (json!([]), "the run is not a JSON object"),
            (json!({"kind": "Task"}), "kind \"Task\" is not TaskRun or PipelineRun"),
            (
                json!({"kind": "TaskRun", "apiVersion": "v1"}),
                "apiVersion \"v1\" is not tekton.dev/v1 or tekton.dev/v1beta1",
            ),
        ] {
            assert_eq!(Run::from_value(value).unwrap_err().to_string(), message);
        }
        assert!(TaskRun::from_value(json!({"kind": "PipelineRun"})).is_err());
    }

    #[test]
    fn what_is_too_large_or_too_deep_is_refused() {
        let large = vec![b' '; MAX_RUN_BYTES + 1];
        assert!(matches!(Run::from_slice(&large), Err(MalformedRun::TooLarge(_))));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(Run::from_slice(deep.as_bytes()), Err(MalformedRun::Json(_))));
        assert!(Run::from_slice(br#"{"kind": "TaskRun"}"#).is_ok());
    }
}
