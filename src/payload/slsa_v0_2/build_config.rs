//! What was run: the steps of a task, or the tasks of a pipeline with theirs.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::invocation::Invocation;
use crate::payload::result_reference::tasks_used;
use crate::tekton::completed::CompletedRun;
use crate::tekton::encoding::{Encoded, Type};
use crate::tekton::fields::{ABSENT, Fields};
use crate::tekton::pipeline::ExecutedTask;
use crate::tekton::step::Step;
use crate::tekton::{Run, TaskRun};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum BuildConfig<'a> {
    Steps(Vec<StepRun<'a>>),
    /// Nothing if it never became known which pipeline it was.
    Tasks(Option<Vec<Task<'a>>>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StepRun<'a> {
    entry_point: Cow<'a, str>,
    arguments: Option<&'a [Value]>,
    environment: Container<'a>,
    annotations: (),
}

#[derive(Serialize)]
struct Container<'a> {
    container: &'a str,
    image: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Task<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    after: Vec<&'a str>,
    #[serde(rename = "ref")]
    reference: Encoded<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_on: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_on: Option<Timestamp>,
    #[serde(skip_serializing_if = "str::is_empty")]
    service_account_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<StepRun<'a>>,
    invocation: Invocation<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    results: Vec<Encoded<'a>>,
}

impl<'a> BuildConfig<'a> {
    pub(super) fn of(completed: &'a CompletedRun, executed: &[ExecutedTask<'a>]) -> Self {
        match completed.run() {
            Run::Task(run) => Self::Steps(steps_by_name(run)),
            Run::Pipeline(_) if completed.run().pipeline_definition().is_null() => Self::Tasks(None),
            Run::Pipeline(_) => Self::Tasks(Some(tasks(completed, executed))),
        }
    }
}

/// Steps of a task, each with the definition of its name.
fn steps_by_name(run: &TaskRun) -> Vec<StepRun<'_>> {
    let mut definitions = HashMap::new();
    for definition in run.step_definitions() {
        definitions.entry(definition.text("name")).or_insert(definition);
    }
    run.steps().map(|step| step_run(step, definitions.get(step.name()).copied().unwrap_or(&ABSENT))).collect()
}

/// Steps of a task in a pipeline, matched by their place; nothing if the definitions cannot be theirs.
fn steps_by_place(run: &TaskRun) -> Option<Vec<StepRun<'_>>> {
    run.0.status().field("taskSpec")?;
    let definitions = run.step_definitions();
    let matched = definitions.len() == run.steps().count()
        && run.steps().zip(definitions).all(|(step, definition)| {
            !step.name().starts_with("unnamed-") || definition.text("name").is_empty()
        });
    matched
        .then(|| run.steps().zip(definitions).map(|(step, definition)| step_run(step, definition)).collect())
}

fn step_run<'a>(step: Step<'a>, definition: &'a Value) -> StepRun<'a> {
    let image = step.image_id();
    let entry_point = match definition.text("script") {
        "" => {
            let words = definition.list("command").iter().map(|word| word.as_str().unwrap_or_default());
            Cow::Owned(words.collect::<Vec<_>>().join(" "))
        }
        script => Cow::Borrowed(script),
    };
    StepRun {
        entry_point,
        arguments: definition.field("args").and_then(Value::as_array).map(Vec::as_slice),
        environment: Container {
            container: step.name(),
            image: format!("oci://{}", image.strip_prefix("docker-pullable://").unwrap_or(image)),
        },
        annotations: (),
    }
}

fn tasks<'a>(completed: &'a CompletedRun, executed: &[ExecutedTask<'a>]) -> Vec<Task<'a>> {
    let service_account =
        completed.run().document().spec().child("taskRunTemplate").text("serviceAccountName");
    let last = last_before_finally(completed);
    executed
        .iter()
        .filter_map(|task| {
            let steps = steps_by_place(task.run)?;
            let document = &task.run.0;
            Some(Task {
                name: task.definition.text("name"),
                after: after(task, last),
                reference: Encoded::new(Type::TaskRef, task.definition.child("taskRef")),
                started_on: document.started_at(),
                finished_on: document.completed_at(),
                service_account_name: service_account,
                status: outcome(document.status()),
                steps,
                invocation: Invocation::of_task(task.run),
                results: document
                    .status()
                    .list("results")
                    .iter()
                    .map(|result| Encoded::new(Type::TaskRunResult, result))
                    .collect(),
            })
        })
        .collect()
}

/// The tasks that a task runs after. A task of `finally` that names none ran after the last of the others.
fn after<'a>(task: &ExecutedTask<'a>, last: Option<&'a str>) -> Vec<&'a str> {
    let mut after: Vec<&str> = task.definition.list("runAfter").iter().filter_map(Value::as_str).collect();
    let mut seen: HashSet<&str> = after.iter().copied().collect();
    after.extend(tasks_used(task.definition).into_iter().filter(|name| seen.insert(name)));
    if after.is_empty() && task.finally {
        after.extend(last);
    }
    after
}

/// The last task of the pipeline proper that has a `TaskRun`, ended or not.
fn last_before_finally(completed: &CompletedRun) -> Option<&str> {
    let started: HashSet<&str> = completed.children().iter().filter_map(TaskRun::pipeline_task).collect();
    let tasks = completed.run().pipeline_definition().list("tasks");
    tasks.iter().rev().map(|task| task.text("name")).find(|name| started.contains(name))
}

fn outcome(status: &Value) -> &'static str {
    match status.list("conditions").first().map_or("", |condition| condition.text("status")) {
        "True" => "Succeeded",
        "False" => "Failed",
        "Unknown" => "Running",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::payload::test_runs::{children, column, pipeline_run, provenance, stated, task_run};
    use crate::payload::{BuildType, Format};

    fn config(run: Value, children: Vec<Value>) -> Value {
        let statement = stated(run, children, Format::InToto, &provenance(BuildType::Slsa, false));
        statement["predicate"]["buildConfig"].clone()
    }

    #[test]
    fn tasks_tell_what_they_ran_after_and_how_they_ended() {
        let mut children = children();
        children[1]["status"]["conditions"][0]["status"] = "False".into();
        let tasks = config(pipeline_run(), children)["tasks"].clone();
        assert_eq!(column(&tasks, "name"), ["one", "two", "last"]);
        assert_eq!(column(&tasks, "status"), ["Succeeded", "Failed", "Succeeded"]);
        assert_eq!(
            [&tasks[0]["after"], &tasks[1]["after"], &tasks[2]["after"]],
            [&json!(null), &json!(["one"]), &json!(["two"])]
        );
        assert_eq!([&tasks[0]["ref"], &tasks[1]["ref"]], [&json!({"name": "maker"}), &json!({})]);
        assert_eq!(tasks[0]["startedOn"], "2026-01-02T03:04:05Z");
        assert_eq!(tasks[0]["serviceAccountName"], "builder");
        assert_eq!(column(&tasks[0]["results"], "name"), ["IMAGE_URL", "IMAGE_DIGEST"]);
    }

    #[test]
    fn tasks_whose_steps_are_not_theirs_are_left_out() {
        let mut children = children();
        children[0]["status"]["taskSpec"] = json!(null);
        children[1]["status"]["taskSpec"]["steps"] = json!([]);
        children[2]["status"]["steps"][0]["name"] = "unnamed-0".into();
        assert_eq!(config(pipeline_run(), children), json!({"tasks": []}));
    }

    #[test]
    fn an_unnamed_step_is_matched_by_its_place() {
        let mut child = task_run("pipe-one", "one", "r.io/a1");
        child["status"]["steps"][0]["name"] = "unnamed-0".into();
        child["status"]["taskSpec"]["steps"][0] = json!({"script": "run", "command": ["ignored"]});
        let step = &config(pipeline_run(), vec![child])["tasks"][0]["steps"][0];
        assert_eq!((&step["entryPoint"], &step["arguments"]), (&json!("run"), &json!(null)));
    }

    #[test]
    fn a_pipeline_that_never_was_known_has_no_tasks_at_all() {
        let mut run = pipeline_run();
        run["status"]["pipelineSpec"] = json!(null);
        assert_eq!(config(run, children()), json!({"tasks": null}));
    }

    #[test]
    fn a_step_without_a_definition_has_no_entry_point() {
        let mut run = task_run("t", "one", "r.io/app");
        run["status"]["steps"][0]["name"] = "other".into();
        let step = &config(run, vec![])["steps"][0];
        assert_eq!((&step["entryPoint"], &step["arguments"]), (&json!(""), &json!(null)));
    }
}
