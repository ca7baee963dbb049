//! Hosts that are away: probed once for all runs that wait for them, and those runs released when they answer
//! (credentials specification §1.8).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use super::queue::Queue;
use super::settings::Followed;
use crate::client::registry::Registry;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(15);
/// Released runs follow one another within this time.
const SPREAD: Duration = Duration::from_secs(2);

/// When to probe a host next: the interval doubles up to fifteen seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Schedule {
    at: Instant,
    interval: Duration,
}

impl Schedule {
    fn new(now: Instant) -> Self {
        Self { at: now + FIRST, interval: FIRST }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.at <= now
    }

    fn after_failure(self, now: Instant) -> Self {
        let interval = (self.interval * 2).min(LONGEST);
        Self { at: now + interval, interval }
    }
}

/// Probes until `stop`.
pub(super) async fn probe(
    queue: Arc<Queue>,
    registry: Registry,
    settings: Followed,
    stop: CancellationToken,
) {
    let mut schedules: HashMap<String, Schedule> = HashMap::new();
    loop {
        tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(Duration::from_millis(250)) => {} }
        let (awaited, now) = (queue.awaited_hosts(), Instant::now());
        schedules.retain(|host, _| awaited.contains(host));
        for host in awaited {
            schedules.entry(host).or_insert_with_key(|host| {
                tracing::warn!(host, "host does not answer; its runs wait for it");
                Schedule::new(now)
            });
        }
        let due: Vec<String> =
            schedules.iter().filter(|(_, s)| s.is_due(now)).map(|(host, _)| host.clone()).collect();
        let settings = settings.current();
        let insecure = settings.config.storage.oci.insecure;
        let answers = due.iter().map(|host| registry.answers(host, insecure, &settings.registries));
        let answers = join_all(answers).await;
        for (host, answers) in due.into_iter().zip(answers) {
            let now = Instant::now();
            if answers {
                tracing::info!(host, "host answers again; its runs are released");
                schedules.remove(&host);
                queue.host_is_back(&host, || SPREAD.mul_f64(super::chance()), now);
            } else {
                schedules.entry(host).and_modify(|schedule| *schedule = schedule.after_failure(now));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_probed_at_least_every_fifteen_seconds() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        assert!(!schedule.is_due(now) && schedule.is_due(now + FIRST));
        let mut seconds = Vec::new();
        for _ in 0..6 {
            schedule = schedule.after_failure(now);
            seconds.push(schedule.interval.as_secs());
        }
        assert_eq!(seconds, [2, 4, 8, 15, 15, 15]);
    }
}
