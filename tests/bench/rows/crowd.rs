//! Many signed runs that are only there: they are listed and watched, and cost nothing.

use std::time::Duration;

use tokio::time::sleep;

use crate::figures::Must::{AtMost, Nothing};
use crate::figures::{Measured, Row};
use crate::measure::Bench;
use crate::program::{Key, Program};

/// Until everything has been listed.
const LISTED: Duration = Duration::from_secs(30);

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
}
