//! What is told about a version of the ConfigMap `chains-config`: one Event on it, whoever else tells the same.
//! Findings hold no secret. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use crate::config::{Finding, Parsed};

/// The API server takes 1,024 bytes.
const LONGEST: usize = 1024;

/// One Event.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::controller) struct Notice {
    /// `Warning` or `Normal`.
    pub severity: &'static str,
    pub reason: &'static str,
    pub message: String,
}

/// What has to be told about a ConfigMap, if anything: everything that is wrong with it, as far as there is room.
pub(in crate::controller) fn notice(parsed: &Parsed) -> Option<Notice> {
    let (reason, opening, findings) = match &parsed.config {
        Err(errors) => ("ConfigRefused", "refused, what was in force stays so: ", errors.clone()),
        Ok(config) => {
            let findings = [parsed.warnings.clone(), config.unsupported()].concat();
            ("ConfigWarning", "in force, but ", findings)
        }
    };
    let message = format!("{opening}{}", listed(&findings, LONGEST - opening.len())?);
    Some(Notice { severity: "Warning", reason, message })
}

/// As many findings as fit, and how many do not.
fn listed(findings: &[Finding], room: usize) -> Option<String> {
    let mut text = findings.first()?.to_string();
    let mut left = findings.len() - 1;
    for finding in findings.iter().skip(1) {
        let longer = format!("{text}; {finding}");
        if longer.len() + " (and 9999 more)".len() > room {
            break;
        }
        (text, left) = (longer, left - 1);
    }
    let more = if left > 0 { format!(" (and {left} more)") } else { String::new() };
    let end = text.floor_char_boundary(room.saturating_sub(more.len()));
    Some(format!("{}{more}", text.get(..end).unwrap_or_default()))
}

impl Notice {
    /// The Event. All replicas give it the same name for one version of the map, so that it exists once.
    pub(in crate::controller) fn event(self, map: &ConfigMap, now: Timestamp) -> Event {
        let metadata = map.metadata.clone();
        let name = metadata.name.clone().unwrap_or_default();
        let version = metadata.resource_version.unwrap_or_default();
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{version}")),
                namespace: metadata.namespace.clone(),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("ConfigMap".to_owned()),
                namespace: metadata.namespace,
                name: metadata.name,
                uid: metadata.uid,
                ..ObjectReference::default()
            },
            type_: Some(self.severity.to_owned()),
            reason: Some(self.reason.to_owned()),
            message: Some(self.message),
            source: Some(EventSource { component: Some("hallmark".to_owned()), host: None }),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            count: Some(1),
            ..Event::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Config;

    fn told(pairs: &[(&str, &str)]) -> Option<Notice> {
        let data = pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        notice(&Config::parse(&data))
    }

    #[test]
    fn nothing_is_told_about_a_good_map() {
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[("artifacts.taskrun.storage", "oci"), ("_example", "text")]), None);
    }

    #[test]
    fn warnings_name_the_suggestion_and_the_value_in_effect() {
        let notice =
            told(&[("artifacts.oci.storge", "tekton"), ("storage.oci.repository.insecure", "ture")]).unwrap();
        assert_eq!(notice.reason, "ConfigWarning");
        for text in
            ["did you mean \"artifacts.oci.storage\"?", "In effect is \"oci\"", "in effect is \"false\""]
        {
            assert!(notice.message.contains(text), "{text:?} is not in {}", notice.message);
        }
    }

    #[test]
    fn a_refused_map_is_told_with_every_mistake() {
        let notice = told(&[("artifacts.oci.storage", "ocl"), ("artifacts.taskrun.signer", "x")]).unwrap();
        assert_eq!(notice.reason, "ConfigRefused");
        assert!(
            notice.message.contains("artifacts.oci.storage") && notice.message.contains("taskrun.signer")
        );
    }

    #[test]
    fn what_is_not_in_this_build_is_told_too_and_no_secret_is() {
        let kms = [("artifacts.oci.signer", "kms"), ("signers.kms.kmsref", "foo://key")];
        let secrets = [("signers.kms.auth.token", "canary"), ("storage.docdb.mongo-server-url", "canary")];
        let notice = told(&[kms, secrets].concat()).unwrap();
        assert!(notice.message.contains("not in this build") && !notice.message.contains("canary"));
    }

    #[test]
    fn a_hostile_map_makes_an_event_that_the_api_server_takes() {
        let data: BTreeMap<_, _> = (0..4000).map(|i| (format!("ключ{i}"), "é".repeat(100))).collect();
        let message = notice(&Config::parse(&data)).unwrap().message;
        assert!(message.len() <= LONGEST && message.ends_with(" more)"), "{message}");
    }

    #[test]
    fn every_replica_gives_the_event_of_one_version_the_same_name() {
        let map: ConfigMap = serde_json::from_value(serde_json::json!({"metadata": {"name": "chains-config",
            "namespace": "tekton-chains", "uid": "u", "resourceVersion": "42"}}))
        .unwrap();
        let event = told(&[("a", "b")]).unwrap().event(&map, Timestamp::UNIX_EPOCH);
        assert_eq!(event.metadata.name.as_deref(), Some("chains-config.42"));
        assert_eq!(event.involved_object.uid.as_deref(), Some("u"));
    }
}
