//! How much memory a burst of large PipelineRuns takes, against what the Deployment gives.

use futures::StreamExt as _;
use serde_json::json;

use super::fixture::{End, reference};
use crate::agent::{Agent, SOON, repository, stopped_well};
use crate::support::{Completion, PlainRegistry, memory_limit};

/// More than are worked on at the same time.
const RUNS: usize = 24;
const CHILDREN: usize = 16;
/// With its status, which repeats it, a child has twice as much: 1.3 MiB a PipelineRun, 30 MiB all of them.
const SCRIPT: usize = 40 * 1024;

impl Agent {
    /// A PipelineRun with an image and TaskRuns of tens of kilobytes.
    async fn large(&self, name: &str, repository: &str, digest: &str) {
        let uid = self.create_pipeline_run(name).await;
        let owner = json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "name": name, "uid": uid,
            "controller": true});
        let spec = json!({"serviceAccountName": "default", "taskSpec": {"steps": [
            {"name": "step", "image": "busybox", "script": "#".repeat(SCRIPT)}]}});
        let mut references = Vec::new();
        for number in 0..CHILDREN {
            let (task, child) = (format!("t{number}"), format!("{name}-t{number}"));
            let labels = json!({"tekton.dev/pipelineRun": name, "tekton.dev/pipelineTask": task});
            let metadata = json!({"labels": labels, "ownerReferences": [owner]});
            self.create_run("TaskRun", &child, metadata, &spec).await;
            self.cluster.complete(&self.namespace, &child, &Completion::success()).await;
            references.push(reference("TaskRun", &child, &task));
        }
        let end = End::well(&references).result("IMAGE_URL", repository).result("IMAGE_DIGEST", digest);
        self.end_pipeline_run(name, end).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_large_pipeline_runs_stays_within_what_the_deployment_gives() {
    let registry = PlainRegistry::start().await;
    let config = [
        ("artifacts.pipelinerun.storage", "oci"),
        ("artifacts.pipelinerun.format", "slsa/v2alpha4"),
        ("artifacts.pipelinerun.enable-deep-inspection", "true"),
        ("artifacts.taskrun.storage", ""),
    ];
    let agent = Agent::prepare("large", &registry.access(), &config).await;
    let image = registry.put_image("team/app").await;
    let repository = repository(&registry.access(), &image);
    let names: Vec<String> = (0..RUNS).map(|number| format!("large-{number}")).collect();
    let made = futures::stream::iter(&names).map(|name| agent.large(name, &repository, &image.digest));
    made.buffer_unordered(4).collect::<()>().await;

    // All of them wait when it starts.
    let hallmark = agent.start().await;
    for name in &names {
        assert_eq!(agent.pipeline_mark(name).await, "true");
    }
    let peak = hallmark.peak_memory();
    println!(
        "{RUNS} PipelineRuns with {CHILDREN} TaskRuns of {} KiB: {peak} MiB at the peak",
        2 * SCRIPT / 1024
    );
    let limit = memory_limit("release.yaml");
    // An optimised build takes less, and nothing of it is to be taken back from a pod that has it.
    assert!(peak < limit / 2, "{peak} MiB, where the Deployment gives {limit}");
    hallmark.line("signed", SOON).await;
    stopped_well(hallmark);
}
