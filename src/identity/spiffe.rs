//! JWT-SVIDs from the SPIFFE Workload API (credentials specification §9.1).
//!
//! # Guarantees
//!
//! - The endpoint is looked for and connected to anew for each token: an agent that restarted, and with it its
//!   socket, is found again. While it is away the token waits for it, for ten seconds in all; after that the run's own
//!   retries take over.
//! - Every form works that documents show: a socket file, `unix:/…`, `unix:///…`, `tcp://…`, and the directory
//!   that the CSI driver mounts.
//!
//! # Caveats
//!
//! A socket file that is mounted by itself stays the old one when the agent makes a new one; only its directory
//! shows the new one. The error says so, but nothing in the pod can repair it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use spiffe::{WorkloadApiClient, WorkloadApiError};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::provider::Provider;
use super::stale::Staleness;
use super::token::IdentityToken;
use super::{Error, TokenSource};
use crate::client::http::cause;

/// Where the Workload API is when nobody says: SPIRE's default, the CSI driver's, and that of the documentation.
pub const USUAL_PLACES: [&str; 3] =
    ["/tmp/spire-agent/public/api.sock", "/spiffe-workload-api", "/run/spire/sockets/agent.sock"];
/// What sockets are called in a directory.
const USUAL_NAMES: [&str; 3] = ["spire-agent.sock", "agent.sock", "api.sock"];
/// How long a token may take, an agent that is just restarting included.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Short, since asking a socket of this machine costs nothing and an agent that crashes again and again is up for moments.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

const NO_SOCKET: &str = "it is a directory without a socket; made by the mount, before the agent ran?";
const STALE: &str = "the agent is down, or its socket was replaced on the host: mount its directory";

/// The Workload API of this node.
#[derive(Debug, Clone)]
pub struct WorkloadApi {
    setting: String,
    patience: Duration,
    stale: Arc<Staleness>,
}

/// The endpoint as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Endpoint {
    Path(PathBuf),
    Tcp(String),
}

impl WorkloadApi {
    /// At what `SPIFFE_ENDPOINT_SOCKET` says, or at one of the usual places.
    pub fn at(setting: &str) -> Self {
        Self { setting: setting.to_owned(), patience: PATIENCE, stale: Arc::default() }
    }

    /// The same, telling `stale` of a socket that refuses.
    pub fn telling(self, stale: &Arc<Staleness>) -> Self {
        Self { stale: Arc::clone(stale), ..self }
    }

    /// Asks until there is an answer; only an agent that is away is asked again.
    async fn fetch(&self, audience: &str) -> Result<Zeroizing<String>, Error> {
        let deadline = Instant::now() + self.patience;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.attempt(audience, deadline).await {
                Err(Error::WorkloadApi { .. }) if Instant::now() + pause < deadline => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                settled => return settled,
            }
        }
    }

    async fn attempt(&self, audience: &str, deadline: Instant) -> Result<Zeroizing<String>, Error> {
        let (address, is_file) = match Endpoint::read(&self.setting)? {
            Endpoint::Tcp(address) => (address, false),
            Endpoint::Path(path) => {
                let socket = self.socket(&path).await?;
                (format!("unix:{}", socket.display()), socket == path)
            }
        };
        let asked = async {
            let client = WorkloadApiClient::connect_to(&address).await?;
            client.fetch_jwt_token([audience], None).await
        };
        match tokio::time::timeout_at(deadline, asked).await {
            Ok(Ok(token)) => Ok(Zeroizing::new(token)),
            Ok(Err(WorkloadApiError::NoIdentityIssued | WorkloadApiError::PermissionDenied(_))) => {
                Err(Error::NotRegistered { endpoint: self.setting.clone() })
            }
            Ok(Err(error)) => {
                let refused = cause::<io::Error>(&error)
                    .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
                Err(self.away((is_file && refused).then_some(STALE), error))
            }
            Err(elapsed) => Err(self.away(None, elapsed)),
        }
    }

    /// The socket at `path`, or in it when it is a directory.
    async fn socket(&self, path: &Path) -> Result<PathBuf, Error> {
        let metadata = tokio::fs::metadata(path).await.map_err(|error| self.away(None, error))?;
        if !metadata.is_dir() {
            return Ok(path.to_owned());
        }
        let names = names(path).await.map_err(|error| self.away(None, error))?;
        if let Some(usual) = USUAL_NAMES.into_iter().find(|usual| names.iter().any(|name| name == usual)) {
            return Ok(path.join(usual));
        }
        let sockets: Vec<_> =
            names.iter().filter(|name| Path::new(name).extension() == Some("sock".as_ref())).collect();
        match sockets.as_slice() {
            [only] => Ok(path.join(only)),
            [] => Err(self.away(Some(NO_SOCKET), io::Error::from(io::ErrorKind::NotFound))),
            _ => Err(self.refused("there are several sockets in this directory; name one of them")),
        }
    }

    fn away(
        &self,
        remark: Option<&'static str>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Error {
        Error::WorkloadApi { endpoint: self.setting.clone(), remark, source: Box::new(source) }
    }

    fn refused(&self, reason: &'static str) -> Error {
        Error::Endpoint { endpoint: self.setting.clone(), reason }
    }
}

impl Endpoint {
    fn read(text: &str) -> Result<Self, Error> {
        let refused = |reason| Error::Endpoint { endpoint: text.to_owned(), reason };
        if text.starts_with("tcp:") {
            return Ok(Self::Tcp(text.to_owned()));
        }
        let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or(text);
        if path.contains("://") {
            return Err(refused("only unix: and tcp: are spoken"));
        }
        if !path.starts_with('/') {
            return Err(refused("a path must begin with /"));
        }
        Ok(Self::Path(PathBuf::from(path)))
    }
}

/// The names in a directory; more than a few dozen are not those of sockets.
async fn names(directory: &Path) -> io::Result<Vec<String>> {
    const MOST: usize = 64;
    let mut entries = tokio::fs::read_dir(directory).await?;
    let mut names = Vec::new();
    while let (Some(entry), true) = (entries.next_entry().await?, names.len() < MOST) {
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

#[async_trait]
impl TokenSource for WorkloadApi {
    fn provider(&self) -> Provider {
        Provider::Spiffe
    }

    async fn token(&self, audience: &str) -> Result<IdentityToken, Error> {
        let fetched = self.fetch(audience).await;
        match &fetched {
            Err(Error::WorkloadApi { remark: Some(STALE), .. }) => {
                self.stale.refused(std::time::Instant::now());
            }
            _ => self.stale.cleared(),
        }
        let text = fetched?;
        IdentityToken::parse(&text).map_err(|reason| Error::Token { provider: Provider::Spiffe, reason })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::error::{Class, Diagnose as _, chain};

    #[test]
    fn every_documented_form_of_the_endpoint_is_understood() {
        let path = |text: &str| Endpoint::Path(PathBuf::from(text));
        for (text, endpoint) in [
            ("/run/spire/sockets/agent.sock", path("/run/spire/sockets/agent.sock")),
            ("unix:///run/agent.sock", path("/run/agent.sock")),
            ("unix:/run/agent.sock", path("/run/agent.sock")),
            ("/spiffe-workload-api", path("/spiffe-workload-api")),
            ("tcp://127.0.0.1:8081", Endpoint::Tcp("tcp://127.0.0.1:8081".into())),
        ] {
            assert_eq!(Endpoint::read(text).unwrap(), endpoint, "{text}");
        }
        for text in ["", "agent.sock", "unix://agent.sock", "http://127.0.0.1/", "unix:"] {
            let error = Endpoint::read(text).unwrap_err();
            assert_eq!((error.class(), error.label()), (Class::Misconfigured, "identity_spiffe"), "{text}");
        }
    }

    fn impatient(setting: &str) -> WorkloadApi {
        WorkloadApi { patience: Duration::from_millis(250), ..WorkloadApi::at(setting) }
    }

    async fn socket_in(files: &[&str]) -> Result<String, Error> {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let source = WorkloadApi::at(&folder.path().display().to_string());
        let socket = source.socket(folder.path()).await?;
        Ok(socket.file_name().unwrap().to_string_lossy().into_owned())
    }

    #[tokio::test]
    async fn a_directory_stands_for_the_socket_in_it() {
        assert_eq!(socket_in(&["spire-agent.sock"]).await.unwrap(), "spire-agent.sock");
        assert_eq!(socket_in(&["api.sock", "agent.sock", "zz.sock"]).await.unwrap(), "agent.sock");
        assert_eq!(socket_in(&["mine.sock", "readme"]).await.unwrap(), "mine.sock");
        assert!(matches!(socket_in(&["a.sock", "b.sock"]).await, Err(Error::Endpoint { .. })));
    }

    #[tokio::test]
    async fn an_empty_directory_is_named_as_such() {
        let error = socket_in(&[]).await.unwrap_err();
        assert!(error.to_string().contains("directory without a socket"), "{error}");
        assert_eq!(error.class(), Class::Temporary, "the agent may still start");
    }

    #[tokio::test]
    async fn a_socket_that_nobody_listens_on_any_more_is_told_from_one_that_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        drop(UnixListener::bind(&path).unwrap());
        let at = |path: &Path| impatient(path.to_str().unwrap());
        let stale = at(&path).token("sigstore").await.unwrap_err();
        assert!(stale.to_string().contains("replaced on the host: mount its directory"), "{}", chain(&stale));
        let in_folder = at(folder.path()).token("sigstore").await.unwrap_err();
        assert!(!in_folder.to_string().contains("replaced"), "a directory shows the new one: {in_folder}");
        std::fs::remove_file(&path).unwrap();
        let missing = at(&path).token("sigstore").await.unwrap_err();
        assert!(!missing.to_string().contains("replaced") && missing.class() == Class::Temporary);
        assert_eq!(missing.about().unwrap().name, path.display().to_string());
    }

    #[tokio::test]
    async fn a_peer_that_speaks_no_workload_api_is_an_error_and_no_wait_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let source = impatient(&format!("unix://{}", path.display()));
        let hang_up = async {
            loop {
                drop(listener.accept().await);
            }
        };
        let error = tokio::select! { error = source.token("sigstore") => error.unwrap_err(), () = hang_up => unreachable!() };
        assert!(matches!(error, Error::WorkloadApi { remark: None, .. }), "{error}");
    }

    #[tokio::test]
    async fn an_agent_that_is_away_is_asked_again_and_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        let source = impatient(path.to_str().unwrap());
        let appears = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let listener = tokio::net::UnixListener::bind(&path).unwrap();
            listener.accept().await.unwrap();
        };
        let started = Instant::now();
        let ((), answer) = tokio::join!(appears, source.token("sigstore"));
        assert!(matches!(answer.unwrap_err(), Error::WorkloadApi { .. }), "it came, and then said nothing");
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
}
