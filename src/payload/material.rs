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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn uris(add: impl Fn(&mut Merged, &TaskRun), run: Value) -> Vec<String> {
        let mut merged = Merged::default();
        add(&mut merged, &TaskRun::from_value(run).unwrap());
        let digest = |digest: std::collections::BTreeMap<_, _>| {
            digest.into_values().collect::<Vec<String>>().join("+")
        };
        merged
            .into_entries()
            .into_iter()
            .map(|entry| format!("{} {}", entry.name, digest(entry.digest)))
            .collect()
    }

    #[test]
    fn an_image_that_never_ran_is_left_out_and_the_rest_is_kept() {
        let steps = [
            "",
            "docker://sha256:ab",
            "docker-pullable://r.io/a@sha256:1",
            "r.io/b@sha256",
            "r.io/c@x@sha256:2",
            "r.io/d@sha512:3",
        ];
        let steps: Vec<_> = steps.iter().map(|id| json!({"imageID": id})).collect();
        let run = json!({"status": {"steps": steps, "sidecars": [{"imageID": "r.io/a@sha256:1"}, {}]}});
        assert_eq!(uris(add_images, run), ["oci://r.io/a 1", "oci://r.io/d 3"]);
    }

    #[test]
    fn results_overrule_params_and_those_overrule_defaults() {
        let hint = |url: &str, commit: &str| json!([{"name": "CHAINS-GIT_URL", "value": url, "default": url}, {"name": "CHAINS-GIT_COMMIT", "value": commit, "default": commit}]);
        let mut run = json!({"spec": {}, "status": {"taskSpec": {"params": hint("u1", "c1")}}});
        assert_eq!(uris(add_task_inputs, run.clone()), ["git+u1.git c1"]);
        run["spec"]["params"] = hint("git+u2.git", "c2");
        assert_eq!(uris(add_task_inputs, run.clone()), ["git+u2.git c2"]);
        run["status"]["results"] = json!([{"name": "CHAINS-GIT_COMMIT", "value": "c3"}]);
        assert_eq!(uris(add_task_inputs, run), ["git+u2.git c3"]);
    }

    #[test]
    fn git_hints_are_trimmed_and_make_nothing_without_a_url() {
        let run = |url: &str, commit: &str| json!({"spec": {"params": [{"name": "CHAINS-GIT_URL", "value": url}, {"name": "CHAINS-GIT_COMMIT", "value": commit}]}});
        assert_eq!(uris(add_task_inputs, run(" https://h/r\n", "abc\n")), ["git+https://h/r.git abc"]);
        assert_eq!(uris(add_task_inputs, run("", "abc")), [""; 0]);
        assert_eq!(uris(add_task_inputs, run("https://h/r", " ")), [""; 0]);
    }

    #[test]
    fn steps_have_inputs_of_their_own() {
        let input = json!({"name": "x-ARTIFACT_INPUTS", "value": {"uri": "u", "digest": format!(" SHA1:{}", "a".repeat(40))}});
        let run = json!({"status": {"steps": [
            {"results": [input, {"name": "CHAINS-GIT_URL", "value": "h"}]},
            {"results": [{"name": "CHAINS-GIT_COMMIT", "value": "c"}]},
            {"results": [{"name": "CHAINS-GIT_URL", "value": "g"}, {"name": "CHAINS-GIT_COMMIT", "value": "d"}]}]}});
        assert_eq!(uris(add_step_inputs, run), ["git+g.git d".to_owned(), format!("u {}", "a".repeat(40))]);
    }

    #[test]
    fn inputs_of_the_artifacts_api_are_materials() {
        let run = json!({"status": {"steps": [{"inputs": [{"name": "source", "values": [{"uri": "git:x", "digest": {"sha1": "ab"}}]}]}]}});
        assert_eq!(uris(add_task_inputs, run), ["git:x ab"]);
    }
}
