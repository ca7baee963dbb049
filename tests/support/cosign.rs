//! The real cosign: it makes keys and signatures, and it is the judge of ours. Nothing of it goes to the
//! public log or to any network beyond loopback.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::binary::binary;
use super::process::{Finished, run};
use super::{Access, PushedImage};

/// Password of the keys that [`Cosign::generate_key_pair`] makes.
const PASSWORD: &str = "password of a test";

/// cosign with a home of its own and one registry to talk to.
#[derive(Debug)]
pub struct Cosign {
    access: Access,
    home: TempDir,
    /// Of every private key that it reads or makes.
    password: String,
}

/// Where signatures lie beside an image.
#[derive(Debug, Clone, Copy)]
pub enum Layout {
    /// cosign's own tags.
    Tags,
    /// Sigstore bundles that refer to the image.
    Bundles,
}

/// Somebody whom an authority vouches for.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The certificate of the authority.
    pub root: &'a Path,
    /// The name in the certificate.
    pub name: &'a str,
    /// Who issued the token.
    pub issuer: &'a str,
}

/// An encrypted private key, its password, and its public key.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// `cosign.key`.
    pub private: PathBuf,
    /// `cosign.pub`.
    pub public: PathBuf,
    /// `cosign.password`.
    pub password: &'static str,
}

impl Cosign {
    /// A cosign that reaches one registry by `access`.
    pub fn new(access: &Access) -> Self {
        Self { access: access.clone(), home: tempfile::tempdir().unwrap(), password: PASSWORD.to_owned() }
    }

    /// Makes a key pair in files of this cosign's home.
    pub async fn generate_key_pair(&self, name: &str) -> KeyPair {
        let prefix = self.home.path().join(name);
        let mut command = self.command(&["generate-key-pair", "--output-key-prefix"]);
        command.arg(&prefix);
        run(command).await.succeeded();
        let file = |extension: &str| self.home.path().join(format!("{name}.{extension}"));
        KeyPair { private: file("key"), public: file("pub"), password: PASSWORD }
    }

    /// The same with another password for private keys.
    pub fn with_password(mut self, password: &str) -> Self {
        password.clone_into(&mut self.password);
        self
    }

    /// Signs as cosign does by itself: a `.sig` tag, no log.
    pub async fn sign(&self, key: &Path, image: &PushedImage) -> Finished {
        let mut command =
            self.command(&["sign", "--yes", "--tlog-upload=false", "--new-bundle-format=false"]);
        command.args(["--use-signing-config=false", "--key"]).arg(key);
        self.with_image(command, &image.by_digest()).await
    }

    /// Signs as cosign 3 does by itself: a bundle that refers to the image, without a log.
    pub async fn sign_as_bundle(&self, key: &Path, image: &PushedImage) -> Finished {
        let mut command =
            self.command(&["sign", "--yes", "--tlog-upload=false", "--use-signing-config=false"]);
        command.arg("--key").arg(key);
        self.with_image(command, &image.by_digest()).await
    }

    /// Attests a predicate of SLSA provenance v0.2, as a bundle or under the tag `.att`, without a log.
    pub async fn attest(&self, key: &Path, predicate: &str, image: &PushedImage, bundle: bool) -> Finished {
        let mut command =
            self.command(&["attest", "--yes", "--tlog-upload=false", "--use-signing-config=false"]);
        command.arg(format!("--new-bundle-format={bundle}"));
        command.args(["--type", "slsaprovenance", "--predicate", predicate, "--key"]).arg(key);
        self.with_image(command, &image.by_digest()).await
    }

    /// Verifies the signature of an image; its standard output are the payloads.
    pub async fn verify(&self, key: &Path, reference: &str) -> Finished {
        let mut command = self.command(&["verify", "--insecure-ignore-tlog=true", "--key"]);
        command.arg(key);
        self.with_image(command, reference).await
    }

    /// Verifies an attestation of an image with this predicate type (`slsaprovenance`, `slsaprovenance1`).
    pub async fn verify_attestation(&self, key: &Path, predicate: &str, reference: &str) -> Finished {
        let mut command = self.command(&["verify-attestation", "--insecure-ignore-tlog=true"]);
        command.args(["--type", predicate, "--key"]).arg(key);
        self.with_image(command, reference).await
    }

    /// `verify` or `verify-attestation`, with their options, of many images in one command.
    pub async fn verify_all(&self, how: &[&str], key: &Path, references: &[String]) -> Finished {
        let mut command = self.command(how);
        if self.access.ca.is_none() {
            command.arg("--allow-http-registry");
        }
        command.args(["--insecure-ignore-tlog=true", "--key"]).arg(key).args(references);
        run(command).await
    }

    /// Verifies the signature of an image by the identity of whoever signed it.
    pub async fn verify_identity(&self, who: &Identity<'_>, reference: &str) -> Finished {
        let command = self.keyless(&["verify"], who);
        self.with_image(command, reference).await
    }

    /// Verifies an attestation of an image by the identity of whoever signed it.
    pub async fn verify_attestation_identity(
        &self,
        who: &Identity<'_>,
        predicate: &str,
        reference: &str,
    ) -> Finished {
        let command = self.keyless(&["verify-attestation", "--type", predicate], who);
        self.with_image(command, reference).await
    }

    /// Verifies signature and provenance of an image by identity, log and timestamp, offline. `who.root` is a whole
    /// trust root here.
    pub async fn verify_witnessed(
        &self,
        who: &Identity<'_>,
        layout: Layout,
        reference: &str,
    ) -> (Finished, Finished) {
        let how: &[&str] = match layout {
            Layout::Bundles => &["--new-bundle-format"],
            // Its tags have no place for entries of Rekor v2; the timestamp is what proves the time.
            Layout::Tags => {
                &["--new-bundle-format=false", "--insecure-ignore-tlog=true", "--use-signed-timestamps"]
            }
        };
        self.judge_both(who, how, reference).await
    }

    /// Verifies signature and provenance of an image by identity and log, offline and in either layout. `who.root` is a
    /// whole trust root here.
    pub async fn verify_logged(
        &self,
        who: &Identity<'_>,
        layout: Layout,
        reference: &str,
    ) -> (Finished, Finished) {
        let format = format!("--new-bundle-format={}", matches!(layout, Layout::Bundles));
        self.judge_both(who, &["--offline", &format], reference).await
    }

    /// Signature and provenance by identity and trust root.
    async fn judge_both(&self, who: &Identity<'_>, how: &[&str], reference: &str) -> (Finished, Finished) {
        let judge = async |arguments: &[&str]| {
            let mut command = self.command(arguments);
            command.arg("--trusted-root").arg(who.root).args(["--insecure-ignore-sct"]).args(how);
            command.args(["--certificate-identity", who.name, "--certificate-oidc-issuer", who.issuer]);
            self.with_image(command, reference).await
        };
        (judge(&["verify"]).await, judge(&["verify-attestation", "--type", "slsaprovenance"]).await)
    }

    fn keyless(&self, arguments: &[&str], who: &Identity<'_>) -> Command {
        let mut command = self.command(arguments);
        command.args(["--insecure-ignore-tlog=true", "--insecure-ignore-sct", "--ca-roots"]).arg(who.root);
        command.args(["--certificate-identity", who.name, "--certificate-oidc-issuer", who.issuer]);
        command
    }

    /// Any command about an image.
    pub async fn about(&self, arguments: &[&str], reference: &str) -> Finished {
        self.with_image(self.command(arguments), reference).await
    }

    /// Any command without one.
    pub async fn run(&self, arguments: &[&str]) -> Finished {
        run(self.command(arguments)).await
    }

    /// Runs somebody's script with this cosign in its `PATH`, and nothing of the machine but the usual folders.
    pub async fn run_beside(&self, mut script: Command) -> Finished {
        let folder = binary("cosign").parent().unwrap().display().to_string();
        script.env_clear().env("PATH", format!("{folder}:/usr/bin:/bin")).env("HOME", self.home.path());
        run(script).await
    }

    async fn with_image(&self, mut command: Command, reference: &str) -> Finished {
        if self.access.ca.is_none() {
            command.arg("--allow-http-registry");
        }
        command.arg(reference);
        run(command).await
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("cosign"));
        self.access.apply(&mut command, self.home.path());
        command.env("COSIGN_PASSWORD", &self.password).args(arguments);
        command
    }
}
