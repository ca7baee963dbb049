//! The clouds of `server.py`, and the identity that is tried on them.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use hallmark::artifact::image::Repository;
use hallmark::client::cloud::Web;
use hallmark::client::registry::Registry;
use hallmark::credential::agent::Lent;
use hallmark::credential::cloud::{Surroundings, lent};
use hallmark::credential::registry_config::{Proxies, RegistryConfig};
use hallmark::credential::{Credential, Problem};
use jiff::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use super::support::{Finished, run};

pub const ROLE: &str = "arn:aws:iam::123456789012:role/push";
pub const OTHER_ROLE: &str = "arn:aws:iam::210987654321:role/other";
pub const ECR: &str = "123456789012.dkr.ecr.us-east-1.amazonaws.com";

/// Running servers; they end when this is dropped.
pub struct Clouds {
    child: Child,
    pub url: String,
    proxy: u64,
    folder: TempDir,
}

impl Clouds {
    /// Starts them; nothing where the judges are missing, which is said.
    pub fn start() -> Option<Self> {
        // The client of the test itself; the first test of the process installs it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let Some(python) = python() else {
            eprintln!(
                "skipped: Python with botocore, PyJWT and cryptography is missing: run hack/install cloud-judges"
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cloud/server.py");
        let mut command = Command::new(python);
        command.args(["-W", "ignore", script]).arg(folder.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ports: Value = serde_json::from_str(&line).expect("the clouds do not start");
        let url = format!("http://127.0.0.1:{}", ports["http"]);
        Some(Self { child, url, proxy: ports["proxy"].as_u64().unwrap(), folder })
    }

    pub async fn control(&self, change: Value) {
        self.post("/_control", change).await;
    }

    /// A token of the cluster's issuer.
    pub async fn token(&self, claims: Value) -> String {
        self.post("/_token", claims).await
    }

    pub async fn log(&self, step: &str) -> Vec<Value> {
        let log: Vec<Value> = serde_json::from_str(&self.post("/_log", Value::Null).await).unwrap();
        log.into_iter().filter(|line| line["step"] == step).collect()
    }

    pub async fn post(&self, path: &str, body: Value) -> String {
        let request =
            crate::support::http_client(None).post(format!("{}{path}", self.url)).body(body.to_string());
        request.send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
    }

    /// A file with this content.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The identity of `surroundings`.
    pub fn identity(&self, surroundings: &Surroundings, role: Option<&str>) -> Identity {
        let web = Web::new(Registry::new().unwrap(), self.registry_config());
        Identity(lent(surroundings, &web, role))
    }

    /// What [`Clouds::registries`] holds.
    pub fn registry_config(&self) -> Arc<RegistryConfig> {
        let file = std::fs::read_to_string(self.registries()).unwrap();
        let read = RegistryConfig::parse("f", &file, &Proxies::none(), Timestamp::now());
        Arc::new(read.config.unwrap())
    }

    /// A registry configuration that leads every name with TLS to these servers.
    pub fn registries(&self) -> PathBuf {
        self.trusted_for(&["."])
    }

    /// The same for servers with these names alone: those of the operator's own choice are judged by tables of their names.
    pub fn trusted_for(&self, names: &[&str]) -> PathBuf {
        let authority = std::fs::read_to_string(self.folder.path().join("ca.crt")).unwrap();
        let mut text = format!("[extra-env]\nHTTPS_PROXY = \"http://127.0.0.1:{}\"\n", self.proxy);
        for name in names {
            let _ = write!(text, "[registries.\"{name}\"]\nca-certs = '''\n{authority}'''\n");
        }
        self.file("registries.toml", &text)
    }

    /// `hallmark creds explain --probe` for an image, with these variables and no others.
    pub async fn explain(&self, image: &str, variables: &[(&str, &str)], more: &[&str]) -> Finished {
        let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: builder, namespace: ci}\n";
        let (manifest, registries) = (self.file("account.yaml", account), self.registries());
        let mut command = Command::new(env!("CARGO_BIN_EXE_hallmark"));
        command.args([
            "creds",
            "explain",
            "-n",
            "ci",
            "--service-account",
            "builder",
            "--probe",
            "--image",
            image,
        ]);
        command.arg("-f").arg(manifest).arg("--registry-config").arg(registries).args(more);
        command.env_clear().envs(variables.iter().copied());
        run(command).await
    }
}

impl Drop for Clouds {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What an identity has for registries.
pub struct Identity(pub Lent);

impl Identity {
    pub async fn fetch(&self, registry: &str) -> Result<Credential, Problem> {
        let repository = Repository::parse(&format!("{registry}/team/app")).unwrap();
        let serves = |one: &&hallmark::credential::Fetcher| one.key(&repository).is_some();
        self.0.fetchers.iter().find(serves).expect("no cloud serves it").fetch(&repository).await
    }

    /// The password or token; its name.
    pub async fn secret(&self, registry: &str) -> (String, String) {
        match self.fetch(registry).await.unwrap() {
            Credential::Basic(login) => (login.username, login.password.expose_text().into_owned()),
            Credential::IdentityToken { token, .. } => (String::new(), token.expose_text().into_owned()),
            other => panic!("{other:?}"),
        }
    }

    /// Code and sentence of the reason why there is none.
    pub async fn problem(&self, registry: &str) -> (String, String) {
        let problem = self.fetch(registry).await.unwrap_err();
        assert!(!problem.detail.contains("canary"), "{}", problem.detail);
        (problem.code.to_string(), problem.detail)
    }
}

/// A Python that has the judges: the one of `hack/install`, else the system's.
fn python() -> Option<PathBuf> {
    let cache = std::env::var_os("HALLMARK_CACHE").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
        Some(home?.join("hallmark"))
    });
    let installed = cache.map(|cache| cache.join("cloud-judges/bin/python"));
    let has = |python: &PathBuf| {
        let mut command = Command::new(python);
        command.args(["-W", "ignore", "-c", "import botocore.auth, jwt, cryptography"]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    installed.into_iter().chain([PathBuf::from("/usr/bin/python3"), "python3".into()]).find(has)
}
