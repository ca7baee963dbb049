//! What `hallmark payload` prints: chapters for a person, or one JSON object for a program.
//!
//! The JSON has the shape that tests compare by: `artifacts` with all that was found, `payloads` with what would
//! be signed, each statement in the very bytes that the signature would be over. A result that cannot be used is
//! told on standard error then.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Described, Shown};
use crate::artifact::{Artifact, RunArtifact, Unusable};
use crate::cli::style::{self, Style};
use crate::cli::{Exit, fail, refuse};
use crate::payload::Payload;
use crate::tekton::Kind;

/// One object for all runs.
#[derive(Serialize)]
struct Report<'a> {
    artifacts: Vec<Listed>,
    payloads: Vec<Stated<'a>>,
}

/// An artifact for programs.
#[derive(Serialize)]
struct Listed {
    kind: &'static str,
    name: String,
    /// Only images have one.
    digest: Option<String>,
}

#[derive(Serialize)]
struct Stated<'a> {
    artifact: Listed,
    format: &'static str,
    #[serde(borrow)]
    statement: &'a RawValue,
}

impl Listed {
    fn of(artifact: &Artifact) -> Self {
        match artifact {
            Artifact::Image(image) => Self {
                kind: "image",
                name: image.repository.to_string(),
                digest: Some(image.digest.to_string()),
            },
            Artifact::Run(run) => Self { kind: run_kind(run.kind), name: run_name(run), digest: None },
        }
    }
}

fn run_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::TaskRun => "taskrun",
        Kind::PipelineRun => "pipelinerun",
    }
}

/// A run in a file may lie in no namespace.
fn run_name(run: &RunArtifact) -> String {
    if run.namespace.is_empty() { run.name.clone() } else { format!("{}/{}", run.namespace, run.name) }
}

/// Prints JSON.
pub(super) fn json(shown: &[Shown]) -> Exit {
    for unusable in shown.iter().flat_map(|one| &one.unusable) {
        eprintln!("warning: result {}: {}. {}", unusable.result, unusable.reason, unusable.reason.remedy());
    }
    match report(shown) {
        Ok(text) => println!("{text}"),
        Err(error) => return refuse(&error, Exit::Failed),
    }
    failures(shown)
}

/// Prints text.
pub(super) fn text(shown: &[Shown]) -> Exit {
    let chapters: Vec<String> = shown.iter().map(|one| chapter(one, Style::of_stdout())).collect();
    print!("{}", chapters.join("\n"));
    failures(shown)
}

/// What cannot be stated, on standard error.
fn failures(shown: &[Shown]) -> Exit {
    let payloads = shown.iter().flat_map(|one| &one.described).filter_map(|one| one.payload.as_ref());
    let errors = payloads.filter_map(|payload| payload.as_ref().err());
    errors.fold(Exit::Ok, |_, error| fail(error))
}

pub(super) fn report(shown: &[Shown]) -> Result<String, serde_json::Error> {
    let described = || shown.iter().flat_map(|one| &one.described);
    let artifacts = described().map(|one| Listed::of(&one.artifact)).collect();
    let payloads = described().filter_map(|one| Some((one, one.payload.as_ref()?.as_ref().ok()?)));
    let payloads = payloads.map(|(one, payload)| {
        let statement = serde_json::from_slice(&payload.bytes)?;
        Ok(Stated { artifact: Listed::of(&one.artifact), format: one.format, statement })
    });
    serde_json::to_string_pretty(&Report { artifacts, payloads: payloads.collect::<Result<_, _>>()? })
}

/// What was found, what cannot be used, and each statement.
pub(super) fn chapter(shown: &Shown, style: Style) -> String {
    let mut lines = vec![style.bold("Found")];
    let rows = shown.described.iter().map(|one| {
        let Listed { kind, name, digest } = Listed::of(&one.artifact);
        vec![kind.to_owned(), name, digest.unwrap_or_else(|| "-".to_owned())]
    });
    lines.extend(indented(&style::table(&["KIND", "NAME", "DIGEST"], rows)));
    if !shown.unusable.is_empty() {
        lines.extend([String::new(), style.bad("Cannot be used")]);
        lines.extend(shown.unusable.iter().flat_map(unusable));
    }
    for one in &shown.described {
        lines.push(String::new());
        lines.extend(described(one, style));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn unusable(unusable: &Unusable) -> [String; 2] {
    [
        format!("  result {}: {}", unusable.result, unusable.reason),
        format!("    {}", unusable.reason.remedy()),
    ]
}

fn described(one: &Described, style: Style) -> Vec<String> {
    let Listed { kind, name, digest } = Listed::of(&one.artifact);
    let at = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
    let head = style.bold(&format!("Signed for {kind} {name}{at}, as {}", one.format));
    match &one.payload {
        None => vec![format!("Nothing is signed for {kind} {name}{at}: the configuration disables it")],
        Some(Ok(payload)) => vec![head, pretty(payload)],
        Some(Err(error)) => vec![head, style.bad(&crate::error::chain(error))],
    }
}

/// The payload for the eye: indented, its keys in the order of the alphabet.
fn pretty(payload: &Payload) -> String {
    match serde_json::from_slice::<Value>(&payload.bytes) {
        Ok(value) => format!("{value:#}"),
        Err(_) => String::from_utf8_lossy(&payload.bytes).into_owned(),
    }
}

fn indented(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(|line| format!("  {line}"))
}
