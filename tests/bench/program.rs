//! The programs under test, as children, and what the kernel says of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;

use crate::support::{Server, binary};
use crate::world::World;

/// What is measured.
#[derive(Debug, Clone)]
pub enum Program {
    /// Hallmark, as it is without any setting.
    Hallmark(PathBuf),
    /// Tekton Chains.
    Chains {
        /// With the settings that serve it best, instead of none.
        tuned: bool,
    },
}

/// What signs.
#[derive(Debug, Clone, Copy)]
pub enum Key {
    /// A PEM file.
    Pem,
    /// A key that cosign encrypted with a password.
    Cosign,
}

/// A started program.
#[derive(Debug)]
pub struct Running {
    /// When it was started.
    pub started: Instant,
    server: Server,
    _folder: TempDir,
}

impl Program {
    /// Its name in the figures.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hallmark(_) => "hallmark",
            Self::Chains { tuned: true } => "chains",
            Self::Chains { tuned: false } => "chains, default settings",
        }
    }

    /// The user that it is to the API server.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:tekton-chains:{}", self.service_account())
    }

    /// Its service account in `tekton-chains`.
    pub fn service_account(&self) -> &'static str {
        match self {
            Self::Hallmark(_) => "tekton-chains-controller",
            Self::Chains { .. } => "peer",
        }
    }

    /// Its binary.
    pub fn binary(&self) -> PathBuf {
        match self {
            Self::Hallmark(path) => path.clone(),
            Self::Chains { .. } => binary("chains"),
        }
    }

    /// Starts it for the runs of one namespace.
    pub fn start(&self, world: &World, key: Key, namespace: &str) -> Running {
        self.start_with(world, key, namespace, &[])
    }

    /// Starts one of several replicas of Hallmark.
    pub fn replica(&self, world: &World, namespace: &str, name: &str) -> Running {
        self.start_with(world, Key::Pem, namespace, &["--replica", name])
    }

    /// Starts it for the runs of one namespace, with more arguments.
    pub fn start_with(&self, world: &World, key: Key, namespace: &str, more: &[&str]) -> Running {
        self.start_at(world.kubeconfig(self), key, namespace, more)
    }

    /// The same, with an API server of one's own.
    pub fn start_at(&self, kubeconfig: &Path, key: Key, namespace: &str, more: &[&str]) -> Running {
        let folder = tempfile::tempdir().unwrap();
        // Chains has the path of its keys compiled in; see `in_its_own_etc`.
        let keys = folder.path().join("etc/signing-secrets");
        fs::create_dir_all(&keys).unwrap();
        key.copy_to(&keys);
        let mut command = match self {
            Self::Hallmark(path) => {
                let mut command = Command::new(path);
                command.env_clear().arg("controller").arg("--signing-secrets").arg(&keys);
                command.args(["--health-address=127.0.0.1:0", "--metrics-address=127.0.0.1:0"]);
                command
            }
            Self::Chains { tuned } => chains(*tuned, &folder.path().join("etc")),
        };
        command.arg("--kubeconfig").arg(kubeconfig).args(["--namespace", namespace]).args(more);
        command.env("HOME", folder.path()).current_dir(folder.path());
        let started = Instant::now();
        Running { started, server: Server::spawn("program", &mut command, folder.path()), _folder: folder }
    }
}

fn chains(tuned: bool, etc: &Path) -> Command {
    let mut command = in_its_own_etc(etc);
    command.arg(binary("chains"));
    if tuned {
        command.args(["--threads-per-controller=16", "--kube-api-qps=1000", "--kube-api-burst=2000"]);
    }
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("SYSTEM_NAMESPACE", "tekton-chains")
        .env("CONFIG_OBSERVABILITY_NAME", "tekton-chains-config-observability")
        .env("CONFIG_LEADERELECTION_NAME", "tekton-chains-config-leader-election")
        .env("METRICS_DOMAIN", "tekton.dev/chains")
        .env("METRICS_PROMETHEUS_HOST", "127.0.0.1")
        .env("KUBERNETES_MIN_VERSION", "v1.28.0")
        .env("POD_NAME", "peer");
    command
}

/// A command that sees the files of `etc` in `/etc`, which itself stays as it is.
fn in_its_own_etc(etc: &Path) -> Command {
    let script = r#"mount -t overlay overlay -o "lowerdir=$1:/etc" /etc && shift && exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]).arg(etc);
    command
}

impl Key {
    fn copy_to(self, folder: &Path) {
        let fixture = |name: &str| format!("{}/tests/fixtures/keys/{name}", env!("CARGO_MANIFEST_DIR"));
        match self {
            Self::Pem => {
                fs::copy(fixture("p256.pem"), folder.join("x509.pem")).unwrap();
            }
            Self::Cosign => {
                fs::copy(fixture("cosign.key"), folder.join("cosign.key")).unwrap();
                fs::write(folder.join("cosign.password"), "correct horse").unwrap();
            }
        }
    }
}

impl Running {
    /// CPU that it has used, in milliseconds; the kernel counts in hundredths of a second.
    pub fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.server.id())).unwrap();
        // The name in parentheses may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
        (ticks(11) + ticks(12)) * 10.0
    }

    /// Memory in use, in MiB.
    pub fn memory(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// The most memory that it had in use, in MiB.
    pub fn peak_memory(&self) -> f64 {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field));
        let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or_else(|| {
            panic!("it has ended: {}", self.server.log_text());
        });
        kibibytes.parse::<f64>().unwrap() / 1024.0
    }

    /// How many runs its log says that it signed: which replica did is nowhere else.
    pub fn signed(&self) -> usize {
        self.server
            .log_text()
            .lines()
            .filter(|line| line.contains("\"signed\"") || line.contains(" signed "))
            .count()
    }

    /// What it has said.
    pub fn log(&self) -> String {
        self.server.log_text()
    }

    /// Files, sockets and pipes that it has open.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.server.id())).map_or(0, Iterator::count)
    }

    /// Ends it without a word.
    pub fn kill(self) {
        drop(self);
    }

    /// Asks it to end, and waits.
    pub fn stop(self) {
        let _ = self.server.terminate();
    }
}
