//! Runs that complete at a steady rate, whatever becomes of those before: an open loop, as a cluster is one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kube::api::{Api, DynamicObject};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::figures::percentile;
use crate::marks::Marks;
use crate::measure::milliseconds;
use crate::world::World;

/// How long each run took from its completion to its mark, by the moment of its completion.
pub struct Latencies {
    times: Vec<(Instant, f64)>,
    /// Runs that were not marked in the end.
    pub lost: usize,
}

/// Completes `runs`, `rate` of them a second, and waits up to `patience` after the last for their marks.
pub async fn complete(
    api: &Api<DynamicObject>,
    marks: &Marks,
    runs: Vec<(String, Value)>,
    rate: f64,
    patience: Duration,
) -> Latencies {
    let completed = complete_only(api, runs, rate).await;
    wait(marks, &completed, patience).await
}

/// Completes `runs`, `rate` of them a second; answers when each was.
pub async fn complete_only(
    api: &Api<DynamicObject>,
    runs: Vec<(String, Value)>,
    rate: f64,
) -> HashMap<String, Instant> {
    let (mut ticks, mut tasks) = (interval(Duration::from_secs_f64(1.0 / rate)), JoinSet::new());
    for (name, status) in runs {
        ticks.tick().await;
        let (api, (parameters, patch)) = (api.clone(), World::patch(&status));
        tasks.spawn(async move {
            api.patch_status(&name, &parameters, &patch).await.unwrap();
            (name, Instant::now())
        });
    }
    tasks.join_all().await.into_iter().collect()
}

/// Waits up to `patience` for the marks of these runs.
pub async fn wait(marks: &Marks, completed: &HashMap<String, Instant>, patience: Duration) -> Latencies {
    let deadline = Instant::now() + patience;
    loop {
        let all = marks.all();
        let lost = completed.keys().filter(|name| !all.contains_key(*name)).count();
        if lost == 0 || Instant::now() > deadline {
            let times = completed
                .iter()
                .filter_map(|(name, at)| Some((*at, milliseconds(*at, *all.get(name)?))))
                .collect();
            return Latencies { times, lost };
        }
        sleep(Duration::from_millis(50)).await;
    }
}

impl Latencies {
    /// The latency below which so many per cent lie.
    pub fn percentile(&self, per_cent: usize) -> f64 {
        percentile(&self.times.iter().map(|(_, time)| *time).collect::<Vec<_>>(), per_cent)
    }

    /// The worst p95 of any ten seconds.
    pub fn worst_tail(&self) -> f64 {
        let Some(first) = self.times.iter().map(|(at, _)| *at).min() else { return 0.0 };
        let mut windows: HashMap<u64, Vec<f64>> = HashMap::new();
        for (at, time) in &self.times {
            windows.entry(at.duration_since(first).as_secs() / 10).or_default().push(*time);
        }
        windows.values().map(|times| percentile(times, 95)).fold(0.0, f64::max)
    }
}
