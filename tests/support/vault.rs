//! A real Vault with its data on disk, so that it can be restarted: then it is sealed, as everywhere.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::binary::binary;
use super::fulcio::Issuer;
use super::http_client;
use super::process::{Server, StartFailure, eventually, free_port, start};

/// A Vault with a transit engine, unsealed; it ends when this is dropped.
pub struct Vault {
    server: Mutex<Option<Server>>,
    /// `http://127.0.0.1:port`.
    pub url: String,
    /// A token with every right.
    pub root: String,
    unseal: String,
    client: reqwest::Client,
    folder: TempDir,
}

impl Vault {
    /// Starts it.
    pub async fn start() -> Self {
        let vault = start(Self::attempt).await;
        vault.write("sys/mounts/transit", json!({"type": "transit"})).await;
        let log = vault.folder.path().join("audit.log");
        vault.write("sys/audit/file", json!({"type": "file", "options": {"file_path": log}})).await;
        vault
    }

    async fn attempt() -> Result<Self, StartFailure> {
        let folder = tempfile::tempdir().unwrap();
        let (port, client) = (free_port(), http_client(None));
        let url = format!("http://127.0.0.1:{port}");
        let settings = json!({"storage": {"file": {"path": folder.path().join("data")}}, "disable_mlock": true,
            "api_addr": url, "listener": {"tcp": {"address": format!("127.0.0.1:{port}"), "tls_disable": true}}});
        std::fs::write(folder.path().join("vault.json"), settings.to_string()).unwrap();
        let mut vault = Self {
            server: Mutex::default(),
            url,
            root: String::new(),
            unseal: String::new(),
            client,
            folder,
        };
        vault.launch().await?;
        let made = vault.send("PUT", "sys/init", json!({"secret_shares": 1, "secret_threshold": 1})).await.1;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (vault.root, vault.unseal) = (text(&made["root_token"]), text(&made["keys"][0]));
        vault.unseal().await;
        Ok(vault)
    }

    async fn launch(&self) -> Result<(), StartFailure> {
        let mut command = Command::new(binary("vault"));
        command.arg("server").arg("-config").arg(self.folder.path().join("vault.json"));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.folder.path());
        let mut server = Server::spawn("vault", &mut command, self.folder.path());
        let health = format!("{}/v1/sys/seal-status", self.url);
        server.ready(async || self.client.get(&health).send().await.is_ok_and(|a| a.status() == 200)).await?;
        *self.server.lock().unwrap() = Some(server);
        Ok(())
    }

    /// Kills it.
    pub fn kill(&self) {
        drop(self.server.lock().unwrap().take());
    }

    /// Starts it again, sealed.
    pub async fn start_again(&self) {
        self.launch().await.expect("vault starts again");
    }

    /// Unseals it, and waits until it answers.
    pub async fn unseal(&self) {
        self.send("PUT", "sys/unseal", json!({"key": self.unseal})).await;
        eventually("vault is active", std::time::Duration::from_secs(30), async || {
            let health = self.client.get(format!("{}/v1/sys/health", self.url)).send().await.ok()?;
            (health.status() == 200).then_some(())
        })
        .await;
    }

    /// Makes a key of the transit engine.
    pub async fn key(&self, name: &str, kind: &str) {
        self.write(&format!("transit/keys/{name}"), json!({"type": kind})).await;
    }

    /// Makes the policy `NAME` that lets its holder sign with the key of that name.
    pub async fn policy(&self, name: &str) {
        let policy = format!(
            "path \"transit/keys/{name}\" {{ capabilities = [\"read\"] }}
             path \"transit/sign/{name}/*\" {{ capabilities = [\"update\"] }}"
        );
        self.write(&format!("sys/policies/acl/{name}"), json!({"policy": policy})).await;
    }

    /// A token with a policy that lives this long, as `1h`.
    pub async fn token(&self, policy: &str, lasts: &str) -> String {
        let made = self
            .write("auth/token/create", json!({"policies": [policy], "ttl": lasts, "no_parent": true}))
            .await;
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    /// Lets tokens of an issuer log in at `auth/PATH` as `role`, for the audience `vault`.
    pub async fn trust(&self, path: &str, issuer: &Issuer, keys: &str, role: &Value) {
        self.write(&format!("sys/auth/{path}"), json!({"type": "jwt"})).await;
        let keys = format!("{}{keys}", issuer.url);
        let config = json!({"jwks_url": keys, "jwks_ca_pem": issuer.ca_pem, "bound_issuer": issuer.url});
        self.write(&format!("auth/{path}/config"), config).await;
        let mut role = role.clone();
        (role["role_type"], role["user_claim"]) = ("jwt".into(), "sub".into());
        role["bound_audiences"] = json!(["vault"]);
        self.write(&format!("auth/{path}/role/chains"), role).await;
    }

    /// Asks for anything with every right.
    pub async fn write(&self, path: &str, content: Value) -> Value {
        let (status, answer) = self.send("POST", path, content).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    async fn send(&self, method: &str, path: &str, content: Value) -> (u16, Value) {
        let request = self.client.request(method.parse().unwrap(), format!("{}/v1/{path}", self.url));
        let request = request.header("X-Vault-Token", &self.root).body(content.to_string());
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }

    /// How often `operation` (`read`, `update`) was asked of `path`, by its own audit log.
    pub fn count(&self, operation: &str, path: &str) -> usize {
        let log = std::fs::read_to_string(self.audit()).unwrap_or_default();
        let asked = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let is_it = |entry: &Value| entry["type"] == "response" && entry["request"]["operation"] == operation;
        asked.filter(|entry| is_it(entry) && entry["request"]["path"] == path).count()
    }

    /// How often anything was asked of it, by the same log.
    pub fn requests(&self) -> usize {
        let log = std::fs::read_to_string(self.audit()).unwrap_or_default();
        log.lines().filter(|line| line.contains("\"type\":\"response\"")).count()
    }

    /// The public half of the first version of a key of the transit engine.
    pub async fn public_key(&self, name: &str) -> String {
        let key = self.send("GET", &format!("transit/keys/{name}"), Value::Null).await.1;
        key["data"]["keys"]["1"]["public_key"].as_str().unwrap().trim().to_owned()
    }

    fn audit(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }
}

/// A failing test shows what Vault said last.
impl Drop for Vault {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("vault.log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            println!("vault said last:\n{}", lines[lines.len().saturating_sub(15)..].join("\n"));
        }
    }
}
