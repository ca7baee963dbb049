//! PipelineRuns of every shape: signed, and what a statement goes without is said.

use serde_json::{Value, json};

use super::fixture::{End, reference};
use super::statement;
use crate::agent::{Agent, stopped_well};
use crate::support::{Completion, Crane, PlainRegistry};

/// What an outcome says of the children that are not stated.
fn absent(outcome: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let absent = outcome.iter().filter(|entry| entry["result"] == "absent");
    absent.map(|entry| (text(&entry["artifact"]), text(&entry["reason"]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_children_failed_cancelled_and_empty_pipeline_runs_are_signed_alike() {
    let agent = Agent::without_registry("childless").await;
    let hallmark = agent.start().await;
    for (name, end) in [("well", End::well(&[])), ("badly", End::badly(&[]))] {
        let uid = agent.create_pipeline_run(name).await;
        agent.end_pipeline_run(name, end).await;
        assert!(agent.stated_tasks(name, &uid).await.is_empty());
    }
    let lists = agent.lookups().0;
    assert!(agent.events().await.is_empty());
    // Of the pipeline's tasks none was begun.
    agent.create_pipeline_run("stopped").await;
    agent.end_pipeline_run("stopped", End::badly(&[]).pipeline(&["a", "b"], &["c"])).await;
    assert_eq!(agent.pipeline_outcome("stopped").await.len(), 1);
    assert_eq!(agent.lookups().0, lists, "who names no children is asked for none");
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_matrix_retries_and_finally_come_in_the_order_of_the_pipeline_and_of_the_children() {
    let agent = Agent::without_registry("matrix").await;
    let hallmark = agent.start().await;
    let uid = agent.create_pipeline_run("release").await;
    let children = [("z", "build"), ("y", "build"), ("x", "build"), ("test", "test"), ("notify", "notify")];
    for (name, task) in children.iter().rev() {
        let labels = json!({"tekton.dev/pipelineRun": "release", "tekton.dev/pipelineTask": task});
        agent.create_child_as("release", &uid, name, &labels).await;
        agent.cluster.complete(&agent.namespace, name, &Completion::success()).await;
    }
    // Tekton keeps what it tried before in the TaskRun itself.
    let retried =
        json!({"status": {"retriesStatus": [{"conditions": [{"type": "Succeeded", "status": "False"}]}]}});
    let runs = agent.cluster.task_runs(&agent.namespace).await;
    let patch = kube::api::Patch::Merge(&retried);
    runs.patch_status("test", &kube::api::PatchParams::default(), &patch).await.unwrap();
    let references = children.map(|(name, task)| reference("TaskRun", name, task));
    let end = End::well(&references).pipeline(&["test", "skipped", "build"], &["notify"]);
    agent.end_pipeline_run("release", end).await;
    assert_eq!(agent.stated_tasks("release", &uid).await, ["test", "build", "build", "build", "notify"]);
    assert!(agent.events().await.is_empty(), "{:?}", agent.events().await);
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_runs_and_child_pipeline_runs_are_never_left_out_in_silence() {
    let agent = Agent::without_registry("custom").await;
    let hallmark = agent.start().await;
    let uid = agent.create_pipeline_run("release").await;
    agent.ended_child("release", &uid, "build").await;
    let references = [
        reference("CustomRun", "release-approve", "approve"),
        reference("TaskRun", "release-build", "build"),
        reference("PipelineRun", "release-nested", "nested"),
    ];
    agent.end_pipeline_run("release", End::well(&references)).await;
    assert_eq!(agent.stated_tasks("release", &uid).await, ["build"]);
    let reason = "the statement tells of TaskRuns only".to_owned();
    let told = ["CustomRun release-approve", "PipelineRun release-nested"];
    let told: Vec<_> = told.iter().map(|child| ((*child).to_owned(), reason.clone())).collect();
    assert_eq!(absent(&agent.pipeline_outcome("release").await), told);
    agent.event(&["ChildrenNotStated", "CustomRun release-approve", "PipelineRun release-nested"]).await;
    let severity = agent.event_objects().await.remove(0).type_;
    assert_eq!(severity.as_deref(), Some("Normal"), "nothing is wrong with it");
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn pruned_task_runs_are_told_and_the_rest_is_signed() {
    let agent = Agent::without_registry("pruned").await;
    let uid = agent.create_pipeline_run("release").await;
    agent.ended_child("release", &uid, "kept").await;
    agent.ended_child("release", &uid, "pruned").await;
    let references = ["kept", "pruned"].map(|task| reference("TaskRun", &format!("release-{task}"), task));
    agent.end_pipeline_run("release", End::well(&references)).await;
    agent.delete_child("release-pruned").await;
    let hallmark = agent.start().await;
    assert_eq!(agent.stated_tasks("release", &uid).await, ["kept"]);
    let told = [("TaskRun release-pruned".to_owned(), "it no longer exists".to_owned())];
    assert_eq!(absent(&agent.pipeline_outcome("release").await), told);
    agent.event(&["ChildrenNotStated", "TaskRun release-pruned (it no longer exists)"]).await;
    assert_eq!(agent.event_objects().await.remove(0).type_.as_deref(), Some("Warning"));
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_run_without_its_label_is_found_by_name_and_a_foreign_one_by_neither() {
    let agent = Agent::without_registry("labels").await;
    let hallmark = agent.start().await;
    let uid = agent.create_pipeline_run("release").await;
    agent.ended_child("release", &uid, "labelled").await;
    let task = |task: &str| json!({"tekton.dev/pipelineTask": task});
    let whole = |task: &str| json!({"tekton.dev/pipelineTask": task, "tekton.dev/pipelineRun": "release"});
    agent.create_child_as("release", &uid, "bare", &task("bare")).await;
    // One has the name of a child, the other its labels and owner: neither is what Tekton named and made.
    agent.create_child_as("release", "another-uid", "foreign", &whole("foreign")).await;
    agent.create_child_as("release", &uid, "uninvited", &whole("labelled")).await;
    for name in ["bare", "foreign"] {
        agent.cluster.complete(&agent.namespace, name, &Completion::success()).await;
    }
    let references = [("release-labelled", "labelled"), ("bare", "bare"), ("foreign", "foreign")]
        .map(|(name, task)| reference("TaskRun", name, task));
    agent.end_pipeline_run("release", End::well(&references)).await;
    assert_eq!(agent.stated_tasks("release", &uid).await, ["labelled", "bare"]);
    let told = [("TaskRun foreign".to_owned(), "it no longer exists".to_owned())];
    assert_eq!(absent(&agent.pipeline_outcome("release").await), told);
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_run_with_more_children_than_a_page_is_stated_whole() {
    const CHILDREN: usize = 260;
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let image = Crane::new(&access).push_random_image("app").await;
    let config = [("artifacts.pipelinerun.storage", "oci"), ("artifacts.taskrun.storage", "")];
    let agent = Agent::prepare("many", &access, &config).await;
    let uid = agent.create_pipeline_run("release").await;
    let names: Vec<String> = (0..CHILDREN).map(|number| format!("t{number}")).collect();
    for name in &names {
        agent.ended_child("release", &uid, name).await;
    }
    let references: Vec<Value> =
        names.iter().map(|task| reference("TaskRun", &format!("release-{task}"), task)).collect();
    let end =
        End::well(&references).result("IMAGE_URL", &image.repository).result("IMAGE_DIGEST", &image.digest);
    agent.end_pipeline_run("release", end).await;
    let hallmark = agent.start().await;
    assert_eq!(absent(&agent.pipeline_outcome("release").await), []);
    let statement = statement(&access, &image).await;
    let tasks = statement["predicate"]["buildConfig"]["tasks"].as_array().unwrap();
    let stated: Vec<&str> = tasks.iter().map(|task| task["name"].as_str().unwrap()).collect();
    assert_eq!(stated, names);
    stopped_well(hallmark);
}
