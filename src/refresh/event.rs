//! Kubernetes Events on a Secret: the place where its owner looks. One of a reason about a Secret every ten minutes
//! at most; a failure to publish is logged and changes nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::PostParams;
use kube::{Api, Client};

use super::agenda::Name;
use super::reason::Reason;
use crate::error::chain;

const REPEAT_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// The API server takes 1,024 bytes.
const LONGEST: usize = 1000;
/// Events that are remembered so as not to be repeated.
const REMEMBERED: usize = 4096;

/// Publishes Events.
pub(super) struct Events {
    client: Client,
    published: Mutex<HashMap<(String, Reason), Timestamp>>,
}

impl Events {
    /// With the client of the updater.
    pub(super) fn new(client: Client) -> Self {
        Self { client, published: Mutex::default() }
    }

    /// Publishes what happened to the Secret with this uid.
    pub(super) async fn publish(&self, name: &Name, uid: &str, reason: Reason, text: &str, now: Timestamp) {
        if !is_new(&mut self.published.lock().unwrap_or_else(PoisonError::into_inner), uid, reason, now) {
            return;
        }
        let event = event(name, uid, reason, text, now);
        let api = Api::<Event>::namespaced(self.client.clone(), &name.namespace);
        if let Err(error) = api.create(&PostParams::default(), &event).await {
            tracing::warn!(namespace = name.namespace, error = %chain(&error), "cannot publish an Event");
        }
    }
}

fn is_new(
    published: &mut HashMap<(String, Reason), Timestamp>,
    uid: &str,
    reason: Reason,
    now: Timestamp,
) -> bool {
    if published.len() >= REMEMBERED {
        published.retain(|_, at| now.duration_since(*at) < REPEAT_AFTER);
    }
    if published.len() >= REMEMBERED {
        published.clear();
    }
    let key = (uid.to_owned(), reason);
    let known = published.get(&key).is_some_and(|at| now.duration_since(*at) < REPEAT_AFTER);
    if !known {
        published.insert(key, now);
    }
    !known
}

fn event(name: &Name, uid: &str, reason: Reason, text: &str, now: Timestamp) -> Event {
    let end = text.floor_char_boundary(LONGEST);
    let kind = if reason == Reason::Ready { "Normal" } else { "Warning" };
    Event {
        metadata: ObjectMeta {
            // Unique without a random number: one Secret has no two Events within a nanosecond.
            name: Some(format!("{}.{:x}", name.name, now.as_nanosecond())),
            namespace: Some(name.namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Secret".to_owned()),
            namespace: Some(name.namespace.clone()),
            name: Some(name.name.clone()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        },
        type_: Some(kind.to_owned()),
        reason: Some(reason.to_string()),
        message: Some(text.get(..end).unwrap_or_default().to_owned()),
        source: Some(EventSource { component: Some("hallmark-refresh".to_owned()), host: None }),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_reason_about_the_same_secret_is_told_every_ten_minutes() {
        let mut published = HashMap::new();
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let mut told =
            |uid, reason, after| is_new(&mut published, uid, reason, now + SignedDuration::from_secs(after));
        assert!(told("u", Reason::ExchangeDenied, 0) && !told("u", Reason::ExchangeDenied, 599));
        assert!(told("u", Reason::Expired, 1) && told("v", Reason::ExchangeDenied, 1));
        assert!(told("u", Reason::ExchangeDenied, 600));
    }

    #[test]
    fn an_event_is_a_warning_unless_all_is_well_and_never_too_long() {
        let name = Name { namespace: "ns".into(), name: "pull-secret".into() };
        let of = |reason| event(&name, "u", reason, &"é".repeat(900), Timestamp::UNIX_EPOCH);
        assert_eq!(of(Reason::Ready).type_.as_deref(), Some("Normal"));
        let warning = of(Reason::Expired);
        assert_eq!((warning.type_.as_deref(), warning.reason.as_deref()), (Some("Warning"), Some("Expired")));
        assert!(warning.message.unwrap().len() <= LONGEST);
    }
}
