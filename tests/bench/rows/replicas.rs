//! Several replicas as processes: how they share the work, what a death costs, and that it loses and doubles nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::stream;
use crate::figures::Must::{AtLeast, AtMost, Nothing};
use crate::figures::{Measured, Row};
use crate::marks::Marks;
use crate::measure::{Bench, LIMIT};
use crate::program::{Program, Running};
use crate::world::World;

/// Runs that wait when the replicas begin.
const RUNS: usize = 2_000;
/// Until every replica knows the others.
const ACQUAINTED: Duration = Duration::from_secs(6);
const RATE: f64 = 20.0;
const CHAOS: Duration = Duration::from_mins(2);
const KILL_EVERY: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_mins(3);

static SHARED: [(usize, Measured, Measured, Measured); 3] = [
    (
        1,
        Measured(50, "1 replica: runs per second", "1/s", Nothing),
        Measured(51, "1 replica: smallest part against a fair one", "", AtLeast(0.5)),
        Measured(52, "1 replica: completion to mark at 20 a second, p95", "ms", Nothing),
    ),
    (
        2,
        Measured(53, "2 replicas: runs per second", "1/s", Nothing),
        Measured(54, "2 replicas: smallest part against a fair one", "", AtLeast(0.5)),
        Measured(55, "2 replicas: completion to mark at 20 a second, p95", "ms", Nothing),
    ),
    (
        4,
        Measured(56, "4 replicas: runs per second", "1/s", Nothing),
        Measured(57, "4 replicas: smallest part against a fair one", "", AtLeast(0.5)),
        Measured(58, "4 replicas: completion to mark at 20 a second, p95", "ms", Nothing),
    ),
];
static DOUBLE: Measured = Measured(59, "replicas: images signed more than once", "", AtMost(0.0));
static CHAOS_LOST: Measured = Measured(60, "a replica killed every 10 s: runs lost", "", AtMost(0.0));
static CHAOS_DOUBLE: Measured =
    Measured(61, "a replica killed every 10 s: images signed more than once", "", AtMost(0.0));
static CHAOS_TAIL: Measured =
    Measured(62, "a replica killed every 10 s: completion to mark, p95", "ms", Nothing);
static FAIL_OVER: Measured =
    Measured(63, "fail-over: last mark after the death of one of two replicas", "s", AtMost(15.0));

/// Completes everything at once, then at a steady rate, for 1, 2 and 4 replicas.
pub async fn shares(bench: &mut Bench<'_>, program: &Program) {
    let world = bench.world;
    for (count, rate, part, tail) in &SHARED {
        let namespace = world.cluster.namespace("replicas").await;
        let runs = world.add_running(&namespace, "run", RUNS).await;
        let later = world.add_running(&namespace, "later", RUNS / 4).await;
        let statuses: Vec<Value> = runs.iter().map(|(_, status)| status.clone()).collect();
        let api = world.cluster.task_runs(&namespace).await;
        let marks = Marks::follow(api.clone()).await;
        let replicas = start(world, program, &namespace, *count).await;
        // Straight into etcd: the patches of completions would cost the API server more than those of marks.
        let began = Instant::now();
        world.end_all(&namespace, &runs).await;
        let last = marks.last_of(RUNS, LIMIT).await;
        bench.add(Row::Of(rate), program, RUNS as f64 / last.duration_since(began).as_secs_f64());
        sleep(Duration::from_secs(1)).await;
        let signed: Vec<usize> = replicas.iter().map(Running::signed).collect();
        eprintln!("  signed by each: {signed:?}");
        let fair = signed.iter().sum::<usize>() as f64 / *count as f64;
        bench.add(Row::Of(part), program, *signed.iter().min().unwrap() as f64 / fair);
        let latencies = stream::complete(&api, &marks, later, RATE, PATIENCE).await;
        bench.add(Row::Of(tail), program, latencies.percentile(95));
        bench.add(Row::Of(&DOUBLE), program, doubles(world, &statuses).await as f64);
        replicas.into_iter().for_each(Running::stop);
    }
}

/// Kills one of four at random every ten seconds and starts another in its place.
pub async fn chaos(bench: &mut Bench<'_>, program: &Program) {
    let world = bench.world;
    let namespace = world.cluster.namespace("chaos").await;
    let count = (RATE * CHAOS.as_secs_f64()) as usize;
    let runs = world.add_running(&namespace, "run", count).await;
    let statuses: Vec<Value> = runs.iter().map(|(_, status)| status.clone()).collect();
    let api = world.cluster.task_runs(&namespace).await;
    let marks = Marks::follow(api.clone()).await;
    let mut replicas = start(world, program, &namespace, 4).await;
    let killing = async {
        let began = Instant::now();
        let mut number = 4;
        while began.elapsed() < CHAOS {
            sleep(KILL_EVERY).await;
            let mut random = [0];
            aws_lc_rs::rand::fill(&mut random).unwrap();
            replicas.swap_remove(usize::from(random[0]) % replicas.len()).kill();
            replicas.push(program.replica(world, &namespace, &format!("replica-{number}")));
            number += 1;
        }
    };
    let (completed, ()) = tokio::join!(stream::complete_only(&api, runs, RATE), killing);
    let latencies = stream::wait(&marks, &completed, PATIENCE).await;
    bench.add(Row::Of(&CHAOS_LOST), program, latencies.lost as f64);
    bench.add(Row::Of(&CHAOS_DOUBLE), program, doubles(world, &statuses).await as f64);
    bench.add(Row::Of(&CHAOS_TAIL), program, latencies.percentile(95));
    replicas.into_iter().for_each(Running::stop);
}

/// Kills one of two, completes runs at once, and waits for the last mark.
pub async fn fail_over(bench: &mut Bench<'_>, program: &Program) {
    let world = bench.world;
    for _ in 0..bench.scale.starts {
        let namespace = world.cluster.namespace("fail-over").await;
        let runs = world.add_running(&namespace, "run", 50).await;
        let api = world.cluster.task_runs(&namespace).await;
        let marks = Marks::follow(api.clone()).await;
        let mut replicas = start(world, program, &namespace, 2).await;
        replicas.pop().unwrap().kill();
        let killed = Instant::now();
        world.end_all(&namespace, &runs).await;
        let last = marks.last_of(runs.len(), LIMIT).await;
        bench.add(Row::Of(&FAIL_OVER), program, last.duration_since(killed).as_secs_f64());
        replicas.into_iter().for_each(Running::stop);
    }
}

async fn start(world: &World, program: &Program, namespace: &str, count: usize) -> Vec<Running> {
    let replicas =
        (0..count).map(|number| program.replica(world, namespace, &format!("replica-{number}"))).collect();
    sleep(ACQUAINTED).await;
    replicas
}

/// How many images have more or less than one signature and one statement.
async fn doubles(world: &World, statuses: &[Value]) -> usize {
    let mut doubles = 0;
    for status in statuses {
        let layers = world.layers(status).await;
        if layers != [1, 1] {
            eprintln!("  {layers:?} beside {}", json!(status["results"]));
            doubles += 1;
        }
    }
    doubles
}
