//! Children: servers that end with the test, and tools that are run to their end.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take until it is ready; generous, since machines of CI are slow.
const START_LIMIT: Duration = Duration::from_mins(2);
/// How long a server may take to end by SIGTERM before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// Kills a process when this process dies, in whatever way: then the pipe on its standard input closes.
/// It ignores the terminal's interrupt, which would end it before its work is there, and does not wait for
/// ever, since nobody may collect a dead child of a dead parent.
const WATCHDOG: &str = r#"trap "" INT
read -r _
kill -KILL "$1" 2>/dev/null
tries=0
while kill -0 "$1" 2>/dev/null && [ $tries -lt 100 ]; do tries=$((tries + 1)); sleep 0.05; done
rm -rf -- "$2""#;

/// A running server.
#[derive(Debug)]
pub struct Server {
    name: String,
    child: Child,
    watchdog: Child,
    log: PathBuf,
}

/// Why a server did not start.
#[derive(Debug)]
pub(super) struct StartFailure {
    report: String,
    port_taken: bool,
}

impl Server {
    /// Starts `command`, its output going to `folder/NAME.log`. `folder` is removed should this process
    /// die without dropping the server.
    pub fn spawn(name: &str, command: &mut Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let output = file.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(output).stderr(file).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog", &child.id().to_string()])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { name: name.to_owned(), child, watchdog, log }
    }

    /// Polls `ready` until it says so; a server that ends or takes too long is reported with its log.
    pub(super) async fn ready(&mut self, ready: impl AsyncFn() -> bool) -> Result<(), StartFailure> {
        let started = Instant::now();
        while !ready().await {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Err(self.failure(&format!("ended with {status}")));
            }
            if started.elapsed() > START_LIMIT {
                return Err(self.failure("is not ready"));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn failure(&self, what: &str) -> StartFailure {
        let log = self.log_text();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(40)..].join("\n");
        StartFailure {
            report: format!("{} {what}; the end of its log:\n{tail}", self.name),
            port_taken: log.to_lowercase().contains("address already in use"),
        }
    }

    /// Everything that it has written so far.
    pub fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its process id, for signals.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Asks it to end (SIGTERM) and waits; one that does not is killed, which is a failure of the test.
    pub fn terminate(mut self) -> ExitStatus {
        signal(self.child.id(), "TERM");
        let started = Instant::now();
        loop {
            if let Some(status) = self.exited() {
                return status;
            }
            assert!(started.elapsed() < STOP_LIMIT, "{} ignores SIGTERM: {}", self.name, self.log_text());
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The watchdog first: afterwards the process id may belong to somebody else.
        for child in [&mut self.watchdog, &mut self.child] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Sends a signal to a process that was started here and not yet waited for.
pub(super) fn signal(process: u32, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), process.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{name} {process} failed");
}

/// A port that was free a moment ago. Another process may take it first: see [`start`].
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Starts something with fresh ports, again when somebody else took one of them in between.
pub(super) async fn start<T>(attempt: impl AsyncFn() -> Result<T, StartFailure>) -> T {
    let mut attempts_left = 3;
    loop {
        attempts_left -= 1;
        match attempt().await {
            Ok(started) => return started,
            Err(failure) if failure.port_taken && attempts_left > 0 => {}
            Err(failure) => panic!("{}", failure.report),
        }
    }
}

/// What a tool said.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The command line, for messages.
    pub command: String,
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// What it printed, for programs.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// Itself when the tool succeeded; otherwise the test fails with all that the tool said.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{} failed:\n{}\n{}", self.command, self.stdout, self.stderr);
        self
    }

    /// Itself when the tool failed.
    #[track_caller]
    pub fn failed(self) -> Self {
        assert_ne!(self.code, Some(0), "{} succeeded:\n{}\n{}", self.command, self.stdout, self.stderr);
        self
    }
}

/// Runs a tool to its end without holding up the runtime, on which a server of the test may be running.
pub async fn run(mut command: Command) -> Finished {
    command.stdin(Stdio::null());
    run_reading(command).await
}

/// The same for a tool whose standard input is set.
pub(super) async fn run_reading(mut command: Command) -> Finished {
    let line = format!("{command:?}");
    let shown = line.clone();
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let output = output.unwrap_or_else(|error| panic!("cannot run {shown}: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Finished {
        command: line,
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Polls `condition` until it yields a value; the test fails, naming `what`, when `limit` is over.
pub async fn eventually<T>(what: &str, limit: Duration, condition: impl AsyncFn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(started.elapsed() < limit, "after {limit:?} still not: {what}");
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (tempfile::TempDir, Server) {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::spawn("script", Command::new("sh").args(["-c", script]), folder.path());
        (folder, server)
    }

    #[tokio::test]
    async fn a_server_that_does_not_start_is_reported_with_its_log() {
        let (_folder, mut server) = shell("echo cannot do it >&2; exit 7");
        let failure = server.ready(async || false).await.unwrap_err();
        assert!(failure.report.contains("script ended with exit status: 7"), "{}", failure.report);
        assert!(failure.report.ends_with("cannot do it"), "{}", failure.report);
        assert!(!failure.port_taken);
    }

    #[tokio::test]
    async fn a_start_is_tried_again_when_somebody_took_its_port() {
        let tries = std::cell::Cell::new(0);
        let attempt = async |port_taken| {
            tries.set(tries.get() + 1);
            if tries.get() == 3 {
                Ok(tries.get())
            } else {
                Err(StartFailure { report: String::new(), port_taken })
            }
        };
        assert_eq!(start(async || attempt(true).await).await, 3);
        let (_folder, mut server) = shell("echo listen: address already in use; exit 1");
        assert!(server.ready(async || false).await.unwrap_err().port_taken);
    }

    #[tokio::test]
    #[should_panic(expected = "broken for good")]
    async fn a_start_that_fails_for_another_reason_is_not_tried_again() {
        let tries = std::cell::Cell::new(0);
        start(async || {
            tries.set(tries.get() + 1);
            assert_eq!(tries.get(), 1, "tried again");
            Err::<(), _>(StartFailure { report: "broken for good".to_owned(), port_taken: false })
        })
        .await;
    }

    #[tokio::test]
    async fn terminate_lets_a_server_finish_and_drop_does_not() {
        let ending = "trap 'echo finished; exit 3' TERM; echo up; while :; do sleep 0.01; done";
        let (folder, mut server) = shell(ending);
        let log = folder.path().join("script.log");
        let text = async || fs::read_to_string(&log).unwrap();
        server.ready(async || text().await.contains("up")).await.unwrap();
        assert_eq!(server.terminate().code(), Some(3));
        assert_eq!(text().await, "up\nfinished\n");

        let (folder, mut server) = shell(ending);
        let log = folder.path().join("script.log");
        server.ready(async || fs::read_to_string(&log).unwrap().contains("up")).await.unwrap();
        drop(server);
        assert_eq!(fs::read_to_string(&log).unwrap(), "up\n");
    }

    #[tokio::test]
    async fn a_tool_is_reported_with_its_code_and_both_outputs() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 4"]);
        let finished = run(command).await.failed();
        assert_eq!(
            (finished.code, finished.stdout.as_str(), finished.stderr.as_str()),
            (Some(4), "out\n", "err\n")
        );
    }

    #[tokio::test]
    #[should_panic(expected = "still not: the moon is green")]
    async fn what_never_comes_is_named() {
        eventually("the moon is green", Duration::from_millis(30), async || None::<()>).await;
    }
}
