//! The releases of Tekton with long-term support: their own definitions of the kinds, on a cluster of their own each.

use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::json;

use crate::installed::{apply_release, fill, fixture, marked, start_agent};
use crate::support::{Cluster, Completion, Cosign, PlainRegistry};

async fn runs_are_signed(definitions: &str) {
    let cluster = Cluster::without_tekton().await;
    cluster.install_tekton(definitions).await;
    apply_release(&cluster).await;
    fill(&cluster).await;
    let keys = tempfile::tempdir().unwrap();
    let agent = start_agent(&cluster, keys.path(), None).await;
    let (namespace, registry) = (cluster.namespace("lts").await, PlainRegistry::start().await);

    let (by_task, by_pipeline) =
        (registry.put_image("team/by-task").await, registry.put_image("team/by-pipeline").await);
    let completion = Completion::success().image("", &by_task.repository, &by_task.digest);
    cluster.completed_task_run(&namespace, "build", &completion).await;
    let run = json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
        "metadata": {"name": "release", "namespace": namespace}, "spec": {"pipelineRef": {"name": "release"}}});
    cluster.kubectl(&["create", "-f", "-"], &run.to_string()).await.succeeded();
    let now = Timestamp::now().to_string();
    let status = json!({"status": {
        "conditions": [{"type": "Succeeded", "status": "True", "reason": "Completed", "lastTransitionTime": now}],
        "startTime": now, "completionTime": now,
        "childReferences": [{"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": "build", "pipelineTaskName": "build"}],
        "pipelineSpec": {"tasks": [{"name": "build", "taskRef": {"name": "build"}}]},
        "results": [{"name": "IMAGE_URL", "value": by_pipeline.repository},
            {"name": "IMAGE_DIGEST", "value": by_pipeline.digest}]}})
    .to_string();
    let patch = [
        "patch",
        "-n",
        &namespace,
        "pipelinerun/release",
        "--subresource=status",
        "--type=merge",
        "-p",
        &status,
    ];
    cluster.kubectl(&patch, "").await.succeeded();

    let (cosign, key) = (Cosign::new(&registry.access()), PathBuf::from(fixture("p256.pub")));
    for (run, image) in [("taskrun/build", by_task), ("pipelinerun/release", by_pipeline)] {
        let run = marked(&cluster, &namespace, run).await;
        assert_eq!(
            run["metadata"]["annotations"]["chains.tekton.dev/signed"], "true",
            "{definitions}: {run:#}"
        );
        cosign.verify(&key, &image.by_digest()).await.succeeded();
        cosign.verify_attestation(&key, "slsaprovenance", &image.by_digest()).await.succeeded();
    }
    let (status, lines) = agent.terminate();
    assert!(status.success(), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_tekton_1_12_are_signed() {
    runs_are_signed("tekton-crds-v1.12.0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_tekton_1_9_are_signed() {
    runs_are_signed("tekton-crds-v1.9.0").await;
}
