//! What a build was made from: definitions that were fetched, images of the steps, sources and inputs.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Descriptor;
use crate::payload::merged::Merged;
use crate::payload::{BuildType, Error, Format, Provenance, go_json, material};
use crate::tekton::completed::CompletedRun;
use crate::tekton::document::RefSource;
use crate::tekton::encoding::{Encoded, Type};
use crate::tekton::pipeline::ExecutedTask;
use crate::tekton::{PipelineRun, Run, TaskRun};

/// Name of sources and inputs.
const INPUT: &str = "inputs/result";

/// The dependencies of the run.
pub(super) fn dependencies(
    completed: &CompletedRun,
    format: Format,
    provenance: &Provenance,
    executed: &[ExecutedTask<'_>],
) -> Result<Vec<Descriptor>, Error> {
    let found = match completed.run() {
        Run::Task(run) => of_task(run, format),
        Run::Pipeline(run) => of_pipeline(run, completed, format, provenance, executed)?,
    };
    Ok(found)
}

/// The definition of the task itself is not weighed against the others.
fn of_task(run: &TaskRun, format: Format) -> Vec<Descriptor> {
    let mut found: Vec<_> = named("", |merged| material::add_images(merged, run)).collect();
    if format == Format::SlsaV2Alpha4 {
        found.extend(named(INPUT, |merged| material::add_step_inputs(merged, run)));
        found.extend(step_actions(run));
    }
    found.extend(named(INPUT, |merged| material::add_task_inputs(merged, run)));
    let definition = run.0.ref_source().map(|source| fetched("task", source));
    definition.into_iter().chain(without_repetitions(found)).collect()
}

fn of_pipeline(
    run: &PipelineRun,
    completed: &CompletedRun,
    format: Format,
    provenance: &Provenance,
    executed: &[ExecutedTask<'_>],
) -> Result<Vec<Descriptor>, Error> {
    let inspected = if provenance.deep_inspection { executed } else { &[] };
    let mut found: Vec<_> =
        run.0.ref_source().map(|source| fetched("pipeline", source)).into_iter().collect();
    for task in executed {
        found.extend(pipeline_task(task.run, provenance.build_type)?);
        if format == Format::SlsaV2Alpha4 {
            found.extend(step_actions(task.run));
        }
        found.extend(named("", |merged| material::add_images(merged, task.run)));
    }
    if format == Format::SlsaV2Alpha4 {
        for task in inspected {
            found.extend(named(INPUT, |merged| material::add_step_inputs(merged, task.run)));
        }
    }
    found.extend(named(INPUT, |merged| material::add_pipeline_inputs(merged, completed, inspected)));
    Ok(without_repetitions(found))
}

/// A task of the pipeline: where it was fetched from, and in Tekton's build type the `TaskRun` whole.
fn pipeline_task(run: &TaskRun, build_type: BuildType) -> Result<Option<Descriptor>, Error> {
    let source = run.0.ref_source().map(|source| fetched("pipelineTask", source));
    Ok(match build_type {
        BuildType::Slsa => source,
        BuildType::SlsaTekton => {
            let content = STANDARD.encode(go_json::to_vec(&Encoded::new(Type::TaskRun, &run.0.json))?);
            let named = || Descriptor { name: "pipelineTask".to_owned(), ..Descriptor::default() };
            Some(Descriptor { content, ..source.unwrap_or_else(named) })
        }
    })
}

fn step_actions(run: &TaskRun) -> impl Iterator<Item = Descriptor> {
    run.steps().filter_map(|step| Some(fetched(&format!("stepAction/{}", step.name()), step.ref_source()?)))
}

fn fetched(name: &str, source: RefSource<'_>) -> Descriptor {
    Descriptor {
        name: name.to_owned(),
        uri: source.uri().to_owned(),
        digest: source.digest().map(|(algorithm, hex)| (algorithm.to_owned(), hex.to_owned())).collect(),
        ..Descriptor::default()
    }
}

fn named(name: &'static str, add: impl FnOnce(&mut Merged)) -> impl Iterator<Item = Descriptor> {
    let mut merged = Merged::default();
    add(&mut merged);
    merged.into_entries().into_iter().map(move |entry| Descriptor {
        name: name.to_owned(),
        uri: entry.name,
        digest: entry.digest,
        ..Descriptor::default()
    })
}

/// Keeps the first of those that are the same thing. Definitions of the run and of steps are always kept.
fn without_repetitions(found: Vec<Descriptor>) -> Vec<Descriptor> {
    let mut seen = HashSet::new();
    let kept: Vec<bool> = found
        .iter()
        .map(|entry| {
            let first = seen.insert((&entry.uri, &entry.digest, &entry.content));
            first || entry.name == "task" || entry.name == "pipeline" || entry.name.starts_with("stepAction/")
        })
        .collect();
    found.into_iter().zip(kept).filter_map(|(entry, kept)| kept.then_some(entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::test_runs::{OTHER, children, column, pipeline_run, provenance, stated, task_run};
    use serde_json::{Value, json};

    fn found(run: Value, children: Vec<Value>, format: Format, build_type: BuildType) -> Value {
        let statement = stated(run, children, format, &provenance(build_type, true));
        statement["predicate"]["buildDefinition"]["resolvedDependencies"].clone()
    }

    fn source(uri: &str) -> Value {
        json!({"refSource": {"uri": uri, "digest": {"sha1": "ab"}}})
    }

    #[test]
    fn the_definition_of_a_task_is_kept_beside_an_input_that_is_the_same() {
        let mut run = task_run("t", "one", "r.io/app");
        run["status"]["provenance"] = source("u");
        run["status"]["steps"][0]["provenance"] = source("action");
        let digest = format!("sha1:{}", "a".repeat(40));
        run["status"]["results"] = json!([{"name": "a-ARTIFACT_INPUTS", "value": {"uri": "in", "digest": digest}},
            {"name": "b-ARTIFACT_INPUTS", "value": {"uri": "in", "digest": digest}}]);
        let entries = found(run.clone(), vec![], Format::SlsaV2Alpha4, BuildType::Slsa);
        assert_eq!(column(&entries, "name"), ["task", "", "stepAction/make", "inputs/result"]);
        assert_eq!(entries[1], json!({"uri": "oci://r.io/tool", "digest": {"sha256": OTHER}}));
        let older = found(run, vec![], Format::SlsaV2Alpha3, BuildType::Slsa);
        assert_eq!(column(&older, "name"), ["task", "", "inputs/result"]);
    }

    #[test]
    fn a_pipeline_has_its_tasks_and_their_images_once() {
        let mut children = children();
        children[0]["status"]["provenance"] = source("task");
        children[1]["status"]["provenance"] = source("task");
        let mut run = pipeline_run();
        run["status"]["provenance"] = source("pipe");
        let entries = found(run, children, Format::SlsaV2Alpha4, BuildType::Slsa);
        assert_eq!(column(&entries, "name"), ["pipeline", "pipelineTask", ""]);
    }

    #[test]
    fn the_build_type_of_tekton_has_every_taskrun_whole() {
        let entries = found(pipeline_run(), children(), Format::SlsaV2Alpha3, BuildType::SlsaTekton);
        assert_eq!(column(&entries, "name"), ["pipelineTask", "", "pipelineTask", "pipelineTask"]);
        let content = STANDARD.decode(entries[0]["content"].as_str().unwrap()).unwrap();
        assert!(content.starts_with(
            br#"{"kind":"TaskRun","apiVersion":"tekton.dev/v1","metadata":{"name":"pipe-one","#
        ));
        let run: Value = serde_json::from_slice(&content).unwrap();
        assert_eq!(run["status"]["podName"], "");
    }
}
