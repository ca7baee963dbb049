//! A real Rekor of version 1, on a real Trillian, on a PostgreSQL of its own (`hack/install rekor-v1`).
//!
//! Rekor counts on port 2112 of every address, which no option changes; nobody needs it, and it does without where the
//! port is taken.

use std::path::PathBuf;
use std::process::Command;

use super::binary::binary;
use super::http_client;
use super::process::{Server, free_port, start};
use super::trillian::{Trillian, keys};

/// Rekor v1, listening until it is dropped.
pub struct RekorV1 {
    // Dropped from the top: what asks goes before what is asked.
    _rekor: Server,
    _trillian: Trillian,
    /// Where it answers.
    pub url: String,
    /// Its public key, as PEM.
    pub key: PathBuf,
}

impl RekorV1 {
    /// Starts one with an empty log.
    pub async fn start() -> Self {
        start(async || {
            let trillian = Trillian::start("rekor").await?;
            let folder = trillian.folder();
            let (private, key) = keys(folder).await;
            let port = free_port();
            let mut command = Command::new(binary("rekor-server"));
            command.args(["serve", "--rekor_server.address=127.0.0.1", "--enable_retrieve_api=false"]);
            command.args(["--rekor_server.hostname=localhost", "--trillian_log_server.address=127.0.0.1"]);
            command
                .arg(format!("--port={port}"))
                .arg(format!("--trillian_log_server.port={}", trillian.port));
            command.arg(format!("--trillian_log_server.tlog_id={}", trillian.tree));
            command.arg(format!("--rekor_server.signer={}", private.display()));
            command.arg(format!("--enabled_api_endpoints={ENDPOINTS}"));
            let mut rekor = Server::spawn("rekor-server", &mut command, folder);
            let (client, url) = (http_client(None), format!("http://127.0.0.1:{port}"));
            let ready = format!("{url}/api/v1/log");
            rekor.ready(async || client.get(&ready).send().await.is_ok_and(|a| a.status() == 200)).await?;
            Ok(Self { _rekor: rekor, _trillian: trillian, url, key })
        })
        .await
    }
}

const ENDPOINTS: &str =
    "getLogInfo,getLogProof,getPublicKey,createLogEntry,getLogEntryByIndex,getLogEntryByUUID,searchLogQuery";
