//! The ConfigMaps beside `chains-config` that installations of Chains have (specification §1.2): the level of the log
//! is followed live, what else they set has no effect here, and that is said once for each version.
//!
//! Must not: keep anything from working. Each of them may be missing, unreadable or nonsense.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Event};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::runs::said;
use super::settings::notice::Notice;
use crate::telemetry;

/// A change of the level counts within this time.
const EVERY: Duration = Duration::from_secs(5);

type Entries = BTreeMap<String, String>;

/// Their names.
#[derive(Debug, Clone)]
pub struct Companions {
    /// `config-logging`.
    pub logging: String,
    /// `tekton-chains-config-leader-election`.
    pub leader_election: String,
    /// `tekton-chains-config-observability`.
    pub observability: String,
}

/// What a map is about.
#[derive(Clone, Copy)]
enum Subject {
    Logging,
    LeaderElection,
    Observability,
}

/// Follows them until `stop`.
pub(super) async fn follow(client: Client, namespace: String, names: Companions, stop: CancellationToken) {
    let maps = [
        (Subject::Logging, names.logging),
        (Subject::LeaderElection, names.leader_election),
        (Subject::Observability, names.observability),
    ];
    let api = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
    let events = Api::<Event>::namespaced(client, &namespace);
    let mut seen: BTreeMap<String, Option<Entries>> = BTreeMap::new();
    loop {
        for (subject, name) in &maps {
            let mut map = match api.get_opt(name).await {
                Ok(map) => map.unwrap_or_default(),
                Err(error) => {
                    tracing::debug!(error = said(&error), "cannot read ConfigMap {namespace}/{name}");
                    continue;
                }
            };
            let entries = map.data.take();
            if seen.get(name) == Some(&entries) {
                continue;
            }
            let notice = take_up(*subject, &entries.clone().unwrap_or_default());
            seen.insert(name.clone(), entries);
            let Some(notice) = notice else { continue };
            tracing::info!("ConfigMap {namespace}/{name}: {}", notice.message);
            // Refused where another replica has told it.
            let _ = events.create(&PostParams::default(), &notice.event(&map, Timestamp::now())).await;
        }
        tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(EVERY) => {} }
    }
}

fn take_up(subject: Subject, entries: &Entries) -> Option<Notice> {
    match subject {
        Subject::Logging => match level(entries) {
            Ok(level) => {
                telemetry::follow_level(level);
                None
            }
            Err(wrong) => Some(Notice { severity: "Warning", reason: "LoggingConfig", message: wrong }),
        },
        Subject::LeaderElection => {
            let own =
                "replicas share the work by Leases of their own, renewed every 2 s and given up after 10 s";
            unused(entries, |_, _| true, "LeaderElectionUnused", own)
        }
        Subject::Observability => {
            let own =
                "metrics are served for Prometheus on port 9090, and there are neither traces nor profiles";
            unused(entries, |key, value| !as_it_is(key, value), "ObservabilityUnused", own)
        }
    }
}

/// The filter that a map sets, nothing for the default; or what is wrong with it.
fn level(entries: &Entries) -> Result<Option<&'static str>, String> {
    let text = |key: &str| entries.get(key).map(|text| text.trim()).filter(|text| !text.is_empty());
    if let Some(level) = text("loglevel.watcher") {
        return filter(level).map(Some).ok_or_else(|| unknown("loglevel.watcher", level));
    }
    let Some(json) = text("zap-logger-config") else { return Ok(None) };
    let config: Value = serde_json::from_str(json)
        .map_err(|_| "zap-logger-config is not JSON; the level of the log stays as it is".to_owned())?;
    match config.get("level").and_then(Value::as_str) {
        Some(level) => filter(level).map(Some).ok_or_else(|| unknown("zap-logger-config", level)),
        None => Ok(None),
    }
}

fn unknown(key: &str, level: &str) -> String {
    let level: String = level.chars().take(32).collect();
    format!(
        "{key}: {level:?} is no level: write debug, info, warn or error; the level of the log stays as it is"
    )
}

/// The words of zap; libraries stay at `info`, since they drown everything else below it.
fn filter(level: &str) -> Option<&'static str> {
    match level.to_ascii_lowercase().as_str() {
        "debug" => Some("info,hallmark=debug"),
        "info" => Some("info"),
        "warn" => Some("warn"),
        "error" | "dpanic" | "panic" | "fatal" => Some("error"),
        _ => None,
    }
}

/// Settings of Chains that ask for what is done anyway.
fn as_it_is(key: &str, value: &str) -> bool {
    matches!(
        (key, value),
        (_, "")
            | ("metrics-protocol", "prometheus")
            | ("tracing-protocol", "none")
            | ("runtime-profiling", "disabled")
            | ("metrics-endpoint", ":9090" | "0.0.0.0:9090")
    )
}

/// Tells which entries have no effect; examples and comments are none.
fn unused(
    entries: &Entries,
    is_unused: impl Fn(&str, &str) -> bool,
    reason: &'static str,
    own: &str,
) -> Option<Notice> {
    const SHOWN: usize = 10;
    let keys: Vec<&str> = entries
        .iter()
        .filter(|(key, value)| !key.starts_with('_') && is_unused(key, value.trim()))
        .map(|(key, _)| key.as_str())
        .collect();
    let shown = keys.iter().take(SHOWN).map(|key| key.chars().take(64).collect::<String>());
    let shown = shown.collect::<Vec<_>>().join(", ");
    let more = if keys.len() > SHOWN { ", …" } else { "" };
    let message = format!("without effect: {shown}{more}; {own}");
    (!keys.is_empty()).then_some(Notice { severity: "Normal", reason, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> Entries {
        pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn the_level_is_that_of_the_watcher_then_that_of_the_logger() {
        let json = r#"{"level": "warn", "encoding": "json"}"#;
        for (entries, expected) in [
            (map(&[]), None),
            (map(&[("_example", "loglevel.watcher: debug")]), None),
            (map(&[("zap-logger-config", json)]), Some("warn")),
            (map(&[("zap-logger-config", json), ("loglevel.watcher", "debug")]), Some("info,hallmark=debug")),
            (map(&[("zap-logger-config", "{}"), ("loglevel.controller", "debug")]), None),
            (map(&[("loglevel.watcher", " fatal\n")]), Some("error")),
        ] {
            assert_eq!(level(&entries).unwrap(), expected, "{entries:?}");
        }
    }

    #[test]
    fn a_level_that_is_none_is_told_with_the_words_that_are() {
        for entries in [
            map(&[("loglevel.watcher", "loud")]),
            map(&[("zap-logger-config", "level: info")]),
            map(&[("zap-logger-config", r#"{"level": "loud"}"#)]),
        ] {
            let notice = take_up(Subject::Logging, &entries).unwrap();
            assert!(notice.message.contains("stays as it is"), "{}", notice.message);
            assert_eq!(notice.severity, "Warning");
        }
        let long = "x".repeat(1 << 20);
        assert!(take_up(Subject::Logging, &map(&[("loglevel.watcher", &long)])).unwrap().message.len() < 300);
    }

    #[test]
    fn the_durations_of_leader_election_are_reported_as_unused() {
        let shipped = map(&[
            ("lease-duration", "60s"),
            ("renew-deadline", "40s"),
            ("retry-period", "10s"),
            ("buckets", "1"),
            ("_example", "…"),
        ]);
        let notice = take_up(Subject::LeaderElection, &shipped).unwrap();
        assert_eq!((notice.severity, notice.reason), ("Normal", "LeaderElectionUnused"));
        assert!(
            notice
                .message
                .starts_with("without effect: buckets, lease-duration, renew-deadline, retry-period; ")
        );
        assert_eq!(take_up(Subject::LeaderElection, &map(&[("_example", "…")])), None);
    }

    #[test]
    fn of_observability_only_what_is_not_so_anyway_is_reported() {
        let shipped = map(&[
            ("metrics-protocol", "prometheus"),
            ("tracing-protocol", "none"),
            ("runtime-profiling", "disabled"),
            ("_example", "…"),
        ]);
        assert_eq!(take_up(Subject::Observability, &shipped), None);
        let asked = map(&[
            ("metrics-protocol", "grpc"),
            ("metrics-endpoint", "otel:4317"),
            ("tracing-protocol", "none"),
        ]);
        let notice = take_up(Subject::Observability, &asked).unwrap();
        assert!(
            notice
                .message
                .starts_with("without effect: metrics-endpoint, metrics-protocol; metrics are served")
        );
    }

    #[test]
    fn a_hostile_map_makes_a_short_message() {
        let many: Entries = (0..4000).map(|i| (format!("{i}{}", "é".repeat(300)), "x".to_owned())).collect();
        assert!(take_up(Subject::LeaderElection, &many).unwrap().message.len() < 1024 + 512);
    }
}
