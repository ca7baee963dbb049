//! The real kubectl, as a user of the cluster runs it.

use std::fs::File;
use std::process::Command;

use serde_json::Value;

use super::Cluster;
use crate::support::binary;
use crate::support::process::{Finished, run_reading};

impl Cluster {
    /// kubectl with every right, in the project's folder, `input` on its standard input.
    pub async fn kubectl(&self, arguments: &[&str], input: &str) -> Finished {
        let file = self.folder.path().join(format!("kubectl-{}", self.next_name()));
        std::fs::write(&file, input).unwrap();
        let mut command = Command::new(binary("kubectl"));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.folder.path());
        command.arg("--kubeconfig").arg(self.kubeconfig("admin")).args(arguments);
        command.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(File::open(&file).unwrap());
        run_reading(command).await
    }

    /// `kubectl get … -o json`.
    pub async fn got(&self, arguments: &[&str]) -> Value {
        let arguments = [&["get", "-o", "json"], arguments].concat();
        serde_json::from_str(&self.kubectl(&arguments, "").await.succeeded().stdout).unwrap()
    }
}
