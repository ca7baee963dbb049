//! Hosts that are away: probed once for all runs that wait for them, and those runs released when they answer
//! (credentials specification §1.8).
//!
//! # Guarantees
//!
//! - A host has one probe at a time, and one that does not answer delays the probe of no other.
//! - A host that is back is noticed within fifteen seconds: the longest pause and one probe in vain.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::queue::Queue;
use super::settings::Followed;
use crate::client::registry::Registry;

const TICK: Duration = Duration::from_millis(250);
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);
/// A host that takes longer to answer a probe is still away.
const PROBE: Duration = Duration::from_millis(4500);
/// Released runs follow one another within this time.
const SPREAD: Duration = Duration::from_secs(2);

/// When to probe a host next: the pause doubles up to ten seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Schedule {
    at: Instant,
    pause: Duration,
}

impl Schedule {
    fn new(now: Instant) -> Self {
        Self { at: now + FIRST, pause: FIRST }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.at <= now
    }

    fn after_failure(self, now: Instant) -> Self {
        let pause = (self.pause * 2).min(LONGEST);
        Self { at: now + pause, pause }
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
    let mut asked: HashSet<String> = HashSet::new();
    let mut probes: JoinSet<(String, bool)> = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(Ok((host, answers))) = probes.join_next() => {
                asked.remove(&host);
                judge(&queue, &mut schedules, host, answers);
            }
            () = tokio::time::sleep(TICK) => {
                for host in due(&queue, &mut schedules, &asked) {
                    asked.insert(host.clone());
                    probes.spawn(ask(registry.clone(), settings.clone(), host));
                }
            }
        }
    }
}

/// The hosts to probe now, less those that are being asked.
fn due(queue: &Queue, schedules: &mut HashMap<String, Schedule>, asked: &HashSet<String>) -> Vec<String> {
    let (awaited, now) = (queue.awaited_hosts(), Instant::now());
    schedules.retain(|host, _| awaited.contains(host));
    for host in awaited {
        schedules.entry(host).or_insert_with_key(|host| {
            tracing::warn!(host, "host does not answer; its runs wait for it");
            Schedule::new(now)
        });
    }
    let due = schedules.iter().filter(|(host, schedule)| schedule.is_due(now) && !asked.contains(*host));
    due.map(|(host, _)| host.clone()).collect()
}

async fn ask(registry: Registry, settings: Followed, host: String) -> (String, bool) {
    let settings = settings.current();
    let insecure = settings.config.storage.oci.insecure;
    let answer = registry.answers(&host, insecure, &settings.registries);
    let answers = tokio::time::timeout(PROBE, answer).await.unwrap_or(false);
    (host, answers)
}

fn judge(queue: &Queue, schedules: &mut HashMap<String, Schedule>, host: String, answers: bool) {
    let now = Instant::now();
    if answers {
        tracing::info!(host, "host answers again; its runs are released");
        schedules.remove(&host);
        queue.host_is_back(&host, || SPREAD.mul_f64(super::chance()), now);
    } else {
        schedules.entry(host).and_modify(|schedule| *schedule = schedule.after_failure(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_noticed_to_be_back_within_fifteen_seconds() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        assert!(!schedule.is_due(now) && schedule.is_due(now + FIRST));
        let mut seconds = Vec::new();
        for _ in 0..6 {
            schedule = schedule.after_failure(now);
            seconds.push(schedule.pause.as_secs());
        }
        assert_eq!(seconds, [2, 4, 8, 10, 10, 10]);
        assert!(LONGEST + PROBE + TICK < Duration::from_secs(15));
    }
}
