//! The parameters of a build: what the user chose (external) and what the platform chose (internal).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::payload::BuildType;
use crate::tekton::Run;
use crate::tekton::document::{Document, RefSource};
use crate::tekton::encoding::{Encoded, Type};
use crate::tekton::fields::Fields;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct External<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    build_config_source: Option<BuildConfigSource<'a>>,
    run_spec: Encoded<'a>,
}

#[derive(Serialize)]
struct BuildConfigSource<'a> {
    #[serde(rename = "ref")]
    reference: String,
    repository: &'a str,
    path: &'a str,
}

#[derive(Serialize)]
pub(super) struct Internal<'a> {
    #[serde(rename = "tekton-pipelines-feature-flags", skip_serializing_if = "Option::is_none")]
    feature_flags: Option<Encoded<'a>>,
    #[serde(flatten)]
    marks: Option<Marks<'a>>,
}

/// What is there in the build type of Tekton alone; `null` if the run has none.
#[derive(Serialize)]
struct Marks<'a> {
    labels: Option<BTreeMap<&'a str, &'a str>>,
    annotations: Option<BTreeMap<&'a str, &'a str>>,
}

impl<'a> External<'a> {
    pub(super) fn of(run: &'a Run) -> Self {
        let document = run.document();
        let spec = document.spec();
        let (of, definition) = match run {
            Run::Task(_) => (Type::TaskRunSpec, spec.child("taskRef")),
            Run::Pipeline(_) => (Type::PipelineRunSpec, spec.child("pipelineRef")),
        };
        let remote = !["", "Cluster"].contains(&definition.text("resolver"));
        Self {
            build_config_source: document.ref_source().filter(|_| remote).map(BuildConfigSource::of),
            run_spec: Encoded::new(of, spec),
        }
    }
}

impl<'a> BuildConfigSource<'a> {
    fn of(source: RefSource<'a>) -> Self {
        let reference = source.digest().next().map(|(algorithm, hex)| format!("{algorithm}:{hex}"));
        Self {
            reference: reference.unwrap_or_default(),
            repository: source.uri(),
            path: source.entry_point(),
        }
    }
}

impl<'a> Internal<'a> {
    pub(super) fn of(document: &'a Document, build_type: BuildType) -> Self {
        let marks = || Marks { labels: some(document.labels()), annotations: some(document.annotations()) };
        Self {
            feature_flags: document.feature_flags().map(|flags| Encoded::new(Type::FeatureFlags, flags)),
            marks: (build_type == BuildType::SlsaTekton).then(marks),
        }
    }
}

fn some<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> Option<BTreeMap<&'a str, &'a str>> {
    Some(entries.collect()).filter(|map: &BTreeMap<_, _>| !map.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::payload::test_runs::{pipeline_run, provenance, stated, task_run};
    use crate::payload::{BuildType, Format};

    fn definition(run: Value, build_type: BuildType) -> Value {
        let statement = stated(run, vec![], Format::SlsaV2Alpha3, &provenance(build_type, false));
        statement["predicate"]["buildDefinition"].clone()
    }

    #[test]
    fn the_source_is_told_for_definitions_that_a_resolver_fetched() {
        for (resolver, told) in [("git", true), ("Cluster", false), ("", false)] {
            let mut run = pipeline_run();
            run["spec"]["pipelineRef"] = json!({"resolver": resolver});
            run["status"]["provenance"] =
                json!({"refSource": {"uri": "u", "digest": {"sha1": "ab"}, "entryPoint": "p.yaml"}});
            let source = definition(run, BuildType::Slsa)["externalParameters"]["buildConfigSource"].clone();
            let expected = json!({"ref": "sha1:ab", "repository": "u", "path": "p.yaml"});
            assert_eq!(source, if told { expected } else { Value::Null }, "{resolver}");
        }
    }

    #[test]
    fn the_spec_is_written_as_tekton_writes_it() {
        let spec =
            &definition(task_run("t", "one", "r.io/app"), BuildType::Slsa)["externalParameters"]["runSpec"];
        assert_eq!(
            spec,
            &json!({"params": [{"name": "who", "value": "me"}], "serviceAccountName": "builder"})
        );
    }

    #[test]
    fn the_build_type_of_tekton_adds_labels_and_annotations() {
        let mut run = task_run("t", "one", "r.io/app");
        run["status"]["provenance"] = json!({"featureFlags": {"EnableAPIFields": "beta"}});
        let flags = json!({"enableAPIFields": "beta"});
        assert_eq!(
            definition(run.clone(), BuildType::Slsa)["internalParameters"],
            json!({"tekton-pipelines-feature-flags": flags})
        );
        assert_eq!(
            definition(run, BuildType::SlsaTekton)["internalParameters"],
            json!({"tekton-pipelines-feature-flags": flags, "labels": {"tekton.dev/pipelineTask": "one"}, "annotations": null})
        );
        assert_eq!(definition(pipeline_run(), BuildType::Slsa)["internalParameters"], json!({}));
    }
}
