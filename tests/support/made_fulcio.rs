//! A Fulcio of Python's cryptography, which makes the certificates that no real one makes (`made_fulcio.py`).

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::binary::installed;
use super::http_client;

/// Answers until it is dropped.
pub struct MadeFulcio {
    child: Child,
    /// Where.
    pub url: String,
    folder: TempDir,
}

impl MadeFulcio {
    /// Starts one without any fault.
    pub fn start() -> Self {
        Self::speaking("http", "127.0.0.1")
    }

    /// The same with TLS, as `localhost`, by an authority that nobody knows: `tls.pem`.
    pub fn start_with_tls() -> Self {
        Self::speaking("https", "localhost")
    }

    fn speaking(scheme: &str, host: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The Python of `hack/install tuf` has cryptography.
        let mut command = Command::new(installed("tuf/bin/python"));
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/made_fulcio.py"));
        command.arg(scheme).arg(folder.path());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let url = format!("{scheme}://{host}:{}", port.trim());
        Self { child, url, folder }
    }

    /// What it makes from now on, as `made_fulcio.py` calls it.
    pub async fn fault(&self, fault: &'static str) {
        let request = http_client(None).post(format!("{}/_fault", self.url)).body(fault);
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// How many certificates it was asked for.
    pub async fn asked(&self) -> usize {
        let answer = http_client(None).get(format!("{}/_asked", self.url)).send().await.unwrap();
        answer.text().await.unwrap().parse().unwrap()
    }

    /// `root.pem`, its authority; `other.pem`, of somebody else; `ctfe.pub`, the key of its certificate log.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for MadeFulcio {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
