//! A real Fulcio that trusts the tokens of one cluster, with a root of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::binary::binary;
use super::cluster::Cluster;
use super::http_client;
use super::process::{Server, free_port, run, start};

/// Fulcio, listening until it is dropped.
pub struct Fulcio {
    _server: Server,
    /// Where it answers.
    pub url: String,
    _folder: TempDir,
}

impl Fulcio {
    /// Starts one that trusts `cluster` as the issuer of Kubernetes tokens.
    pub async fn start(cluster: &Cluster) -> Self {
        start(async || {
            let folder = tempfile::tempdir().unwrap();
            let (certificate, key) = root(folder.path()).await;
            let config = folder.path().join("config.yaml");
            std::fs::write(&config, configuration(cluster)).unwrap();
            let (http, grpc, metrics) = (free_port(), free_port(), free_port());
            let mut command = Command::new(binary("fulcio"));
            command.args(["serve", "--ca=fileca", "--fileca-key-passwd=root", "--ct-log-url="]);
            command.args(["--host=127.0.0.1", "--grpc-host=127.0.0.1", "--fileca-watch=false"]);
            command.arg(format!("--port={http}")).arg(format!("--grpc-port={grpc}"));
            command.arg(format!("--metrics-port={metrics}"));
            let socket = folder.path().join("legacy.sock");
            command.arg(option("--legacy-unix-domain-socket", &socket)).arg(option("--config-path", &config));
            command.arg(option("--fileca-cert", &certificate)).arg(option("--fileca-key", &key));
            let mut server = Server::spawn("fulcio", &mut command, folder.path());
            let (client, url) = (http_client(None), format!("http://127.0.0.1:{http}"));
            let ready = format!("{url}/api/v2/trustBundle");
            server.ready(async || client.get(&ready).send().await.is_ok_and(|a| a.status() == 200)).await?;
            Ok(Self { _server: server, url, _folder: folder })
        })
        .await
    }
}

fn option(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

fn configuration(cluster: &Cluster) -> String {
    let issuer = cluster.issuer();
    let authority = cluster.ca_pem().replace('\n', "\n        ");
    format!(
        "oidc-issuers:\n  {issuer}:\n    issuer-url: {issuer}\n    client-id: sigstore\n    type: kubernetes\n    \
         ca-cert: |\n        {authority}\n"
    )
}

/// A root that may sign code-signing certificates, its key encrypted as Fulcio demands.
async fn root(folder: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("root.pem"), folder.join("root.key"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"]);
    command.args(["-subj", "/O=test/CN=root", "-passout", "pass:root"]);
    for extension in [
        "basicConstraints=critical,CA:TRUE",
        "keyUsage=critical,keyCertSign,cRLSign",
        "extendedKeyUsage=codeSigning",
    ] {
        command.args(["-addext", extension]);
    }
    command.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    run(command).await.succeeded();
    (certificate, key)
}
