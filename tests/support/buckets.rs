//! Buckets of somebody else's making: fake-gcs-server for Google Cloud Storage, and the Versity gateway for S3, which
//! verifies signatures and keeps objects as files.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::binary::binary;
use super::http_client;
use super::process::{Server, StartFailure, free_port, start};

/// A Cloud Storage with the bucket `signatures`; it may be stopped and started again.
pub struct FakeGcs {
    server: Option<Server>,
    port: u16,
    folder: TempDir,
}

impl FakeGcs {
    /// Starts it.
    pub async fn start() -> Self {
        start(async || {
            let mut gcs = Self::away();
            gcs.launch().await?;
            Ok(gcs)
        })
        .await
    }

    /// One that is not there yet.
    pub fn away() -> Self {
        Self { server: None, port: free_port(), folder: tempfile::tempdir().unwrap() }
    }

    /// Starts it now.
    pub async fn arrive(&mut self) {
        self.launch().await.expect("fake-gcs-server starts");
    }

    async fn launch(&mut self) -> Result<(), StartFailure> {
        let root = self.folder.path().join("objects");
        let mut command = Command::new(binary("fake-gcs-server"));
        command.args([
            "-scheme",
            "http",
            "-host",
            "127.0.0.1",
            "-backend",
            "filesystem",
            "-log-level",
            "info",
        ]);
        command.args(["-port", &self.port.to_string(), "-public-host", &format!("127.0.0.1:{}", self.port)]);
        command.arg("-filesystem-root").arg(root);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.folder.path());
        let mut server = Server::spawn("fake-gcs-server", &mut command, self.folder.path());
        let (client, buckets) = (http_client(None), format!("{}/storage/v1/b?project=p", self.url()));
        let make = async || {
            let made = client.post(&buckets).body(json!({"name": "signatures"}).to_string()).send().await;
            made.is_ok_and(|answer| matches!(answer.status().as_u16(), 200 | 409))
        };
        server.ready(make).await?;
        self.server = Some(server);
        Ok(())
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Name and generation of each object: another generation is another write.
    pub async fn objects(&self) -> Vec<(String, String)> {
        let list = format!("{}/storage/v1/b/signatures/o", self.url());
        let answer = http_client(None).get(list).send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| (text(item, "name"), text(item, "generation"))).collect()
    }
}

/// An S3 with the bucket `signatures`.
pub struct S3Gateway {
    _server: Server,
    /// `http://127.0.0.1:port`.
    pub url: String,
    folder: TempDir,
}

impl S3Gateway {
    /// The keys that it knows.
    pub const KEYS: (&'static str, &'static str) = ("AKIAGATEWAY", "canary-gateway-secret");

    /// Starts it.
    pub async fn start() -> Self {
        start(Self::attempt).await
    }

    async fn attempt() -> Result<Self, StartFailure> {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let (root, sidecar) = (folder.path().join("objects"), folder.path().join("metadata"));
        std::fs::create_dir_all(root.join("signatures")).unwrap();
        std::fs::create_dir_all(&sidecar).unwrap();
        let mut command = Command::new(binary("versitygw"));
        command.args(["--access", Self::KEYS.0, "--secret", Self::KEYS.1, "--region", "eu-central-1"]);
        command.args(["--port", &format!("127.0.0.1:{port}"), "posix", "--sidecar"]).arg(&sidecar).arg(&root);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder.path());
        let mut server = Server::spawn("versitygw", &mut command, folder.path());
        let (client, url) = (http_client(None), format!("http://127.0.0.1:{port}"));
        server.ready(async || client.get(&url).send().await.is_ok()).await?;
        Ok(Self { _server: server, url, folder })
    }

    /// The file of an object.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("objects/signatures").join(name)
    }
}
