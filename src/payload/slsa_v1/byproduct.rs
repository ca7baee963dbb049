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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::test_runs::{HEX, children, column, pipeline_run, provenance, stated, task_run};
    use crate::payload::{BuildType, Format};
    use serde_json::{Value, json};

    fn found(run: Value, children: Vec<Value>, format: Format, deep: bool) -> Value {
        let statement = stated(run, children, format, &provenance(BuildType::Slsa, deep));
        statement["predicate"]["runDetails"]["byproducts"].clone()
    }

    fn with_results() -> Value {
        let mut run = task_run("t", "one", "r.io/app");
        run["status"]["results"].as_array_mut().unwrap().extend([
            json!({"name": "plain", "value": "a<b"}),
            json!({"name": "x-ARTIFACT_OUTPUTS", "value": {"uri": "u", "digest": format!("sha256:{HEX}"), "isBuildArtifact": "true"}}),
            json!({"name": "y-ARTIFACT_OUTPUTS", "value": {"uri": "u", "digest": format!("sha256:{HEX}")}}),
            json!({"name": "z-ARTIFACT_OUTPUTS", "value": "no object"}),
        ]);
        run["status"]["steps"][0]["results"] = json!([{"name": "of-step", "value": ["a"]}]);
        run
    }

    #[test]
    fn v2alpha3_has_every_result_and_v2alpha4_those_that_are_no_subjects() {
        assert_eq!(
            column(&found(with_results(), vec![], Format::SlsaV2Alpha3, false), "name"),
            [
                "IMAGE_URL",
                "IMAGE_DIGEST",
                "plain",
                "x-ARTIFACT_OUTPUTS",
                "y-ARTIFACT_OUTPUTS",
                "z-ARTIFACT_OUTPUTS"
            ]
            .map(|name| format!("taskRunResults/{name}"))
        );
        assert_eq!(
            column(&found(with_results(), vec![], Format::SlsaV2Alpha4, false), "name"),
            ["taskRunResults/t/plain", "taskRunResults/t/y-ARTIFACT_OUTPUTS", "stepResults/t/of-step"]
        );
    }

    #[test]
    fn the_content_is_the_json_of_the_value_as_go_writes_it() {
        let found = found(with_results(), vec![], Format::SlsaV2Alpha4, false);
        let content = |index: usize| STANDARD.decode(found[index]["content"].as_str().unwrap()).unwrap();
        assert_eq!(content(0), br#""a\u003cb""#);
        assert_eq!(content(2), br#"["a"]"#);
        assert_eq!(found[0]["mediaType"], "application/json");
    }

    #[test]
    fn deep_inspection_adds_those_of_the_children() {
        let mut children = children();
        children[0]["status"]["results"] = json!([{"name": "plain", "value": ""}]);
        let names =
            |deep| column(&found(pipeline_run(), children.clone(), Format::SlsaV2Alpha4, deep), "name");
        assert_eq!(names(true), ["taskRunResults/pipe-one/plain"]);
        assert_eq!(names(false), [""; 0]);
    }

    #[test]
    fn other_outputs_of_the_artifacts_api_are_told_with_their_digest() {
        for format in [Format::SlsaV2Alpha3, Format::SlsaV2Alpha4] {
            let mut run = task_run("t", "one", "r.io/app");
            run["status"]["results"] = json!([]);
            run["status"]["artifacts"] =
                json!({"outputs": [{"name": "log", "values": [{"uri": "u", "digest": {"sha256": HEX}}]}]});
            assert_eq!(
                found(run, vec![], format, false),
                json!([{"name": "taskRunArtifacts/t/log", "uri": "u", "digest": {"sha256": HEX}}])
            );
        }
    }
}
