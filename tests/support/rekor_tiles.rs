//! A real Rekor of version 2, which keeps its tiles in a folder.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::binary::binary;
use super::http_client;
use super::process::{Server, free_port, run, start};

/// Rekor v2, listening until it is dropped.
pub struct RekorTiles {
    _server: Server,
    /// Where it answers; by name, since its checkpoints carry the name.
    pub url: String,
    /// Its public key, as PEM.
    pub key: PathBuf,
    _folder: TempDir,
}

impl RekorTiles {
    /// Starts one with an empty log.
    pub async fn start() -> Self {
        start(async || {
            let folder = tempfile::tempdir().unwrap();
            let (private, key) = (folder.path().join("log.key"), folder.path().join("log.pub"));
            let mut openssl = Command::new("openssl");
            openssl.args(["genpkey", "-algorithm", "ED25519", "-out"]).arg(&private);
            run(openssl).await.succeeded();
            let mut openssl = Command::new("openssl");
            openssl.arg("pkey").arg("-in").arg(&private).arg("-pubout").arg("-out").arg(&key);
            run(openssl).await.succeeded();
            let tiles = folder.path().join("tiles");
            std::fs::create_dir(&tiles).unwrap();
            let (http, grpc, metrics) = (free_port(), free_port(), free_port());
            let mut command = Command::new(binary("rekor-tiles"));
            command.args(["serve", "--hostname=localhost", "--checkpoint-interval=500ms"]);
            command.args(["--http-address=127.0.0.1", "--grpc-address=127.0.0.1"]);
            command.arg(format!("--http-port={http}")).arg(format!("--grpc-port={grpc}"));
            command.arg(format!("--http-metrics-port={metrics}"));
            command.arg("--storage-dir").arg(&tiles).arg("--signer-filepath").arg(&private);
            let mut server = Server::spawn("rekor-tiles", &mut command, folder.path());
            let (client, url) = (http_client(None), format!("http://localhost:{http}"));
            let ready = format!("{url}/healthz");
            server.ready(async || client.get(&ready).send().await.is_ok_and(|a| a.status() == 200)).await?;
            Ok(Self { _server: server, url, key, _folder: folder })
        })
        .await
    }
}
