//! What an event of a watch costs: it is decoded into the few fields that a decision needs, judged, and queued or
//! forgotten. `cargo bench --bench events` prints times and allocations. Every replica pays this for every event of the
//! cluster, whichever replica signs the run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a benchmark fails by panicking, and is no library"
)]

use std::time::Instant;

use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher, black_box};
use hallmark::config::Config;
use hallmark::controller::decide::decide;
use hallmark::controller::queue::{Lane, Next, Queue};
use hallmark::tekton::Kind;
use hallmark::tekton::head::{RunHead, RunKey};
use jiff::Timestamp;
use serde_json::json;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// A completed TaskRun of about `size` bytes, most of them in fields that nobody here reads.
fn event(size: usize) -> Vec<u8> {
    let run = json!({
        "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "metadata": {
            "name": "build", "namespace": "ci", "uid": "00000000-0000-4000-8000-000000000001", "resourceVersion": "1",
            "labels": {"tekton.dev/pipelineRun": "release"},
            "managedFields": [{"manager": "tekton", "fieldsV1": {"f:status": {"f:steps": "x".repeat(size / 2)}}}],
        },
        "spec": {"taskSpec": {"steps": [{"image": "busybox", "script": "y".repeat(size / 2)}]}},
        "status": {
            "completionTime": "2026-01-01T00:00:00Z",
            "conditions": [{"type": "Succeeded", "status": "True", "reason": "Succeeded"}],
        },
    });
    serde_json::to_vec(&run).unwrap()
}

#[divan::bench(args = [10, 50, 500])]
fn decoded_and_judged(bencher: Bencher<'_, '_>, kibibytes: usize) {
    let (event, config) = (event(kibibytes << 10), Config::default());
    let now: Timestamp = "2026-01-01T00:00:01Z".parse().unwrap();
    bencher.counter(BytesCount::of_slice(&event)).bench(|| {
        let head: RunHead = serde_json::from_slice(black_box(&event)).unwrap();
        decide(&head, &config, &[], now)
    });
}

/// Offered, taken and done with, beside so many that wait.
#[divan::bench(args = [100, 1_000, 10_000])]
fn queued_beside(bencher: Bencher<'_, '_>, waiting: usize) {
    let (queue, now) = (Queue::default(), Instant::now());
    for number in 0..waiting {
        queue.offer(key(number), Lane::Backlog, None, now);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    bencher.counter(ItemsCount::new(1_usize)).bench(|| {
        queue.offer(key(waiting), Lane::Fresh, None, now);
        let job = runtime.block_on(queue.next()).unwrap();
        queue.finished(&job.key, Next::Idle, now);
    });
}

fn key(number: usize) -> RunKey {
    let (name, uid) = (format!("run-{number}"), format!("uid-{number}"));
    RunKey { kind: Kind::TaskRun, namespace: "ci".into(), name, uid }
}
