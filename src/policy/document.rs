//! A policy out of its manifest (credentials specification §8.1): everything that is wrong is said at once, each with
//! the path of its field.

use serde_json::Value;

use super::authority::read::authorities;
use super::field::{Field, Fields};
use super::finding::{Notes, Problem};
use super::glob::Glob;
use super::workload::WorkloadMatch;
use super::{ClusterImagePolicy, Mode};

/// How policies are read, where the operator has a say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// `policy.anchor-regexes`.
    pub anchor_regexes: bool,
    /// The namespace that Secrets of keys may be in; without one any.
    pub controller_namespace: Option<String>,
}

/// What became of a manifest.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The policy, when there is no error.
    pub policy: Option<ClusterImagePolicy>,
    /// Errors and doubts.
    pub notes: Notes,
}

const VERSIONS: &[(&str, ())] = &[("policy.sigstore.dev/v1alpha1", ()), ("policy.sigstore.dev/v1beta1", ())];
const KINDS: &[(&str, ())] = &[("ClusterImagePolicy", ())];
const MODES: &[(&str, Mode)] = &[("enforce", Mode::Enforce), ("warn", Mode::Warn)];

impl ClusterImagePolicy {
    /// Reads a manifest.
    pub fn read(document: &Value, rules: &Rules) -> Reading {
        let mut notes = Notes::default();
        let policy = read(document, rules, &mut notes);
        Reading { policy: policy.filter(|_| notes.errors.is_empty()), notes }
    }
}

fn read(document: &Value, rules: &Rules, notes: &mut Notes) -> Option<ClusterImagePolicy> {
    let known = ["apiVersion", "kind", "metadata", "spec", "status"];
    let fields = Field::root("", document).fields(&known, notes)?;
    if let Some(version) = fields.require("apiVersion", notes) {
        version
            .word(VERSIONS, "policy.sigstore.dev/v1alpha1 and policy.sigstore.dev/v1beta1", notes)
            .unwrap_or_default();
    }
    if let Some(kind) = fields.require("kind", notes) {
        kind.word(KINDS, "ClusterImagePolicy", notes).unwrap_or_default();
    }
    let name = document.pointer("/metadata/name").and_then(Value::as_str).filter(|name| !name.is_empty());
    if name.is_none() {
        notes.error("metadata.name", Problem::Missing);
    }
    let known = ["images", "match", "authorities", "mode", "policy"];
    let spec = fields.require("spec", notes)?.fields(&known, notes)?;
    if spec.get("policy").is_some() {
        let what = "CUE and Rego are not evaluated in this build; use attestations[].predicateType";
        notes.error("spec.policy", Problem::Unsupported(what));
    }
    let mode = spec.get("mode").map(|mode| mode.word(MODES, "enforce, warn", notes));
    Some(ClusterImagePolicy {
        images: images(&spec, notes),
        workloads: workloads(&spec, notes),
        authorities: authorities(&spec, rules, notes),
        mode: mode.flatten().unwrap_or_default(),
        name: name.unwrap_or_default().to_owned(),
    })
}

fn images(spec: &Fields<'_>, notes: &mut Notes) -> Vec<Glob> {
    let items = spec.require("images", notes).map(|images| images.items(notes));
    if items.as_ref().is_some_and(Vec::is_empty) {
        notes.error("spec.images", Problem::Empty);
    }
    let globs = items.into_iter().flatten().filter_map(|item| {
        let field = item.fields(&["glob"], notes)?.require("glob", notes)?;
        let text = field.text(notes)?;
        match Glob::parse(text) {
            Ok(glob) => {
                if let Some(doubt) = glob.doubt() {
                    notes.warn(&field.path, doubt);
                }
                Some(glob)
            }
            Err(problem) => {
                notes.error(&field.path, problem);
                None
            }
        }
    });
    globs.collect()
}

fn workloads(spec: &Fields<'_>, notes: &mut Notes) -> Vec<WorkloadMatch> {
    let items = spec.items("match", notes);
    items.into_iter().filter_map(|item| WorkloadMatch::read(item, notes)).collect()
}

#[cfg(test)]
mod tests;
