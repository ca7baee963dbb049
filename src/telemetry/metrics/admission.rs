//! Metrics of the admission webhook. No label names an image, a policy or a namespace: there are as many of those as users
//! like.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// What the API server asks, label `request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the derive writes the variant as it stands")]
pub enum Request {
    /// Whether images may run.
    validate,
    /// Which digests tags mean.
    mutate,
    /// Whether a policy or a `TrustRoot` is one.
    policy,
}

/// What it is told, label `verdict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the derive writes the variant as it stands")]
pub enum Answered {
    /// Yes.
    admitted,
    /// Yes, with warnings.
    warned,
    /// No.
    denied,
    /// The review was none.
    malformed,
}

/// Labels of admissions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AdmissionLabels {
    /// What was asked.
    pub request: Request,
    /// What was answered.
    pub verdict: Answered,
}

/// Labels of durations.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabel {
    /// What was asked.
    pub request: Request,
}

/// Labels of what policies say.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PolicyLabels {
    /// `enforce` or `warn`.
    pub mode: &'static str,
    /// `satisfied`, `refused` or `undecided`.
    pub verdict: &'static str,
}

/// See the module.
pub struct AdmissionMetrics {
    registry: Registry,
    admissions: Family<AdmissionLabels, Counter>,
    duration: Family<RequestLabel, Histogram>,
    /// What policies said, once for each image that they govern.
    pub policies: Family<PolicyLabels, Counter>,
    /// Verdicts that were known already.
    pub remembered: Counter,
    /// Verdicts for which a registry was asked, or could have been.
    pub verified: Counter,
    /// Questions that were not answered in time.
    pub timeouts: Counter,
}

impl Default for AdmissionMetrics {
    fn default() -> Self {
        let seconds =
            || Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 2.5, 6.0, 10.0]);
        let mut metrics = Self {
            registry: Registry::default(),
            admissions: Family::default(),
            duration: Family::new_with_constructor(seconds),
            policies: Family::default(),
            remembered: Counter::default(),
            verified: Counter::default(),
            timeouts: Counter::default(),
        };
        metrics.register();
        metrics
    }
}

impl AdmissionMetrics {
    /// Notes an answer and how long it took.
    pub fn answered(&self, request: Request, verdict: Answered, took: Duration) {
        self.admissions.get_or_create(&AdmissionLabels { request, verdict }).inc();
        self.duration.get_or_create(&RequestLabel { request }).observe(took.as_secs_f64());
    }

    /// The exposition text of Prometheus.
    pub fn text(&self) -> String {
        super::exposition(&self.registry)
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("hallmark_admissions", "Answers to the API server", self.admissions.clone());
        registry.register(
            "hallmark_admission_duration_seconds",
            "Time that answers took",
            self.duration.clone(),
        );
        registry.register(
            "hallmark_admission_policies",
            "What policies said, once for each image that they govern",
            self.policies.clone(),
        );
        registry.register(
            "hallmark_admission_verdicts_remembered",
            "Verdicts of policies that were known already",
            self.remembered.clone(),
        );
        registry.register(
            "hallmark_admission_verdicts_verified",
            "Verdicts of policies that were come to anew",
            self.verified.clone(),
        );
        registry.register(
            "hallmark_admission_timeouts",
            "Policies that could not be asked in time, for the most part because a registry did not answer",
            self.timeouts.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_question_and_verdict() {
        let metrics = AdmissionMetrics::default();
        metrics.answered(Request::validate, Answered::denied, Duration::from_millis(2));
        metrics.policies.get_or_create(&PolicyLabels { mode: "warn", verdict: "refused" }).inc();
        metrics.timeouts.inc();
        let text = metrics.text();
        for line in [
            "hallmark_admissions_total{request=\"validate\",verdict=\"denied\"} 1",
            "hallmark_admission_duration_seconds_bucket{le=\"0.0025\",request=\"validate\"} 1",
            "hallmark_admission_policies_total{mode=\"warn\",verdict=\"refused\"} 1",
            "hallmark_admission_timeouts_total 1",
            "hallmark_admission_verdicts_remembered_total 0",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
