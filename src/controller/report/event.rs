//! Kubernetes Events on a run: the place where its owner looks. The same message about the same run is published
//! at most every ten minutes; a failure to publish is logged and changes nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::PostParams;
use kube::{Api, Client};

use super::super::runs::said;
use crate::error::{capital, shortened};
use crate::tekton::head::RunKey;

/// The API server takes 1,024 bytes.
const LONGEST: usize = 1024;
const REPEAT_AFTER: Duration = Duration::from_mins(10);
/// Messages that are remembered so as not to be repeated.
const REMEMBERED: usize = 2048;

/// What an Event asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// To be read.
    Normal,
    /// To be acted on.
    Warning,
}

impl Severity {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

pub(super) struct Events {
    client: Client,
    published: Mutex<HashMap<(String, String), Instant>>,
}

impl Events {
    pub(super) fn new(client: Client) -> Self {
        Self { client, published: Mutex::default() }
    }

    /// Publishes `what` happened and what comes `next`: a remedy is never cut, and one that only names another time
    /// makes no new Event.
    pub(super) async fn publish(&self, run: &RunKey, reason: &str, what: &str, next: &str) {
        self.publish_as(Severity::Warning, run, reason, what, next).await;
    }

    /// The same, for what is not always a mistake.
    pub(super) async fn publish_as(
        &self,
        severity: Severity,
        run: &RunKey,
        reason: &str,
        what: &str,
        next: &str,
    ) {
        if !self.is_new(run, what) {
            return;
        }
        let event = Event {
            type_: Some(severity.as_str().to_owned()),
            ..event(run, reason, message(what, next), Timestamp::now())
        };
        let api = Api::<Event>::namespaced(self.client.clone(), &run.namespace);
        if let Err(error) = api.create(&PostParams::default(), &event).await {
            tracing::warn!(%run, error = said(&error), "cannot publish an Event");
        }
    }

    fn is_new(&self, run: &RunKey, message: &str) -> bool {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if published.len() >= REMEMBERED {
            published.retain(|_, at| now - *at < REPEAT_AFTER);
        }
        if published.len() >= REMEMBERED {
            published.clear();
        }
        let key = (run.uid.clone(), message.to_owned());
        match published.get(&key) {
            Some(at) if now - *at < REPEAT_AFTER => false,
            _ => {
                published.insert(key, now);
                true
            }
        }
    }
}

fn message(what: &str, next: &str) -> String {
    // What servers say ends with a full stop at times.
    let what = what.trim_end_matches('.');
    let next = if next.is_empty() { String::new() } else { format!(". {}", capital(next)) };
    format!("{}{next}", shortened(what, LONGEST.saturating_sub(next.len())))
}

fn event(run: &RunKey, reason: &str, message: String, now: Timestamp) -> Event {
    let time = Time(now);
    Event {
        metadata: ObjectMeta {
            // Unique without a random number: one run cannot publish twice within a nanosecond.
            name: Some(format!("{}.{:x}", run.name, now.as_nanosecond())),
            namespace: Some(run.namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("tekton.dev/v1".to_owned()),
            kind: Some(run.kind.as_str().to_owned()),
            namespace: Some(run.namespace.clone()),
            name: Some(run.name.clone()),
            uid: Some(run.uid.clone()),
            ..ObjectReference::default()
        },
        reason: Some(reason.to_owned()),
        message: Some(message),
        source: Some(EventSource { component: Some("hallmark".to_owned()), host: None }),
        first_timestamp: Some(time.clone()),
        last_timestamp: Some(time),
        count: Some(1),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let cut = message(&"é".repeat(1000), "");
        assert!(cut.len() <= LONGEST && cut.ends_with("é…"));
    }

    #[test]
    fn a_remedy_is_never_cut() {
        let cut = message(&"x".repeat(2000), "Add a secret.");
        assert!(cut.len() == LONGEST && cut.ends_with("x…. Add a secret."), "{cut}");
        assert_eq!(message("It failed", "Mend it."), "It failed. Mend it.");
    }
}
