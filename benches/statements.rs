//! What a statement costs: a run is decoded as the API server sends it, its artifacts are found, and it is stated.
//!
//! `cargo bench --bench statements` prints times and allocations. Promised, on one core: a `TaskRun` of 10 KiB in
//! 200 µs or less, a `PipelineRun` with 50 `TaskRuns` of 20 KiB each in 5 ms or less, and memory that is a small multiple
//! of what was read (the most that is held at once is `max alloc`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a benchmark fails by panicking, and is no library"
)]

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher};
use hallmark::artifact::Artifacts;
use hallmark::payload::{BuildType, Format, Provenance, statement};
use hallmark::tekton::completed::CompletedRun;
use hallmark::tekton::{Run, TaskRun};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const FORMATS: [&str; 3] = ["slsa/v1", "slsa/v2alpha3", "slsa/v2alpha4"];
const CHILDREN: usize = 50;

fn main() {
    divan::main();
}

#[divan::bench(args = FORMATS)]
fn task_run_of_10_kib(bencher: Bencher<'_, '_>, format: &str) {
    let run = bytes(&task_run("build", 10 << 10));
    bencher.counter(BytesCount::of_slice(&run)).bench(|| stated(&run, &[], format, BuildType::Slsa));
}

#[divan::bench(args = FORMATS)]
fn pipeline_run_with_50_children_of_20_kib(bencher: Bencher<'_, '_>, format: &str) {
    pipeline(bencher, format, BuildType::Slsa);
}

/// This build type holds every `TaskRun` whole.
#[divan::bench]
fn the_same_with_every_task_run_inside(bencher: Bencher<'_, '_>) {
    pipeline(bencher, "slsa/v2alpha4", BuildType::SlsaTekton);
}

fn pipeline(bencher: Bencher<'_, '_>, format: &str, build_type: BuildType) {
    let run = bytes(&pipeline_run());
    let children: Vec<Vec<u8>> =
        (0..CHILDREN).map(|number| bytes(&task_run(&task(number), 20 << 10))).collect();
    let read = run.len() + children.iter().map(Vec::len).sum::<usize>();
    bencher.counter(BytesCount::new(read)).bench(|| stated(&run, &children, format, build_type));
}

/// From the bytes of the API server to those that are signed.
fn stated(run: &[u8], children: &[Vec<u8>], format: &str, build_type: BuildType) -> usize {
    let child =
        |child: &Vec<u8>| TaskRun::from_value(serde_json::from_slice::<Value>(child).unwrap()).unwrap();
    let children = children.iter().map(child).collect();
    let completed = CompletedRun::prove(Run::from_slice(run).unwrap(), children).unwrap();
    let provenance =
        Provenance { builder_id: "https://builder.example".into(), build_type, deep_inspection: true };
    let artifacts = Artifacts::of(&completed);
    let payload = statement(&completed, Format::parse(format).unwrap(), &provenance).unwrap();
    artifacts.all().count() + payload.bytes.len()
}

fn bytes(run: &Value) -> Vec<u8> {
    serde_json::to_vec(run).unwrap()
}

fn task(number: usize) -> String {
    format!("task-{number:02}")
}

/// A `TaskRun` of at least `size` bytes and hardly more, shaped as Tekton leaves one.
fn task_run(task: &str, size: usize) -> Value {
    const LINE: &str = "make build test TARGET=\"$(params.target)\"\n";
    let bare = bytes(&task_run_of(task, "")).len();
    // Each of the four steps carries its script; what is counted is the script as JSON writes it.
    let lines = size.saturating_sub(bare).div_ceil(4 * (LINE.len() + 3));
    task_run_of(task, &LINE.repeat(lines))
}

/// Four steps with scripts, their states, parameters, results, feature flags and the fields that each writer manages.
fn task_run_of(task: &str, script: &str) -> Value {
    let digest = format!("sha256:{}", "4f".repeat(32));
    let steps: Vec<Value> = (0..4)
        .map(|number| json!({"name": format!("step-{number}"), "image": "registry.example/tools/builder:v1",
            "computeResources": {"limits": {"memory": "1Gi"}}, "script": script,
            "env": [{"name": "TARGET", "value": "$(params.target)"}], "volumeMounts": [{"name": "cache", "mountPath": "/cache"}]}))
        .collect();
    let states: Vec<Value> = (0..4)
        .map(|number| {
            json!({"name": format!("step-{number}"), "container": format!("step-step-{number}"),
            "imageID": format!("registry.example/tools/builder@{digest}"),
            "terminated": {"containerID": "containerd://4f2a", "exitCode": 0, "reason": "Completed",
                "startedAt": "2026-01-02T03:04:10Z", "finishedAt": "2026-01-02T03:04:59Z"}})
        })
        .collect();
    let text = |name: String, value: String| json!({"name": name, "type": "string", "value": value});
    let results: Vec<Value> = (0..4)
        .flat_map(|number| {
            let image = format!("registry.example/team/{task}-{number}");
            [
                text(format!("i{number}-IMAGE_URL"), image),
                text(format!("i{number}-IMAGE_DIGEST"), digest.clone()),
            ]
        })
        .chain([text("CHAINS-GIT_URL".into(), "https://git.example/team/app".into())])
        .chain([text("CHAINS-GIT_COMMIT".into(), "7f2f46e1b97df36b2b82d1b1d87c81b8b3d21601".into())])
        .collect();
    let managed: Vec<Value> = (0..3)
        .map(|number| json!({"manager": format!("writer-{number}"), "operation": "Update", "apiVersion": "tekton.dev/v1",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:status": {"f:steps": {}, "f:results": {}, "f:taskSpec": {"f:steps": {}}}}}))
        .collect();
    json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "metadata": {"name": format!("release-{task}"), "namespace": "team", "uid": format!("uid-{task}"),
            "labels": {"tekton.dev/pipelineTask": task, "app.kubernetes.io/managed-by": "tekton-pipelines"},
            "annotations": {"pipeline.tekton.dev/release": "v1.15.0"}, "managedFields": managed},
        "spec": {"params": [{"name": "target", "value": "release"}], "serviceAccountName": "builder", "timeout": "1h0m0s",
            "taskRef": {"kind": "Task", "name": task}},
        "status": {"conditions": [{"type": "Succeeded", "status": "True", "reason": "Succeeded"}], "podName": format!("{task}-pod"),
            "startTime": "2026-01-02T03:04:05Z", "completionTime": "2026-01-02T03:05:05Z", "results": results, "steps": states,
            "provenance": {"featureFlags": {"enableAPIFields": "beta", "resultExtractionMethod": "termination-message"}},
            "taskSpec": {"params": [{"name": "target", "type": "string", "default": "debug"}], "steps": steps}}})
}

fn pipeline_run() -> Value {
    let tasks: Vec<Value> = (0..CHILDREN)
        .map(|number| {
            let after = number.checked_sub(1).map(task);
            json!({"name": task(number), "taskRef": {"kind": "Task", "name": "build"}, "runAfter": after.as_slice()})
        })
        .collect();
    let children: Vec<Value> = (0..CHILDREN)
        .map(|number| json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "name": format!("release-{}", task(number)),
            "pipelineTaskName": task(number)}))
        .collect();
    json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
        "metadata": {"name": "release", "namespace": "team", "uid": "uid-release"},
        "spec": {"pipelineRef": {"name": "release"}, "taskRunTemplate": {"serviceAccountName": "builder"}},
        "status": {"conditions": [{"type": "Succeeded", "status": "True"}], "childReferences": children,
            "startTime": "2026-01-02T03:04:05Z", "completionTime": "2026-01-02T04:04:05Z", "pipelineSpec": {"tasks": tasks}}})
}
