//! What documents show works as it stands: the TaskRun of the Chains documentation, and the examples of this project.

use std::fs;
use std::path::PathBuf;

use futures::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::agent::{Agent, SOON, repository, stopped_well};
use crate::main_path::TO_REGISTRY;
use crate::support::{
    Access, Authentication, Completion, Cosign, Crane, Distribution, Finished, Hallmark, PushedImage,
    TokenUser,
};

/// From "Setup credentials using the pod", word for word.
const DOCUMENTED: &str = "
---
apiVersion: tekton.dev/v1beta1
kind: TaskRun
metadata:
  name: mytaskrun
  namespace: default
spec:
  taskRef:
    name: mytask
  podTemplate:
    imagePullSecrets:
    - name: registry-credentials
";

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_task_run_is_signed_with_the_pull_secret_of_its_pod_template() {
    let builder = TokenUser::new("builder", "may push").push("team/");
    let registry = Distribution::start(Authentication::Token(vec![builder.clone()])).await;
    let access = registry.access(Some(builder.login()));
    let image = Crane::new(&access).push_random_image("team/app").await;
    let agent = Agent::prepare("documented", &registry.access(None), TO_REGISTRY).await;
    agent.cluster.registry_secret("default", "registry-credentials", &access).await;
    let hallmark = agent.start_with(&["--namespace", "default"]).await;

    let run: Value = serde_saphyr::from_str(DOCUMENTED).unwrap();
    agent.cluster.create(&run).await;
    let completion = Completion::success().image("", &repository(&access, &image), &image.digest);
    agent.cluster.complete("default", "mytaskrun", &completion).await;
    let annotation = async |name: &str| {
        agent.cluster.annotation("default", "mytaskrun", &format!("chains.tekton.dev/{name}"), SOON).await
    };
    assert_eq!(annotation("signed").await, "true");
    let used = format!("podTemplate.imagePullSecrets default/registry-credentials ({})", access.host);
    assert_eq!(annotation("registry-credential").await, used);
    agent.cosign_accepts(&access, &image).await;
    stopped_well(hallmark);
}

/// The examples of the documentation with a real registry, image and password in them.
struct Examples {
    folder: TempDir,
    access: Access,
    image: PushedImage,
    _registry: Distribution,
}

impl Examples {
    async fn new() -> Self {
        let builder = TokenUser::new("builder", "a real password").push("team/");
        let registry = Distribution::start(Authentication::Token(vec![builder.clone()])).await;
        let access = registry.access(Some(builder.login()));
        let image = Crane::new(&access).push_random_image("team/app").await;
        let folder = tempfile::tempdir().unwrap();
        for name in ["taskrun.yaml", "serviceaccount.yaml", "secret.yaml"] {
            let text =
                fs::read_to_string(format!("{}/docs/examples/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
            let text = text.replace("localhost:5000", &access.host).replace("change me", "a real password");
            let text = text.replace(&format!("sha256:{}", "0".repeat(64)), &image.digest);
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self { folder, access, image, _registry: registry }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn sign(&self, more: &[&str]) -> Finished {
        let files = ["taskrun.yaml", "serviceaccount.yaml", "secret.yaml"].map(|name| self.file(name));
        let files = files.each_ref().map(|file| file.to_str().unwrap());
        let arguments = ["sign", "-f", files[0], "-f", files[1], "-f", files[2], "--key", &key("p256.pem")];
        self.run(&[&arguments, more].concat()).await
    }

    async fn run(&self, arguments: &[&str]) -> Finished {
        let ca = self.access.ca.as_ref().unwrap().to_str().unwrap();
        Hallmark::run(arguments, &[("SSL_CERT_FILE", ca)]).await
    }
}

fn key(name: &str) -> String {
    format!("{}/tests/fixtures/keys/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_are_signed_into_a_registry_and_twice_leaves_one_signature() {
    let examples = Examples::new().await;
    let first = examples.sign(&[]).await.succeeded();
    for text in ["default/build", "image signature", "provenance", "stored", ".sig", ".att"] {
        assert!(first.stdout.contains(text), "{text:?} is not in {}", first.stdout);
    }
    assert!(first.stderr.contains("attestations go to the registry"), "{}", first.stderr);
    let second = examples.sign(&[]).await.succeeded();
    assert_eq!(second.stdout.matches("present").count(), 2, "{}", second.stdout);
    assert!(!second.stdout.contains("stored"), "{}", second.stdout);
    for suffix in ["sig", "att"] {
        assert_eq!(Agent::layers(&examples.access, &examples.image, suffix).await, 1, "{suffix}");
    }
    let (cosign, public) = (Cosign::new(&examples.access), PathBuf::from(key("p256.pub")));
    cosign.verify(&public, &examples.image.by_digest()).await.succeeded();
    cosign.verify_attestation(&public, "slsaprovenance", &examples.image.by_digest()).await.succeeded();
}

/// As replicas do that for a moment do not know of each other: all look before any of them has written.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_sign_one_run_with_one_key_at_the_same_moment_leave_one_signature() {
    for _ in 0..3 {
        let examples = Examples::new().await;
        for finished in join_all((0..4).map(|_| examples.sign(&[]))).await {
            finished.succeeded();
        }
        for suffix in ["sig", "att"] {
            assert_eq!(Agent::layers(&examples.access, &examples.image, suffix).await, 1, "{suffix}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_read_json_and_the_run_with_its_annotations_as_yaml() {
    let examples = Examples::new().await;
    let printed = examples.sign(&["-o", "json"]).await.succeeded().stdout;
    let printed: Value = serde_json::from_str(&printed).unwrap();
    let one = &printed[0];
    assert_eq!(one["run"], json!({"kind": "TaskRun", "namespace": "default", "name": "build"}));
    assert_eq!((&one["complete"], one["outcome"].as_array().unwrap().len()), (&json!(true), 2));
    let reports = one["credentials"].as_array().unwrap();
    let push = reports.iter().find(|report| report["target"]["operation"] == "push").unwrap();
    assert_eq!(push["candidates"][0]["secret"], "default/registry-credentials");
    assert_eq!(push["candidates"][0]["outcome"], "used");

    let printed = examples.sign(&["-o", "yaml"]).await.succeeded().stdout;
    let run: Value = serde_saphyr::from_str(&printed).unwrap();
    assert_eq!((&run["kind"], &run["metadata"]["name"]), (&json!("TaskRun"), &json!("build")));
    assert_eq!(run["metadata"]["annotations"]["chains.tekton.dev/signed"], "true");
    assert_eq!(run["spec"]["taskRef"]["name"], "build-and-push", "the run itself is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_come_by_standard_input_several_in_one() {
    let examples = Examples::new().await;
    let (secret, account) = (examples.file("secret.yaml"), examples.file("serviceaccount.yaml"));
    let texts =
        [secret, account, examples.file("taskrun.yaml")].map(|file| fs::read_to_string(file).unwrap());
    let input = texts.join("---\n");
    let arguments = ["sign", "-f", "-", "--key", &key("p256.pem"), "-o", "json"];
    let ca = examples.access.ca.as_ref().unwrap().to_str().unwrap();
    let finished = Hallmark::run_with_input(&arguments, &[("SSL_CERT_FILE", ca)], &input).await.succeeded();
    let printed: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(printed[0]["complete"], true);
    assert_eq!(Agent::layers(&examples.access, &examples.image, "sig").await, 1);
}
