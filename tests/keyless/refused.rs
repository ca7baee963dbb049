//! What is refused before anything is stored, each with a clear error: tokens that Fulcio must not see, and certificates
//! that a Fulcio must not give. The faulty ones come from a Fulcio of the test's own, since no real one makes them.

use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::{Finished, Hallmark, MadeFulcio, OfflineCosign, PlainRegistry, PushedImage};

const ISSUER: &str = "https://issuer.test";
const NAME: &str = "https://kubernetes.io/namespaces/ci/serviceaccounts/agent";

/// One run whose image waits to be signed by a certificate of a Fulcio.
struct World {
    fulcio: MadeFulcio,
    registry: PlainRegistry,
    image: PushedImage,
    folder: tempfile::TempDir,
    cosign: OfflineCosign,
}

impl World {
    async fn start(fault: &'static str) -> Self {
        let (fulcio, registry) = (MadeFulcio::start(), PlainRegistry::start().await);
        fulcio.fault(fault).await;
        let image = registry.put_image("app").await;
        let (folder, cosign) = (tempfile::tempdir().unwrap(), OfflineCosign::new());
        Self { fulcio, registry, image, folder, cosign }
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A trust root of the Fulcio's authority, with the certificate log if `logged`.
    async fn root(&self, logged: bool) -> PathBuf {
        let authority = self.fulcio.file("root.pem");
        let mut services =
            vec![("fulcio", format!("url={},certificate-chain={}", self.fulcio.url, authority.display()))];
        if logged {
            let key = self.fulcio.file("ctfe.pub");
            let since = "start-time=2024-01-01T00:00:00Z";
            services.push(("ctfe", format!("url=https://ct.test,public-key={},{since}", key.display())));
        }
        self.cosign.trusted_root(&services).await
    }

    /// `hallmark sign` with a token of these claims.
    async fn sign(&self, claims: &Value, logged: bool) -> Finished {
        let encoded = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!("{}.{}.Y2FuYXJ5", encoded(&json!({"alg": "RS256"})), encoded(claims));
        let token = self.file("token", &token);
        let results = json!([{"name": "IMAGE_URL", "value": self.image.repository},
            {"name": "IMAGE_DIGEST", "value": self.image.digest}]);
        let run = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"name": "app", "namespace": "ci", "uid": "00000000-0000-4000-8000-000000000000"},
            "spec": {"taskSpec": {"steps": []}},
            "status": {"conditions": [{"type": "Succeeded", "status": "True"}], "results": results,
                "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:01:00Z"}});
        let run = self.file("run.json", &run.to_string());
        let root = self.root(logged).await;
        let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chains-config"},
            "data": {"signers.x509.trusted-root": root, "artifacts.taskrun.storage": "oci"}});
        let config = self.file("config.yaml", &config.to_string());
        let arguments = ["sign", "-f", &run, "--identity-token", &token, "--config", &config];
        let fulcio = ["--fulcio-url", self.fulcio.url.as_str()];
        Hallmark::run(&[&arguments[..], &fulcio].concat(), &[]).await
    }

    async fn stored(&self) -> usize {
        self.registry.layers(&self.image, "sig").await + self.registry.layers(&self.image, "att").await
    }
}

fn claims() -> Value {
    let exp = Timestamp::now().as_second() + 600;
    json!({"iss": ISSUER, "sub": "system:serviceaccount:ci:agent", "aud": ["sigstore"], "exp": exp})
}

/// The certificate is refused with these words, and nothing is stored; the same Fulcio without the fault signs.
async fn refused_certificate(fault: &'static str, logged: bool, words: &[&str]) {
    let world = World::start(fault).await;
    let refused = world.sign(&claims(), logged).await.failed();
    for word in words {
        assert!(refused.stderr.contains(word), "no {word:?} in\n{}", refused.stderr);
    }
    assert_eq!((world.fulcio.asked().await, world.stored().await), (1, 0));
    world.fulcio.fault("none").await;
    world.sign(&claims(), logged).await.succeeded();
    assert_eq!(world.stored().await, 2);
}

/// The token is refused with these words, and Fulcio never sees it.
async fn refused_token(change: impl FnOnce(&mut Value), words: &[&str]) {
    let world = World::start("none").await;
    let mut bad = claims();
    change(&mut bad);
    let refused = world.sign(&bad, false).await.failed();
    for word in words {
        assert!(refused.stderr.contains(word), "no {word:?} in\n{}", refused.stderr);
    }
    assert!(!refused.stderr.contains("Y2FuYXJ5"), "the token is printed: {}", refused.stderr);
    assert_eq!((world.fulcio.asked().await, world.stored().await), (0, 0));
}

#[tokio::test]
async fn a_certificate_of_a_fulcio_whose_clock_is_two_hours_ahead_is_refused_with_the_times() {
    refused_certificate("hours", false, &["it is valid from", "see that the clocks"]).await;
}

#[tokio::test]
async fn a_token_that_a_clock_two_hours_behind_would_take_has_expired_and_is_sent_to_nobody() {
    let exp = Timestamp::now().as_second() - 2 * 3600;
    refused_token(
        |claims| claims["exp"] = json!(exp),
        &["it expired", ISSUER, "agent", "see that the clocks"],
    )
    .await;
}

#[tokio::test]
async fn an_expired_token_is_sent_to_nobody_and_told_by_its_claims() {
    let exp = Timestamp::now().as_second() - 1;
    let words =
        ["it expired", "iss https://issuer.test", "sub system:serviceaccount:ci:agent", "aud sigstore"];
    refused_token(|claims| claims["exp"] = json!(exp), &words).await;
}

#[tokio::test]
async fn a_token_for_the_wrong_audience_is_sent_to_nobody() {
    refused_token(|claims| claims["aud"] = json!("vault"), &["\"sigstore\"", "aud vault", ISSUER]).await;
}

#[tokio::test]
async fn a_jwt_svid_without_iss_is_sent_to_nobody() {
    let without = |claims: &mut Value| {
        claims["sub"] = json!("spiffe://example.org/agent");
        claims.as_object_mut().unwrap().remove("iss");
    };
    refused_token(without, &["it has no iss", "spiffe://example.org/agent"]).await;
}

#[tokio::test]
async fn a_fulcio_behind_a_private_authority_is_reached_by_the_registry_configuration_and_by_nothing_else() {
    let (fulcio, folder) = (MadeFulcio::start_with_tls(), tempfile::tempdir().unwrap());
    let encoded = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let token = folder.path().join("token");
    let text = format!("{}.{}.Y2FuYXJ5", encoded(&json!({"alg": "ES256"})), encoded(&claims()));
    std::fs::write(&token, text).unwrap();
    let ask = ["identity", "--token-file", token.to_str().unwrap(), "--fulcio", &fulcio.url];
    let refused = Hallmark::run(&ask, &[]).await.failed();
    assert!(refused.stderr.contains("UnknownIssuer"), "{}", refused.stderr);
    let authority = std::fs::read_to_string(fulcio.file("tls.pem")).unwrap();
    let config = folder.path().join("registries.toml");
    std::fs::write(&config, format!("[registries.localhost]\nca-certs = '''\n{authority}'''\n")).unwrap();
    let known = [&ask[..], &["--registry-config", config.to_str().unwrap()]].concat();
    let certified = Hallmark::run(&known, &[]).await.succeeded();
    assert!(
        certified.stdout.contains(&format!("certificate  {NAME} by issuer {ISSUER}")),
        "{}",
        certified.stdout
    );
}

#[tokio::test]
async fn a_certificate_for_another_key_is_refused() {
    refused_certificate("key", false, &["it is for another key than the one that was sent"]).await;
}

#[tokio::test]
async fn a_chain_that_does_not_hold_together_is_refused() {
    refused_certificate("chain", false, &["chain"]).await;
}

#[tokio::test]
async fn a_chain_that_does_not_reach_the_trust_root_is_refused() {
    refused_certificate("stranger", false, &["is not used: by the trust root", "signers.x509.trusted-root"])
        .await;
}

#[tokio::test]
async fn a_bad_sct_is_refused_and_a_good_one_accepted() {
    refused_certificate("sct", true, &["signed certificate timestamp", "does not verify"]).await;
}

#[tokio::test]
async fn an_sct_of_an_unknown_log_is_refused_and_so_is_none_at_all() {
    refused_certificate("strange", true, &["unknown log"]).await;
    refused_certificate("unlogged", true, &["holds no signed certificate timestamp"]).await;
}

#[tokio::test]
async fn a_bad_sct_is_tolerated_where_the_trust_root_has_no_key_of_a_certificate_log() {
    for fault in ["sct", "unlogged"] {
        let world = World::start(fault).await;
        world.sign(&claims(), false).await.succeeded();
        assert_eq!(world.stored().await, 2);
    }
}

#[tokio::test]
async fn cosign_and_hallmark_agree_on_a_good_and_a_bad_sct() {
    for (fault, good) in [("none", true), ("sct", false)] {
        let world = World::start(fault).await;
        // Signed by somebody whose trust root has no certificate log; those who verify have one.
        world.sign(&claims(), false).await.succeeded();
        let (root, image) = (world.root(true).await, world.image.by_digest());
        let root = root.to_str().unwrap();
        let whose = ["--certificate-identity", NAME, "--certificate-oidc-issuer", ISSUER];
        let arguments = [&["verify", &image, "--trusted-root", root, "--insecure-ignore-tlog"][..], &whose];
        let judged = Hallmark::run(&arguments.concat(), &[]).await;
        let mut cosign = world.cosign.reaching_nobody(&arguments.concat());
        cosign.arg("--allow-http-registry").env("NO_PROXY", "127.0.0.1");
        let theirs = crate::support::run(cosign).await;
        assert_eq!(theirs.code == Some(0), good, "{}", theirs.stderr);
        assert_eq!(judged.code == Some(0), good, "{}{}", judged.stdout, judged.stderr);
    }
}
