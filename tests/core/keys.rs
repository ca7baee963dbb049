//! `hallmark keys`: pairs that cosign takes for its own, in files and in the Secret, and a rotation during which nobody
//! is left without a signature that he can verify.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use serde_json::json;

use crate::agent::{Agent, SOON, stopped_well};
use crate::main_path::TO_REGISTRY;
use crate::support::{Cosign, Crane, Finished, Hallmark, PlainRegistry};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn keys(arguments: &[&str]) -> Finished {
    Hallmark::run(&[&["keys"], arguments].concat(), &[]).await
}

#[tokio::test]
async fn cosign_signs_with_a_generated_key_and_verifies_with_its_public_half() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("pair");
    keys(&["generate", "--directory", text(&directory)]).await.succeeded();
    let (key, public) = (directory.join("cosign.key"), directory.join("cosign.pub"));
    let password = std::fs::read_to_string(directory.join("cosign.password")).unwrap();
    assert!(password.len() >= 32, "a password that nobody guesses");

    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let image = Crane::new(&access).push_random_image("app").await;
    let cosign = Cosign::new(&access).with_password(&password);
    cosign.sign(&key, &image).await.succeeded();
    cosign.verify(&public, &image.by_digest()).await.succeeded();
    Cosign::new(&access).sign(&key, &image).await.failed();

    let again = keys(&["generate", "--directory", text(&directory)]).await.failed();
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    let shown = keys(&["public", "--key", text(&directory)]).await.succeeded();
    assert_eq!(shown.stdout, std::fs::read_to_string(&public).unwrap());

    let shown = keys(&["public", "--key", text(&directory), "-o", "json"]).await.succeeded();
    assert_eq!(shown.json(), json!({"publicKeys": [std::fs::read_to_string(&public).unwrap()]}));
    let other = folder.path().join("other");
    let made = keys(&["generate", "--directory", text(&other), "-o", "json"]).await.succeeded().json();
    assert_eq!(made["files"][0], text(&other.join("cosign.key")));
    assert_eq!(made["publicKey"], std::fs::read_to_string(other.join("cosign.pub")).unwrap());
}

#[tokio::test]
async fn a_password_may_be_given_and_then_it_is_that_one() {
    let folder = tempfile::tempdir().unwrap();
    let variable = [("COSIGN_PASSWORD", "correct horse")];
    let arguments = ["keys", "generate", "--directory", text(folder.path())];
    let finished = Hallmark::run(&arguments, &variable).await.succeeded();
    assert!(!finished.stdout.contains("correct horse") && !finished.stderr.contains("correct horse"));
    let key = folder.path().join("cosign.key");
    let public = async |password: &str| {
        Hallmark::run(&["keys", "public", "--key", text(&key)], &[("COSIGN_PASSWORD", password)]).await
    };
    public("correct horse").await.succeeded();
    assert!(public("wrong").await.failed().stderr.contains("the password in cosign.password is wrong"));

    let other = tempfile::tempdir().unwrap();
    let arguments = ["keys", "generate", "--password-stdin", "--directory", text(other.path())];
    Hallmark::run_with_input(&arguments, &[], "line\n").await.succeeded();
    assert_eq!(std::fs::read_to_string(other.path().join("cosign.password")).unwrap(), "line\n");
}

/// The Secret of an agent, and its files as the kubelet would mount them.
struct Mounted<'a> {
    agent: &'a Agent,
    name: String,
    kubeconfig: PathBuf,
}

impl<'a> Mounted<'a> {
    fn of(agent: &'a Agent) -> Self {
        let name = format!("{}/signing-secrets", agent.namespace);
        Self { agent, name, kubeconfig: agent.cluster.kubeconfig("admin") }
    }

    async fn keys(&self, command: &str, more: &[&str]) -> Finished {
        let place = ["--secret", &self.name, "--kubeconfig", text(&self.kubeconfig)];
        keys(&[&[command], &place[..], more].concat()).await
    }

    async fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let secrets = Api::<Secret>::namespaced(self.agent.cluster.client().await, &self.agent.namespace);
        let data = secrets.get("signing-secrets").await.unwrap().data.unwrap_or_default();
        data.into_iter().map(|(name, content)| (name, content.0)).collect()
    }

    async fn mount(&self) {
        for file in std::fs::read_dir(self.agent.keys()).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
        for (name, content) in self.files().await {
            std::fs::write(self.agent.keys().join(name), content).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_rotation_both_public_keys_verify_and_afterwards_the_new_one_alone() {
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let agent = Agent::prepare("rotation", &access, TO_REGISTRY).await;
    // As release.yaml ships it.
    let empty = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signing-secrets", "namespace": agent.namespace}});
    agent.cluster.create(&empty).await;
    let secret = Mounted::of(&agent);
    let early = secret.keys("rotate", &[]).await.failed();
    assert!(early.stderr.contains("hallmark keys generate"), "{}", early.stderr);

    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old.pub"), folder.path().join("new.pub"));
    let made = secret.keys("generate", &["-o", "json"]).await.succeeded().json();
    assert_eq!(made["secret"], secret.name);
    std::fs::write(&old, made["publicKey"].as_str().unwrap()).unwrap();
    let second = secret.keys("generate", &[]).await.failed();
    assert!(second.stderr.contains("has a signing key already") && second.stderr.contains("keys rotate"));
    std::fs::write(&new, secret.keys("rotate", &[]).await.succeeded().stdout).unwrap();
    assert!(secret.keys("rotate", &[]).await.failed().stderr.contains("has begun already"));
    let both =
        format!("{}{}", std::fs::read_to_string(&old).unwrap(), std::fs::read_to_string(&new).unwrap());
    assert_eq!(secret.keys("public", &[]).await.succeeded().stdout, both);

    secret.mount().await;
    let (crane, cosign) = (Crane::new(&access), Cosign::new(&access));
    let hallmark = agent.start().await;
    let during = crane.push_random_image("during").await;
    agent.build("during", &access, &during).await;
    assert_eq!(agent.mark("during", SOON).await, "true");
    for key in [&old, &new] {
        cosign.verify(key, &during.by_digest()).await.succeeded();
        cosign.verify_attestation(key, "slsaprovenance", &during.by_digest()).await.succeeded();
    }

    let retired = secret.keys("rotate", &["--retire", "-o", "json"]).await.succeeded().json();
    let public = std::fs::read_to_string(&new).unwrap();
    assert_eq!(retired, json!({"secret": secret.name, "step": "retired", "publicKey": public}));
    let files = secret.files().await;
    assert_eq!(files.keys().collect::<Vec<_>>(), ["cosign.pub", "x509.pem"]);
    assert!(secret.keys("rotate", &["--retire"]).await.failed().stderr.contains("no rotation has begun"));
    stopped_well(hallmark);
    secret.mount().await;
    let hallmark = agent.start().await;
    let after = crane.push_random_image("after").await;
    agent.build("after", &access, &after).await;
    assert_eq!(agent.mark("after", SOON).await, "true");
    cosign.verify(&new, &after.by_digest()).await.succeeded();
    cosign.verify(&old, &after.by_digest()).await.failed();
    stopped_well(hallmark);
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_made_and_one_that_cannot_be_changed_is_told() {
    let agent = Agent::without_registry("new-secret").await;
    let secret = Mounted::of(&agent);
    secret.keys("generate", &[]).await.succeeded();
    assert_eq!(secret.files().await.len(), 3);

    let nobody = agent.cluster.kubeconfig("nobody-in-particular");
    let place = ["generate", "--secret", &secret.name, "--kubeconfig", text(&nobody)];
    let refused = keys(&place).await.failed();
    assert!(refused.stderr.contains("you need get, create and patch on Secrets"), "{}", refused.stderr);
}
