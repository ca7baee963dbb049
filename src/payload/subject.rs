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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::payload::test_runs::{HEX, children, column, pipeline_run, provenance, stated, task_run};
    use crate::payload::{BuildType, Format};

    fn names(run: Value, children: Vec<Value>, format: Format, deep: bool) -> Vec<String> {
        column(&stated(run, children, format, &provenance(BuildType::Slsa, deep))["subject"], "name")
    }

    #[test]
    fn deep_inspection_puts_the_children_where_the_format_wants_them() {
        let all = |format| names(pipeline_run(), children(), format, true);
        assert_eq!(all(Format::InToto), ["r.io/one", "r.io/two", "r.io/last", "r.io/pipe"]);
        assert_eq!(all(Format::SlsaV2Alpha4), ["r.io/pipe", "r.io/one", "r.io/two", "r.io/last"]);
        assert_eq!(names(pipeline_run(), children(), Format::InToto, false), ["r.io/pipe"]);
    }

    #[test]
    fn only_v2alpha4_asks_for_a_claim_and_looks_into_steps() {
        let mut run = task_run("t", "one", "r.io/app");
        let output = |uri, claim| json!({"name": "x-ARTIFACT_OUTPUTS", "value": {"uri": uri, "digest": format!("sha256:{HEX}"), "isBuildArtifact": claim}});
        run["status"]["results"]
            .as_array_mut()
            .unwrap()
            .extend([output("r.io/claimed:v1", "true"), output("r.io/unclaimed", "false")]);
        run["status"]["steps"][0]["results"] = json!([output("r.io/step", "true")]);
        assert_eq!(
            names(run.clone(), vec![], Format::SlsaV2Alpha3, false),
            ["r.io/app", "r.io/claimed", "r.io/claimed:v1", "r.io/unclaimed"]
        );
        assert_eq!(
            names(run, vec![], Format::SlsaV2Alpha4, false),
            ["r.io/step", "r.io/claimed:v1", "r.io/app", "r.io/claimed"]
        );
    }

    #[test]
    fn a_url_in_one_step_does_not_pair_with_a_digest_in_another() {
        let mut run = task_run("t", "one", "");
        run["status"]["steps"] = json!([{"results": [{"name": "IMAGE_URL", "value": "r.io/app"}]},
            {"results": [{"name": "IMAGE_DIGEST", "value": format!("sha256:{HEX}")}]}]);
        assert_eq!(names(run, vec![], Format::SlsaV2Alpha4, false), [""; 0]);
    }

    #[test]
    fn build_outputs_of_the_artifacts_api_are_subjects_in_every_format() {
        for format in [Format::InToto, Format::SlsaV2Alpha3, Format::SlsaV2Alpha4] {
            let mut run = task_run("t", "one", "r.io/app");
            let values = json!([{"uri": "pkg:oci/app", "digest": {"sha256": HEX, "sha1": "ab"}}]);
            run["status"]["artifacts"] = json!({"outputs": [{"name": "a", "buildOutput": true, "values": values}, {"name": "b", "values": [{"uri": "log", "digest": {"sha256": HEX}}]}]});
            let statement = stated(run, vec![], format, &provenance(BuildType::Slsa, false));
            assert_eq!(column(&statement["subject"], "name"), ["r.io/app", "pkg:oci/app"]);
            assert_eq!(statement["subject"][1]["digest"], json!({"sha256": HEX, "sha1": "ab"}));
        }
    }
}
