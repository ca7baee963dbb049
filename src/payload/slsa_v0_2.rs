//! SLSA provenance v0.2, the predicate of the formats `in-toto` and `slsa/v1` (Chains specification §4.2).

mod build_config;
mod invocation;

use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;

use super::merged::Merged;
use super::{Provenance, material};
use crate::tekton::completed::CompletedRun;
use crate::tekton::document::Document;
use crate::tekton::pipeline::ExecutedTask;
use crate::tekton::{Kind, Run};
use build_config::BuildConfig;
use invocation::Invocation;

pub(super) const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v0.2";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Predicate<'a> {
    builder: Builder<'a>,
    build_type: &'static str,
    invocation: Invocation<'a>,
    build_config: BuildConfig<'a>,
    metadata: Metadata,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    materials: Vec<Material>,
}

#[derive(Serialize)]
struct Builder<'a> {
    id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    build_started_on: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_finished_on: Option<Timestamp>,
    completeness: Completeness,
    reproducible: bool,
}

/// Nothing is promised.
#[derive(Default, Serialize)]
struct Completeness {
    parameters: bool,
    environment: bool,
    materials: bool,
}

#[derive(Serialize)]
struct Material {
    #[serde(skip_serializing_if = "String::is_empty")]
    uri: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    digest: BTreeMap<String, String>,
}

pub(super) fn predicate<'a>(
    completed: &'a CompletedRun,
    provenance: &'a Provenance,
    executed: &[ExecutedTask<'a>],
) -> Predicate<'a> {
    let run = completed.run();
    Predicate {
        builder: Builder { id: &provenance.builder_id },
        build_type: match run.kind() {
            Kind::TaskRun => "tekton.dev/v1/TaskRun",
            Kind::PipelineRun => "tekton.dev/v1/PipelineRun",
        },
        invocation: Invocation::of_run(run),
        build_config: BuildConfig::of(completed, executed),
        metadata: Metadata::of(run.document()),
        materials: materials(completed, provenance, executed)
            .into_entries()
            .into_iter()
            .map(|entry| Material { uri: entry.name, digest: entry.digest })
            .collect(),
    }
}

fn materials(completed: &CompletedRun, provenance: &Provenance, executed: &[ExecutedTask<'_>]) -> Merged {
    let mut merged = Merged::default();
    let run = match completed.run() {
        Run::Task(run) => {
            material::add_images(&mut merged, run);
            material::add_task_inputs(&mut merged, run);
            return merged;
        }
        Run::Pipeline(run) => run,
    };
    if let Some(source) = run.0.ref_source() {
        merged.add(source.uri(), source.digest());
    }
    for task in executed {
        material::add_images(&mut merged, task.run);
        if let Some(source) = task.run.0.ref_source() {
            merged.add(source.uri(), source.digest());
        }
    }
    let inspected = if provenance.deep_inspection { executed } else { &[] };
    let mut inputs = Merged::default();
    material::add_pipeline_inputs(&mut inputs, completed, inspected);
    merged.append(inputs);
    merged
}

impl Metadata {
    fn of(document: &Document) -> Self {
        Self {
            build_started_on: document.started_at(),
            build_finished_on: document.completed_at(),
            completeness: Completeness::default(),
            reproducible: document.labels().any(|label| label == ("chains.tekton.dev/reproducible", "true")),
        }
    }
}
