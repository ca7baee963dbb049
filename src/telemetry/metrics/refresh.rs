//! Metrics of the pull-secret updater (credentials specification §6.7). No label has a token or an identity; names of
//! Secrets are those that are kept fresh, and go when they do.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Labels of exchanges.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ExchangeLabel {
    /// As the operator named it.
    pub provider: String,
    /// `Ready`, or the reason of the failure.
    pub result: &'static str,
}

/// Labels of Secrets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SecretLabel {
    /// Namespace.
    pub ns: String,
    /// Name.
    pub name: String,
}

/// See the module.
pub struct RefreshMetrics {
    /// Exchanges.
    pub exchanges: Family<ExchangeLabel, Counter>,
    /// Seconds that an exchange took.
    pub duration: Histogram,
    /// When the token of a Secret ends.
    pub expiry: Family<SecretLabel, Gauge<i64, AtomicI64>>,
    /// Whether the token of a Secret has ended.
    pub expired: Family<SecretLabel, Gauge>,
}

impl Default for RefreshMetrics {
    fn default() -> Self {
        Self {
            exchanges: Family::default(),
            duration: Histogram::new([0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0]),
            expiry: Family::default(),
            expired: Family::default(),
        }
    }
}

impl RefreshMetrics {
    /// Declares them.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("hallmark_exchanges", "Exchanges for registry tokens", self.exchanges.clone());
        registry.register(
            "hallmark_exchange_duration_seconds",
            "Time that exchanges took",
            self.duration.clone(),
        );
        registry.register(
            "hallmark_secret_expiry_timestamp_seconds",
            "When the token of a pull secret ends",
            self.expiry.clone(),
        );
        registry.register(
            "hallmark_pull_secret_expired",
            "Pull secrets whose token has ended and could not be replaced",
            self.expired.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn secrets_and_exchanges_are_counted_by_name() {
        let metrics = Metrics::default();
        let label = SecretLabel { ns: "team".into(), name: "pull-secret".into() };
        metrics.refresh.expiry.get_or_create(&label).set(1_700_000_000);
        metrics.refresh.expired.get_or_create(&label).set(1);
        let exchange = ExchangeLabel { provider: "chainguard".into(), result: "ExchangeDenied" };
        metrics.refresh.exchanges.get_or_create(&exchange).inc();
        let text = metrics.text();
        for line in [
            "hallmark_secret_expiry_timestamp_seconds{ns=\"team\",name=\"pull-secret\"} 1700000000",
            "hallmark_pull_secret_expired{ns=\"team\",name=\"pull-secret\"} 1",
            "hallmark_exchanges_total{provider=\"chainguard\",result=\"ExchangeDenied\"} 1",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
