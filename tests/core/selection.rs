//! Which runs are signed: by label, live, and never held in vain.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::agent::{Agent, SOON, stopped_well};
use crate::pipeline_run::fixture::{End, reference};
use crate::support::{Access, Completion, eventually};

const MARK: &str = "chains.tekton.dev/signed";

impl Agent {
    async fn selecting(prefix: &str, selector: &str) -> Self {
        let nowhere = Access { host: "127.0.0.1:1".to_owned(), ca: None, login: None };
        let agent = Self::prepare(prefix, &nowhere, &[]).await;
        agent.select(selector).await;
        agent
    }

    async fn select(&self, selector: &str) {
        self.configure(&[("selection.label-selector", selector)]).await;
    }

    async fn labelled_run(&self, name: &str, labels: Value) {
        let spec = json!({"taskSpec": {"steps": [{"name": "step", "image": "busybox", "script": "true"}]}});
        self.create_run("TaskRun", name, json!({"labels": labels}), &spec).await;
    }

    async fn ended(&self, name: &str, labels: Value) {
        self.labelled_run(name, labels).await;
        self.cluster.complete(&self.namespace, name, &Completion::success()).await;
    }

    async fn finalizers(&self, name: &str) -> Vec<String> {
        let runs = self.cluster.task_runs(&self.namespace).await;
        runs.get(name).await.unwrap().metadata.finalizers.unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_runs_with_the_labels_are_signed_and_another_selector_takes_effect_on_old_ones_too() {
    let agent = Agent::selecting("labels", "team in (a, b),!draft").await;
    agent.ended("before", json!({"team": "a"})).await;
    let hallmark = agent.start().await;
    let unselected =
        [("plain", json!({})), ("other", json!({"team": "c"})), ("draft", json!({"team": "a", "draft": ""}))];
    for (name, labels) in &unselected {
        agent.ended(name, labels.clone()).await;
    }
    agent.ended("after", json!({"team": "b"})).await;
    for name in ["before", "after"] {
        assert_eq!(agent.mark(name, SOON).await, "true", "{name}");
    }
    // What came before it in the same watch has been looked at by now.
    for (name, _) in &unselected {
        assert!(!agent.annotations(name).await.contains_key(MARK), "{name}");
        assert!(agent.finalizers(name).await.is_empty(), "{name} is not held");
    }

    // A selector that is none leaves the last one in force.
    agent.select("team in a").await;
    hallmark.line("not a label selector", SOON).await;
    agent.ended("still-other", json!({"team": "c"})).await;
    agent.ended("still-ours", json!({"team": "a"})).await;
    assert_eq!(agent.mark("still-ours", SOON).await, "true");
    assert!(!agent.annotations("still-other").await.contains_key(MARK));

    agent.select("team!=a").await;
    for name in ["plain", "other", "still-other"] {
        assert_eq!(agent.mark(name, SOON).await, "true", "{name} is selected now");
    }
    assert!(!agent.annotations("draft").await.contains_key(MARK));
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_loses_its_label_while_it_runs_is_let_go() {
    let agent = Agent::selecting("unlabelled", "sign=yes").await;
    let hallmark = agent.start().await;
    agent.labelled_run("run", json!({"sign": "yes"})).await;
    let held = |held: bool| {
        let agent = &agent;
        eventually("the run is held, or not", SOON, async move || {
            (agent.finalizers("run").await.is_empty() != held).then_some(())
        })
    };
    held(true).await;
    let runs = agent.cluster.task_runs(&agent.namespace).await;
    let patch = Patch::Merge(json!({"metadata": {"labels": {"sign": null}}}));
    runs.patch("run", &PatchParams::default(), &patch).await.unwrap();
    held(false).await;
    stopped_well(hallmark);
}

/// As Chains does, which holds every run that it sees; `hack/test tekton` has the real one.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_not_selected_and_that_somebody_else_holds_again_is_let_go_once() {
    let agent = Agent::selecting("held-again", "sign=yes").await;
    let hallmark = agent.start().await;
    agent.labelled_run("run", json!({})).await;
    let runs = agent.cluster.task_runs(&agent.namespace).await;
    let hold = async || {
        let patch = Patch::Merge(json!({"metadata": {"finalizers": ["chains.tekton.dev/taskrun"]}}));
        runs.patch("run", &PatchParams::default(), &patch).await.unwrap();
    };
    hold().await;
    eventually("the run is let go", SOON, async || agent.finalizers("run").await.is_empty().then_some(()))
        .await;
    hold().await;
    // What came before it in the same watch has been looked at by now.
    agent.ended("barrier", json!({"sign": "yes"})).await;
    assert_eq!(agent.mark("barrier", SOON).await, "true");
    assert_eq!(
        agent.finalizers("run").await,
        ["chains.tekton.dev/taskrun"],
        "it is left to whoever holds it"
    );

    // Selected, held by ourselves and not selected any more, it is let go as before.
    let label = async |value: Value| {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"sign": value}, "finalizers": null}}));
        runs.patch("run", &PatchParams::default(), &patch).await.unwrap();
    };
    label(json!("yes")).await;
    eventually("the run is held", SOON, async || (!agent.finalizers("run").await.is_empty()).then_some(()))
        .await;
    let patch = Patch::Merge(json!({"metadata": {"labels": {"sign": null}}}));
    runs.patch("run", &PatchParams::default(), &patch).await.unwrap();
    eventually("the run is let go", SOON, async || agent.finalizers("run").await.is_empty().then_some(()))
        .await;
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_run_is_woken_by_task_runs_that_are_not_selected_themselves() {
    let agent = Agent::selecting("children", "!tekton.dev/pipelineTask").await;
    let hallmark = agent.start().await;
    let uid = agent.create_pipeline_run("release").await;
    agent.create_child("release", &uid, "build").await;
    agent.end_pipeline_run("release", End::badly(&[reference("TaskRun", "release-build", "build")])).await;
    hallmark.line("1 of its TaskRuns not: release-build", SOON).await;
    agent.cluster.complete(&agent.namespace, "release-build", &Completion::failure()).await;
    assert_eq!(agent.stated_tasks("release", &uid).await, ["build"]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!agent.annotations("release-build").await.contains_key(MARK));
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn task_runs_of_a_pipeline_run_that_is_left_alone_are_left_alone_too() {
    let agent = Agent::without_registry("owner-skipped").await;
    agent.configure(&[("artifacts.taskrun.storage", "tekton")]).await;
    // One that was there before, and one that the agent sees come.
    let mut hallmark = None;
    for owner in ["before", "after"] {
        let skip = json!({"annotations": {"chains.tekton.dev/skip": "true"}});
        let uid = agent.create_run("PipelineRun", owner, skip, &json!({"pipelineRef": {"name": "p"}})).await;
        agent.ended_child(owner, &uid, "build").await;
        agent
            .end_pipeline_run(owner, End::well(&[reference("TaskRun", &format!("{owner}-build"), "build")]))
            .await;
        if hallmark.is_none() {
            hallmark = Some(agent.start().await);
        }
        let name = format!("{owner}-build");
        assert_eq!(agent.mark(&name, SOON).await, "true");
        let annotations = agent.annotations(&name).await;
        assert!(annotations["chains.tekton.dev/outcome"].contains("of its PipelineRun"), "{annotations:?}");
        assert!(!annotations.keys().any(|name| name.contains("signature-")), "{annotations:?}");
    }
    let uid = agent.create_pipeline_run("plain").await;
    agent.ended_child("plain", &uid, "build").await;
    assert_eq!(agent.mark("plain-build", SOON).await, "true");
    let annotations = agent.annotations("plain-build").await;
    assert!(annotations.keys().any(|name| name.contains("signature-")), "{annotations:?}");
    stopped_well(hallmark.unwrap());
}
