//! Compares with what Chains' own code made of the same runs, where a folder of such vectors is at hand.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::comparison::{differences, normal};
use hallmark::artifact::{Artifact, Artifacts};
use hallmark::payload::{BuildType, Format, Provenance, statement};
use hallmark::tekton::completed::CompletedRun;
use hallmark::tekton::{Run, TaskRun};

/// Cases of extraction in which Hallmark differs on purpose, with the part in which it does.
const DIFFERENCES: [(&str, &str); 4] = [
    // A reference with a scheme is a subject, but no image to sign.
    ("https scheme", "ociImages"),
    ("oci scheme", "ociImages"),
    // D16: a commit without a URL is no material.
    ("git commit only", "materials"),
    ("git commit only", "resolvedDependencies"),
];

fn folder() -> PathBuf {
    std::env::var_os("HALLMARK_GOLDENS").expect("HALLMARK_GOLDENS names the folder").into()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Not every fixture says that it ended; the peer's formatters do not ask.
fn completed(run: Value, children: Vec<Value>) -> CompletedRun {
    let children = children.into_iter().map(|child| TaskRun::from_value(child).unwrap()).collect();
    CompletedRun::suppose(Run::from_value(run).unwrap(), children)
}

#[test]
#[ignore = "needs the shared goldens: set HALLMARK_GOLDENS"]
fn every_statement_says_what_the_peer_says() {
    let folder = folder();
    let input = |name: &Value| {
        read(&folder.join("inputs").join(name.as_str().unwrap().trim_start_matches("testdata/")))
    };
    let (mut compared, mut wrong) = (0, Vec::new());
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.contains("__") {
            continue;
        }
        let golden = read(&path);
        let children = golden["children"].as_array().map(|children| children.iter().map(input).collect());
        let completed = completed(input(&golden["fixture"]), children.unwrap_or_default());
        let setting = |key: &str| golden["config"][key].as_str().unwrap();
        let provenance = Provenance {
            builder_id: setting("builder.id").to_owned(),
            build_type: BuildType::parse(setting("builddefinition.buildtype")).unwrap(),
            deep_inspection: setting("artifacts.pipelinerun.enable-deep-inspection") == "true",
        };
        let format = Format::parse(setting("artifacts.taskrun.format")).unwrap();
        let payload = statement(&completed, format, &provenance).unwrap();
        let ours: Value = serde_json::from_slice(&payload.bytes).unwrap();
        let mut found = Vec::new();
        differences("", &normal(ours), &normal(golden["statement"].clone()), &mut found);
        if !found.is_empty() {
            wrong.push(format!("{name}\n  {}", found.join("\n  ")));
        }
        compared += 1;
    }
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared >= 130, "only {compared} statements in {}", folder.display());
}

#[test]
#[ignore = "needs the shared goldens: set HALLMARK_GOLDENS"]
fn every_extraction_finds_what_the_peer_finds() {
    let cases = read(&folder().join("extraction-cases.json"));
    let (mut compared, mut wrong) = (0, Vec::new());
    for case in cases.as_array().unwrap() {
        let run = json!({"kind": "TaskRun", "metadata": {"name": "tr"}, "spec": {"params": case["params"]},
            "status": {"results": case["results"]}});
        let name = case["case"].as_str().unwrap();
        let completed = completed(run, Vec::new());
        let mut compare = |part: &str, ours: &Value, theirs: &Value| {
            let mut found = Vec::new();
            differences(part, ours, theirs, &mut found);
            let leaf = part.rsplit(' ').next().unwrap();
            if DIFFERENCES.contains(&(name, leaf)) == found.is_empty() {
                wrong.push(format!("{name}: {part} {}", found.join("\n  ")));
            }
        };
        let artifacts = Artifacts::of(&completed);
        let images: Vec<_> = artifacts.images.iter().map(ToString::to_string).collect();
        compare("ociImages", &json!(images), &case["ociImages"]);
        let keys: Vec<_> =
            artifacts.images.iter().map(|image| Artifact::Image(image.clone()).short_key()).collect();
        if !DIFFERENCES.contains(&(name, "ociImages")) {
            compare("ociShortKeys", &json!(keys), &case["ociShortKeys"]);
        }
        for format in ["slsa/v1", "slsa/v2alpha3", "slsa/v2alpha4"] {
            let provenance =
                Provenance { builder_id: String::new(), build_type: BuildType::Slsa, deep_inspection: false };
            let payload = statement(&completed, Format::parse(format).unwrap(), &provenance).unwrap();
            let ours: Value = serde_json::from_slice(&payload.bytes).unwrap();
            let theirs = &case[format];
            compare(&format!("{format} subject"), &ours["subject"], &theirs["subject"]);
            let predicate = &ours["predicate"];
            if format == "slsa/v1" {
                compare(&format!("{format} materials"), &predicate["materials"], &theirs["materials"]);
            } else {
                let dependencies = &predicate["buildDefinition"]["resolvedDependencies"];
                compare(
                    &format!("{format} resolvedDependencies"),
                    dependencies,
                    &theirs["resolvedDependencies"],
                );
                let byproducts = &predicate["runDetails"]["byproducts"];
                compare(&format!("{format} byproducts"), byproducts, &theirs["byproducts"]);
            }
        }
        compared += 1;
    }
    assert!(wrong.is_empty(), "{compared} compared:\n{}", wrong.join("\n"));
    assert!(compared >= 32, "only {compared} cases");
}
