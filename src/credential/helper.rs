//! Credential helpers: programs of the operator that docker and podman ask for passwords (credentials specification
//! §1.5, source 9).
//!
//! # Guarantees
//!
//! - Only what a file of the agent's own names is run, never what a tenant's Secret names; the name has no path in it,
//!   and the program is looked up on `PATH` alone.
//! - A program has ten seconds, is killed when nobody waits for it any more, and is read up to a limit.
//! - It inherits the environment, which helpers of clouds need, less what Hallmark itself keeps secrets in.
//! - What it says is shown only when it fails, cut, on one line, without anything that looks like a token.
//!
//! One program runs at a time for each helper; what it answers serves for a minute, a failure for ten seconds.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::fetch::Fetch;
use super::matching::Sought;
use super::{Credential, Key, Location, Login, Problem, ProblemCode, Redacted, Source};
use crate::artifact::image::{DOCKER_HUB, Repository};

const TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST_ANSWER: u64 = 64 * 1024;
const LONGEST_COMPLAINT: u64 = 4 * 1024;
const FRESH: Duration = Duration::from_mins(1);
const FRESH_FAILURE: Duration = Duration::from_secs(10);
/// Registries whose answers are remembered.
const CAPACITY: usize = 256;
/// Variables in which Hallmark is given secrets that no helper needs.
const WITHHELD: [&str; 5] = [
    "DOCKER_AUTH_CONFIG",
    "COSIGN_PASSWORD",
    "SIGSTORE_ID_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "BUILDKITE_AGENT_ACCESS_TOKEN",
];

/// One helper that one file names.
pub struct Helper {
    name: String,
    file: Location,
    serves: Serves,
    search_path: Option<OsString>,
    patience: Duration,
    answers: Mutex<HashMap<String, Answered>>,
}

/// What the program said about one registry, and when.
type Answered = (Instant, Result<Credential, Problem>);

/// Which registries a helper is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Serves {
    /// `credHelpers`: the one that the file names it for.
    Registry(Key),
    /// `credsStore`: all but those that the file has a credential or another helper for.
    AllBut(Vec<Key>),
}

/// Why a program gave no credential.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("a helper is named by letters, digits, dots, dashes and underscores")]
    BadName,
    #[error("docker-credential-{0} is not on PATH: install it, or take it out of the file")]
    NotOnPath(String),
    #[error("it does not start")]
    Start(#[source] std::io::Error),
    #[error("it did not answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error("it failed ({status}): {said}")]
    Failed { status: String, said: String },
    #[error("its answer is no object with Username and Secret")]
    Malformed,
    #[error("it has no credential for {0}")]
    Nothing(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl Helper {
    /// `docker-credential-<name>`, as `file` names it; `search_path` is `PATH`.
    pub fn new(name: &str, file: Location, serves: Serves, search_path: Option<OsString>) -> Self {
        let (name, answers) = (name.to_owned(), Mutex::default());
        Self { name, file, serves, search_path, patience: TIMEOUT, answers }
    }

    async fn ask(&self, registry: &str) -> Result<Credential, Failure> {
        let program = self.program()?;
        if registry == DOCKER_HUB {
            return self.run(&program, "https://index.docker.io/v1/").await;
        }
        match self.run(&program, registry).await {
            Err(Failure::Nothing(_)) => self.run(&program, &format!("https://{registry}")).await,
            answer => answer,
        }
    }

    fn program(&self) -> Result<PathBuf, Failure> {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if self.name.is_empty() || !self.name.bytes().all(sound) {
            return Err(Failure::BadName);
        }
        let file = format!("docker-credential-{}", self.name);
        let search = self.search_path.clone().unwrap_or_default();
        // An entry that is no absolute path would mean another program in another folder.
        let mut found = std::env::split_paths(&search).filter(|folder| folder.is_absolute());
        let found = found.find_map(|folder| Some(folder.join(&file)).filter(|path| path.is_file()));
        found.ok_or_else(|| Failure::NotOnPath(self.name.clone()))
    }

    async fn run(&self, program: &std::path::Path, server: &str) -> Result<Credential, Failure> {
        let mut command = Command::new(program);
        command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for secret in WITHHELD {
            command.env_remove(secret);
        }
        let mut child = command.kill_on_drop(true).spawn().map_err(Failure::Start)?;
        let (input, output, complaint) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let spoken = async {
            if let Some(mut input) = input {
                // A program that does not read its input answers all the same.
                let _ = input.write_all(format!("{server}\n").as_bytes()).await;
            }
        };
        let all = async {
            tokio::join!(
                spoken,
                bounded(output, LONGEST_ANSWER),
                bounded(complaint, LONGEST_COMPLAINT),
                child.wait()
            )
        };
        let ((), output, complaint, status) =
            timeout(self.patience, all).await.map_err(|_| Failure::Timeout)?;
        let status = status.map_err(Failure::Start)?;
        if status.success() {
            return credential(&output);
        }
        if contains(&output, NOTHING) || contains(&complaint, NOTHING) {
            return Err(Failure::Nothing(server.to_owned()));
        }
        let said = if output.trim_ascii().is_empty() { complaint } else { output };
        Err(Failure::Failed { status: status.to_string(), said: shown(&said) })
    }

    fn problem(&self, failure: &Failure) -> Problem {
        let code = match failure {
            Failure::BadName | Failure::NotOnPath(_) => ProblemCode::HelperNotFound,
            Failure::Start(_) | Failure::Failed { .. } => ProblemCode::HelperFailed,
            Failure::Timeout => ProblemCode::HelperTimeout,
            Failure::Malformed => ProblemCode::HelperMalformedOutput,
            Failure::Nothing(_) => ProblemCode::NoEntries,
        };
        Problem {
            source: self.source(),
            location: self.file.clone(),
            code,
            detail: crate::error::chain(failure),
        }
    }
}

#[async_trait]
impl Fetch for Helper {
    fn source(&self) -> Source {
        Source::ControllerHelper(self.name.clone())
    }

    fn location(&self) -> Location {
        self.file.clone()
    }

    fn key(&self, repository: &Repository) -> Option<Key> {
        let sought = Sought::of(repository);
        match &self.serves {
            Serves::Registry(key) => key.matches(&sought).map(|_| key.clone()),
            Serves::AllBut(keys) => {
                let taken = keys.iter().any(|key| key.matches(&sought).is_some());
                if taken { None } else { Key::parse(repository.registry()).ok() }
            }
        }
    }

    async fn fetch(&self, repository: &Repository) -> Result<Credential, Problem> {
        let mut answers = self.answers.lock().await;
        let fresh =
            |(at, answer): &Answered| at.elapsed() < if answer.is_ok() { FRESH } else { FRESH_FAILURE };
        answers.retain(|_, answer| fresh(answer));
        if let Some((_, answer)) = answers.get(repository.registry()) {
            return answer.clone();
        }
        let answer = self.ask(repository.registry()).await.map_err(|failure| self.problem(&failure));
        if answers.len() < CAPACITY {
            answers.insert(repository.registry().to_owned(), (Instant::now(), answer.clone()));
        }
        answer
    }
}

/// Up to `limit` bytes and one more; what follows is read and dropped, so that the writer does not wait for ever.
async fn bounded(stream: Option<impl AsyncRead + Unpin>, limit: u64) -> Zeroizing<Vec<u8>> {
    let mut content = Zeroizing::new(Vec::new());
    if let Some(mut stream) = stream {
        let _ = (&mut stream).take(limit + 1).read_to_end(&mut content).await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
    content
}

fn credential(output: &[u8]) -> Result<Credential, Failure> {
    let answer: Answer = Some(output)
        .filter(|output| output.len() as u64 <= LONGEST_ANSWER)
        .and_then(|output| serde_json::from_slice(output).ok())
        .ok_or(Failure::Malformed)?;
    if answer.username.is_empty() || answer.secret.is_empty() {
        return Err(Failure::Malformed);
    }
    let (username, password) = (answer.username, Redacted::from(answer.secret));
    Ok(Credential::from_login(Login { username, password }))
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// The first line, without long runs of characters as tokens and keys have them.
fn shown(said: &[u8]) -> String {
    const LONGEST: usize = 256;
    const LONGEST_RUN: usize = 20;
    let text = String::from_utf8_lossy(said);
    let line = text.trim().lines().next().unwrap_or_default();
    let of_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_' | '-');
    let mut shown = String::new();
    for piece in line.split_inclusive(|c| !of_token(c)) {
        let run = piece.trim_end_matches(|c| !of_token(c));
        if run.len() > LONGEST_RUN {
            shown.push_str(super::secret::REDACTED);
            shown.push_str(piece.get(run.len()..).unwrap_or_default());
        } else {
            shown.push_str(piece);
        }
    }
    shown.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

/// What helpers say when they have nothing, by their protocol.
const NOTHING: &str = "credentials not found";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;

    /// A folder with the helper `test` in it, which is this shell script.
    fn program(script: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker-credential-test");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        folder
    }

    fn helper(folder: &Path) -> Helper {
        let file = Location::File("/config.json".into());
        let search = format!("relative:{}:/usr/bin:/bin", folder.display());
        Helper::new("test", file, Serves::AllBut(Vec::new()), Some(search.into()))
    }

    fn repository(name: &str) -> Repository {
        Repository::parse(name).unwrap()
    }

    async fn fetched(script: &str) -> Result<Credential, Problem> {
        let folder = program(script);
        helper(folder.path()).fetch(&repository("registry.test/app")).await
    }

    const HAS: &str = r#"echo '{"ServerURL":"x","Username":"user","Secret":"hunter2"}'"#;

    #[tokio::test]
    async fn the_answer_of_a_program_is_a_credential_and_serves_for_a_while() {
        let folder = program(&format!("cat >> {}/asked; {HAS}", "$(dirname $0)"));
        let helper = helper(folder.path());
        let login = Login { username: "user".into(), password: "hunter2".into() };
        for _ in 0..3 {
            let answer = helper.fetch(&repository("registry.test:5000/app")).await;
            assert_eq!(answer.unwrap(), Credential::Basic(login.clone()));
        }
        helper.fetch(&repository("ubuntu")).await.unwrap();
        let asked = fs::read_to_string(folder.path().join("asked")).unwrap();
        assert_eq!(asked, "registry.test:5000\nhttps://index.docker.io/v1/\n", "each once");
    }

    #[tokio::test]
    async fn the_name_token_marks_an_identity_token() {
        let answer = fetched(r#"echo '{"Username":"<token>","Secret":"t"}'"#).await.unwrap();
        assert_eq!(answer, Credential::IdentityToken { token: "t".into(), fallback: None });
    }

    #[tokio::test]
    async fn a_registry_that_is_not_known_is_asked_for_with_its_scheme_too() {
        let has = format!(
            "read server; case $server in https://registry.test) {HAS};; *) echo 'credentials not found in native keychain'; exit 1;; esac"
        );
        assert!(fetched(&has).await.is_ok());
        let problem = fetched("echo 'credentials not found in native keychain'; exit 1").await.unwrap_err();
        assert_eq!(problem.code, ProblemCode::NoEntries);
        assert_eq!(problem.detail, "it has no credential for https://registry.test");
    }

    #[tokio::test]
    async fn every_failure_has_its_code_and_says_no_secret() {
        let token = "eyJhbGciOiJFUzI1NiJ9hunter2hunter2";
        for (script, code, said) in [
            (
                format!("echo 'no such profile {token}' >&2; exit 3"),
                ProblemCode::HelperFailed,
                "exit status: 3): no such profile [redacted]",
            ),
            (
                "echo '{\"Secret\":\"hunter2\"}'".to_owned(),
                ProblemCode::HelperMalformedOutput,
                "no object with",
            ),
            ("echo hunter2".to_owned(), ProblemCode::HelperMalformedOutput, "no object with"),
            (
                "head -c 100000 /dev/zero | tr '\\0' ' '; echo '{}'".to_owned(),
                ProblemCode::HelperMalformedOutput,
                "no object with",
            ),
        ] {
            let problem = fetched(&script).await.unwrap_err();
            assert_eq!(problem.code, code, "{script}");
            assert!(problem.detail.contains(said), "{}", problem.detail);
            assert!(!format!("{problem} {problem:?}").contains("hunter2"), "{problem:?}");
            assert_eq!(problem.source.to_string(), "controller.helper:test");
        }
    }

    #[tokio::test]
    async fn a_program_that_does_not_answer_is_killed() {
        let folder = program("echo $$ > $(dirname $0)/pid; exec sleep 600");
        let helper = Helper { patience: Duration::from_secs(1), ..helper(folder.path()) };
        let problem = helper.fetch(&repository("registry.test/app")).await.unwrap_err();
        assert_eq!(problem.code, ProblemCode::HelperTimeout);
        let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
        let state = format!("/proc/{}/stat", pid.trim());
        for _ in 0..100 {
            // Gone, or dead and not yet collected.
            if fs::read_to_string(&state).map_or(true, |stat| stat.contains(") Z ")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it still runs");
    }

    #[tokio::test]
    async fn a_program_is_found_on_the_path_alone_and_its_name_is_no_path() {
        let nowhere = helper(Path::new("/nonexistent")).fetch(&repository("registry.test/app")).await;
        assert_eq!(nowhere.unwrap_err().code, ProblemCode::HelperNotFound);
        let folder = program(HAS);
        for name in ["../test", "a/b", "te st", "", "$(id)"] {
            let file = Location::File("/config.json".into());
            let search = Some(folder.path().as_os_str().to_owned());
            let helper = Helper::new(name, file, Serves::AllBut(Vec::new()), search);
            let problem = helper.fetch(&repository("registry.test/app")).await.unwrap_err();
            assert_eq!(problem.code, ProblemCode::HelperNotFound, "{name}");
            assert!(problem.detail.contains("letters, digits"), "{}", problem.detail);
        }
    }

    #[test]
    fn a_named_helper_serves_its_registry_and_a_store_whatever_is_left() {
        let of = |serves| Helper::new("x", Location::Ambient, serves, None);
        let key = |text: &str| Key::parse(text).unwrap();
        let named = of(Serves::Registry(key("gcr.io")));
        assert_eq!(named.key(&repository("gcr.io/p/app")), Some(key("gcr.io")));
        assert_eq!(named.key(&repository("ghcr.io/app")), None);
        let store = of(Serves::AllBut(vec![key("gcr.io"), key("https://index.docker.io/v1/")]));
        assert_eq!(store.key(&repository("gcr.io/p/app")), None);
        assert_eq!(store.key(&repository("ubuntu")), None);
        assert_eq!(store.key(&repository("ghcr.io/app")), Some(key("ghcr.io")));
    }

    #[test]
    fn what_a_program_says_is_cut_to_one_line_without_tokens() {
        assert_eq!(shown(b"  one\ntwo"), "one");
        assert_eq!(shown(b"no profile \x1b[31mdev"), "no profile [31mdev");
        let long = "x".repeat(30);
        assert_eq!(shown(format!("a={long} b").as_bytes()), "[redacted] b");
        assert_eq!(shown(format!("a: {long}.{long}").as_bytes()), "a: [redacted].[redacted]");
        assert_eq!(shown(" y".repeat(500).as_bytes()).chars().count(), 256);
    }
}
