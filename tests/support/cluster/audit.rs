//! The API server's audit log: who asked for what, counted.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Cluster;

/// One request that the API server answered.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Audited {
    /// `get`, `patch`, `watch`, ….
    pub verb: String,
    /// As the client calls itself.
    #[serde(default)]
    pub user_agent: String,
    /// Who it was.
    pub user: User,
    /// What was asked for; absent for paths such as `/readyz`.
    #[serde(default)]
    pub object_ref: ObjectRef,
    /// How it was answered.
    #[serde(default)]
    pub response_status: Status,
}

/// Who asked.
#[derive(Debug, Clone, Deserialize)]
pub struct User {
    /// As authenticated.
    pub username: String,
}

/// What was asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ObjectRef {
    /// Plural of the kind.
    pub resource: String,
    /// `status`, `token`, … or nothing.
    pub subresource: String,
    /// Namespace or nothing.
    pub namespace: String,
    /// Name or nothing.
    pub name: String,
}

/// How a request was answered.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Status {
    /// HTTP status.
    pub code: u16,
}

/// In the folder `HALLMARK_AUDIT_LOGS`, where somebody wants to judge all of them, else beside the cluster's data.
pub(super) fn log_path(folder: &Path) -> PathBuf {
    match std::env::var_os("HALLMARK_AUDIT_LOGS") {
        Some(kept) => Path::new(&kept).join(folder.file_name().unwrap()).with_extension("log"),
        None => folder.join("audit.log"),
    }
}

impl Cluster {
    /// Every request answered so far that `wanted` takes. A watch that is still open counts once.
    pub fn audited(&self, wanted: impl Fn(&Audited) -> bool) -> Vec<Audited> {
        let log = fs::read_to_string(log_path(self.folder.path())).unwrap_or_default();
        // The last line may be half written.
        let events = log.lines().filter_map(|line| serde_json::from_str::<Audited>(line).ok());
        events.filter(|event| wanted(event)).collect()
    }

    /// How many requests a client that calls itself something with `user_agent` made of this verb.
    pub fn count(&self, user_agent: &str, verb: &str) -> usize {
        self.audited(|event| event.verb == verb && event.user_agent.contains(user_agent)).len()
    }
}
