//! An old cluster: 10,000 signed and 10,000 unsigned runs are there when the agent starts, and twenty more complete
//! each second for a minute.

use std::time::Duration;

use serde_json::json;

use super::stream;
use crate::figures::Must::{AtMost, Nothing};
use crate::figures::{Measured, Row};
use crate::marks::Marks;
use crate::measure::Bench;
use crate::program::{Key, Program};

const OLD: usize = 10_000;
const RATE: f64 = 20.0;
const FRESH: usize = 1_200;
const PATIENCE: Duration = Duration::from_mins(10);

static MEDIAN: Measured = Measured(1, "beside a backlog: completion to mark, median", "ms", Nothing);
static TAIL: Measured = Measured(2, "beside a backlog: completion to mark, p95", "ms", AtMost(1000.0));
static WORST: Measured =
    Measured(3, "beside a backlog: completion to mark, p95 of the worst 10 s", "ms", AtMost(1000.0));
static PEAK: Measured = Measured(4, "beside a backlog: peak memory", "MiB", AtMost(30.0));
static DONE: Measured = Measured(5, "backlog of 10,000: done after", "s", Nothing);
static LOST: Measured = Measured(6, "backlog and fresh: runs lost", "", AtMost(0.0));

pub async fn measure(bench: &mut Bench<'_>, program: &Program) {
    let world = bench.world;
    let namespace = world.cluster.namespace("backlog").await;
    world.add_signed(&namespace, OLD, 6 * 1024).await;
    world.add_completed(&namespace, "unsigned", OLD, &json!({})).await;
    let fresh = world.add_running(&namespace, "fresh", FRESH).await;
    let api = world.cluster.task_runs(&namespace).await;
    let marks = Marks::follow(api.clone()).await;
    let running = program.start(world, Key::Pem, &namespace);
    let latencies = stream::complete(&api, &marks, fresh, RATE, PATIENCE).await;
    // The marks of those that are only there were made before the watch.
    let done = marks.at_most(OLD + FRESH, PATIENCE).await;
    bench.add(Row::Of(&MEDIAN), program, latencies.percentile(50));
    bench.add(Row::Of(&TAIL), program, latencies.percentile(95));
    bench.add(Row::Of(&WORST), program, latencies.worst_tail());
    bench.add(Row::Of(&PEAK), program, running.peak_memory());
    bench.add(Row::Of(&DONE), program, done.duration_since(running.started).as_secs_f64());
    bench.add(Row::Of(&LOST), program, (OLD + FRESH - marks.count()) as f64);
    running.stop();
}
