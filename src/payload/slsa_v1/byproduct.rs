//! What a build left behind beside its subjects: results, and outputs of Tekton's own artifacts API that are no
//! build outputs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Descriptor;
use crate::artifact::hint::{self, BuildArtifact};
use crate::artifact::structured;
use crate::payload::{Error, Format, go_json};
use crate::tekton::completed::CompletedRun;
use crate::tekton::param::RunResult;
use crate::tekton::pipeline::ExecutedTask;
use crate::tekton::step::Step;
use crate::tekton::{Kind, Run, TaskRun};

/// By-products of the run, and of `children`, if those are to be looked at.
pub(super) fn byproducts(
    completed: &CompletedRun,
    format: Format,
    children: &[ExecutedTask<'_>],
) -> Result<Vec<Descriptor>, Error> {
    let document = completed.run().document();
    let kind = match completed.run().kind() {
        Kind::TaskRun => "taskRunResults",
        Kind::PipelineRun => "pipelineRunResults",
    };
    if format == Format::SlsaV2Alpha3 {
        let mut found: Vec<_> =
            document.results().map(|result| of_result(kind, &result)).collect::<Result<_, _>>()?;
        if let Run::Task(run) = completed.run() {
            found.extend(structured_outputs(run));
        }
        return Ok(found);
    }
    match completed.run() {
        Run::Task(run) => of_task(run),
        Run::Pipeline(run) => {
            let prefix = format!("{kind}/{}", run.0.metadata.name);
            let mut found = not_built(&prefix, document.results())?;
            for child in children {
                found.extend(of_task(child.run)?);
            }
            Ok(found)
        }
    }
}

fn of_task(run: &TaskRun) -> Result<Vec<Descriptor>, Error> {
    let name = &run.metadata().name;
    let mut found = not_built(&format!("taskRunResults/{name}"), run.0.results())?;
    found.extend(not_built(&format!("stepResults/{name}"), run.steps().flat_map(Step::results))?);
    found.extend(structured_outputs(run));
    Ok(found)
}

/// Results that neither are build artifacts nor belong to the hints for images.
fn not_built<'a>(
    prefix: &str,
    results: impl Iterator<Item = RunResult<'a>>,
) -> Result<Vec<Descriptor>, Error> {
    results
        .filter(|result| hint::build_artifact(result) == BuildArtifact::No && !hint::names_images(result))
        .map(|result| of_result(prefix, &result))
        .collect()
}

fn of_result(prefix: &str, result: &RunResult<'_>) -> Result<Descriptor, Error> {
    Ok(Descriptor {
        name: format!("{prefix}/{}", result.name),
        content: STANDARD.encode(go_json::to_vec(&result.value)?),
        media_type: "application/json",
        ..Descriptor::default()
    })
}

fn structured_outputs(run: &TaskRun) -> impl Iterator<Item = Descriptor> {
    structured::outputs(run).filter(|output| !output.build_output).map(|output| Descriptor {
        name: format!("taskRunArtifacts/{}/{}", run.metadata().name, output.name),
        uri: output.uri.to_owned(),
        digest: output
            .digest
            .iter()
            .map(|(&algorithm, &hex)| (algorithm.to_owned(), hex.to_owned()))
            .collect(),
        ..Descriptor::default()
    })
}
