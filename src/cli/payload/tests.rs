//! The command on files: the JSON's shape, what a person reads, and where children come from.

use std::io::Write as _;

use clap::Parser as _;
use serde_json::{Value, json};

use super::*;
use crate::cli::style::Style;

const HEX: &str = "05f95b26ed10668b7183c1e2da98610e91372fa9f510046d4ce5812addad86b5";

/// The arguments as a person would type them.
#[derive(Debug, clap::Parser)]
struct Typed {
    #[command(flatten)]
    arguments: Arguments,
}

/// Files that last as long as the test.
#[derive(Default)]
struct Files(Vec<tempfile::NamedTempFile>);

impl Files {
    fn with(&mut self, content: &Value) -> String {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.to_string().as_bytes()).unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        self.0.push(file);
        path
    }
}

fn typed(words: &[&str]) -> Arguments {
    Typed::try_parse_from([&["payload"], words].concat()).unwrap().arguments
}

fn shown(words: &[&str]) -> Vec<Shown> {
    let (runs, config) = read(&typed(words)).unwrap();
    runs.iter().map(|run| show(run, &config)).collect()
}

fn reported(words: &[&str]) -> Value {
    serde_json::from_str(&output::report(&shown(words)).unwrap()).unwrap()
}

fn task_run(name: &str, results: &Value) -> Value {
    json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "metadata": {"name": name, "namespace": "build", "uid": "1",
            "labels": {"tekton.dev/pipelineRun": "pipe", "tekton.dev/pipelineTask": name}},
        "status": {"conditions": [{"type": "Succeeded", "status": "True"}], "taskSpec": {}, "results": results,
            "completionTime": "2026-01-02T03:05:05Z"}})
}

fn built(name: &str, image: &str) -> Value {
    let digest = format!("sha256:{HEX}");
    task_run(name, &json!([{"name": "IMAGE_URL", "value": image}, {"name": "IMAGE_DIGEST", "value": digest}]))
}

fn pipeline_run() -> Value {
    json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
        "metadata": {"name": "pipe", "namespace": "build", "uid": "2"},
        "status": {"conditions": [{"type": "Succeeded", "status": "True"}],
            "pipelineSpec": {"tasks": [{"name": "one"}, {"name": "two"}]},
            "childReferences": [{"kind": "TaskRun", "name": "one"}, {"kind": "TaskRun", "name": "two"}]}})
}

fn config(pairs: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chains-config"}, "data": pairs})
}

/// Names of the tasks that the first statement of a `PipelineRun` tells of.
fn tasks(report: &Value) -> Vec<&str> {
    let tasks = report["payloads"][0]["statement"]["predicate"]["buildConfig"]["tasks"].as_array();
    tasks.unwrap().iter().map(|task| task["name"].as_str().unwrap()).collect()
}

#[test]
fn the_json_has_artifacts_and_payloads_of_this_shape() {
    let mut files = Files::default();
    let run = files.with(&built("one", "r.io/app:v1"));
    let config = files.with(&config(&json!({"artifacts.taskrun.format": "slsa/v2alpha4"})));
    let report = reported(&["-f", &run, "--config", &config, "-o", "json"]);
    let digest = format!("sha256:{HEX}");
    let run = json!({"kind": "taskrun", "name": "build/one", "digest": null});
    let image = json!({"kind": "image", "name": "r.io/app", "digest": digest});
    assert_eq!(report["artifacts"], json!([run, image]));
    let payloads = report["payloads"].as_array().unwrap();
    assert_eq!(payloads.len(), 2);
    assert_eq!((&payloads[0]["artifact"], &payloads[0]["format"]), (&run, &json!("slsa/v2alpha4")));
    let statement = &payloads[0]["statement"];
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    assert_eq!(statement["subject"], json!([{"name": "r.io/app", "digest": {"sha256": HEX}}]));
    assert_eq!((&payloads[1]["artifact"], &payloads[1]["format"]), (&image, &json!("simplesigning")));
    assert_eq!(payloads[1]["statement"]["critical"]["image"]["docker-manifest-digest"], digest);
    assert_eq!(report.as_object().unwrap().len(), 2);
    assert!(payloads.iter().all(|payload| payload.as_object().unwrap().len() == 3));
}

#[test]
fn the_statement_stands_there_in_the_bytes_that_would_be_signed() {
    let mut files = Files::default();
    let run = files.with(&built("one", "r.io/app"));
    let shown = shown(&["-f", &run]);
    let text = output::report(&shown).unwrap();
    for one in &shown[0].described {
        let bytes = &one.payload.as_ref().unwrap().as_ref().unwrap().bytes;
        assert!(text.contains(std::str::from_utf8(bytes).unwrap()), "{text}");
    }
}

#[test]
fn a_person_reads_what_was_found_what_is_unusable_and_the_statement() {
    let mut files = Files::default();
    let results = json!([
        {"name": "IMAGES", "value": format!("r.io/app@sha256:{HEX}")},
        {"name": "web-IMAGE_URL", "value": "r.io/web"}]);
    let run = files.with(&task_run("one", &results));
    let config = files.with(&config(&json!({"artifacts.taskrun.storage": ""})));
    let shown = shown(&["-f", &run, "--config", &config]);
    let expected = format!(
        r#"Found
  KIND     NAME       DIGEST
  taskrun  build/one  -
  image    r.io/app   sha256:{HEX}

Cannot be used
  result web-IMAGE_URL: result "web-IMAGE_DIGEST" is missing or empty
    write result web-IMAGE_DIGEST too

Nothing is signed for taskrun build/one: the configuration disables it

Signed for image r.io/app@sha256:{HEX}, as simplesigning
{{
  "critical": {{
    "identity": {{
      "docker-reference": "r.io/app"
    }},
    "image": {{
      "docker-manifest-digest": "sha256:{HEX}"
    }},
    "type": "cosign container image signature"
  }},
  "optional": null
}}
"#
    );
    assert_eq!(output::chapter(&shown[0], Style::PLAIN), expected);
    assert!(output::chapter(&shown[0], Style::COLOURED).contains("\x1b[31mCannot be used"));
}

#[test]
fn what_the_configuration_disables_is_listed_and_not_stated() {
    let mut files = Files::default();
    let run = files.with(&built("one", "r.io/app"));
    let config = files.with(&config(&json!({"artifacts.oci.signer": "none"})));
    let report = reported(&["-f", &run, "--config", &config]);
    assert_eq!(report["artifacts"].as_array().unwrap().len(), 2);
    let stated: Vec<_> =
        report["payloads"].as_array().unwrap().iter().map(|p| &p["artifact"]["kind"]).collect();
    assert_eq!(stated, ["taskrun"]);
}

#[test]
fn what_this_build_cannot_sign_is_shown_all_the_same() {
    let mut files = Files::default();
    let run = files.with(&built("one", "r.io/app"));
    let config =
        files.with(&config(&json!({"artifacts.taskrun.signer": "kms", "signers.kms.kmsref": "foo://k"})));
    assert_eq!(reported(&["-f", &run, "--config", &config])["payloads"].as_array().unwrap().len(), 2);
}

#[test]
fn children_are_named_by_option_or_found_by_label() {
    let mut files = Files::default();
    let (one, two) = (built("one", "r.io/one"), built("two", "r.io/two"));
    let list = json!({"kind": "List", "items": [pipeline_run(), one, two]});
    let (pipeline, all) = (files.with(&pipeline_run()), files.with(&list));
    let (one, two) = (files.with(&one), files.with(&two));
    for words in [
        &["-f", &pipeline, "--child", &one, "--child", &two][..],
        &["-f", &pipeline, "--child", &two, &one],
        &["-f", &all],
        &["-f", &all, "--child", &two],
    ] {
        assert_eq!(tasks(&reported(words)), ["one", "two"], "{words:?}");
    }
    assert_eq!(reported(&["-f", &pipeline, "--child", &one])["artifacts"].as_array().unwrap().len(), 1);
    assert_eq!(tasks(&reported(&["-f", &pipeline, "--child", &one])), ["one"]);
}

#[test]
fn a_pipelinerun_is_no_child() {
    let mut files = Files::default();
    let pipeline = files.with(&pipeline_run());
    let refused = read(&typed(&["-f", &pipeline, "--child", &pipeline]));
    assert_eq!(refused.err(), Some(Exit::Usage));
}

#[test]
fn a_run_without_an_end_and_missing_children_are_noted() {
    let mut files = Files::default();
    let mut run = pipeline_run();
    run["status"]["conditions"] = json!([]);
    let (run, one) = (files.with(&run), files.with(&built("one", "r.io/one")));
    let (runs, _) = read(&typed(&["-f", &run, "--child", &one])).unwrap();
    let [unended, missing] = notes(&runs[0]).try_into().unwrap();
    assert!(unended.starts_with("PipelineRun build/pipe has not ended"), "{unended}");
    assert!(missing.contains("without its TaskRuns two:"), "{missing}");
    let whole = files.with(&built("one", "r.io/one"));
    assert_eq!(notes(&read(&typed(&["-f", &whole])).unwrap().0[0]), Vec::<String>::new());
}
