//! Keys behind PKCS #11, in a real `SoftHSM`: cosign verifies what they signed, and what a token refuses is told. Builds without
//! the feature refuse such a key by name.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::agent::repository;
use crate::support::{Access, Cosign, Crane, Finished, Hallmark, PlainRegistry, PushedImage};

const PIN: &str = "canary-1234";

/// Where Debian has it, and others.
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];

/// A token with a key of each kind, which are called by their kinds.
struct Token {
    folder: tempfile::TempDir,
    module: &'static str,
}

impl Token {
    /// Nothing where `SoftHSM` is missing, or this build cannot load it; both are said.
    fn new() -> Option<Self> {
        let module = MODULES.into_iter().find(|module| Path::new(module).exists());
        if !cfg!(feature = "pkcs11") || module.is_none() {
            println!("skipped: SoftHSM (hack/install softhsm) and --features pkcs11 are needed");
            return None;
        }
        let token = Self { folder: tempfile::tempdir().unwrap(), module: module? };
        std::fs::create_dir(token.file("tokens")).unwrap();
        let configuration =
            format!("directories.tokendir = {}\nlog.level = ERROR\n", token.file("tokens").display());
        std::fs::write(token.file("softhsm2.conf"), configuration).unwrap();
        std::fs::write(token.file("pin"), format!("{PIN}\n")).unwrap();
        token.tool(&[
            "--init-token",
            "--free",
            "--label",
            "test token",
            "--so-pin",
            "87654321",
            "--pin",
            PIN,
        ]);
        for (number, (name, options)) in KINDS.into_iter().enumerate() {
            let (key, id) = (token.file(name), format!("0{number}"));
            let mut command = Command::new("openssl");
            command.args(["genpkey", "-out"]).arg(&key).args(options);
            assert!(command.output().unwrap().status.success(), "{name}");
            let key = key.to_str().unwrap();
            token.tool(&[
                "--import",
                key,
                "--token",
                "test token",
                "--label",
                name,
                "--id",
                &id,
                "--pin",
                PIN,
            ]);
        }
        Some(token)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tool(&self, arguments: &[&str]) {
        let mut command = Command::new("softhsm2-util");
        let output =
            command.args(arguments).env("SOFTHSM2_CONF", self.file("softhsm2.conf")).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn key(&self, path: &str) -> String {
        format!("pkcs11:{path}?module-path={}&pin-source={}", self.module, self.file("pin").display())
    }

    async fn run(&self, arguments: &[&str]) -> Finished {
        let configuration = self.file("softhsm2.conf");
        let finished = Hallmark::run(arguments, &[("SOFTHSM2_CONF", configuration.to_str().unwrap())]).await;
        let printed = format!("{}{}", finished.stdout, finished.stderr);
        assert!(!printed.contains("canary"), "{printed}");
        finished
    }

    async fn public(&self, key: &str) -> Finished {
        self.run(&["keys", "public", "--key", key]).await
    }

    /// `hallmark sign` of a run that built `image`.
    async fn sign(&self, key: &str, access: &Access, image: &PushedImage) -> Finished {
        let text = |name: &str, value: &str| json!({"name": name, "type": "string", "value": value});
        let results = [text("IMAGE_URL", &repository(access, image)), text("IMAGE_DIGEST", &image.digest)];
        let run = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": "build", "namespace": "ci", "uid": "u"},
            "spec": {}, "status": {"conditions": [{"type": "Succeeded", "status": "True"}], "results": results}});
        let file = self.file("run.json");
        std::fs::write(&file, run.to_string()).unwrap();
        self.run(&["sign", "-f", file.to_str().unwrap(), "--key", key]).await
    }
}

const KINDS: [(&str, &[&str]); 4] = [
    ("p256", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    ("p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
    ("p521", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"]),
    ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn cosign_verifies_what_every_kind_of_key_of_a_token_signed() {
    let Some(token) = Token::new() else { return };
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let (crane, cosign) = (Crane::new(&access), Cosign::new(&access));
    for (number, (name, _)) in KINDS.into_iter().enumerate() {
        let key = token.key(&format!("token=test%20token;object={name};id=%0{number}"));
        let image = crane.push_random_image(name).await;
        token.sign(&key, &access, &image).await.succeeded();
        let public = token.file("public");
        std::fs::write(&public, token.public(&key).await.succeeded().stdout).unwrap();
        cosign.verify(&public, &image.by_digest()).await.succeeded();
        cosign.verify_attestation(&public, "slsaprovenance", &image.by_digest()).await.succeeded();
        token.run(&["verify", &image.by_digest(), "--key", &key]).await.succeeded();
    }
}

#[tokio::test]
async fn what_a_token_or_its_module_refuses_is_told_with_its_remedy() {
    let Some(token) = Token::new() else { return };
    let told = |finished: Finished, texts: &[&str]| {
        for text in texts {
            assert!(finished.stderr.contains(text), "{text:?} in {}", finished.stderr);
        }
    };
    let missing = token.public(&token.key("token=test%20token;object=none")).await.failed();
    told(missing, &["has no private key pkcs11:token=test%20token;object=none", "pin-source"]);
    let elsewhere = token.public(&token.key("token=other;object=p256")).await.failed();
    told(elsewhere, &["has no token that fits", "\"test token\""]);
    let broken = token.public("pkcs11:object=p256?module-path=/nonexistent.so").await.failed();
    told(broken, &["cannot load the PKCS #11 module /nonexistent.so", "C library"]);
    let inline =
        token.public(&format!("pkcs11:object=p256?module-path={}&pin-value={PIN}", token.module)).await;
    told(inline.failed(), &["holds a PIN", "pin-source=/path"]);
    std::fs::write(token.file("pin"), "canary-wrong").unwrap();
    let wrong = token.public(&token.key("token=test%20token;object=p256")).await.failed();
    told(wrong, &["refuses the PIN", "the user PIN"]);
    std::fs::remove_file(token.file("pin")).unwrap();
    let unread = token.public(&token.key("token=test%20token;object=p256")).await.failed();
    told(unread, &["cannot read", "which pin-source names"]);
}

#[cfg(not(feature = "pkcs11"))]
#[tokio::test]
async fn a_build_without_the_feature_refuses_a_key_of_a_token_by_name() {
    let key = "pkcs11:token=t;object=k?module-path=/usr/lib/softhsm/libsofthsm2.so";
    let refused = Hallmark::run(&["keys", "public", "--key", key], &[]).await.failed();
    for text in ["pkcs11:token=t;object=k is a key behind PKCS #11", "the cargo feature pkcs11"] {
        assert!(refused.stderr.contains(text), "{text} in {}", refused.stderr);
    }
}
