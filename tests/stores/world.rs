//! The stores of `server.py`, and `hallmark sign` of a run whose signatures go to stores.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Finished, Hallmark, http_client, installed};

pub const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys");

/// The Python that has botocore.
fn installed_python() -> std::path::PathBuf {
    let has = "import botocore.auth";
    let system = Command::new("/usr/bin/python3").args(["-c", has]).stderr(Stdio::null()).status();
    if system.is_ok_and(|status| status.success()) {
        return "/usr/bin/python3".into();
    }
    installed("cloud-judges/bin/python")
}

/// Running servers; they end when this is dropped.
pub struct Servers {
    child: Child,
    pub url: String,
}

impl Servers {
    pub fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stores/server.py");
        let judges = installed_python();
        let mut command = Command::new(judges);
        command.args(["-W", "ignore"]).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("Python does not start");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).expect("the stores do not start");
        Self { child, url: format!("http://127.0.0.1:{}", said["port"]) }
    }

    /// The variables with which the process knows who it is in clouds.
    pub fn clouds(&self) -> Vec<(&str, &str)> {
        let host = self.url.trim_start_matches("http://");
        vec![("GCE_METADATA_HOST", host), ("AZURE_POD_IDENTITY_AUTHORITY_HOST", &self.url)]
    }

    pub async fn control(&self, change: Value) {
        self.post("/_control", &change.to_string()).await;
    }

    /// How often something was asked that begins so.
    pub async fn count(&self, prefix: &str) -> usize {
        let log: Vec<String> = serde_json::from_str(&self.post("/_log", "").await).unwrap();
        log.iter().filter(|line| line.starts_with(prefix)).count()
    }

    /// What they keep.
    pub async fn state(&self) -> Value {
        serde_json::from_str(&self.post("/_state", "").await).unwrap()
    }

    async fn post(&self, path: &str, body: &str) -> String {
        let request = http_client(None).post(format!("{}{path}", self.url)).body(body.to_owned());
        request.send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run that names images, and the configuration it is signed by.
pub struct Signing {
    pub run: Value,
    config: Vec<(String, String)>,
    folder: TempDir,
}

pub fn hex(letter: char) -> String {
    letter.to_string().repeat(64)
}

impl Signing {
    /// Of TaskRun `ci/NAME`, whose images are these repositories with one digest.
    pub fn of(name: &str, repositories: &[&str], config: &[(&str, &str)]) -> Self {
        let images: Vec<String> =
            repositories.iter().map(|repository| format!("{repository}@sha256:{}", hex('a'))).collect();
        let run = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"name": name, "namespace": "ci", "uid": format!("uid-{name}")}, "spec": {},
            "status": {"conditions": [{"type": "Succeeded", "status": "True"}],
                "results": [{"name": "IMAGES", "type": "string", "value": images.join(",")}]}});
        let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self { run, config, folder: tempfile::tempdir().unwrap() }
    }

    pub async fn sign(&self, around: &[(&str, &str)]) -> Finished {
        let (run, config) = (self.folder.path().join("run.json"), self.folder.path().join("config.json"));
        std::fs::write(&run, self.run.to_string()).unwrap();
        let data: serde_json::Map<String, Value> =
            self.config.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chains-config"}, "data": data});
        std::fs::write(&config, map.to_string()).unwrap();
        let (run, config, key) = (text(&run), text(&config), format!("{KEYS}/p256.pem"));
        let arguments = ["sign", "-f", &run, "--config", &config, "--key", &key, "-o", "json"];
        Hallmark::run(&arguments, around).await
    }

    /// The result of each artifact at each store, as `store artifact: result`.
    pub async fn results(&self, around: &[(&str, &str)]) -> Vec<String> {
        Self::told(&self.sign(around).await)
    }

    /// The same, of what the command said.
    pub fn told(finished: &Finished) -> Vec<String> {
        let signed: Value = serde_json::from_str(&finished.stdout)
            .unwrap_or_else(|_| panic!("{}\n{}", finished.stdout, finished.stderr));
        let entries = signed[0]["outcome"].as_array().cloned().unwrap_or_default();
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        entries
            .iter()
            .map(|entry| format!("{} {}", text(entry, "reference"), text(entry, "result")))
            .collect()
    }
}

pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// openssl takes a raw signature over these bytes by the key of the tests.
pub fn openssl_verifies(message: &[u8], signature: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        text(&path)
    };
    let (message, signature) = (file("message", message), file("signature", signature));
    let key = format!("{KEYS}/p256.pub");
    let arguments = ["dgst", "-sha256", "-verify", &key, "-signature", &signature, &message];
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// The same for an envelope; what is in it.
pub fn envelope_verifies(envelope: &[u8]) -> Value {
    let envelope: Value = serde_json::from_slice(envelope).unwrap();
    let decoded = |value: &Value| BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap();
    let (kind, payload) = (envelope["payloadType"].as_str().unwrap(), decoded(&envelope["payload"]));
    let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    message.extend(&payload);
    openssl_verifies(&message, &decoded(&envelope["signatures"][0]["sig"]));
    serde_json::from_slice(&payload).unwrap()
}
