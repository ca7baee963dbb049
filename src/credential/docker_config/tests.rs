//! Every shape of docker config and each malformed case, by the row of the credentials specification §2.

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

fn only_problem(reading: &Reading) -> (ProblemCode, &str) {
    assert_eq!(reading.problems.len(), 1, "{:?}", reading.problems);
    (reading.problems[0].code, &reading.problems[0].detail)
}

const GOOD: &str = r#""ghcr.io":{"username":"u","password":"canary"}"#;
const GOOD_ENTRY: &str = "ghcr.io=u:canary";

#[test]
fn every_secret_type_of_the_table_is_read_under_its_key() {
    let wrapped = format!(r#"{{"auths":{{{GOOD}}}}}"#);
    let bare = format!("{{{GOOD}}}");
    for (kind, key, text, expected) in [
        (CONFIG_JSON, ".dockerconfigjson", &wrapped, vec![]),
        (CFG, ".dockercfg", &bare, vec![]),
        ("Opaque", ".dockerconfigjson", &wrapped, vec![ProblemCode::OpaqueType]),
        ("Opaque", "config.json", &wrapped, vec![ProblemCode::OpaqueType]),
        ("", ".dockercfg", &bare, vec![ProblemCode::OpaqueType]),
    ] {
        let reading = read(&Source::ServiceAccountSecrets, kind, &[(key, text.as_bytes())], &[]);
        assert_eq!(
            (entries(&reading), codes(&reading)),
            (vec![GOOD_ENTRY.to_owned()], expected),
            "{kind} {key}"
        );
    }
}

#[test]
fn other_types_are_silent_unless_listed_as_pull_secrets() {
    for kind in [
        "kubernetes.io/service-account-token",
        "kubernetes.io/ssh-auth",
        "kubernetes.io/tls",
        "bootstrap.kubernetes.io/token",
    ] {
        assert_eq!(codes(&read(&Source::PodImagePullSecrets, kind, &[("token", b"canary")], &[])), []);
    }
    for kind in ["example.com/other", "Opaque"] {
        assert_eq!(codes(&read(&Source::ServiceAccountSecrets, kind, &[("x", b"canary")], &[])), []);
        let listed = read(&Source::PodImagePullSecrets, kind, &[("x", b"canary")], &[]);
        assert_eq!(codes(&listed), [ProblemCode::UnsupportedType]);
        assert_eq!(listed.problems[0].code.severity(), Severity::Info);
    }
}

#[test]
fn row_4_an_absent_or_empty_key_is_missing() {
    for data in [&[][..], &[(".dockerconfigjson", &b""[..])], &[("config.json", b"{}")]] {
        let reading = read(&Source::ServiceAccountSecrets, CONFIG_JSON, data, &[]);
        assert_eq!(codes(&reading), [ProblemCode::KeyMissing]);
    }
}

#[test]
fn row_5_truncated_json_has_a_position() {
    let reading = config(r#"{"auths":{"ghcr.io":{"auth":"canary"#);
    assert_eq!(only_problem(&reading), (ProblemCode::MalformedJSON, "not valid JSON at line 1, column 35"));
}

#[test]
fn row_6_auths_must_be_an_object() {
    let reading = config(r#"{"auths":["canary"]}"#);
    assert_eq!(only_problem(&reading), (ProblemCode::MalformedJSON, "auths must be an object"));
}

#[test]
fn row_7_placeholders_have_no_entries_and_that_is_normal() {
    for text in ["{}", r#"{"auths":{}}"#] {
        let reading = config(text);
        assert_eq!(codes(&reading), [ProblemCode::NoEntries]);
        assert_eq!(reading.problems[0].code.severity(), Severity::Info);
    }
}

#[test]
fn row_8_a_bad_entry_leaves_the_good_ones_alone() {
    let reading = config(&format!(
        r#"{{"auths":{{{GOOD},"quay.io":{{"auth":"canary!"}},"bad host":{{"username":"u","password":"canary"}}}}}}"#
    ));
    assert_eq!(entries(&reading), [GOOD_ENTRY]);
    assert_eq!(codes(&reading), [ProblemCode::InvalidKey, ProblemCode::MalformedAuth]);
    assert_eq!(reading.problems[1].detail, r#"entry "quay.io": auth is not base64(user:password)"#);
}

#[test]
fn row_9_a_config_that_was_copied_from_a_workstation_is_recognized() {
    for text in [r#"{"auths":{"ghcr.io":{}},"credsStore":"desktop"}"#, r#"{"credsStore":"desktop"}"#] {
        let reading = config(text);
        let (code, detail) = only_problem(&reading);
        assert_eq!(code, ProblemCode::CredsStoreInSecret);
        assert!(detail.contains("kubectl create secret docker-registry"), "{detail}");
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
fn rows_10_and_11_either_shape_is_read_under_the_other_type() {
    let legacy = config(&format!("{{{GOOD}}}"));
    assert_eq!(
        (entries(&legacy), codes(&legacy)),
        (vec![GOOD_ENTRY.to_owned()], vec![ProblemCode::LegacyShape])
    );
    let text = format!(r#"{{"auths":{{{GOOD}}}}}"#);
    let wrapped = read(&Source::ServiceAccountSecrets, CFG, &[(".dockercfg", text.as_bytes())], &[]);
    assert_eq!(
        (entries(&wrapped), codes(&wrapped)),
        (vec![GOOD_ENTRY.to_owned()], vec![ProblemCode::LegacyShape])
    );
}

#[test]
fn row_12_basic_auth_needs_both_keys() {
    let annotation = [("tekton.dev/docker-0", "https://gcr.io")];
    for data in [[("username", &b"u"[..])], [("password", b"canary")]] {
        let reading = read(&Source::ServiceAccountSecrets, BASIC_AUTH, &data, &annotation);
        assert_eq!(codes(&reading), [ProblemCode::KeyMissing]);
    }
}

#[test]
fn row_13_content_that_was_encoded_twice_is_decoded_with_a_warning() {
    let text = STANDARD.encode(format!(r#"{{"auths":{{{GOOD}}}}}"#));
    for text in [text.clone(), format!("{}\n{}\n", &text[..20], &text[20..])] {
        let reading = config(&text);
        assert_eq!(entries(&reading), [GOOD_ENTRY]);
        assert_eq!(codes(&reading), [ProblemCode::DoubleEncoded]);
    }
    assert_eq!(
        codes(&config("canary")),
        [ProblemCode::MalformedJSON],
        "base64 of something else stays malformed"
    );
}

#[test]
fn row_14_a_byte_order_mark_is_accepted() {
    let reading = config(&format!("\u{feff}{{\"auths\":{{{GOOD}}}}}"));
    assert_eq!((entries(&reading), codes(&reading)), (vec![GOOD_ENTRY.to_owned()], vec![]));
}

#[test]
fn row_15_of_two_keys_that_mean_the_same_the_exact_host_comes_first() {
    let login = |password: &str| format!(r#"{{"username":"u","password":"canary-{password}"}}"#);
    let reading = config(&format!(
        r#"{{"auths":{{"GCR.io":{},"https://gcr.io":{},"docker.io":{},"https://index.docker.io/v1/":{}}}}}"#,
        login("a"),
        login("b"),
        login("c"),
        login("d")
    ));
    assert_eq!(
        entries(&reading),
        [
            "https://gcr.io=u:canary-b",
            "GCR.io=u:canary-a",
            "https://index.docker.io/v1/=u:canary-d",
            "docker.io=u:canary-c",
        ]
    );
    assert_eq!(codes(&reading), []);
}

#[test]
fn row_16_what_is_too_large_is_ignored_whole() {
    let many: Vec<String> =
        (0..1001).map(|n| format!(r#""r{n}.io":{{"username":"u","password":"p"}}"#)).collect();
    let reading = config(&format!(r#"{{"auths":{{{}}}}}"#, many.join(",")));
    assert_eq!((entries(&reading), codes(&reading)), (vec![], vec![ProblemCode::TooLarge]));
    for filler in [" ", "A"] {
        let reading = config(&filler.repeat((1 << 20) + 4).replacen(' ', "{}", 1));
        assert_eq!((entries(&reading), codes(&reading)), (vec![], vec![ProblemCode::TooLarge]), "{filler:?}");
    }
}

#[test]
fn row_17_an_entry_that_is_a_text_is_malformed() {
    let reading = config(&format!(r#"{{"auths":{{{GOOD},"quay.io":"canary"}}}}"#));
    assert_eq!(entries(&reading), [GOOD_ENTRY]);
    assert_eq!(codes(&reading), [ProblemCode::MalformedEntry]);
    assert!(reading.problems[0].detail.starts_with(r#"entry "quay.io": "#));
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
fn tokens_are_entries_of_their_own_kinds() {
    let reading = config(
        r#"{"auths":{"a.io":{"identitytoken":"canary-i"},"b.io":{"registrytoken":"canary-r"},"c.io":{"auth":"PHRva2VuPjpjYW5hcnk="}}}"#,
    );
    assert_eq!(
        entries(&reading),
        ["a.io=identity:canary-i", "b.io=registry:canary-r", "c.io=identity:canary"]
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

#[test]
fn basic_auth_secrets_serve_every_registry_that_tekton_annotations_name() {
    let reading = read(
        &Source::ServiceAccountSecrets,
        BASIC_AUTH,
        &[("username", b"u"), ("password", b"canary")],
        &[
            ("tekton.dev/docker-0", "https://gcr.io"),
            ("tekton.dev/docker-extra", "ghcr.io/org"),
            ("tekton.dev/docker-hub", "https://index.docker.io/v1/"),
            ("tekton.dev/git-0", "https://github.com"),
            ("other", "quay.io"),
        ],
    );
    assert_eq!(
        entries(&reading),
        ["ghcr.io/org=u:canary", "https://gcr.io=u:canary", "https://index.docker.io/v1/=u:canary"]
    );
    assert_eq!(codes(&reading), []);
}

#[test]
fn basic_auth_without_docker_annotation_is_not_ours() {
    let reading =
        read(&Source::PodImagePullSecrets, BASIC_AUTH, &[], &[("tekton.dev/git-0", "https://github.com")]);
    assert_eq!((entries(&reading), codes(&reading)), (vec![], vec![]));
}

#[test]
fn one_newline_is_trimmed_from_each_part_of_basic_auth_and_told() {
    let annotation = [("tekton.dev/docker-0", "gcr.io")];
    for (password, expected, problems) in [
        (&b"canary\n"[..], "canary", 2),
        (b"canary\r\n", "canary", 2),
        (b"canary\n\n", "canary\n", 2),
        (b" canary ", " canary ", 1),
    ] {
        let data = [("username", &b"u\n"[..]), ("password", password)];
        let reading = read(&Source::ServiceAccountSecrets, BASIC_AUTH, &data, &annotation);
        assert_eq!(entries(&reading), [format!("gcr.io=u:{expected}")]);
        assert_eq!(codes(&reading), vec![ProblemCode::TrimmedNewline; problems]);
    }
}

#[test]
fn a_basic_auth_password_that_is_only_a_newline_is_malformed() {
    let data = [("username", &b"u"[..]), ("password", b"\n")];
    let reading =
        read(&Source::ServiceAccountSecrets, BASIC_AUTH, &data, &[("tekton.dev/docker-0", "gcr.io")]);
    assert_eq!(codes(&reading), [ProblemCode::TrimmedNewline, ProblemCode::MalformedAuth]);
}

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
