//! Metrics of the work itself: what waits and for what, what is tried again, and how long each stage and each server
//! takes. Tenants choose the names of hosts: only so many of them get a label of their own.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Cause, LaneLabel};

/// Hosts with a label of their own; the requests to all others are counted together.
const HOSTS: usize = 32;
const OTHERS: &str = "(others)";

/// Label `reason` of runs that wait.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WaitLabel {
    /// `host`, `taskruns`, `retry` or `turn`.
    pub reason: &'static str,
}

/// Label `stage`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StageLabel {
    /// `read`, `sign` or `record`.
    pub stage: &'static str,
}

/// Labels of requests to other servers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServerLabel {
    /// `registry`, `token`, `fulcio`, `log` or `timestamp`.
    pub service: &'static str,
    /// Its name, or `(others)`.
    pub host: String,
}

/// See the module.
pub struct WorkMetrics {
    /// Seconds since the oldest pending run came.
    pub oldest: Family<LaneLabel, Gauge>,
    /// Pending runs by what they wait for.
    pub waiting: Family<WaitLabel, Gauge>,
    /// Hosts that runs wait for.
    pub hosts_away: Gauge,
    /// Attempts after which another one follows, by cause.
    pub retries: Family<Cause, Counter>,
    stages: Family<StageLabel, Histogram>,
    servers: Family<ServerLabel, Histogram>,
    hosts: Mutex<BTreeSet<String>>,
}

impl Default for WorkMetrics {
    fn default() -> Self {
        Self {
            oldest: Family::default(),
            waiting: Family::default(),
            hosts_away: Gauge::default(),
            retries: Family::default(),
            stages: Family::new_with_constructor(durations),
            servers: Family::new_with_constructor(durations),
            hosts: Mutex::default(),
        }
    }
}

fn durations() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0])
}

impl WorkMetrics {
    /// A stage of an attempt is over.
    pub fn stage(&self, stage: &'static str, took: Duration) {
        self.stages.get_or_create(&StageLabel { stage }).observe(took.as_secs_f64());
    }

    /// A request to another server was answered, or failed.
    pub fn asked(&self, service: &'static str, host: &str, took: Duration) {
        let host = self.label(host);
        self.servers.get_or_create(&ServerLabel { service, host }).observe(took.as_secs_f64());
    }

    fn label(&self, host: &str) -> String {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() < HOSTS && !hosts.contains(host) {
            hosts.insert(host.to_owned());
        }
        (if hosts.contains(host) { host } else { OTHERS }).to_owned()
    }

    /// Declares them.
    pub(super) fn register(&self, registry: &mut Registry) {
        let (oldest, waiting, away) = (self.oldest.clone(), self.waiting.clone(), self.hosts_away.clone());
        registry.register("hallmark_oldest_pending_seconds", "Since the oldest pending run came", oldest);
        registry.register("hallmark_waiting_runs", "Pending runs by what they wait for", waiting);
        registry.register("hallmark_hosts_away", "Hosts that do not answer and that runs wait for", away);
        registry.register("hallmark_retries", "Attempts that are repeated, by cause", self.retries.clone());
        registry.register(
            "hallmark_stage_duration_seconds",
            "Time that each stage of an attempt took",
            self.stages.clone(),
        );
        registry.register(
            "hallmark_request_duration_seconds",
            "Time until another server answered or failed",
            self.servers.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn hosts_that_tenants_name_do_not_grow_the_text_without_end() {
        let metrics = Metrics::default();
        for number in 0..10_000 {
            metrics.work.asked("registry", &format!("host-{number}"), Duration::from_millis(3));
        }
        let text = metrics.text();
        let count = |host: &str| {
            let line =
                format!("hallmark_request_duration_seconds_count{{service=\"registry\",host=\"{host}\"}}");
            text.lines().find_map(|found| found.strip_prefix(&line)?.trim().parse::<usize>().ok())
        };
        assert_eq!((count("host-0"), count("host-9999")), (Some(1), None));
        assert_eq!(count(OTHERS), Some(10_000 - HOSTS));
    }

    #[test]
    fn stages_and_retries_are_told_apart() {
        let metrics = Metrics::default();
        metrics.work.stage("sign", Duration::from_millis(3));
        metrics.work.retries.get_or_create(&Cause { error_type: "registry_away" }).inc();
        let text = metrics.text();
        for line in [
            "hallmark_stage_duration_seconds_count{stage=\"sign\"} 1",
            "hallmark_retries_total{error_type=\"registry_away\"} 1",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
