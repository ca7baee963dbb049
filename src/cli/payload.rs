//! `hallmark payload`: what would be signed of a run, for a person who wants to see it and for a test that
//! compares it.
//!
//! Guarantees: artifacts and statements come from the functions that signing itself uses, so that nothing else
//! would be signed; standard output holds the answer alone, notes go to standard error. Must not: sign, or talk
//! to a cluster or a registry. A run without an end may be looked at, which signing refuses.

mod output;

use std::collections::HashSet;
use std::path::PathBuf;

use clap::Args;

use super::config::configured;
use super::manifests::{self, ManifestError, Manifests};
use super::output::Output;
use super::{Exit, refuse};
use crate::artifact::{Artifact, Artifacts, Unusable};
use crate::config::Config;
use crate::flow::plan;
use crate::payload::{self, Payload};
use crate::tekton::completed::CompletedRun;
use crate::tekton::{Kind, Run, TaskRun};

/// Show what would be signed, without signing it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  kubectl get taskrun build-1 -n ci -o yaml | hallmark payload -f -
  hallmark payload -f pipelinerun.yaml --child build.yaml --child test.yaml
  kubectl get pipelinerun,taskrun -n ci -o yaml | hallmark payload -f - --config chains-config.yaml -o json

TaskRuns among the files of -f that carry the label tekton.dev/pipelineRun are found by themselves; they are shown
as runs of their own too, which those of --child are not.")]
pub struct Arguments {
    /// Manifests of runs; - is standard input.
    #[arg(short, long = "filename", required = true, value_name = "RUN")]
    files: Vec<PathBuf>,

    /// Manifests of the TaskRuns that the PipelineRun made, whatever their labels say.
    #[arg(long = "child", num_args = 1.., value_name = "TASKRUN")]
    children: Vec<PathBuf>,

    /// Manifest of a ConfigMap chains-config. Without it: the defaults of Chains.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// What to print: text for people, or JSON.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// A run with everything that would be signed of it.
struct Shown {
    described: Vec<Described>,
    unusable: Vec<Unusable>,
}

/// An artifact, and what is signed of it.
struct Described {
    artifact: Artifact,
    /// The form's name as the configuration spells it.
    format: &'static str,
    /// Nothing when the configuration disables the artifact.
    payload: Option<Result<Payload, payload::Error>>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Exit {
    let (runs, config) = match read(arguments) {
        Ok(read) => read,
        Err(exit) => return exit,
    };
    if runs.is_empty() {
        eprintln!("hallmark: there is no TaskRun or PipelineRun in the files");
        return Exit::Usage;
    }
    for note in runs.iter().flat_map(notes) {
        eprintln!("note: {note}");
    }
    for finding in config.unsupported() {
        eprintln!("warning: {}: {finding}", super::config::Severity::of(&finding));
    }
    let shown: Vec<Shown> = runs.iter().map(|run| show(run, &config)).collect();
    match arguments.output {
        Output::Text => output::text(&shown),
        Output::Json => output::json(&shown),
    }
}

fn show(run: &CompletedRun, config: &Config) -> Shown {
    let artifacts = Artifacts::of(run);
    let described = artifacts.all().map(|artifact| describe(run, artifact, config)).collect();
    Shown { described, unusable: artifacts.unusable }
}

fn describe(run: &CompletedRun, artifact: Artifact, config: &Config) -> Described {
    let format = match (&artifact, run.run().kind()) {
        (Artifact::Image(_), _) => payload::Format::SimpleSigning.as_str(),
        (Artifact::Run(_), Kind::TaskRun) => config.taskrun.format.as_str(),
        (Artifact::Run(_), Kind::PipelineRun) => config.pipelinerun.format.as_str(),
    };
    let enabled = config.enabled(plan::kind_of(&artifact));
    let payload = enabled.then(|| plan::payload(run, &artifact, config));
    Described { artifact, format, payload }
}

fn read(arguments: &Arguments) -> Result<(Vec<CompletedRun>, Config), Exit> {
    let usage = |error: ManifestError| refuse(&error, Exit::Usage);
    manifests::once(arguments.files.iter().chain(&arguments.children).chain(&arguments.config))
        .map_err(usage)?;
    let config = arguments.config.as_deref().map_or_else(|| Ok(Config::default()), configured)?;
    let manifests = Manifests::read(&arguments.files).map_err(usage)?;
    let named = task_runs(Manifests::read(&arguments.children).and_then(|read| read.runs()).map_err(usage)?)?;
    Ok((supposed(&manifests, &named).map_err(usage)?, config))
}

fn task_runs(runs: Vec<(Run, serde_json::Value)>) -> Result<Vec<TaskRun>, Exit> {
    let task_run = |(run, _)| match run {
        Run::Task(run) => Ok(run),
        Run::Pipeline(_) => {
            eprintln!(
                "hallmark: --child takes the manifests of TaskRuns; this is a PipelineRun, which -f takes"
            );
            Err(Exit::Usage)
        }
    };
    runs.into_iter().map(task_run).collect()
}

/// The runs as if they had ended. Every `PipelineRun` has the children that were named for it, and those that
/// its label finds.
fn supposed(manifests: &Manifests, named: &[TaskRun]) -> Result<Vec<CompletedRun>, ManifestError> {
    let known: HashSet<&str> = named.iter().map(|child| child.metadata().name.as_str()).collect();
    let with_children = |(run, _): (Run, _)| {
        let mut children = Vec::new();
        if run.kind() == Kind::PipelineRun {
            children.extend(named.iter().cloned());
            let found = manifests.children(&run)?.into_iter();
            children.extend(found.filter(|child| !known.contains(child.metadata().name.as_str())));
        }
        Ok(CompletedRun::suppose(run, children))
    };
    manifests.runs()?.into_iter().map(with_children).collect()
}

/// Why what is shown may not be what will be signed.
fn notes(run: &CompletedRun) -> Vec<String> {
    let artifact = Artifacts::of(run).run;
    let mut notes = Vec::new();
    if !run.run().is_done() {
        notes.push(format!("{artifact} has not ended: this would be signed if it ended as it is now"));
    }
    let known: HashSet<&str> = run.children().iter().map(|child| child.metadata().name.as_str()).collect();
    let named = run.run().child_references().filter(|(kind, _)| matches!(*kind, "TaskRun" | ""));
    let missing: Vec<&str> = named.map(|(_, name)| name).filter(|name| !known.contains(name)).collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        notes
            .push(format!("{artifact} is shown without its TaskRuns {missing}: name their files by --child"));
    }
    notes
}

#[cfg(test)]
mod tests;
