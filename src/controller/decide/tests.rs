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
        let mut held = marked(mark);
        held["finalizers"] = json!(["chains.tekton.dev/taskrun"]);
        assert_eq!(decided(run(held, "True"), &[], &[]), Decision::LetGo);
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
fn runs_without_the_selected_labels_are_left_alone_and_never_held() {
    let config = [("selection.label-selector", "team in (a, b),!draft")];
    let with = |labels: Value, succeeded| run(json!({"labels": labels}), succeeded);
    assert_eq!(decided(with(json!({"team": "a"}), "True"), &config, &[]), Decision::Sign);
    let others = [json!({}), json!({"team": "c"}), json!({"team": "a", "draft": ""})];
    for (labels, succeeded) in others.iter().flat_map(|labels| [(labels, "True"), (labels, "Unknown")]) {
        let run = with(labels.clone(), succeeded);
        assert_eq!(decided(run, &config, &[]), Decision::Ignore(Reason::Labels), "{labels}");
    }
    for metadata in [json!({"finalizers": ["chains.tekton.dev/taskrun"]}), deleted(NOW, json!({}))] {
        let run = run(metadata, "True");
        assert_eq!(decided(run, &config, &[]), Decision::LetGoOnce, "it was selected before");
    }
}

#[test]
fn a_deletion_waits_a_minute_for_a_signature_and_for_nothing_else() {
    let (just_now, long_ago) = ("2026-01-01T11:59:30Z", "2026-01-01T11:58:00Z");
    assert_eq!(decided(run(deleted(just_now, json!({})), "True"), &[], &[]), Decision::Sign);
    assert_eq!(decided(run(deleted(long_ago, json!({})), "True"), &[], &[]), Decision::Abandon);
    assert_eq!(decided(run(deleted(just_now, json!({})), "Unknown"), &[], &[]), Decision::Release);
    assert_eq!(decided(run(deleted(just_now, marked("true")), "True"), &[], &[]), Decision::Release);
}

fn patient(completed_at: Option<&str>, deleted_at: Option<&str>) -> Patience {
    let head =
        json!({"metadata": {"deletionTimestamp": deleted_at}, "status": {"completionTime": completed_at}});
    patience(&serde_json::from_value(head).unwrap(), NOW.parse().unwrap())
}

fn wait(seconds: u64, tell: bool) -> Patience {
    Patience::Wait { at_most: Duration::from_secs(seconds), tell }
}

#[test]
fn a_pipeline_run_waits_for_its_task_runs_in_silence_then_says_so_then_goes_on_without() {
    for (completed_at, expected) in [
        ("2026-01-01T12:00:00Z", wait(10, false)),
        ("2026-01-01T11:59:51Z", wait(1, false)),
        ("2026-01-01T11:59:50Z", wait(3590, true)),
        ("2026-01-01T11:00:01Z", wait(1, true)),
        ("2026-01-01T11:00:00Z", Patience::Over),
        ("2020-01-01T11:00:00Z", Patience::Over),
        ("2026-01-01T12:05:00Z", wait(10, false)),
    ] {
        assert_eq!(patient(Some(completed_at), None), expected, "{completed_at}");
    }
    assert_eq!(patient(None, None), wait(3600, true), "nobody knows since when");
}

#[test]
fn a_deletion_leaves_time_to_sign_what_is_known() {
    let completed = Some("2026-01-01T11:00:00Z");
    assert_eq!(patient(completed, Some("2026-01-01T11:59:45Z")), wait(15, true));
    assert_eq!(patient(completed, Some("2026-01-01T11:59:30Z")), Patience::Over);
}
