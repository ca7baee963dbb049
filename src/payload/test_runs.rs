//! Runs to try statements on.

use serde_json::{Value, json};

use super::{BuildType, Format, Provenance, statement};
use crate::tekton::completed::CompletedRun;
use crate::tekton::{Run, TaskRun};

pub(super) const HEX: &str = "05f95b26ed10668b7183c1e2da98610e91372fa9f510046d4ce5812addad86b5";
pub(super) const OTHER: &str = "586789aa031fafc7d78a5393cdc772e0b55107ea54bb8bcf3f2cdac6c6da51ee";

pub(super) fn provenance(build_type: BuildType, deep_inspection: bool) -> Provenance {
    Provenance { builder_id: "https://builder.example".into(), build_type, deep_inspection }
}

/// A `TaskRun` of `task` in a pipeline, which built `image`.
pub(super) fn task_run(name: &str, task: &str, image: &str) -> Value {
    json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "metadata": {"name": name, "namespace": "build", "uid": format!("uid-{name}"), "labels": {"tekton.dev/pipelineTask": task}},
        "spec": {"serviceAccountName": "builder", "params": [{"name": "who", "value": "me"}]},
        "status": {"conditions": [{"type": "Succeeded", "status": "True"}],
            "startTime": "2026-01-02T03:04:05Z", "completionTime": "2026-01-02T03:05:05Z",
            "steps": [{"name": "make", "imageID": format!("docker-pullable://r.io/tool@sha256:{OTHER}")}],
            "taskSpec": {"params": [{"name": "who", "default": "you"}, {"name": "how", "default": ["fast"]}],
                "steps": [{"name": "make", "command": ["make", "all"], "args": ["-j"]}]},
            "results": [{"name": "IMAGE_URL", "value": image}, {"name": "IMAGE_DIGEST", "value": format!("sha256:{HEX}\n")}]}})
}

/// A `PipelineRun` of two tasks and one of `finally`.
pub(super) fn pipeline_run() -> Value {
    json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
        "metadata": {"name": "pipe", "namespace": "build", "uid": "uid-pipe"},
        "spec": {"taskRunTemplate": {"serviceAccountName": "builder"}},
        "status": {"conditions": [{"type": "Succeeded", "status": "True"}],
            "startTime": "2026-01-02T03:04:05Z", "completionTime": "2026-01-02T03:14:05Z",
            "pipelineSpec": {
                "tasks": [{"name": "one", "taskRef": {"name": "maker"}},
                    {"name": "two", "params": [{"name": "p", "value": "$(tasks.one.results.IMAGE_URL)"}]}],
                "finally": [{"name": "last"}]},
            "childReferences": [{"name": "pipe-one"}, {"name": "pipe-two"}, {"name": "pipe-last"}],
            "results": [{"name": "IMAGES", "value": format!("r.io/pipe@sha256:{HEX}")}]}})
}

pub(super) fn children() -> Vec<Value> {
    ["one", "two", "last"].map(|task| task_run(&format!("pipe-{task}"), task, &format!("r.io/{task}"))).into()
}

pub(super) fn completed(run: Value, children: Vec<Value>) -> CompletedRun {
    let children = children.into_iter().map(|child| TaskRun::from_value(child).unwrap()).collect();
    CompletedRun::prove(Run::from_value(run).unwrap(), children).unwrap()
}

pub(super) fn stated(run: Value, children: Vec<Value>, format: Format, provenance: &Provenance) -> Value {
    let payload = statement(&completed(run, children), format, provenance).unwrap();
    serde_json::from_slice(&payload.bytes).unwrap()
}

/// The values under `key` in a list.
pub(super) fn column(list: &Value, key: &str) -> Vec<String> {
    let entries = list.as_array().into_iter().flatten();
    entries.map(|entry| entry[key].as_str().unwrap_or_default().to_owned()).collect()
}
