//! The pages of the handbook as tests run them: what a reader copies is what runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::binary::binary;
use super::process::{Finished, run};
use super::{Access, Cluster};

/// The one fenced block of a page that has this text in it, without its fences.
#[track_caller]
pub fn block(page: &str, containing: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // Text and blocks take turns; the first line of a block is its language.
    let blocks = text.split("```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    let mut found = blocks.map(|(_, block)| block).filter(|block| block.contains(containing));
    let block = found.next().unwrap_or_else(|| panic!("{page} has no block with {containing:?}"));
    assert!(found.next().is_none(), "{page} has more than one block with {containing:?}");
    block.to_owned()
}

/// A reader of the handbook at a terminal: kubectl, cosign and hallmark in the `PATH`, a folder of his own with a copy of
/// `config/` and `hack/`, and a namespace that he is in.
pub struct Reader {
    folder: TempDir,
    ca: Option<PathBuf>,
}

impl Reader {
    /// With every right in the cluster.
    pub async fn of(cluster: &Cluster, namespace: &str, access: Option<&Access>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let admin = std::fs::read(cluster.kubeconfig("admin")).unwrap();
        let mut kubeconfig: Value = serde_json::from_slice(&admin).unwrap();
        kubeconfig["contexts"][0]["context"]["namespace"] = namespace.into();
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
        let docker = access.map_or_else(|| "{}".to_owned(), Access::docker_config);
        std::fs::write(folder.path().join("config.json"), docker).unwrap();
        let reader = Self { folder, ca: access.and_then(|access| access.ca.clone()) };
        reader.types(&format!("cp -r {0}/config {0}/hack .", env!("CARGO_MANIFEST_DIR"))).await.succeeded();
        reader
    }

    /// Runs what he has copied, with `set -e`.
    pub async fn types(&self, script: &str) -> Finished {
        let (hallmark, tools) = (Path::new(env!("CARGO_BIN_EXE_hallmark")), binary("kubectl"));
        let folders = [hallmark, &tools].map(|file| file.parent().unwrap().display().to_string());
        let mut command = Command::new("sh");
        command.args(["-ec", script]).current_dir(self.folder.path()).env_clear();
        command.env("PATH", format!("{}:/usr/bin:/bin", folders.join(":"))).env("HOME", self.folder.path());
        command.env("KUBECONFIG", self.path("kubeconfig")).env("DOCKER_CONFIG", self.folder.path());
        // cosign would ask for it.
        command.env("COSIGN_PASSWORD", "password of a test");
        if let Some(ca) = &self.ca {
            command.env("SSL_CERT_FILE", ca);
        }
        run(command).await
    }

    /// A file in his folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file there.
    pub fn writes(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }
}
