//! What statements are about (Chains specification §3.3 and §3.4): the things that a run built.

use super::Format;
use super::merged::Merged;
use crate::artifact::{hint, structured};
use crate::tekton::completed::CompletedRun;
use crate::tekton::param::RunResult;
use crate::tekton::pipeline::ExecutedTask;
use crate::tekton::{Run, TaskRun};

/// The subjects of the statement in `format`; those of `children` too, if they are to be looked at.
pub(super) fn subjects(completed: &CompletedRun, format: Format, children: &[ExecutedTask<'_>]) -> Merged {
    let results: Vec<_> = completed.run().document().results().collect();
    let mut merged = Merged::default();
    match (completed.run(), format) {
        (Run::Task(run), Format::SlsaV2Alpha4) => add_build_artifacts_of_task(&mut merged, run),
        (Run::Task(run), _) => add_named_by_task(&mut merged, run),
        (Run::Pipeline(_), Format::SlsaV2Alpha4) => {
            add_build_artifacts(&mut merged, &results);
            for child in children {
                add_build_artifacts_of_task(&mut merged, child.run);
            }
        }
        (Run::Pipeline(_), _) => {
            for child in children {
                add_named_by_task(&mut merged, child.run);
            }
            add_named(&mut merged, &results);
        }
    }
    merged
}

fn add_named_by_task(merged: &mut Merged, run: &TaskRun) {
    add_named(merged, &run.0.results().collect::<Vec<_>>());
    add_structured(merged, run);
}

/// Everything that results name, build artifact or not.
fn add_named(merged: &mut Merged, results: &[RunResult<'_>]) {
    add_images(merged, results);
    for located in hint::located_pairs(results).chain(hint::outputs(results)) {
        merged.add(located.uri, [(located.algorithm, located.hex)]);
    }
}

/// Steps one by one: a URL in one has nothing to do with a digest in another.
fn add_build_artifacts_of_task(merged: &mut Merged, run: &TaskRun) {
    for step in run.steps() {
        add_build_artifacts(merged, &step.results().collect::<Vec<_>>());
    }
    add_build_artifacts(merged, &run.0.results().collect::<Vec<_>>());
    add_structured(merged, run);
}

fn add_build_artifacts(merged: &mut Merged, results: &[RunResult<'_>]) {
    for located in hint::build_artifacts(results) {
        merged.add(located.uri, [(located.algorithm, located.hex)]);
    }
    add_images(merged, results);
}

fn add_images(merged: &mut Merged, results: &[RunResult<'_>]) {
    for image in hint::images(results) {
        merged.add(&image.name, [("sha256", image.digest.hex())]);
    }
}

fn add_structured(merged: &mut Merged, run: &TaskRun) {
    for output in structured::outputs(run).filter(|output| output.build_output) {
        merged.add(output.uri, output.digest);
    }
}
