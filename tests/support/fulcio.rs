//! A real Fulcio that trusts the tokens of the issuers that a test names, with a root of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::binary::binary;
use super::certificate_log::CertificateLog;
use super::cluster::Cluster;
use super::http_client;
use super::process::{Server, free_port, run, start};

/// Fulcio, listening until it is dropped.
pub struct Fulcio {
    server: Server,
    /// Where it answers.
    pub url: String,
    /// Where it counts.
    metrics: String,
    /// The certificate of its root.
    pub root: PathBuf,
    _folders: [TempDir; 2],
}

/// Somebody whose tokens Fulcio accepts.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// `iss` in its tokens, and where its keys are found.
    pub url: String,
    /// The authority behind its certificate.
    pub ca_pem: String,
    /// What Fulcio makes of its subjects.
    pub kind: Kind,
}

/// Fulcio's type of an issuer.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Service accounts.
    Kubernetes,
    /// SPIFFE IDs of one trust domain.
    Spiffe {
        /// Without `spiffe://`.
        trust_domain: String,
    },
}

impl Issuer {
    /// The service accounts of a cluster.
    pub fn of(cluster: &Cluster) -> Self {
        Self { url: cluster.issuer(), ca_pem: cluster.ca_pem(), kind: Kind::Kubernetes }
    }
}

impl Fulcio {
    /// Starts one that trusts `cluster` as the issuer of Kubernetes tokens.
    pub async fn start(cluster: &Cluster) -> Self {
        Self::trusting(&[Issuer::of(cluster)]).await
    }

    /// Starts one that trusts these issuers.
    pub async fn trusting(issuers: &[Issuer]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = root(folder.path()).await;
        Self::begun(issuers, folder, root, "").await
    }

    /// Starts one that trusts `cluster` and gives its certificates to a certificate log, and that log.
    pub async fn logged(cluster: &Cluster) -> (Self, CertificateLog) {
        let folder = tempfile::tempdir().unwrap();
        let root = root(folder.path()).await;
        let log = CertificateLog::start(&root.0).await;
        let fulcio = Self::begun(&[Issuer::of(cluster)], folder, root, &log.url).await;
        (fulcio, log)
    }

    async fn begun(
        issuers: &[Issuer],
        authority: TempDir,
        (certificate, key): (PathBuf, PathBuf),
        log: &str,
    ) -> Self {
        let (server, url, metrics, folder) = start(async || {
            let folder = tempfile::tempdir().unwrap();
            let config = folder.path().join("config.yaml");
            std::fs::write(&config, configuration(issuers)).unwrap();
            let (http, grpc, metrics) = (free_port(), free_port(), free_port());
            let mut command = Command::new(binary("fulcio"));
            command
                .args(["serve", "--ca=fileca", "--fileca-key-passwd=root"])
                .arg(format!("--ct-log-url={log}"));
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
            let metrics = format!("http://127.0.0.1:{metrics}/metrics");
            Ok((server, url, metrics, folder))
        })
        .await;
        Self { server, url, metrics, root: certificate, _folders: [folder, authority] }
    }

    /// How many certificates it has issued, by its own count.
    pub async fn issued(&self) -> usize {
        let page = http_client(None).get(&self.metrics).send().await.unwrap().text().await.unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix("fulcio_new_certs "));
        line.map_or(0, |count| count.parse().unwrap())
    }
}

/// A failing test shows what Fulcio said last; its answers do not give reasons.
impl Drop for Fulcio {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.server.log_text();
            // Not the stacks, which are most of it.
            let lines: Vec<_> = log.lines().filter(|line| line.starts_with("20")).collect();
            println!("fulcio said last:\n{}", lines[lines.len().saturating_sub(10)..].join("\n"));
        }
    }
}

fn option(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

/// YAML by hand: it takes JSON for a configuration of its older form.
fn configuration(issuers: &[Issuer]) -> String {
    let entry = |Issuer { url, ca_pem, kind }: &Issuer| {
        let authority = ca_pem.replace('\n', "\n        ");
        let kind = match kind {
            Kind::Kubernetes => "kubernetes".to_owned(),
            Kind::Spiffe { trust_domain } => format!("spiffe\n    spiffe-trust-domain: {trust_domain}"),
        };
        format!(
            "  {url}:\n    issuer-url: {url}\n    client-id: sigstore\n    type: {kind}\n    \
             ca-cert: |\n        {authority}\n"
        )
    };
    format!("oidc-issuers:\n{}", issuers.iter().map(entry).collect::<String>())
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
