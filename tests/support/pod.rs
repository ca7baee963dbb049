//! What a container of a pod sees: its own root with nothing but the mounts that it was given, made with bind mounts
//! in a mount namespace, as the kubelet makes them.
//!
//! Guarantees: nothing on this machine is changed, and the mounts end with the value. Needs root, or a kernel that
//! gives user namespaces to everybody; where neither is so, [`Pod::start`] answers why.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::hallmark::Hallmark;
use super::process::{Finished, Server, run};

/// Builds the root and holds it: programs and their libraries, the binary under test, then the mounts, read-only.
const HOLD: &str = r#"set -eu
root=$1 binary=$2
shift 2
mount -t tmpfs pod "$root"
mkdir "$root/tmp"
for folder in usr bin lib lib64 dev; do
    [ -d "/$folder" ] || continue
    mkdir "$root/$folder"
    mount --rbind "/$folder" "$root/$folder"
done
# A copy of what may be read: pods have places of their own in it.
mkdir "$root/etc"
cp -a /etc/. "$root/etc/" 2>/dev/null || :
touch "$root/hallmark"
mount --bind "$binary" "$root/hallmark"
while [ $# -gt 0 ]; do
    mkdir -p "$root$(dirname "$2")"
    if [ -d "$1" ]; then mkdir -p "$root$2"; else touch "$root$2"; fi
    mount -o bind,ro "$1" "$root$2"
    shift 2
done
echo mounted
exec sleep infinity"#;

/// A root with mounts, until it is dropped.
pub struct Pod {
    holder: Server,
    privileged: bool,
    root: TempDir,
}

impl Pod {
    /// Mounts each of `mounts`, a place on this machine and one in the pod. The error is why this machine cannot.
    pub async fn start(mounts: &[(&Path, &str)]) -> Result<Self, String> {
        let root = tempfile::tempdir().unwrap();
        let privileged = namespaces(&["--mount"]).await.is_ok();
        if !privileged {
            namespaces(&["--map-root-user", "--mount"]).await?;
        }
        let mut command = Command::new("unshare");
        if !privileged {
            command.arg("--map-root-user");
        }
        command.args(["--mount", "--propagation", "private", "sh", "-c", HOLD, "pod"]);
        command.arg(root.path()).arg(env!("CARGO_BIN_EXE_hallmark"));
        for (source, target) in mounts {
            command.arg(source).arg(target);
        }
        let mut holder = Server::spawn("pod", &mut command, root.path());
        let log = root.path().join("pod.log");
        // The folder is covered inside the namespace only.
        let mounted = async || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("mounted"));
        holder.ready(mounted).await.unwrap_or_else(|failure| panic!("no pod: {failure:?}"));
        Ok(Self { holder, privileged, root })
    }

    /// Runs the binary under test in it.
    pub async fn hallmark(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
        self.run("/hallmark", arguments, environment).await
    }

    /// Runs a program in it; the binary under test is `/hallmark`, and `/tmp` can be written.
    pub async fn run(&self, program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
        run(self.command(program, arguments, environment)).await
    }

    /// Starts the binary under test in it.
    pub fn start_hallmark(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Hallmark {
        let command = self.command("/hallmark", arguments, environment);
        Hallmark::spawn(command, tempfile::tempdir().unwrap())
    }

    /// Starts a program in it that goes on until it is told to end.
    pub fn start_program(&self, program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Server {
        let mut command = self.command(program, arguments, environment);
        Server::spawn("program", &mut command, self.root.path())
    }

    fn command(&self, program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new("nsenter");
        if !self.privileged {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.args(["--mount", "--target", &self.holder.id().to_string()]);
        command.arg("chroot").arg(self.root.path()).arg(program).args(arguments);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(environment.iter().copied());
        command
    }
}

/// Whether namespaces of these kinds can be made here.
async fn namespaces(kinds: &[&str]) -> Result<(), String> {
    let mut command = Command::new("unshare");
    command.args(kinds).arg("true");
    let tried = run(command).await;
    if tried.code == Some(0) { Ok(()) } else { Err(tried.stderr.trim().to_owned()) }
}
