//! The report as programs and people get it (credentials specification §1.7).

use super::*;
use crate::credential::{Entry, Key, Location, Login, ProblemCode, SecretRef, Source};

fn secret(name: &str) -> Location {
    Location::Secret(SecretRef {
        namespace: "ci".into(),
        name: name.into(),
        uid: "u".into(),
        resource_version: "1".into(),
    })
}

fn entry(source: Source, name: &str, key: &str, credential: Credential) -> Entry {
    Entry { source, location: secret(name), key: Key::parse(key).unwrap(), credential: Arc::new(credential) }
}

fn basic(username: &str) -> Credential {
    Credential::Basic(Login { username: username.into(), password: "canary".into() })
}

fn push(target: &str) -> Target {
    Target { repository: Repository::parse(target).unwrap(), operation: Operation::Push }
}

fn report(keychain: &Keychain, target: &Target) -> CredentialReport {
    CredentialReport::new(keychain, target, &keychain.candidates(&target.repository))
}

/// The keychain behind the example of §1.7; the specification leaves out the anonymous candidate.
fn example() -> CredentialReport {
    let keychain = Keychain {
        entries: vec![
            entry(Source::PodImagePullSecrets, "pull-ro", "gcr.io", basic("ro")),
            entry(Source::ServiceAccountSecrets, "push-rw", "gcr.io", basic("rw")),
        ],
        problems: vec![Problem {
            source: Source::ServiceAccountSecrets,
            location: secret("old"),
            code: ProblemCode::MalformedAuth,
            detail: r#"entry "quay.io": auth is not base64(user:password)"#.into(),
        }],
        ..Keychain::default()
    };
    let target = push("gcr.io/p/app");
    let mut candidates = keychain.candidates(&target.repository);
    candidates.pop();
    let mut report = CredentialReport::new(&keychain, &target, &candidates);
    report.record(1, Outcome::Denied, Some(403), Some("DENIED".into()));
    report.record(2, Outcome::Used, None, None);
    report
}

#[test]
fn the_json_is_that_of_the_specification() {
    let expected: serde_json::Value = serde_json::from_str(
        r#"{"target":{"registry":"gcr.io","repository":"p/app","operation":"push"},
 "selected":2,
 "candidates":[
  {"n":1,"source":"pod.imagePullSecrets","secret":"ci/pull-ro","entry":"gcr.io","kind":"basic","outcome":"denied","status":403,"code":"DENIED"},
  {"n":2,"source":"serviceAccount.secrets","secret":"ci/push-rw","entry":"gcr.io","kind":"basic","outcome":"used"}],
 "problems":[{"source":"serviceAccount.secrets","secret":"ci/old","code":"MalformedAuth","detail":"entry \"quay.io\": auth is not base64(user:password)"}]}"#,
    )
    .unwrap();
    assert_eq!(serde_json::to_value(example()).unwrap(), expected);
}

#[test]
fn the_fields_keep_their_order() {
    let json = serde_json::to_string(&example()).unwrap();
    assert!(json.starts_with(r#"{"target":{"registry":"gcr.io","repository":"p/app","operation":"push"},"selected":2,"candidates":[{"n":1,"source":"#), "{json}");
}

#[test]
fn people_read_the_same_as_lines() {
    assert_eq!(
        example().to_string(),
        "push gcr.io/p/app: credential 2 of 2 was used
  1. pod.imagePullSecrets ci/pull-ro (gcr.io), basic: denied (403 DENIED)
  2. serviceAccount.secrets ci/push-rw (gcr.io), basic: used
  problem: serviceAccount.secrets, secret ci/old: MalformedAuth: entry \"quay.io\": auth is not base64(user:password)"
    );
}

#[test]
fn the_annotation_names_the_credential_that_was_used() {
    assert_eq!(example().annotation().as_deref(), Some("serviceAccount.secrets ci/push-rw (gcr.io)"));
    let mut denied_later = example();
    denied_later.record(2, Outcome::Denied, Some(403), None);
    assert_eq!(
        denied_later.annotation(),
        None,
        "a candidate that lost its right is no longer the selected one"
    );
}

#[test]
fn a_code_that_is_a_text_in_disguise_is_left_out() {
    let mut report = example();
    for code in ["see https://x/?token=canary", "eyJhbGciOiJFUzI1NiJ9eyJzdWIiOiJ4In0canary", "a\nb"] {
        report.record(1, Outcome::Denied, Some(403), Some(code.into()));
        assert!(report.to_string().contains("denied (403)\n"), "{report}");
    }
}

#[test]
fn when_nothing_matched_the_report_says_what_was_looked_at_and_why_not() {
    let mut keychain = Keychain {
        entries: vec![
            entry(Source::ServiceAccountSecrets, "hub", "docker.io", basic("u")),
            entry(Source::ServiceAccountSecrets, "ghcr", "ghcr.io/other", basic("u")),
        ],
        ..Keychain::default()
    };
    keychain.looked_at =
        vec![(Source::ServiceAccountImagePullSecrets, Location::ServiceAccount("ci/release".into()))];
    let report = report(&keychain, &push("ghcr.io/org/app"));
    assert_eq!(
        report.to_string(),
        "push ghcr.io/org/app: no credential matches, only anonymous access is left
  1. anonymous: not-tried
  looked at serviceAccount.imagePullSecrets: service account ci/release has entries []; target is ghcr.io
  looked at serviceAccount.secrets: secret ci/hub has entries [docker.io]; target is ghcr.io
  looked at serviceAccount.secrets: secret ci/ghcr has entries [ghcr.io/other]; target is ghcr.io/org/app"
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["unmatched"].as_array().map(Vec::len), Some(3));
    assert_eq!(json["selected"], serde_json::Value::Null);
}

#[test]
fn a_place_with_many_entries_is_summarized() {
    let entries = (0..25)
        .map(|n| entry(Source::ServiceAccountSecrets, "many", &format!("r{n}.example.com"), basic("u")))
        .collect();
    let text = report(&Keychain { entries, ..Keychain::default() }, &push("ghcr.io/org/app")).to_string();
    assert!(text.contains("r9.example.com, and 15 more]") && !text.contains("r10.example.com"), "{text}");
}

#[test]
fn every_kind_has_its_word_and_tokens_are_marked_as_useless_to_kubelet() {
    let identity = Credential::IdentityToken { token: "canary".into(), fallback: None };
    let keychain = Keychain {
        entries: vec![
            entry(Source::PodImagePullSecrets, "a", "gcr.io", identity),
            entry(Source::ServiceAccountSecrets, "b", "gcr.io", Credential::RegistryToken("canary-2".into())),
            entry(Source::ServiceAccountCloud, "c", "gcr.io", basic("c")),
            entry(Source::ControllerHelper("pass".into()), "d", "gcr.io", basic("d")),
            entry(Source::ControllerSts("harbor".into()), "e", "gcr.io", basic("e")),
        ],
        ..Keychain::default()
    };
    let report = report(&keychain, &push("gcr.io/p/app"));
    let json = serde_json::to_value(&report).unwrap();
    let kinds: Vec<&str> =
        json["candidates"].as_array().unwrap().iter().map(|c| c["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["identity-token", "registry-token", "cloud", "helper", "sts", "anonymous"]);
    assert_eq!(report.to_string().matches("kubelet cannot use this entry").count(), 2);
}

#[test]
fn an_event_stays_within_one_kibibyte_and_ends_at_a_line() {
    let entries = (0..40)
        .map(|n| entry(Source::ServiceAccountSecrets, &format!("s{n}"), "gcr.io", basic(&n.to_string())));
    let report =
        report(&Keychain { entries: entries.collect(), ..Keychain::default() }, &push("gcr.io/p/app"));
    let message = report.event_message();
    assert!(message.len() <= 1024 && message.len() > 900, "{}", message.len());
    assert!(message.ends_with("not-tried\n…"), "{message}");
    assert_eq!(example().event_message(), example().to_string(), "a short report is not cut");
}
