//! How a run was asked for: where its definition came from, its params, its labels and annotations.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::tekton::document::{Document, RefSource};
use crate::tekton::param::{ParamValue, RunResult};
use crate::tekton::step::defaults;
use crate::tekton::{ANNOTATION_PREFIX, Run, TaskRun};

/// kubectl's copy of a manifest, which says nothing that the run does not.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Invocation<'a> {
    config_source: ConfigSource<'a>,
    parameters: BTreeMap<&'a str, ParamValue<'a>>,
    #[serde(skip_serializing_if = "Environment::is_empty")]
    environment: Environment<'a>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigSource<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    uri: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    digest: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    entry_point: &'a str,
}

#[derive(Serialize)]
struct Environment<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, &'a str>,
}

impl<'a> Invocation<'a> {
    pub(super) fn of_run(run: &'a Run) -> Self {
        match run {
            Run::Task(run) => Self::of_task(run),
            Run::Pipeline(pipeline) => Self::of(&pipeline.0, defaults(run.pipeline_definition())),
        }
    }

    pub(super) fn of_task(run: &'a TaskRun) -> Self {
        Self::of(&run.0, run.param_defaults())
    }

    fn of(document: &'a Document, defaults: impl Iterator<Item = RunResult<'a>>) -> Self {
        let annotations = document
            .annotations()
            .filter(|(name, _)| *name != LAST_APPLIED && !name.starts_with(ANNOTATION_PREFIX));
        Self {
            config_source: document.ref_source().map(ConfigSource::of).unwrap_or_default(),
            parameters: defaults.chain(document.params()).map(|param| (param.name, param.value)).collect(),
            environment: Environment {
                annotations: annotations.collect(),
                labels: document.labels().collect(),
            },
        }
    }
}

impl<'a> ConfigSource<'a> {
    fn of(source: RefSource<'a>) -> Self {
        Self { uri: source.uri(), digest: source.digest().collect(), entry_point: source.entry_point() }
    }
}

impl Environment<'_> {
    fn is_empty(&self) -> bool {
        self.annotations.is_empty() && self.labels.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::payload::test_runs::{pipeline_run, provenance, stated, task_run};
    use crate::payload::{BuildType, Format};

    #[test]
    fn params_overlay_defaults_and_annotations_are_those_of_people() {
        let mut run = task_run("t", "one", "r.io/app");
        run["metadata"]["annotations"] = json!({"mine": "yes", "chains.tekton.dev/transparency-upload": "true",
            "kubectl.kubernetes.io/last-applied-configuration": "{}"});
        run["status"]["provenance"] =
            json!({"refSource": {"uri": "u", "digest": {"sha1": "ab"}, "entryPoint": "task.yaml"}});
        let statement = stated(run, vec![], Format::InToto, &provenance(BuildType::Slsa, false));
        assert_eq!(
            statement["predicate"]["invocation"],
            json!({"configSource": {"uri": "u", "digest": {"sha1": "ab"}, "entryPoint": "task.yaml"},
                "parameters": {"who": "me", "how": ["fast"]},
                "environment": {"annotations": {"mine": "yes"}, "labels": {"tekton.dev/pipelineTask": "one"}}})
        );
    }

    #[test]
    fn a_run_without_any_of_it_says_so() {
        let statement = stated(pipeline_run(), vec![], Format::InToto, &provenance(BuildType::Slsa, false));
        assert_eq!(statement["predicate"]["invocation"], json!({"configSource": {}, "parameters": {}}));
    }
}
