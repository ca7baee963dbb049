//! The real Tekton Chains, as its users install it: the manifests of its module, its controller with the rights of those.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::installed::{SYSTEM, mount_keys};
use crate::support::{Cluster, Finished, Server, binary, free_port, installed};

/// A running Chains.
pub struct Chains {
    server: Option<Server>,
    _folder: TempDir,
}

/// `kubectl apply` of Chains' release.
pub async fn apply_release(cluster: &Cluster) -> Finished {
    let release = installed("chains-release");
    // As `kubectl apply -f release.yaml` of one file, in the order of the names of its parts.
    cluster.kubectl(&["apply", "-f", release.to_str().unwrap()], "").await.succeeded()
}

impl Chains {
    /// Starts the controller with what the cluster holds in `signing-secrets`.
    pub async fn start(cluster: &Cluster) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let etc = folder.path().join("etc");
        mount_keys(cluster, &etc.join("signing-secrets")).await;
        let mut command = in_its_own_etc(&etc);
        let kubeconfig = cluster.service_account_kubeconfig(SYSTEM, "tekton-chains-controller").await;
        command
            .arg(binary("chains"))
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", folder.path())
            .env("SYSTEM_NAMESPACE", SYSTEM)
            .env("CONFIG_OBSERVABILITY_NAME", "tekton-chains-config-observability")
            .env("CONFIG_LEADERELECTION_NAME", "tekton-chains-config-leader-election")
            .env("METRICS_DOMAIN", "tekton.dev/chains")
            .env("METRICS_PROMETHEUS_HOST", "127.0.0.1")
            .env("METRICS_PROMETHEUS_PORT", free_port().to_string())
            .env("PROFILING_PORT", free_port().to_string())
            .env("KUBERNETES_MIN_VERSION", "v1.28.0")
            .env("POD_NAME", "chains")
            .current_dir(folder.path());
        let server = Server::spawn("chains", &mut command, folder.path());
        Self { server: Some(server), _folder: folder }
    }

    /// What it wrote last.
    pub fn log(&self) -> String {
        let log = self.server.as_ref().map(Server::log_text).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// SIGTERM, by which it gives its lease back.
    pub fn stop(mut self) {
        self.server.take().unwrap().terminate();
    }
}

/// A failing test shows what it said last.
impl Drop for Chains {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("chains said last:\n{}", self.log());
        }
    }
}

/// A command that sees the files of `etc` in `/etc`, which itself stays as it is: Chains has the path of its keys
/// compiled in.
fn in_its_own_etc(etc: &Path) -> Command {
    let script = r#"mount -t overlay overlay -o "lowerdir=$1:/etc" /etc && shift && exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]).arg(etc);
    command
}
