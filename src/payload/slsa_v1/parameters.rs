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

/// Labels and annotations are there in the build type of Tekton alone; `null` if the run has none.
#[derive(Serialize)]
pub(super) struct Internal<'a> {
    #[serde(rename = "tekton-pipelines-feature-flags", skip_serializing_if = "Option::is_none")]
    feature_flags: Option<Encoded<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Option<BTreeMap<&'a str, &'a str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Option<BTreeMap<&'a str, &'a str>>>,
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
        let flags = document.feature_flags().map(|flags| Encoded::new(Type::FeatureFlags, flags));
        let (labels, annotations) = match build_type {
            BuildType::Slsa => (None, None),
            BuildType::SlsaTekton => {
                (Some(some(document.labels().collect())), Some(some(document.annotations().collect())))
            }
        };
        Self { feature_flags: flags, labels, annotations }
    }
}

fn some<'a>(map: BTreeMap<&'a str, &'a str>) -> Option<BTreeMap<&'a str, &'a str>> {
    (!map.is_empty()).then_some(map)
}
