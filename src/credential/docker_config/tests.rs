//! Every shape of docker config and each malformed case, by the row of the credentials specification §2: types of
//! Secrets, fields, kinds of credentials and malformed cases have a file each.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::credential::problem::Severity;
use crate::credential::{Credential, ProblemCode};

const CONFIG_JSON: &str = "kubernetes.io/dockerconfigjson";
const CFG: &str = "kubernetes.io/dockercfg";
const BASIC_AUTH: &str = "kubernetes.io/basic-auth";

fn read(source: &Source, kind: &str, data: &[(&str, &[u8])], annotations: &[(&str, &str)]) -> Reading {
    let reference =
        SecretRef { namespace: "ci".into(), name: "s".into(), uid: "u".into(), resource_version: "1".into() };
    let reading = read_secret(
        source,
        &Secret {
            reference: &reference,
            kind,
            data: &data.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect(),
            annotations: &annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        },
    );
    assert!(!format!("{reading:?}").contains("canary"), "{reading:?}");
    assert_eq!(reading.helpers, Helpers::default(), "no helper of a secret reaches a caller");
    reading
}

fn config(text: &str) -> Reading {
    read(&Source::ServiceAccountSecrets, CONFIG_JSON, &[(".dockerconfigjson", text.as_bytes())], &[])
}

/// `key=user:password` of each entry, in order.
fn entries(reading: &Reading) -> Vec<String> {
    let show = |entry: &Entry| match &*entry.credential {
        Credential::Basic(login) => {
            format!("{}={}:{}", entry.key, login.username, login.password.expose_text())
        }
        Credential::IdentityToken { token, .. } => format!("{}=identity:{}", entry.key, token.expose_text()),
        Credential::RegistryToken(token) => format!("{}=registry:{}", entry.key, token.expose_text()),
        Credential::Anonymous | Credential::ToFetch(_) => unreachable!("no entry is that"),
    };
    reading.entries.iter().map(show).collect()
}

fn codes(reading: &Reading) -> Vec<ProblemCode> {
    reading.problems.iter().map(|problem| problem.code).collect()
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// The numbers that occur, once each and in order: a table that lacks a row says so.
fn numbers(rows: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut numbers: Vec<u8> = rows.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn only_problem(reading: &Reading) -> (ProblemCode, &str) {
    assert_eq!(reading.problems.len(), 1, "{:?}", reading.problems);
    (reading.problems[0].code, &reading.problems[0].detail)
}

const GOOD: &str = r#""ghcr.io":{"username":"u","password":"canary"}"#;
const GOOD_ENTRY: &str = "ghcr.io=u:canary";

#[test]
fn a_file_hands_its_helpers_to_the_caller() {
    let reading = read_document(
        &Source::ControllerDockerConfig,
        Location::File("/home/u/.docker/config.json".into()),
        format!(
            r#"{{"auths":{{{GOOD},"quay.io":{{}}}},"credsStore":"pass","credHelpers":{{"gcr.io":"gcloud"}}}}"#
        )
        .as_bytes(),
    );
    assert_eq!(entries(&reading), [GOOD_ENTRY]);
    assert_eq!(codes(&reading), [], "an empty entry beside a helper is normal in a file");
    assert_eq!(reading.helpers.default.as_deref(), Some("pass"));
    assert_eq!(reading.helpers.by_registry, BTreeMap::from([("gcr.io".to_owned(), "gcloud".to_owned())]));
    assert_eq!(reading.entries[0].location, Location::File("/home/u/.docker/config.json".into()));
}

#[test]
fn no_content_makes_the_reader_panic_or_speak_a_secret() {
    let whole = format!(r#"{{"auths":{{{GOOD},"quay.io":{{"auth":"dXNlcjpwYXNz"}}}},"credsStore":"x"}}"#);
    for end in 0..whole.len() {
        config(&whole[..end]);
        let mut flipped = whole.clone().into_bytes();
        flipped[end] ^= 0x1f;
        read(&Source::ServiceAccountSecrets, CONFIG_JSON, &[(".dockerconfigjson", &flipped)], &[]);
        read(&Source::ServiceAccountSecrets, CFG, &[(".dockercfg", &flipped)], &[]);
    }
}

#[test]
fn helpers_that_a_secret_names_are_never_handed_on() {
    let reading =
        config(&format!(r#"{{"auths":{{{GOOD}}},"credsStore":"x","credHelpers":{{"gcr.io":"evil"}}}}"#));
    assert_eq!(entries(&reading), [GOOD_ENTRY]);
    assert_eq!(codes(&reading), [ProblemCode::HelperInSecret, ProblemCode::HelperInSecret]);
    let reading = config(r#"{"auths":{"ghcr.io":{}},"credHelpers":{"gcr.io":"evil"}}"#);
    assert_eq!(codes(&reading), [ProblemCode::HelperInSecret, ProblemCode::EmptyEntry]);
}

#[test]
fn helpers_that_are_no_texts_are_a_problem_of_their_own() {
    let reading = config(&format!(r#"{{"auths":{{{GOOD}}},"credHelpers":["canary"]}}"#));
    assert_eq!(
        (entries(&reading), codes(&reading)),
        (vec![GOOD_ENTRY.to_owned()], vec![ProblemCode::MalformedEntry])
    );
}

#[test]
fn an_empty_entry_is_told_as_information() {
    let reading = config(&format!(r#"{{"auths":{{{GOOD},"quay.io":{{"email":"a@b"}}}}}}"#));
    assert_eq!(
        only_problem(&reading),
        (ProblemCode::EmptyEntry, r#"entry "quay.io" has neither password nor token"#)
    );
}

#[test]
fn broad_globs_and_suspicious_google_keys_are_used_with_a_warning() {
    let reading = config(
        r#"{"auths":{"*.io":{"username":"u","password":"canary"},"eu.gcr.io":{"username":"_json_key","password":"canary"}}}"#,
    );
    assert_eq!(entries(&reading), ["*.io=u:canary", "eu.gcr.io=_json_key:canary"]);
    assert_eq!(codes(&reading), [ProblemCode::BroadGlob, ProblemCode::SuspiciousJSONKey]);
}

#[test]
fn keys_with_credentials_in_them_do_not_show_these() {
    let reading = config(
        r#"{"auths":{"https://u:canary@ghcr.io":{},"https://u:canary@quay.io":{"auth":"!"},"oci://u:canary@gcr.io":{"username":"u","password":"p"}}}"#,
    );
    assert_eq!(
        codes(&reading),
        [ProblemCode::MalformedAuth, ProblemCode::InvalidKey, ProblemCode::EmptyEntry]
    );
}

mod fields;
mod kinds;
mod malformed;
mod types;
