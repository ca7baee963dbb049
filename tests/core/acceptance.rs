//! What the acceptance suite of Tekton Chains asks of an agent (Chains specification §9.1), asked of this one on a real
//! API server and registry: storage, signing, materials, giving up, disabled images, `managedBy`, metrics.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey as _;
use serde_json::{Value, json};

use crate::agent::{Agent, SOON, repository, stopped_well};
use crate::pipeline_run::fixture::{End, reference};
use crate::support::{Access, Completion, Crane, PlainRegistry, http_client};

/// An image that lies in no registry.
const DIGEST: &str = "sha256:586789aa031fafc7d78a5393cdc772e0b55107ea54bb8bcf3f2cdac6c6da51ee";

fn nowhere() -> Access {
    Access { host: "127.0.0.1:1".to_owned(), ca: None, login: None }
}

fn key(public: &Path) -> VerifyingKey {
    VerifyingKey::from_public_key_pem(&std::fs::read_to_string(public).unwrap()).unwrap()
}

/// The statement of an envelope, whose signature is verified.
fn opened(envelope: &[u8], key: &VerifyingKey) -> Value {
    let envelope: Value = serde_json::from_slice(envelope).unwrap();
    let decoded = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    let (kind, payload) = (envelope["payloadType"].as_str().unwrap(), decoded(&envelope["payload"]));
    let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    signed.extend(&payload);
    let signature = Signature::from_der(&decoded(&envelope["signatures"][0]["sig"])).unwrap();
    key.verify(&signed, &signature).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

impl Agent {
    async fn uid(&self, name: &str) -> String {
        self.cluster.task_runs(&self.namespace).await.get(name).await.unwrap().metadata.uid.unwrap()
    }

    /// The content of an annotation of a TaskRun.
    async fn stored(&self, name: &str, annotation: &str) -> Vec<u8> {
        let annotation = format!("chains.tekton.dev/{annotation}");
        let text = self.cluster.annotation(&self.namespace, name, &annotation, SOON).await;
        STANDARD.decode(text).unwrap()
    }

    async fn stored_of_pipeline(&self, name: &str, annotation: &str) -> Vec<u8> {
        STANDARD.decode(self.pipeline_annotation(name, annotation).await).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_lie_in_annotations_and_their_signatures_verify() {
    let agent = Agent::prepare("tekton-storage", &nowhere(), &[]).await;
    let (hallmark, key) = (agent.start().await, key(&agent.public_key));
    agent.cluster.completed_task_run(&agent.namespace, "task", &Completion::success()).await;
    let uid = agent.uid("task").await;
    assert_eq!(agent.mark("task", SOON).await, "true");
    let statement = opened(&agent.stored("task", &format!("signature-taskrun-{uid}")).await, &key);
    let payload = agent.stored("task", &format!("payload-taskrun-{uid}")).await;
    assert_eq!(statement, serde_json::from_slice::<Value>(&payload).unwrap());
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v0.2");

    let uid = agent.create_pipeline_run("pipeline").await;
    agent.ended_child("pipeline", &uid, "build").await;
    let end = End::well(&[reference("TaskRun", "pipeline-build", "build")]);
    agent.end_pipeline_run("pipeline", end).await;
    assert_eq!(agent.pipeline_mark("pipeline").await, "true");
    let envelope = agent.stored_of_pipeline("pipeline", &format!("signature-pipelinerun-{uid}")).await;
    assert_eq!(opened(&envelope, &key)["predicate"]["buildType"], "tekton.dev/v1/PipelineRun");
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_signed_into_annotations_under_the_start_of_its_digest() {
    let agent = Agent::prepare("oci-signing", &nowhere(), &[("artifacts.oci.storage", "tekton")]).await;
    let (hallmark, key) = (agent.start().await, key(&agent.public_key));
    let completion = Completion::success().image("", "gcr.io/foo/bar", DIGEST);
    agent.cluster.completed_task_run(&agent.namespace, "build", &completion).await;
    let signature = agent.stored("build", "signature-586789aa031f").await;
    let payload = agent.stored("build", "payload-586789aa031f").await;
    key.verify(&payload, &Signature::from_der(&signature).unwrap()).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload["critical"]["image"]["docker-manifest-digest"], DIGEST);
    assert_eq!(agent.mark("build", SOON).await, "true");
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_stores_get_the_same_and_cosign_accepts_it() {
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let image = Crane::new(&access).push_random_image("app").await;
    let both = [("artifacts.oci.storage", "oci,tekton"), ("artifacts.taskrun.storage", "tekton, oci")];
    let agent = Agent::prepare("stores", &access, &both).await;
    let hallmark = agent.start().await;
    agent.build("build", &access, &image).await;
    assert_eq!(agent.mark("build", SOON).await, "true");
    agent.cosign_accepts(&access, &image).await;
    let (uid, key) = (agent.uid("build").await, key(&agent.public_key));
    let statement = opened(&agent.stored("build", &format!("signature-taskrun-{uid}")).await, &key);
    assert_eq!(statement["subject"][0]["name"], repository(&access, &image));
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn materials_come_from_the_git_hints_of_task_runs_and_pipeline_runs() {
    let agent = Agent::prepare("materials", &nowhere(), &[]).await;
    let hallmark = agent.start().await;
    let hints = [("CHAINS-GIT_COMMIT", "my-git-commit"), ("CHAINS-GIT_URL", "https://my-git-url")];
    let params = hints.map(|(name, value)| json!({"name": name, "value": value}));
    let spec = json!({"params": params, "taskSpec": {"steps": [{"name": "s", "image": "busybox", "script": "true"}]}});
    let task = agent.create_run("TaskRun", "by-params", json!({}), &spec).await;
    agent.cluster.complete(&agent.namespace, "by-params", &Completion::success()).await;
    let mut by_results = Completion::success();
    for (name, value) in hints {
        by_results = by_results.result(name, value);
    }
    agent.cluster.completed_task_run(&agent.namespace, "by-results", &by_results).await;
    let results = agent.uid("by-results").await;
    let uid = agent.create_pipeline_run("pipeline").await;
    let end = hints.iter().fold(End::well(&[]), |end, (name, value)| end.result(name, value));
    agent.end_pipeline_run("pipeline", end).await;

    let material = json!({"uri": "git+https://my-git-url.git", "digest": {"sha1": "my-git-commit"}});
    for (name, uid) in [("by-params", &task), ("by-results", &results)] {
        let payload = agent.stored(name, &format!("payload-taskrun-{uid}")).await;
        let statement: Value = serde_json::from_slice(&payload).unwrap();
        let materials = statement["predicate"]["materials"].as_array().unwrap();
        assert!(materials.contains(&material), "{name}: {materials:?}");
    }
    let payload = agent.stored_of_pipeline("pipeline", &format!("payload-pipelinerun-{uid}")).await;
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(statement["predicate"]["materials"], json!([material]));
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_is_tried_again_and_ends_as_failed_with_three_retries() {
    let config = [
        ("artifacts.taskrun.storage", "oci"),
        ("artifacts.pipelinerun.storage", "oci"),
        ("storage.oci.repository", "127.0.0.1:1/not-real"),
        ("storage.oci.require-image", "false"),
        ("signing.retry-window", "30s"),
    ];
    let agent = Agent::prepare("give-up", &nowhere(), &config).await;
    let hallmark = agent.start().await;
    let image = Completion::success().image("", "gcr.io/foo/bar", DIGEST);
    agent.cluster.completed_task_run(&agent.namespace, "task", &image).await;
    agent.create_pipeline_run("pipeline").await;
    let end = End::well(&[]).result("IMAGE_URL", "gcr.io/foo/bar").result("IMAGE_DIGEST", DIGEST);
    agent.end_pipeline_run("pipeline", end).await;
    assert_eq!(agent.mark("task", Duration::from_secs(50)).await, "failed");
    assert_eq!(agent.annotations("task").await["chains.tekton.dev/retries"], "3");
    assert_eq!(agent.pipeline_mark("pipeline").await, "failed");
    assert_eq!(agent.pipeline_annotation("pipeline", "retries").await, "3");
    agent.event(&["SigningGivenUp", "signing.retry-window has passed", "127.0.0.1:1"]).await;
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_left_unsigned_where_their_signer_is_none_and_statements_are_not_affected() {
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let image = Crane::new(&access).push_random_image("app").await;
    let config = [("artifacts.oci.signer", "none"), ("artifacts.taskrun.storage", "oci")];
    let agent = Agent::prepare("no-images", &access, &config).await;
    let hallmark = agent.start().await;
    agent.build("build", &access, &image).await;
    assert_eq!(agent.mark("build", SOON).await, "true");
    let layers = (Agent::layers(&access, &image, "sig").await, Agent::layers(&access, &image, "att").await);
    assert_eq!(layers, (0, 1));
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_another_controller_are_signed_when_the_filter_names_it_and_untouched_otherwise() {
    let agent =
        Agent::prepare("managed-by", &nowhere(), &[("filter.managed-by", "ours.example/one,other")]).await;
    let hallmark = agent.start().await;
    let steps = json!({"steps": [{"name": "s", "image": "busybox", "script": "true"}]});
    for (name, by) in [("foreign", "custom.example/controller"), ("ours", "ours.example/one"), ("tekton", "")]
    {
        let mut spec = json!({"taskSpec": steps});
        let mut pipeline = json!({"pipelineRef": {"name": "p"}});
        if !by.is_empty() {
            spec["managedBy"] = by.into();
            pipeline["managedBy"] = by.into();
        }
        agent.create_run("TaskRun", name, json!({}), &spec).await;
        agent.create_run("PipelineRun", name, json!({}), &pipeline).await;
        agent.cluster.complete(&agent.namespace, name, &Completion::success()).await;
        agent.end_pipeline_run(name, End::well(&[])).await;
    }
    for name in ["ours", "tekton"] {
        assert_eq!(agent.mark(name, SOON).await, "true", "{name}");
        assert_eq!(agent.pipeline_mark(name).await, "true", "{name}");
    }
    let task = agent.cluster.task_runs(&agent.namespace).await.get("foreign").await.unwrap().metadata;
    let pipeline = agent.pipeline_runs().await.get("foreign").await.unwrap().metadata;
    for metadata in [task, pipeline] {
        assert_eq!((metadata.annotations, metadata.finalizers), (None, None));
    }
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_the_names_that_dashboards_for_chains_ask_for() {
    let agent = Agent::prepare("metrics", &nowhere(), &[]).await;
    let hallmark = agent.start().await;
    agent.cluster.completed_task_run(&agent.namespace, "task", &Completion::success()).await;
    agent.create_pipeline_run("pipeline").await;
    agent.end_pipeline_run("pipeline", End::well(&[])).await;
    assert_eq!(
        (agent.mark("task", SOON).await, agent.pipeline_mark("pipeline").await),
        ("true".into(), "true".into())
    );
    let line: Value = serde_json::from_str(&hallmark.line("--metrics-address", SOON).await).unwrap();
    let url = format!("http://{}/metrics", line["bound"].as_str().unwrap());
    let text = http_client(None).get(url).send().await.unwrap().text().await.unwrap();
    for kind in ["taskrun", "pipelinerun"] {
        for name in ["sign_created", "payload_stored", "marked_signed"] {
            let line = format!("watcher_{kind}_{name}_total 1");
            assert!(text.contains(&line), "{line} in\n{text}");
        }
    }
    assert!(!text.contains("watcher_workqueue_"));
    stopped_well(hallmark);
}
