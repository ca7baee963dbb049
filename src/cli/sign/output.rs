//! What `hallmark sign` prints: a table for people, JSON for programs, or the runs as they would be in a cluster.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Signed;
use crate::artifact::{Artifact, RunArtifact};
use crate::cli::style;
use crate::error::Diagnose as _;
use crate::error::chain;
use crate::flow::outcome::{Entry, State};
use crate::storage::remembered;
use crate::tekton::ANNOTATION_PREFIX;
use crate::tekton::completed::{Absence, Absent};
use crate::tekton::record::{self, OutcomeEntry};

/// One row for each artifact and store.
pub(super) fn table(signed: &[Signed]) {
    let rows = signed.iter().flat_map(|one| {
        let metadata = one.run.run().metadata();
        let run = match metadata.namespace.as_str() {
            "" => metadata.name.clone(),
            namespace => format!("{namespace}/{}", metadata.name),
        };
        one.outcome.entries.iter().map(move |entry| row(&run, entry)).collect::<Vec<_>>()
    });
    println!("{}", style::table(&["RUN", "ARTIFACT", "RESULT", "PLACE"], rows));
}

fn row(run: &str, entry: &Entry) -> Vec<String> {
    let artifact = match &entry.artifact {
        Artifact::Image(_) => "image signature".to_owned(),
        Artifact::Run(_) => "provenance".to_owned(),
    };
    let place = if entry.reference.is_empty() { "-".to_owned() } else { entry.reference.clone() };
    vec![run.to_owned(), artifact, result(&entry.state).to_owned(), place]
}

fn result(state: &State) -> &'static str {
    match state {
        State::Stored(_) => "stored",
        State::Present => "present",
        State::Skipped(_) => "skipped",
        State::Failed(_) => "FAILED",
    }
}

/// One object for each run.
pub(super) fn json(signed: &[Signed]) {
    let runs: Vec<Value> = signed.iter().map(|one| {
        let metadata = one.run.run().metadata();
        let entries = told(one);
        json!({
            "run": {"kind": one.run.run().kind().as_str(), "namespace": metadata.namespace, "name": metadata.name},
            "complete": one.is_signed(),
            "outcome": entries,
            "unusable": one.outcome.unusable.iter().map(|unusable| json!({
                "result": unusable.result, "reason": unusable.reason.to_string(), "remedy": unusable.reason.remedy(),
            })).collect::<Vec<_>>(),
            "credentials": one.reports,
        })
    }).collect();
    println!("{:#}", Value::Array(runs));
}

/// The manifests with their new annotations.
pub(super) fn yaml(signed: &[Signed]) {
    for one in signed {
        let mut manifest = one.manifest.clone();
        annotate(&mut manifest, one);
        match serde_saphyr::to_string(&manifest) {
            Ok(text) => println!("---\n{}", text.trim_end()),
            Err(error) => eprintln!("hallmark: cannot print YAML: {error}"),
        }
    }
}

/// As the annotation tells it.
fn told(one: &Signed) -> Vec<OutcomeEntry> {
    let absent = one.run.absent();
    one.outcome.entries.iter().map(OutcomeEntry::from).chain(absent.iter().map(OutcomeEntry::from)).collect()
}

fn annotate(manifest: &mut Value, one: &Signed) {
    let entries = told(one);
    let mut new = BTreeMap::from([("outcome".to_owned(), record::outcome(&entries))]);
    if one.is_signed() {
        new.insert("signed".to_owned(), "true".to_owned());
    }
    for entry in &one.outcome.entries {
        if let State::Stored(stored) = &entry.state {
            new.extend(stored.annotations.clone());
        }
    }
    let names = remembered::annotation(&entries, &new, &one.run.run().metadata().annotations);
    new.extend(names.map(|names| (remembered::STORED.to_owned(), names)));
    let metadata =
        manifest.as_object_mut().map(|object| object.entry("metadata").or_insert(Value::Object(Map::new())));
    let annotations =
        metadata.and_then(Value::as_object_mut).map(|m| m.entry("annotations").or_insert(json!({})));
    if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
        for (name, value) in new {
            let short = name.strip_prefix(ANNOTATION_PREFIX).unwrap_or(&name);
            annotations.insert(format!("{ANNOTATION_PREFIX}{short}"), Value::String(value));
        }
    }
}

/// What the statement about a run goes without, on standard error.
pub(super) fn absent(signed: &[Signed]) {
    for note in signed.iter().filter_map(left_out) {
        eprintln!("note: {note}");
    }
}

/// One sentence, however many they are.
fn left_out(one: &Signed) -> Option<String> {
    const SHOWN: usize = 5;
    let absent = one.run.absent();
    let reason = |absent: &Absent<'_>| match absent.reason {
        Absence::Gone => "it is not in the files".to_owned(),
        other => other.to_string(),
    };
    let told: Vec<String> = absent
        .iter()
        .take(SHOWN)
        .map(|absent| format!("{} {} ({})", absent.kind, absent.name, reason(absent)))
        .collect();
    let more = match absent.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let run = RunArtifact::of(one.run.run());
    (!told.is_empty()).then(|| format!("the statement about {run} goes without {}{more}", told.join(", ")))
}

/// Why something failed, on standard error, each reason once.
pub(super) fn failures(signed: &[Signed]) {
    let mut told: Vec<String> = Vec::new();
    for one in signed {
        for unusable in &one.outcome.unusable {
            told.push(format!(
                "result {}: {}. {}",
                unusable.result,
                unusable.reason,
                unusable.reason.remedy()
            ));
        }
        for error in one.outcome.failures() {
            let hint = error.hint().map(|hint| format!("\n  {hint}")).unwrap_or_default();
            told.push(format!("{}{hint}", chain(error)));
        }
    }
    told.dedup();
    for text in told {
        eprintln!("hallmark: {text}");
    }
}
