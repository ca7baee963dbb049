//! Many signed runs that are only there: they are listed and watched, and cost nothing.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::figures::Must::{AtMost, Nothing};
use crate::figures::{Measured, Row};
use crate::measure::{Bench, LIMIT};
use crate::program::{Key, Program};
use crate::streaming::Streaming;

/// Until everything has been listed.
const LISTED: Duration = Duration::from_secs(30);

/// Until what is under way has ended.
const AFTERWARDS: Duration = Duration::from_secs(2);

static SIZES: [(usize, usize, [Measured; 3]); 2] = [
    (
        50_000,
        10 * 1024,
        [
            Measured(20, "50,000 signed runs of 10 KiB: memory", "MiB", Nothing),
            Measured(21, "50,000 signed runs of 10 KiB: more than with none", "MiB", AtMost(5.0)),
            Measured(22, "50,000 signed runs of 10 KiB: peak memory", "MiB", AtMost(30.0)),
        ],
    ),
    (
        10_000,
        50 * 1024,
        [
            Measured(23, "10,000 signed runs of 50 KiB: memory", "MiB", Nothing),
            Measured(24, "10,000 signed runs of 50 KiB: more than with none", "MiB", AtMost(5.0)),
            Measured(25, "10,000 signed runs of 50 KiB: peak memory", "MiB", AtMost(30.0)),
        ],
    ),
];

const STREAMED: usize = 200_000;
static STREAM: [Measured; 3] = [
    Measured(26, "200,000 signed runs of 10 KiB, listed and watched: memory", "MiB", Nothing),
    Measured(
        27,
        "200,000 signed runs of 10 KiB, listed and watched: more than with none",
        "MiB",
        AtMost(5.0),
    ),
    Measured(28, "200,000 signed runs of 10 KiB, listed and watched: peak memory", "MiB", AtMost(30.0)),
];

pub async fn measure(bench: &mut Bench<'_>, program: &Program) {
    let world = bench.world;
    let empty = world.cluster.namespace("empty").await;
    let running = program.start(world, Key::Pem, &empty);
    sleep(LISTED).await;
    let none = running.memory();
    running.stop();
    for (count, size, [memory, more, peak]) in &SIZES {
        let namespace = world.cluster.namespace("crowd").await;
        // A run without notes has some four kilobytes.
        world.add_signed(&namespace, *count, size - 4 * 1024).await;
        let running = program.start(world, Key::Pem, &namespace);
        sleep(LISTED).await;
        bench.add(Row::Of(memory), program, running.memory());
        bench.add(Row::Of(more), program, running.memory() - none);
        bench.add(Row::Of(peak), program, running.peak_memory());
        running.stop();
    }
    streamed(bench, program, none).await;
}

/// More than kube-apiserver can hold here.
async fn streamed(bench: &mut Bench<'_>, program: &Program, none: f64) {
    let world = bench.world;
    let namespace = world.cluster.namespace("streamed").await;
    let run = world.signed_run(&namespace, SIZES[0].1 - 4 * 1024);
    let server = Streaming::start(world.cluster, world.kubeconfig(program), &namespace, &run, STREAMED).await;
    let running = program.start_at(&server.kubeconfig, Key::Pem, &namespace, &[]);
    let deadline = Instant::now() + LIMIT;
    while !server.is_told() {
        assert!(Instant::now() < deadline, "it did not list and watch all of them: {}", running.log());
        sleep(Duration::from_millis(100)).await;
    }
    sleep(AFTERWARDS).await;
    let [memory, more, peak] = &STREAM;
    bench.add(Row::Of(memory), program, running.memory());
    bench.add(Row::Of(more), program, running.memory() - none);
    bench.add(Row::Of(peak), program, running.peak_memory());
    running.stop();
}
