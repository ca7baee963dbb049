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
