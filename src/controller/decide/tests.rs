//! Every decision with the run, the configuration and the time that lead to it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-01-01T12:00:00Z";

fn decided(run: Value, config: &[(&str, &str)], namespaces: &[&str]) -> Decision {
    let data: BTreeMap<String, String> =
        config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let head: RunHead = serde_json::from_value(run).unwrap();
    let namespaces: Vec<String> = namespaces.iter().map(|name| (*name).to_owned()).collect();
    decide(&head, &Config::parse(&data).config.unwrap(), &namespaces, NOW.parse().unwrap())
}

fn run(mut metadata: Value, succeeded: &str) -> Value {
    metadata["namespace"] = "ci".into();
    json!({"metadata": metadata, "status": {"completionTime": "2026-01-01T11:59:00Z",
        "conditions": [{"type": "Succeeded", "status": succeeded}]}})
}

fn marked(value: &str) -> Value {
    json!({"annotations": {"chains.tekton.dev/signed": value}})
}

fn deleted(since: &str, mut metadata: Value) -> Value {
    metadata["deletionTimestamp"] = since.into();
    metadata["finalizers"] = json!(["chains.tekton.dev/taskrun"]);
    metadata
}

#[test]
fn a_run_that_ended_is_signed_whether_it_succeeded_or_not() {
    for succeeded in ["True", "False"] {
        assert_eq!(decided(run(json!({}), succeeded), &[], &[]), Decision::Sign);
    }
}

#[test]
fn failed_runs_are_skipped_where_only_successful_ones_are_wanted() {
    let config = [("selection.outcomes", "succeeded")];
    assert_eq!(decided(run(json!({}), "False"), &config, &[]), Decision::Skip(Reason::Failure));
    assert_eq!(decided(run(json!({}), "True"), &config, &[]), Decision::Sign);
}

#[test]
fn a_running_run_is_held_once_and_never_where_finalizers_are_off() {
    assert_eq!(decided(run(json!({}), "Unknown"), &[], &[]), Decision::Hold);
    let held = json!({"finalizers": ["chains.tekton.dev/taskrun"]});
    assert_eq!(decided(run(held, "Unknown"), &[], &[]), Decision::Ignore(Reason::Running));
    let never = [("signing.finalizers", "never")];
    assert_eq!(decided(run(json!({}), "Unknown"), &never, &[]), Decision::Ignore(Reason::Running));
}

#[test]
fn marked_runs_foreign_runs_and_runs_elsewhere_are_left_alone() {
    for mark in ["true", "failed"] {
        assert_eq!(decided(run(marked(mark), "True"), &[], &[]), Decision::Ignore(Reason::Marked));
    }
    assert_eq!(decided(run(json!({}), "True"), &[], &["other"]), Decision::Ignore(Reason::Namespace));
    assert_eq!(decided(run(json!({}), "True"), &[], &["other", "ci"]), Decision::Sign);
    let mut foreign = run(json!({}), "True");
    foreign["spec"] = json!({"managedBy": "somebody.else/controller"});
    assert_eq!(decided(foreign.clone(), &[], &[]), Decision::Ignore(Reason::ManagedBy));
    let ours = [("filter.managed-by", "somebody.else/controller")];
    assert_eq!(decided(foreign, &ours, &[]), Decision::Sign);
}

#[test]
fn owners_skip_runs_and_operators_leave_old_ones_alone() {
    let skip = json!({"annotations": {"chains.tekton.dev/skip": "true"}});
    assert_eq!(decided(run(skip, "True"), &[], &[]), Decision::Skip(Reason::SkipAnnotation));
    let (old, young) = ([("selection.max-age", "30s")], [("selection.max-age", "5m")]);
    assert_eq!(decided(run(json!({}), "True"), &old, &[]), Decision::Ignore(Reason::Age));
    assert_eq!(decided(run(json!({}), "True"), &young, &[]), Decision::Sign);
}

#[test]
fn a_deletion_waits_a_minute_for_a_signature_and_for_nothing_else() {
    let (just_now, long_ago) = ("2026-01-01T11:59:30Z", "2026-01-01T11:58:00Z");
    assert_eq!(decided(run(deleted(just_now, json!({})), "True"), &[], &[]), Decision::Sign);
    assert_eq!(decided(run(deleted(long_ago, json!({})), "True"), &[], &[]), Decision::Abandon);
    assert_eq!(decided(run(deleted(just_now, json!({})), "Unknown"), &[], &[]), Decision::Release);
    assert_eq!(decided(run(deleted(just_now, marked("true")), "True"), &[], &[]), Decision::Release);
}
