//! TaskRuns and PipelineRuns as `tekton.dev/v1` writes them, read leniently: every field may be absent and
//! unknown fields are skipped, since a run that Tekton accepted must never be refused here.
//!
//! Pure values; nothing in here knows a cluster. A run keeps its JSON once and reads it in place; no reading
//! fails. `tekton.dev/v1beta1` is converted at the door.

pub mod completed;
pub mod head;
pub mod record;
pub(crate) mod document;
mod duration;
pub(crate) mod encoding;
pub(crate) mod fields;
pub mod param;
pub(crate) mod pipeline;
mod schema;
pub(crate) mod step;
mod v1beta1;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use document::Document;
use fields::Fields;

/// Prefix of every annotation that Chains and Hallmark write (Chains specification §2.7).
pub const ANNOTATION_PREFIX: &str = "chains.tekton.dev/";

/// Which of the two kinds of run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// One task.
    TaskRun,
    /// A graph of tasks.
    PipelineRun,
}

impl Kind {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TaskRun => "TaskRun",
            Self::PipelineRun => "PipelineRun",
        }
    }

    /// The plural in URLs.
    pub fn plural(self) -> &'static str {
        match self {
            Self::TaskRun => "taskruns",
            Self::PipelineRun => "pipelineruns",
        }
    }
}

/// The part of an object's metadata that Hallmark reads; `managedFields` and the like are dropped at decoding.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Name of the object.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Identity across re-creation under the same name.
    pub uid: String,
    /// Version for optimistic locking.
    pub resource_version: String,
    /// When the API server accepted it, RFC 3339.
    pub creation_timestamp: Option<String>,
    /// When its deletion was asked for, RFC 3339.
    pub deletion_timestamp: Option<String>,
    /// Finalizers that hold up its deletion.
    pub finalizers: Vec<String>,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// All annotations.
    pub annotations: BTreeMap<String, String>,
}

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

    /// The service account as which the run's pods run.
    pub fn service_account(&self) -> &str {
        match self.pod_settings().text("serviceAccountName") {
            "" => "default",
            name => name,
        }
    }

    /// Secrets that the pod template names for pulling images.
    pub fn image_pull_secrets(&self) -> Vec<&str> {
        let secrets = self.pod_settings().child("podTemplate").list("imagePullSecrets");
        secrets.iter().map(|secret| secret.text("name")).filter(|name| !name.is_empty()).collect()
    }

    /// The pod of a TaskRun; a PipelineRun has none of its own.
    pub fn pod_name(&self) -> Option<&str> {
        match self {
            Self::Task(run) => Some(run.0.status().text("podName")).filter(|name| !name.is_empty()),
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
        self.document().succeeded().is_some_and(|status| status != "Unknown")
    }

    /// The controller that runs it, if it is another than Tekton's own.
    pub fn managed_by(&self) -> Option<&str> {
        self.document().spec().field("managedBy").and_then(Value::as_str)
    }

    /// References to the children of a PipelineRun: kind and name.
    pub fn child_references(&self) -> impl Iterator<Item = (&str, &str)> {
        let children = self.document().status().list("childReferences");
        children.iter().map(|child| (child.text("kind"), child.text("name")))
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
}

impl Metadata {
    fn of(json: &Value) -> Self {
        let moment = |name| json.field(name).and_then(Value::as_str).map(str::to_owned);
        let map = |name| json.texts(name).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Self {
            name: json.text("name").to_owned(),
            namespace: json.text("namespace").to_owned(),
            uid: json.text("uid").to_owned(),
            resource_version: json.text("resourceVersion").to_owned(),
            creation_timestamp: moment("creationTimestamp"),
            deletion_timestamp: moment("deletionTimestamp"),
            finalizers: json
                .list("finalizers")
                .iter()
                .filter_map(|name| Some(name.as_str()?.to_owned()))
                .collect(),
            labels: map("labels"),
            annotations: map("annotations"),
        }
    }
}

fn kind_of(value: &Value) -> Result<Kind, MalformedRun> {
    let (spec, status) = (value.child("spec"), value.child("status"));
    match value.text("kind") {
        "TaskRun" => Ok(Kind::TaskRun),
        "PipelineRun" => Ok(Kind::PipelineRun),
        "" if ["pipelineRef", "pipelineSpec", "taskRunTemplate"]
            .iter()
            .any(|name| spec.field(name).is_some())
            || ["pipelineSpec", "childReferences"].iter().any(|name| status.field(name).is_some()) =>
        {
            Ok(Kind::PipelineRun)
        }
        "" => Ok(Kind::TaskRun),
        other => Err(MalformedRun::Kind(cut(other))),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}
