//! The malformed cases of the credentials specification §2.6, by the number of the row. Rows 1, 3 and 18 are about
//! objects and stand in `credential::objects`, row 2 needs an API server that refuses (tests/core).

use super::*;

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
