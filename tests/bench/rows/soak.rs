//! A long time at half of the rate that can be reached: memory and open files do not grow.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::stream;
use crate::figures::Must::{AtMost, Nothing};
use crate::figures::{Measured, Row};
use crate::marks::Marks;
use crate::measure::{Bench, LIMIT};
use crate::program::{Key, Program};

/// Runs whose rate is the most that can be reached, and more a second than that.
const SAMPLE: usize = 1_000;
const ALL_AT_ONCE: f64 = 1_000.0;
/// Before this part of the time the allocator and the caches are still filling.
const SETTLED: f64 = 0.2;
const EVERY: Duration = Duration::from_secs(2);

static RATE: Measured = Measured(30, "soak: completions", "1/s", Nothing);
static MEMORY: Measured = Measured(31, "soak: slope of memory", "MiB/h", AtMost(6.0));
static FILES: Measured = Measured(32, "soak: slope of open files", "1/h", AtMost(6.0));
static PEAK: Measured = Measured(33, "soak: peak memory", "MiB", AtMost(30.0));
static TAIL: Measured = Measured(34, "soak: completion to mark, p95", "ms", Nothing);
static LOST: Measured = Measured(35, "soak: runs lost", "", AtMost(0.0));

pub async fn measure(bench: &mut Bench<'_>, program: &Program, time: Duration) {
    let world = bench.world;
    let rate = half_rate(bench, program).await;
    let count = (rate * time.as_secs_f64()) as usize;
    let namespace = world.cluster.namespace("soak").await;
    let runs = world.add_running(&namespace, "soak", count).await;
    let api = world.cluster.task_runs(&namespace).await;
    let marks = Marks::follow(api.clone()).await;
    let running = program.start(world, Key::Pem, &namespace);
    let mut samples = Vec::new();
    let watching = async {
        let started = Instant::now();
        while started.elapsed() < time {
            sleep(EVERY).await;
            samples.push((started.elapsed().as_secs_f64(), running.memory(), running.open_files() as f64));
        }
    };
    let (completed, ()) = tokio::join!(stream::complete_only(&api, runs, rate), watching);
    let latencies = stream::wait(&marks, &completed, LIMIT).await;
    let begin = samples.len() - (samples.len() as f64 * (1.0 - SETTLED)) as usize;
    let points = |field: fn(&(f64, f64, f64)) -> f64| {
        samples[begin..].iter().map(|sample| (sample.0 / 3600.0, field(sample))).collect::<Vec<_>>()
    };
    bench.add(Row::Of(&RATE), program, rate);
    bench.add(Row::Of(&MEMORY), program, slope(&points(|sample| sample.1)));
    bench.add(Row::Of(&FILES), program, slope(&points(|sample| sample.2)));
    bench.add(Row::Of(&PEAK), program, running.peak_memory());
    bench.add(Row::Of(&TAIL), program, latencies.percentile(95));
    bench.add(Row::Of(&LOST), program, latencies.lost as f64);
    running.stop();
}

/// Half of what is reached when runs complete as fast as the API server takes it: each costs it two writes, where one that
/// waits for the agent costs one.
async fn half_rate(bench: &Bench<'_>, program: &Program) -> f64 {
    let world = bench.world;
    let namespace = world.cluster.namespace("rate").await;
    let runs = world.add_running(&namespace, "run", SAMPLE).await;
    let api = world.cluster.task_runs(&namespace).await;
    let marks = Marks::follow(api.clone()).await;
    let running = program.start(world, Key::Pem, &namespace);
    sleep(EVERY).await;
    let started = Instant::now();
    stream::complete_only(&api, runs, ALL_AT_ONCE).await;
    let took = marks.last_of(SAMPLE, LIMIT).await.duration_since(started);
    running.stop();
    SAMPLE as f64 / took.as_secs_f64() / 2.0
}

/// By least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |field: fn(&(f64, f64)) -> f64| points.iter().map(field).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let together: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let along: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    together / along
}
