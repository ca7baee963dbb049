//! A real timestamp authority, with keys and certificates that it makes anew at each start.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::binary::binary;
use super::http_client;
use super::process::{Server, free_port, start};

/// A timestamp authority, listening until it is dropped.
pub struct TimestampServer {
    _server: Server,
    /// Where requests go.
    pub url: String,
    /// Its certificates, as PEM, its own first.
    pub chain: PathBuf,
    _folder: TempDir,
}

impl TimestampServer {
    /// Starts one.
    pub async fn start() -> Self {
        start(async || {
            let folder = tempfile::tempdir().unwrap();
            let port = free_port();
            let mut command = Command::new(binary("timestamp-server"));
            command.arg("--host=127.0.0.1").arg(format!("--port={port}"));
            let mut server = Server::spawn("timestamp-server", &mut command, folder.path());
            let (client, url) = (http_client(None), format!("http://127.0.0.1:{port}/api/v1/timestamp"));
            let chain_url = format!("{url}/certchain");
            server
                .ready(async || client.get(&chain_url).send().await.is_ok_and(|a| a.status() == 200))
                .await?;
            let chain = folder.path().join("chain.pem");
            std::fs::write(&chain, client.get(&chain_url).send().await.unwrap().text().await.unwrap())
                .unwrap();
            Ok(Self { _server: server, url, chain, _folder: folder })
        })
        .await
    }
}
