//! FerretDB, which speaks as MongoDB does and keeps its documents in SQLite, so that it can be killed and started again.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::binary::binary;
use super::http_client;
use super::pki::Authority;
use super::process::{Server, StartFailure, free_port, start};

/// A FerretDB with one user; it ends when this is dropped.
pub struct FerretDb {
    server: Mutex<Option<Server>>,
    port: u16,
    metrics: u16,
    authority: Option<Authority>,
    folder: TempDir,
}

impl FerretDb {
    /// Its user and its password, which a URL has to encode.
    pub const USER: (&'static str, &'static str) = ("chains", "canary/mongo@1");

    /// Starts it without TLS.
    pub async fn start() -> Self {
        start(async || Self::attempt(false).await).await
    }

    /// Starts it with TLS, by an authority that nobody knows.
    pub async fn with_tls() -> Self {
        start(async || Self::attempt(true).await).await
    }

    async fn attempt(tls: bool) -> Result<Self, StartFailure> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let authority = tls.then(|| Authority::new(folder.path()));
        let (server, port, metrics) = (Mutex::default(), free_port(), free_port());
        let ferretdb = Self { server, port, metrics, authority, folder };
        ferretdb.launch().await?;
        Ok(ferretdb)
    }

    async fn launch(&self) -> Result<(), StartFailure> {
        let (folder, address) = (self.folder.path().to_str().unwrap(), format!("127.0.0.1:{}", self.port));
        let mut command = Command::new(binary("ferretdb"));
        command.args([
            "--handler=sqlite",
            "--telemetry=disable",
            "--test-enable-new-auth",
            "--setup-database=admin",
        ]);
        command.arg(format!("--sqlite-url=file:{folder}/data/")).arg(format!("--state-dir={folder}"));
        command.arg(format!("--debug-addr=127.0.0.1:{}", self.metrics));
        command.arg(format!("--setup-username={}", Self::USER.0));
        command.arg(format!("--setup-password={}", Self::USER.1));
        if let Some(authority) = &self.authority {
            let identity = authority.server("ferretdb");
            command.arg("--listen-addr=").arg(format!("--listen-tls={address}"));
            command.arg("--listen-tls-cert-file").arg(&identity.certificate);
            command.arg("--listen-tls-key-file").arg(&identity.key);
        } else {
            command.arg(format!("--listen-addr={address}"));
        }
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder);
        let mut server = Server::spawn("ferretdb", &mut command, self.folder.path());
        server.ready(async || TcpStream::connect(&address).await.is_ok()).await?;
        *self.server.lock().unwrap() = Some(server);
        Ok(())
    }

    /// Kills it.
    pub fn kill(&self) {
        drop(self.server.lock().unwrap().take());
    }

    /// Starts it again, with what it had.
    pub async fn start_again(&self) {
        self.launch().await.expect("ferretdb starts again");
    }

    /// `127.0.0.1:port`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The URL of its user.
    pub fn url(&self) -> String {
        self.url_of(Self::USER.0, Self::USER.1)
    }

    /// The URL of somebody else.
    pub fn url_of(&self, user: &str, password: &str) -> String {
        let encoded: String = url::form_urlencoded::byte_serialize(password.as_bytes()).collect();
        let tls = if self.authority.is_some() { "&tls=true" } else { "" };
        format!("mongodb://{user}:{encoded}@{}/?authSource=admin{tls}", self.host())
    }

    /// The certificate of the authority of its TLS.
    pub fn ca(&self) -> PathBuf {
        self.authority.as_ref().expect("it has TLS").certificate()
    }

    /// How often it did this since it started: `insert`, `update`, `find`.
    pub async fn count(&self, command: &str) -> u64 {
        let metrics = format!("http://127.0.0.1:{}/debug/metrics", self.metrics);
        let text = http_client(None).get(metrics).send().await.unwrap().text().await.unwrap();
        let named = format!("command=\"{command}\"");
        let lines = text
            .lines()
            .filter(|line| line.starts_with("ferretdb_client_requests_total") && line.contains(&named));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }
}
