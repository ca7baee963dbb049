//! A registry that takes connections and answers nothing, beside a healthy one: what the runs of the healthy one
//! notice, and how soon the others are signed when it answers.

use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::stream;
use crate::figures::Must::{AtMost, Nothing};
use crate::figures::{Measured, Row};
use crate::marks::Marks;
use crate::measure::Bench;
use crate::program::{Key, Program};
use crate::support::{Door, Passage};

const RATE: f64 = 20.0;
const HEALTHY: usize = 600;
/// As many runs for the one as for the other.
const SICK: usize = 600;
const PATIENCE: Duration = Duration::from_mins(2);
/// Until all of them have their finalizers, which keeps the API server busy.
const HELD: Duration = Duration::from_secs(15);
const FOR_EVER: Duration = Duration::from_hours(1);

static ALONE: Measured = Measured(40, "healthy registry alone: completion to mark, p95", "ms", Nothing);
static BESIDE: Measured = Measured(41, "beside a silent registry: completion to mark, p95", "ms", Nothing);
static RATIO: Measured = Measured(42, "p95 beside a silent registry against alone", "×", AtMost(2.0));
static RETURN: Measured =
    Measured(43, "silent registry answers: its runs are signed after", "s", AtMost(15.0));
static LOST: Measured = Measured(44, "silent and healthy registry: runs lost", "", AtMost(0.0));

pub async fn measure(bench: &mut Bench<'_>, program: &Program) {
    let world = bench.world;
    let door = Door::before(&format!("http://{}", world.registry.host())).await;
    door.set(Passage::Slow(FOR_EVER));
    let namespace = world.cluster.namespace("silent").await;
    let mut runs = Vec::new();
    for prefix in ["alone", "healthy", "sick"] {
        runs.push(world.add_running(&namespace, prefix, if prefix == "sick" { SICK } else { HEALTHY }).await);
    }
    let sick: Vec<_> = runs.pop().unwrap().into_iter().map(|run| behind(&door, run)).collect();
    let (healthy, alone) = (runs.pop().unwrap(), runs.pop().unwrap());
    let api = world.cluster.task_runs(&namespace).await;
    let marks = Marks::follow(api.clone()).await;
    let running = program.start(world, Key::Pem, &namespace);
    sleep(HELD).await;
    let alone = stream::complete(&api, &marks, alone, RATE, PATIENCE).await;
    let (beside, waiting) = tokio::join!(
        stream::complete(&api, &marks, healthy, RATE, PATIENCE),
        stream::complete_only(&api, sick, RATE),
    );
    door.set(Passage::Open);
    let back = std::time::Instant::now();
    let signed = stream::wait(&marks, &waiting, PATIENCE).await;
    let all = marks.all();
    let last = waiting.keys().filter_map(|name| all.get(name)).max().unwrap();
    bench.add(Row::Of(&ALONE), program, alone.percentile(95));
    bench.add(Row::Of(&BESIDE), program, beside.percentile(95));
    bench.add(Row::Of(&RATIO), program, beside.percentile(95) / alone.percentile(95));
    bench.add(Row::Of(&RETURN), program, last.duration_since(back).as_secs_f64());
    bench.add(Row::Of(&LOST), program, (alone.lost + beside.lost + signed.lost) as f64);
    running.stop();
}

/// The same run, with its image behind the door.
fn behind(door: &Door, (name, mut status): (String, Value)) -> (String, Value) {
    let image = status["results"][0]["value"].as_str().unwrap();
    let path = image.split_once('/').unwrap().1;
    status["results"][0]["value"] = format!("{}/{path}", door.url.trim_start_matches("http://")).into();
    (name, status)
}
