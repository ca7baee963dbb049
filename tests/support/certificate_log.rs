//! A real certificate log (RFC 6962): certificate-transparency-go's server, on a real Trillian (`hack/install ct-log`).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::binary::binary;
use super::http_client;
use super::process::{Server, free_port, start};
use super::trillian::{Trillian, keys};

/// The log, listening until it is dropped.
pub struct CertificateLog {
    // Dropped from the top: what asks goes before what is asked.
    _server: Server,
    _trillian: Trillian,
    /// Where it answers, as Fulcio wants it.
    pub url: String,
    /// Its public key, as PEM.
    pub key: PathBuf,
}

impl CertificateLog {
    /// Starts one that takes certificates of the authority in `root`.
    pub async fn start(root: &Path) -> Self {
        start(async || {
            let trillian = Trillian::start("ct-log").await?;
            let folder = trillian.folder();
            let (private, key) = keys(folder).await;
            // A file would have to be encrypted.
            let der = pem::parse(std::fs::read(&private).unwrap()).unwrap().into_contents();
            let mut escaped = String::new();
            for byte in der {
                write!(escaped, "\\x{byte:02x}").unwrap();
            }
            let config = folder.join("config");
            let text = format!(
                "config {{\n log_id: {}\n prefix: \"log\"\n roots_pem_file: \"{}\"\n ext_key_usages: \"CodeSigning\"\n \
                 max_merge_delay_sec: 86400\n private_key: {{ [type.googleapis.com/keyspb.PrivateKey] {{ der: \"{}\" }} }}\n}}\n",
                trillian.tree,
                root.display(),
                escaped
            );
            std::fs::write(&config, text).unwrap();
            let port = free_port();
            let mut command = Command::new(binary("ct_server"));
            command.arg("--log_config").arg(&config).arg(format!("--http_endpoint=127.0.0.1:{port}"));
            command.arg(format!("--log_rpc_server=127.0.0.1:{}", trillian.port));
            let mut server = Server::spawn("ct_server", &mut command, folder);
            let (client, url) = (http_client(None), format!("http://127.0.0.1:{port}/log"));
            let ready = format!("{url}/ct/v1/get-sth");
            server.ready(async || client.get(&ready).send().await.is_ok_and(|a| a.status() == 200)).await?;
            Ok(Self { _server: server, _trillian: trillian, url, key })
        })
        .await
    }
}
