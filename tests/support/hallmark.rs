//! The binary under test, as a child with an environment of its own.

use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use tempfile::TempDir;

use super::process::{Finished, Server, eventually, run, run_reading};

/// A running `hallmark`.
#[derive(Debug)]
pub struct Hallmark {
    server: Option<Server>,
    home: TempDir,
}

impl Hallmark {
    /// Starts it with these arguments and variables; nothing else of the test's environment reaches it.
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self::spawn(command(arguments, environment, home.path()), home)
    }

    /// Starts it by a command of somebody else; what it prints goes to `home`.
    pub(super) fn spawn(mut command: Command, home: TempDir) -> Self {
        Self { server: Some(Server::spawn("hallmark", &mut command, home.path())), home }
    }

    /// Runs it to its end.
    pub async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
        let home = tempfile::tempdir().unwrap();
        run(command(arguments, environment, home.path())).await
    }

    /// The same, with something on its standard input.
    pub async fn run_with_input(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> Finished {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("input");
        std::fs::write(&file, input).unwrap();
        let mut command = command(arguments, environment, home.path());
        command.stdin(std::fs::File::open(file).unwrap());
        run_reading(command).await
    }

    /// Its home folder, empty at the start.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Everything that it has printed so far, standard output and error as they came.
    pub fn lines(&self) -> Vec<String> {
        self.log_text().lines().map(str::to_owned).collect()
    }

    /// Waits for a line that holds `text`.
    pub async fn line(&self, text: &str, limit: Duration) -> String {
        let found = async || self.lines().into_iter().find(|line| line.contains(text));
        eventually(&format!("hallmark prints {text:?}"), limit, found).await
    }

    /// The most memory that it has had so far, in MiB.
    pub fn peak_memory(&self) -> u64 {
        let id = self.server.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.server.as_mut().and_then(Server::exited)
    }

    /// SIGTERM; answers how it ended and everything that it printed.
    pub fn terminate(mut self) -> (ExitStatus, Vec<String>) {
        let status = self.server.take().unwrap().terminate();
        (status, self.lines())
    }

    fn log_text(&self) -> String {
        let printed = std::fs::read(self.home.path().join("hallmark.log")).unwrap_or_default();
        String::from_utf8_lossy(&printed).into_owned()
    }

    /// SIGKILL: what a crash looks like.
    pub fn kill(self) {
        drop(self);
    }
}

fn command(arguments: &[&str], environment: &[(&str, &str)], home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hallmark"));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home).current_dir(home);
    command.args(arguments).envs(environment.iter().copied());
    command
}

/// A failing test shows what the agent said last.
impl Drop for Hallmark {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let lines = self.lines();
            let loud =
                |line: &&String| !line.contains(r#""level":"TRACE""#) && !line.contains(r#""level":"DEBUG""#);
            let shown: Vec<&String> = lines.iter().filter(loud).collect();
            println!("hallmark said last:");
            for line in shown.iter().skip(shown.len().saturating_sub(20)) {
                println!("{line}");
            }
        }
    }
}
