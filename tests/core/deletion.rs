//! Deletion waits for the signature of a run that is done, and for nothing else.

use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::agent::{Agent, SOON, repository, stopped_well};
use crate::main_path::TO_REGISTRY;
use crate::support::{Completion, Crane, PlainRegistry, PushedImage, eventually};

const LEGACY: &str = "chains.tekton.dev";
const CURRENT: &str = "chains.tekton.dev/taskrun";

async fn prepare() -> (PlainRegistry, PushedImage, Agent) {
    let registry = PlainRegistry::start().await;
    let image = Crane::new(&registry.access()).push_random_image("app").await;
    let agent = Agent::prepare("deletion", &registry.access(), TO_REGISTRY).await;
    (registry, image, agent)
}

impl Agent {
    async fn held_run(&self, name: &str, finalizers: &[&str]) {
        self.cluster.create_task_run(&self.namespace, name).await;
        self.hold(name, finalizers).await;
    }

    async fn hold(&self, name: &str, finalizers: &[&str]) {
        let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
        let runs = self.cluster.task_runs(&self.namespace).await;
        runs.patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    async fn delete_run(&self, name: &str) {
        let runs = self.cluster.task_runs(&self.namespace).await;
        runs.delete(name, &DeleteParams::default()).await.unwrap();
    }

    async fn gone(&self, name: &str, limit: Duration) {
        let runs = self.cluster.task_runs(&self.namespace).await;
        let gone = async || runs.get_opt(name).await.unwrap().is_none().then_some(());
        eventually(&format!("{name} is gone"), limit, gone).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_done_is_signed_before_it_goes_whoever_held_it() {
    let (registry, _, agent) = prepare().await;
    let access = registry.access();
    let mut images = Vec::new();
    for (name, finalizer) in [("current", CURRENT), ("legacy", LEGACY)] {
        let image = Crane::new(&access).push_random_image(name).await;
        agent.held_run(name, &[finalizer]).await;
        let completion = Completion::success().image("", &repository(&access, &image), &image.digest);
        agent.cluster.complete(&agent.namespace, name, &completion).await;
        agent.delete_run(name).await;
        images.push(image);
    }
    let hallmark = agent.start().await;
    for name in ["current", "legacy"] {
        agent.gone(name, SOON).await;
    }
    for image in &images {
        agent.cosign_accepts(&access, image).await;
    }
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_still_runs_is_let_go_at_once() {
    let (_registry, _, agent) = prepare().await;
    let hallmark = agent.start().await;
    agent.held_run("legacy", &[LEGACY]).await;
    agent.cluster.create_task_run(&agent.namespace, "current").await;
    let runs = agent.cluster.task_runs(&agent.namespace).await;
    eventually("the run is held", SOON, async || {
        runs.get("current").await.unwrap().metadata.finalizers.filter(|held| held == &[CURRENT])
    })
    .await;
    for name in ["legacy", "current"] {
        agent.delete_run(name).await;
        agent.gone(name, Duration::from_secs(5)).await;
    }
    stopped_well(hallmark);
}

/// Chains holds a run for as long as it exists. One that is marked is let go at the next start, and not when an event tells
/// of it: beside a Chains that still runs this would have no end.
#[tokio::test(flavor = "multi_thread")]
async fn what_chains_has_marked_and_holds_is_let_go_at_a_start_and_only_there() {
    let (registry, image, agent) = prepare().await;
    let marked = async |name: &str| {
        agent.held_run(name, &["example.com/other", CURRENT]).await;
        agent.cluster.complete(&agent.namespace, name, &Completion::success()).await;
        let mark = Patch::Merge(json!({"metadata": {"annotations": {"chains.tekton.dev/signed": "true"}}}));
        let runs = agent.cluster.task_runs(&agent.namespace).await;
        runs.patch(name, &PatchParams::default(), &mark).await.unwrap();
    };
    let held = async |name: &str| {
        let runs = agent.cluster.task_runs(&agent.namespace).await;
        runs.get(name).await.unwrap().metadata.finalizers.unwrap_or_default()
    };
    marked("before").await;
    let hallmark = agent.start().await;
    eventually("the run is let go", SOON, async || {
        (held("before").await == ["example.com/other"]).then_some(())
    })
    .await;
    // Only now that the listing is over may an event not do the same.
    agent.hold("before", &["example.com/other", CURRENT]).await;
    agent.build("after", &registry.access(), &image).await;
    assert_eq!(agent.mark("after", SOON).await, "true");
    assert_eq!(held("before").await, ["example.com/other", CURRENT]);
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_finalizers_of_others_stay_when_a_run_is_signed() {
    let (registry, image, agent) = prepare().await;
    agent.held_run("build", &[LEGACY, "example.com/other", CURRENT]).await;
    let completion = Completion::success().image("", &repository(&registry.access(), &image), &image.digest);
    agent.cluster.complete(&agent.namespace, "build", &completion).await;
    let hallmark = agent.start().await;
    assert_eq!(agent.mark("build", SOON).await, "true");
    let run = agent.cluster.task_runs(&agent.namespace).await.get("build").await.unwrap();
    assert_eq!(run.metadata.finalizers.unwrap_or_default(), ["example.com/other"]);
    stopped_well(hallmark);
}
