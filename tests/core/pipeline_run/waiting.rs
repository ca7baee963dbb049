//! A PipelineRun waits until its TaskRuns have ended, never until they are signed, and never for ever.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use kube::api::DeleteParams;

use super::fixture::{End, reference};
use crate::agent::{Agent, SOON, stopped_well};
use crate::support::{Completion, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn the_last_task_run_to_end_wakes_its_pipeline_run_at_once_and_nobody_polls() {
    let agent = Agent::without_registry("wake").await;
    let hallmark = agent.start().await;
    let uid = agent.create_pipeline_run("release").await;
    agent.ended_child("release", &uid, "a").await;
    agent.create_child("release", &uid, "b").await;
    agent.create_child("release", &uid, "c").await;
    let references = ["a", "b", "c"].map(|task| reference("TaskRun", &format!("release-{task}"), task));
    agent.end_pipeline_run("release", End::badly(&references)).await;
    hallmark.line("2 of its TaskRuns not: release-", SOON).await;
    assert_eq!(agent.mark("release-a", SOON).await, "true");
    // What was asked for at the start stands in the audit log by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (lists, reads) = agent.lookups();

    agent.cluster.complete(&agent.namespace, "release-b", &Completion::failure()).await;
    // Longer than any loop would sleep.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let annotations = agent.pipeline_runs().await.get("release").await.unwrap().metadata.annotations;
    assert!(!annotations.unwrap_or_default().contains_key("chains.tekton.dev/signed"), "c still runs");
    assert_eq!(agent.lookups().0, lists, "nobody looks before c has ended");

    let ended = Instant::now();
    agent.cluster.complete(&agent.namespace, "release-c", &Completion::failure()).await;
    assert_eq!(agent.stated_tasks("release", &uid).await, ["a", "b", "c"]);
    assert!(ended.elapsed() < Duration::from_secs(1), "{:?}", ended.elapsed());
    assert_eq!(agent.lookups().0, lists + 1, "one list finds them all");
    assert!(agent.lookups().1 <= reads + 2, "{:?}: none is read by its name", agent.lookups());
    assert!(agent.events().await.is_empty(), "{:?}", agent.events().await);
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_run_that_cannot_be_signed_does_not_hold_up_its_pipeline_run() {
    let agent = Agent::without_registry("unsigned-child").await;
    agent.configure(&[("artifacts.pipelinerun.storage", "tekton")]).await;
    let hallmark = agent.start().await;
    let uid = agent.create_pipeline_run("release").await;
    agent.create_child("release", &uid, "build").await;
    // No registry listens there: this run waits for it.
    let image = Completion::success().image("", "127.0.0.1:1/app", &format!("sha256:{}", "a".repeat(64)));
    agent.cluster.complete(&agent.namespace, "release-build", &image).await;
    agent.end_pipeline_run("release", End::well(&[reference("TaskRun", "release-build", "build")])).await;
    assert_eq!(agent.stated_tasks("release", &uid).await, ["build"]);
    assert!(!agent.annotations("release-build").await.contains_key("chains.tekton.dev/signed"));
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_run_that_does_not_end_is_told_and_after_an_hour_left_out() {
    let agent = Agent::without_registry("endless").await;
    let hallmark = agent.start().await;
    for (name, minutes) in [("lately", 1), ("long-ago", 61)] {
        let uid = agent.create_pipeline_run(name).await;
        agent.ended_child(name, &uid, "done").await;
        agent.create_child(name, &uid, "endless").await;
        let references =
            ["done", "endless"].map(|task| reference("TaskRun", &format!("{name}-{task}"), task));
        let end = End::badly(&references).ago(SignedDuration::from_mins(minutes));
        agent.end_pipeline_run(name, end).await;
    }
    agent.event(&["WaitingForTaskRuns", "1 of its TaskRuns not: lately-endless", "without them"]).await;
    let outcome = agent.pipeline_outcome("long-ago").await;
    let endless = outcome.iter().find(|entry| entry["artifact"] == "TaskRun long-ago-endless").unwrap();
    assert_eq!((&endless["result"], &endless["reason"]), (&"absent".into(), &"it has not ended".into()));
    agent.event(&["ChildrenNotStated", "TaskRun long-ago-endless (it has not ended)"]).await;
    let lately = agent.pipeline_runs().await.get("lately").await.unwrap();
    assert!(!lately.metadata.annotations.unwrap_or_default().contains_key("chains.tekton.dev/signed"));

    agent.cluster.complete(&agent.namespace, "lately-endless", &Completion::failure()).await;
    assert_eq!(agent.pipeline_outcome("lately").await.len(), 1, "nothing is missing any more");
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_run_that_is_deleted_with_its_task_runs_is_signed_with_what_is_left() {
    let agent = Agent::without_registry("deleted").await;
    let hallmark = agent.start().await;
    let uid = agent.create_pipeline_run("release").await;
    let runs = agent.pipeline_runs().await;
    eventually("the PipelineRun is held", SOON, async || {
        runs.get("release").await.unwrap().metadata.finalizers
    })
    .await;
    agent.ended_child("release", &uid, "done").await;
    agent.create_child("release", &uid, "running").await;
    let references = ["done", "running"].map(|task| reference("TaskRun", &format!("release-{task}"), task));
    agent.end_pipeline_run("release", End::badly(&references)).await;
    hallmark.line("1 of its TaskRuns not: release-running", SOON).await;
    runs.delete("release", &DeleteParams::default()).await.unwrap();
    agent.delete_child("release-running").await;
    let gone = async || runs.get_opt("release").await.unwrap().is_none().then_some(());
    eventually("the PipelineRun is gone", Duration::from_secs(10), gone).await;
    agent.event(&["ChildrenNotStated", "TaskRun release-running (it no longer exists)"]).await;
    hallmark.line(r#""message":"signed""#, SOON).await;
    stopped_well(hallmark);
}
