//! Does a run cost more when more of them wait?

use serde_json::json;
use tokio::time::sleep;

use crate::figures::Must::{AtMost, Nothing};
use crate::figures::{Measured, Row};
use crate::marks::Marks;
use crate::measure::{AFTER, Bench, LIMIT};
use crate::program::{Key, Program};

static PENDING: [(usize, Measured, Measured); 3] = [
    (
        100,
        Measured(10, "100 runs waiting: CPU per run", "ms", Nothing),
        Measured(13, "100 runs waiting: peak memory", "MiB", AtMost(30.0)),
    ),
    (
        1_000,
        Measured(11, "1,000 runs waiting: CPU per run", "ms", Nothing),
        Measured(14, "1,000 runs waiting: peak memory", "MiB", AtMost(30.0)),
    ),
    (
        10_000,
        Measured(12, "10,000 runs waiting: CPU per run", "ms", Nothing),
        Measured(15, "10,000 runs waiting: peak memory", "MiB", AtMost(30.0)),
    ),
];
static FLAT: Measured = Measured(16, "CPU per run, 10,000 waiting against 1,000", "×", AtMost(1.2));

pub async fn measure(bench: &mut Bench<'_>, program: &Program) {
    let mut costs = Vec::new();
    for (count, cost, peak) in &PENDING {
        let world = bench.world;
        let namespace = world.cluster.namespace("growth").await;
        world.add_completed(&namespace, "run", *count, &json!({})).await;
        let marks = Marks::follow(world.cluster.task_runs(&namespace).await).await;
        let running = program.start(world, Key::Pem, &namespace);
        marks.last_of(*count, LIMIT * 3).await;
        sleep(AFTER).await;
        // Starting costs the same however many there are; it would weigh on the few.
        let each = (running.cpu() - bench.start_cost(program).await) / *count as f64;
        bench.add(Row::Of(cost), program, each);
        bench.add(Row::Of(peak), program, running.peak_memory());
        running.stop();
        costs.push(each);
    }
    bench.add(Row::Of(&FLAT), program, costs[2] / costs[1]);
}
