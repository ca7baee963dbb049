//! Every metric and label, declared here and nowhere else. Names that Chains has keep its names (specification
//! §2.8); the others begin with `hallmark_`. Labels take values out of closed sets only, or bounded ones.

pub mod admission;
pub mod refresh;
pub mod work;

use std::fmt::Write as _;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::tekton::Kind;
use refresh::RefreshMetrics;
use work::WorkMetrics;

/// Counters that Chains has for each kind of run.
#[derive(Default, Clone)]
pub struct RunMetrics {
    /// Signatures made.
    pub sign_created: Counter,
    /// Signatures stored, by artifact and store.
    pub payload_stored: Counter,
    /// Runs marked `signed: "true"`.
    pub marked_signed: Counter,
    /// Failures, by cause.
    pub signing_failures: Family<Cause, Counter>,
}

/// Label `error_type`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Cause {
    /// Out of the labels of `error::Diagnose`.
    pub error_type: &'static str,
}

/// Labels of pending work.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LaneLabel {
    /// `fresh` or `backlog`.
    pub lane: LaneValue,
}

/// Values of label `lane`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the derive writes the variant as it stands")]
pub enum LaneValue {
    /// Completed while somebody watched.
    fresh,
    /// Was there before.
    backlog,
}

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    taskrun: RunMetrics,
    pipelinerun: RunMetrics,
    /// Pending runs by lane.
    pub pending: Family<LaneLabel, Gauge>,
    /// Seconds from completion to mark.
    pub completion_to_mark: Histogram,
    /// Runs given up.
    pub marked_failed: Counter,
    /// Version of the settings in force.
    pub settings_generation: Gauge<i64>,
    /// What waits, for what, and how long everything takes.
    pub work: WorkMetrics,
    /// Pull secrets that are kept fresh.
    pub refresh: RefreshMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let buckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0];
        let mut metrics = Self {
            registry: Registry::default(),
            taskrun: RunMetrics::default(),
            pipelinerun: RunMetrics::default(),
            pending: Family::default(),
            completion_to_mark: Histogram::new(buckets),
            marked_failed: Counter::default(),
            settings_generation: Gauge::default(),
            work: WorkMetrics::default(),
            refresh: RefreshMetrics::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    /// The counters of one kind of run.
    pub fn of(&self, kind: Kind) -> &RunMetrics {
        match kind {
            Kind::TaskRun => &self.taskrun,
            Kind::PipelineRun => &self.pipelinerun,
        }
    }

    /// Notes how long a run took from completion to mark.
    pub fn marked(&self, kind: Kind, since_completion: Option<Duration>) {
        self.of(kind).marked_signed.inc();
        if let Some(duration) = since_completion {
            self.completion_to_mark.observe(duration.as_secs_f64());
        }
    }

    /// The exposition text of Prometheus.
    pub fn text(&self) -> String {
        exposition(&self.registry)
    }

    fn register(&mut self) {
        for (kind, metrics) in [("taskrun", &self.taskrun), ("pipelinerun", &self.pipelinerun)] {
            let name = |rest: &str| format!("watcher_{kind}_{rest}");
            let registry = &mut self.registry;
            registry.register(name("sign_created"), "Signatures made", metrics.sign_created.clone());
            registry.register(name("payload_stored"), "Signatures stored", metrics.payload_stored.clone());
            registry.register(name("marked_signed"), "Runs marked as signed", metrics.marked_signed.clone());
            registry.register(
                name("signing_failures"),
                "Failures by cause",
                metrics.signing_failures.clone(),
            );
        }
        let registry = &mut self.registry;
        registry.register(
            "hallmark_pending_runs",
            "Runs that wait for their signature",
            self.pending.clone(),
        );
        registry.register(
            "hallmark_completion_to_mark_seconds",
            "Time from the completion of a run to its mark",
            self.completion_to_mark.clone(),
        );
        registry.register("hallmark_runs_failed", "Runs that were given up", self.marked_failed.clone());
        registry.register(
            "hallmark_settings_generation",
            "Version of configuration and keys in force",
            self.settings_generation.clone(),
        );
        self.work.register(registry);
        self.refresh.register(registry);
    }
}

/// What is registered, in the exposition format of Prometheus.
fn exposition(registry: &Registry) -> String {
    let mut text = String::new();
    if encode(&mut text, registry).is_err() {
        let _ = writeln!(text, "# metrics could not be encoded");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_of_chains_have_the_names_of_chains() {
        let metrics = Metrics::default();
        metrics.of(Kind::TaskRun).sign_created.inc();
        metrics.of(Kind::PipelineRun).payload_stored.inc();
        metrics.marked(Kind::TaskRun, Some(Duration::from_millis(7)));
        metrics.of(Kind::TaskRun).signing_failures.get_or_create(&Cause { error_type: "storage" }).inc();
        let text = metrics.text();
        for line in [
            "watcher_taskrun_sign_created_total 1",
            "watcher_pipelinerun_payload_stored_total 1",
            "watcher_taskrun_marked_signed_total 1",
            "watcher_taskrun_signing_failures_total{error_type=\"storage\"} 1",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
