//! Runs that are created with kubectl, completed by Tekton's own controller, and signed.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::installed::{apply_release, fill, fixture, marked, start_agent};
use crate::pipelines::Pipelines;
use crate::support::{
    Access, Authentication, Cluster, Cosign, Crane, Distribution, Hallmark, PushedImage, eventually,
};

/// Tekton, a registry behind a login, and Hallmark, on one cluster.
struct World {
    cluster: Cluster,
    pipelines: Pipelines,
    registry: Distribution,
    agent: Hallmark,
    _keys: TempDir,
}

const LOGIN: (&str, &str) = ("builder", "password of the builder");

fn login() -> (String, String) {
    (LOGIN.0.to_owned(), LOGIN.1.to_owned())
}

impl World {
    async fn start() -> Self {
        let cluster = Cluster::without_tekton().await;
        let pipelines = Pipelines::start(&cluster).await;
        let registry = Distribution::start(Authentication::Htpasswd(vec![login()])).await;
        apply_release(&cluster).await;
        fill(&cluster).await;
        let keys = tempfile::tempdir().unwrap();
        let ca = registry.access(None).ca;
        let agent = start_agent(&cluster, keys.path(), ca.as_deref()).await;
        Self { cluster, pipelines, registry, agent, _keys: keys }
    }

    fn access(&self) -> Access {
        self.registry.access(Some(login()))
    }

    /// A namespace whose service account may push.
    async fn tenant(&self, prefix: &str) -> String {
        let namespace = self.cluster.namespace(prefix).await;
        self.cluster.registry_secret(&namespace, "push", &self.access()).await;
        self.cluster.set_secrets(&namespace, "default", &["push"]).await;
        namespace
    }

    async fn create(&self, object: &Value) {
        self.cluster.kubectl(&["create", "-f", "-"], &object.to_string()).await.succeeded();
    }

    /// cosign accepts signature and provenance, which answers the statements.
    async fn accepted(&self, image: &PushedImage) -> Vec<Value> {
        let (cosign, key) = (Cosign::new(&self.access()), PathBuf::from(fixture("p256.pub")));
        cosign.verify(&key, &image.by_digest()).await.succeeded();
        let attested =
            cosign.verify_attestation(&key, "slsaprovenance", &image.by_digest()).await.succeeded();
        attested.stdout.lines().map(statement).collect()
    }
}

fn statement(envelope: &str) -> Value {
    use base64::Engine as _;
    let envelope: Value = serde_json::from_str(envelope).unwrap();
    let payload = envelope["payload"].as_str().unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::STANDARD.decode(payload).unwrap()).unwrap()
}

/// A task whose one step says that it has pushed `image`.
fn building(image: &PushedImage) -> Value {
    let message = json!([
        {"key": "IMAGE_URL", "value": image.repository, "type": 1},
        {"key": "IMAGE_DIGEST", "value": image.digest, "type": 1}]);
    let step = format!("registry.example/builder@sha256:{}", "d".repeat(64));
    json!({"results": [{"name": "IMAGE_URL"}, {"name": "IMAGE_DIGEST"}],
        "steps": [{"name": "build", "image": step, "command": ["build"],
            "env": [{"name": "TERMINATION_MESSAGE", "value": message.to_string()}]}]})
}

fn run_of(kind: &str, namespace: &str, spec: &Value) -> Value {
    json!({"apiVersion": "tekton.dev/v1", "kind": kind, "metadata": {"name": "build", "namespace": namespace},
        "spec": spec})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tekton_itself_completes_is_signed_and_cosign_accepts_it() {
    let world = World::start().await;
    let result = std::panic::AssertUnwindSafe(async {
        a_task_run(&world).await;
        a_pipeline_run(&world).await;
    });
    if let Err(panic) = futures::FutureExt::catch_unwind(result).await {
        println!("{}", world.pipelines.logs());
        std::panic::resume_unwind(panic);
    }
    let (status, lines) = world.agent.terminate();
    assert!(status.success(), "{lines:#?}");
}

async fn a_task_run(world: &World) {
    let namespace = world.tenant("task").await;
    let image = Crane::new(&world.access()).push_random_image("team/by-task").await;
    world.create(&run_of("TaskRun", &namespace, &json!({"taskSpec": building(&image)}))).await;
    let run = marked(&world.cluster, &namespace, "taskrun/build").await;
    assert_eq!(run["metadata"]["annotations"]["chains.tekton.dev/signed"], "true", "{run:#}");
    // Tekton's words, not a test's.
    assert_eq!(run["status"]["conditions"][0]["reason"], "Succeeded");
    assert_eq!(run["status"]["podName"], "build-pod");
    let statements = world.accepted(&image).await;
    assert_eq!(statements.len(), 1);
    assert_eq!(statements[0]["predicate"]["buildType"], "tekton.dev/v1/TaskRun");
    let materials = statements[0]["predicate"]["materials"].to_string();
    assert!(materials.contains(&"d".repeat(64)), "{materials}");
    gone_when_deleted(world, &namespace, "taskrun/build").await;
}

async fn a_pipeline_run(world: &World) {
    let namespace = world.tenant("pipeline").await;
    let image = Crane::new(&world.access()).push_random_image("team/by-pipeline").await;
    let passed = |name: &str| json!({"name": name, "value": format!("$(tasks.build.results.{name})")});
    let spec = json!({"pipelineSpec": {
        "tasks": [{"name": "build", "taskSpec": building(&image)}],
        "results": [passed("IMAGE_URL"), passed("IMAGE_DIGEST")]}});
    world.create(&run_of("PipelineRun", &namespace, &spec)).await;
    for run in ["pipelinerun/build", "taskrun/build-build"] {
        let run = marked(&world.cluster, &namespace, run).await;
        assert_eq!(run["metadata"]["annotations"]["chains.tekton.dev/signed"], "true", "{run:#}");
        assert_eq!(run["status"]["conditions"][0]["status"], "True", "{run:#}");
    }
    let statements = world.accepted(&image).await;
    let kinds: Vec<_> = statements.iter().map(|s| s["predicate"]["buildType"].as_str().unwrap()).collect();
    assert_eq!(statements.len(), 2, "one of the task, one of the pipeline: {kinds:?}");
    assert!(kinds.iter().any(|kind| kind.ends_with("PipelineRun")), "{kinds:?}");
    gone_when_deleted(world, &namespace, "pipelinerun/build").await;
}

/// Nothing that Hallmark left holds a run back.
async fn gone_when_deleted(world: &World, namespace: &str, run: &str) {
    world.cluster.kubectl(&["delete", "-n", namespace, run, "--wait=false"], "").await.succeeded();
    eventually(&format!("{run} is gone"), Duration::from_mins(1), async || {
        let asked = world.cluster.kubectl(&["get", "-n", namespace, run], "").await;
        asked.stderr.contains("NotFound").then_some(())
    })
    .await;
}
