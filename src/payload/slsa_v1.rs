//! SLSA provenance v1.0, the predicate of the formats `slsa/v2alpha3` and `slsa/v2alpha4`
//! (Chains specification §4.3).

mod byproduct;
mod dependency;
mod parameters;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{Error, Format, Provenance};
use crate::tekton::completed::CompletedRun;
use crate::tekton::pipeline::ExecutedTask;
use parameters::{External, Internal};

pub(super) const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Predicate<'a> {
    build_definition: BuildDefinition<'a>,
    run_details: RunDetails<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition<'a> {
    build_type: &'static str,
    external_parameters: External<'a>,
    internal_parameters: Internal<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resolved_dependencies: Vec<Descriptor>,
}

#[derive(Serialize)]
struct RunDetails<'a> {
    builder: Builder<'a>,
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    byproducts: Vec<Descriptor>,
}

#[derive(Serialize)]
struct Builder<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    invocation_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_on: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_on: Option<Timestamp>,
}

/// in-toto's `ResourceDescriptor`, as far as it is used here.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    uri: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    digest: BTreeMap<String, String>,
    /// Base64.
    #[serde(skip_serializing_if = "String::is_empty")]
    content: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    media_type: &'static str,
}

pub(super) fn predicate<'a>(
    completed: &'a CompletedRun,
    format: Format,
    provenance: &'a Provenance,
    executed: &[ExecutedTask<'a>],
) -> Result<Predicate<'a>, Error> {
    let document = completed.run().document();
    let inspected = if provenance.deep_inspection { executed } else { &[] };
    Ok(Predicate {
        build_definition: BuildDefinition {
            build_type: provenance.build_type.as_str(),
            external_parameters: External::of(completed.run()),
            internal_parameters: Internal::of(document, provenance.build_type),
            resolved_dependencies: dependency::dependencies(completed, format, provenance, executed)?,
        },
        run_details: RunDetails {
            builder: Builder { id: &provenance.builder_id },
            metadata: Metadata {
                invocation_id: &document.metadata.uid,
                started_on: document.started_at(),
                finished_on: document.completed_at(),
            },
            byproducts: byproduct::byproducts(completed, format, inspected)?,
        },
    })
}
