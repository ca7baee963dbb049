//! cosign with nothing but what it is given: it makes trust roots, and judges bundles in files and tags, offline.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::binary::binary;
use super::process::{Finished, run};

/// cosign with a home of its own.
pub struct OfflineCosign {
    home: TempDir,
}

/// Whose signature a bundle has to hold.
pub enum Expected<'a> {
    /// By the key in this file.
    Key(&'a Path),
    /// By the key in this file, in no log.
    KeyAlone(&'a Path),
    /// By a certificate with this name and issuer.
    Identity(&'a str, &'a str),
}

impl OfflineCosign {
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    /// A trust root of these services alone, each as `--fulcio`, `--rekor` and `--tsa` take them.
    pub async fn trusted_root(&self, services: &[(&str, String)]) -> PathBuf {
        let file = self.home.path().join("trusted-root.json");
        let mut command = self.command(&["trusted-root", "create"]);
        for service in ["fulcio", "rekor", "ctfe", "tsa"] {
            command.arg(format!("--no-default-{service}"));
        }
        for (service, specification) in services {
            command.arg(format!("--{service}={specification}"));
        }
        command.arg("--out").arg(&file);
        run(command).await.succeeded();
        file
    }

    /// A SigningConfig of these services alone, each as `--fulcio`, `--rekor` and `--tsa` take them.
    pub async fn signing_config(&self, services: &[(&str, String)]) -> PathBuf {
        let file = self.home.path().join("signing-config.json");
        let mut command = self.command(&["signing-config", "create"]);
        for (service, specification) in services {
            command.arg(format!("--{service}={specification}"));
        }
        command.args(["--rekor-config=ANY", "--tsa-config=EXACT:1", "--out"]).arg(&file);
        run(command).await.succeeded();
        file
    }

    /// Judges a bundle with an attestation about something with this SHA-256 digest.
    pub async fn verify_attestation(
        &self,
        bundle: &[u8],
        root: &Path,
        expected: &Expected<'_>,
        digest: &str,
        predicate: &str,
    ) -> Finished {
        let file = self.home.path().join("bundle.json");
        std::fs::write(&file, bundle).unwrap();
        let mut command =
            self.command(&["verify-blob-attestation", "--digestAlg=sha256", "--digest", digest]);
        command.arg("--type").arg(predicate).arg("--trusted-root").arg(root).arg("--bundle").arg(&file);
        expect(&mut command, expected);
        run(command).await
    }

    /// Judges a bundle with a signature over `message`.
    pub async fn verify_blob(
        &self,
        bundle: &[u8],
        root: &Path,
        expected: &Expected<'_>,
        message: &[u8],
    ) -> Finished {
        let (file, blob) = (self.home.path().join("bundle.json"), self.home.path().join("blob"));
        std::fs::write(&file, bundle).unwrap();
        std::fs::write(&blob, message).unwrap();
        let mut command = self.command(&["verify-blob"]);
        command.arg("--trusted-root").arg(root).arg("--bundle").arg(&file);
        expect(&mut command, expected);
        command.arg(&blob);
        run(command).await
    }

    /// Judges an image by the signatures under its tag.
    pub async fn verify_image(&self, image: &str, root: &Path, expected: &Expected<'_>) -> Finished {
        let mut command = self.command(&["verify", "--allow-http-registry", "--use-signed-timestamps"]);
        command.arg("--trusted-root").arg(root).env("NO_PROXY", "127.0.0.1");
        expect(&mut command, expected);
        command.arg(image);
        run(command).await
    }

    /// Any other question to it; whatever it does beside what it is told, it reaches nobody but this machine.
    pub fn reaching_nobody(&self, arguments: &[&str]) -> Command {
        self.command(arguments)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("cosign"));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.home.path());
        // Whatever it does beside what it is told, it reaches nobody.
        command.env("HTTPS_PROXY", "http://127.0.0.1:9").args(arguments);
        command
    }
}

fn expect(command: &mut Command, expected: &Expected<'_>) {
    match expected {
        Expected::Key(key) => command.arg("--key").arg(key),
        Expected::KeyAlone(key) => command.arg("--insecure-ignore-tlog").arg("--key").arg(key),
        Expected::Identity(name, issuer) => command
            .args(["--certificate-identity", name, "--certificate-oidc-issuer", issuer])
            .arg("--insecure-ignore-sct"),
    };
}
