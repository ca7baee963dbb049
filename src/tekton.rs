//! `TaskRuns` and `PipelineRuns` as `tekton.dev/v1` writes them, read leniently: every field may be absent and
//! unknown fields are skipped, since a run that Tekton accepted must never be refused here.
//!
//! Pure values; nothing in here knows a cluster. A run keeps its JSON once and reads it in place; no reading
//! fails. `tekton.dev/v1beta1` is converted at the door.

pub mod completed;
pub(crate) mod document;
mod duration;
pub(crate) mod encoding;
pub(crate) mod fields;
pub mod head;
pub mod param;
pub(crate) mod pipeline;
mod quantity;
pub mod record;
mod run;
mod schema;
pub(crate) mod step;
mod v1beta1;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use fields::Fields;
pub use run::{MAX_RUN_BYTES, MalformedRun, PipelineRun, Run, TaskRun};

/// Where the log entry of a run is.
pub const TRANSPARENCY: &str = "chains.tekton.dev/transparency";
/// With this annotation a run asks for its entry in a log.
pub const TRANSPARENCY_UPLOAD: &str = "chains.tekton.dev/transparency-upload";
/// What became of each artifact at each store, in the attempt before.
pub const OUTCOME: &str = "chains.tekton.dev/outcome";
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
