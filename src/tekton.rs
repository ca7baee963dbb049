//! TaskRuns and PipelineRuns as `tekton.dev/v1` writes them, read leniently: every field may be absent and
//! unknown fields are skipped, since a run that Tekton accepted must never be refused here.
//!
//! Pure values; nothing in here knows a cluster.

pub mod completed;

use std::collections::BTreeMap;

use serde::Deserialize;

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
