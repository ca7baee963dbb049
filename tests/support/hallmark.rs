//! The binary under test, as a child with an environment of its own.

use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use tempfile::TempDir;

use super::process::{Finished, Server, eventually, run};

/// A running `hallmark`.
#[derive(Debug)]
pub struct Hallmark {
    server: Server,
    home: TempDir,
}

impl Hallmark {
    /// Starts it with these arguments and variables; nothing else of the test's environment reaches it.
    pub fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = command(arguments, environment, home.path());
        Self { server: Server::spawn("hallmark", &mut command, home.path()), home }
    }

    /// Runs it to its end.
    pub async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
        let home = tempfile::tempdir().unwrap();
        run(command(arguments, environment, home.path())).await
    }

    /// Its home folder, empty at the start.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Everything that it has printed so far, standard output and error as they came.
    pub fn lines(&self) -> Vec<String> {
        self.server.log_text().lines().map(str::to_owned).collect()
    }

    /// Waits for a line that holds `text`.
    pub async fn line(&self, text: &str, limit: Duration) -> String {
        let found = async || self.lines().into_iter().find(|line| line.contains(text));
        eventually(&format!("hallmark prints {text:?}"), limit, found).await
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.server.exited()
    }

    /// SIGTERM; answers how it ended and everything that it printed.
    pub fn terminate(self) -> (ExitStatus, Vec<String>) {
        let Self { server, home } = self;
        let log = home.path().join("hallmark.log");
        let status = server.terminate();
        let printed = std::fs::read(log).unwrap_or_default();
        (status, String::from_utf8_lossy(&printed).lines().map(str::to_owned).collect())
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
