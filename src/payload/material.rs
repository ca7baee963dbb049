//! What a run was made from (Chains specification §3.5): images of its steps, sources that results and params
//! name, inputs of Tekton's own artifacts API.
//!
//! Two differences from Chains: the image of a step that never ran is left out where Chains fails the whole
//! statement (D12), and git hints are trimmed and make no material without a URL (D16).

use super::merged::Merged;
use crate::artifact::{hint, structured};
use crate::tekton::TaskRun;
use crate::tekton::completed::CompletedRun;
use crate::tekton::param::RunResult;
use crate::tekton::pipeline::ExecutedTask;
use crate::tekton::step::{Step, defaults};

/// Images of the steps and sidecars of a task.
pub(super) fn add_images(merged: &mut Merged, run: &TaskRun) {
    for (name, algorithm, hex) in run.image_ids().filter_map(image) {
        merged.add(&format!("oci://{name}"), [(algorithm, hex)]);
    }
}

/// Sources and inputs that a task names.
pub(super) fn add_task_inputs(merged: &mut Merged, run: &TaskRun) {
    let results: Vec<_> = run.0.results().collect();
    add_git(merged, run.param_defaults().chain(run.0.params()).chain(results.iter().cloned()));
    add_inputs(merged, &results);
    for input in structured::inputs(run) {
        merged.add(input.uri, input.digest);
    }
}

/// Sources and inputs that the results of a task's `StepActions` name; a URL in one step has nothing to do with
/// a commit in another.
pub(super) fn add_step_inputs(merged: &mut Merged, run: &TaskRun) {
    for step in run.steps() {
        add_git(merged, step.results());
    }
    add_inputs(merged, &run.steps().flat_map(Step::results).collect::<Vec<_>>());
}

/// Sources and inputs that a pipeline names; those of `children` too, if they are to be looked at.
pub(super) fn add_pipeline_inputs(
    merged: &mut Merged,
    completed: &CompletedRun,
    children: &[ExecutedTask<'_>],
) {
    let document = completed.run().document();
    let results: Vec<_> = document.results().collect();
    add_inputs(merged, &results);
    for child in children {
        add_task_inputs(merged, child.run);
    }
    let definition = completed.run().pipeline_definition();
    add_git(merged, defaults(definition).chain(document.params()).chain(results.iter().cloned()));
}

/// The last URL and the last commit make a source.
fn add_git<'a>(merged: &mut Merged, named: impl Iterator<Item = RunResult<'a>>) {
    let (mut url, mut commit) = (String::new(), String::new());
    for entry in named {
        match entry.name {
            "CHAINS-GIT_URL" => entry.value.text().trim().clone_into(&mut url),
            "CHAINS-GIT_COMMIT" => entry.value.text().trim().clone_into(&mut commit),
            _ => {}
        }
    }
    if url.is_empty() || commit.is_empty() {
        return;
    }
    let scheme = if url.starts_with("git+") { "" } else { "git+" };
    let bare = url.strip_suffix(".git").unwrap_or(&url);
    merged.add(&format!("{scheme}{bare}.git"), [("sha1", commit)]);
}

fn add_inputs(merged: &mut Merged, results: &[RunResult<'_>]) {
    for input in hint::inputs(results) {
        merged.add(input.uri, [input.normal()]);
    }
}

/// Name, algorithm and digits of an image as the container runtime writes it.
fn image(id: &str) -> Option<(&str, &str, &str)> {
    let (name, digest) = id.split_once('@').filter(|(_, digest)| !digest.contains('@'))?;
    let (algorithm, hex) = digest.split_once(':').filter(|(_, hex)| !hex.contains(':'))?;
    Some((name.strip_prefix("docker-pullable://").unwrap_or(name), algorithm, hex))
}
