//! Types of Secrets (credentials specification §2.1), by the number of the row.

use super::*;

/// Number, source, type, data key and content; the entries and problems that come of it.
type Row<'a> = (u8, &'a Source, &'a str, &'a str, &'a str, &'a [&'a str], &'a [ProblemCode]);

#[test]
fn every_row_of_the_table_of_types() {
    use ProblemCode::{NoEntries, OpaqueType, UnsupportedType};
    let wrapped = format!(r#"{{"auths":{{{GOOD}}}}}"#);
    let bare = format!("{{{GOOD}}}");
    let (account, pod) = (Source::ServiceAccountSecrets, Source::PodImagePullSecrets);
    let rows: [Row<'_>; 16] = [
        (1, &account, CONFIG_JSON, ".dockerconfigjson", &wrapped, &[GOOD_ENTRY], &[]),
        (1, &account, CONFIG_JSON, ".dockerconfigjson", "{}", &[], &[NoEntries]),
        (2, &account, CFG, ".dockercfg", &bare, &[GOOD_ENTRY], &[]),
        (4, &account, "Opaque", ".dockerconfigjson", &wrapped, &[GOOD_ENTRY], &[OpaqueType]),
        (4, &account, "Opaque", "config.json", &wrapped, &[GOOD_ENTRY], &[OpaqueType]),
        (4, &account, "Opaque", ".dockercfg", &bare, &[GOOD_ENTRY], &[OpaqueType]),
        (4, &account, "", ".dockercfg", &bare, &[GOOD_ENTRY], &[OpaqueType]),
        (4, &account, "Opaque", "other", &wrapped, &[], &[]),
        (4, &pod, "Opaque", "other", &wrapped, &[], &[UnsupportedType]),
        (5, &pod, "kubernetes.io/service-account-token", "token", "canary", &[], &[]),
        (5, &pod, "kubernetes.io/ssh-auth", "ssh-privatekey", "canary", &[], &[]),
        (5, &pod, "kubernetes.io/tls", "tls.key", "canary", &[], &[]),
        (5, &pod, "bootstrap.kubernetes.io/token", "token-secret", "canary", &[], &[]),
        (6, &account, "example.com/other", ".dockerconfigjson", &wrapped, &[], &[]),
        (6, &pod, "example.com/other", ".dockerconfigjson", &wrapped, &[], &[UnsupportedType]),
        (6, &pod, "example.com/other", "x", "canary", &[], &[UnsupportedType]),
    ];
    for (row, source, kind, key, text, expected, problems) in rows {
        let reading = read(source, kind, &[(key, text.as_bytes())], &[]);
        let case = format!("§2.1 row {row}: {kind:?} with {key}");
        assert_eq!((entries(&reading), codes(&reading)), (owned(expected), problems.to_vec()), "{case}");
    }
}

#[test]
fn types_that_hold_no_credentials_are_information_and_no_fault() {
    assert_eq!(ProblemCode::UnsupportedType.severity(), Severity::Info);
    assert_eq!(ProblemCode::OpaqueType.severity(), Severity::Warning);
}

#[test]
fn row_3_basic_auth_secrets_serve_every_registry_that_tekton_annotations_name() {
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
fn row_3_basic_auth_without_docker_annotation_is_not_ours() {
    let reading =
        read(&Source::PodImagePullSecrets, BASIC_AUTH, &[], &[("tekton.dev/git-0", "https://github.com")]);
    assert_eq!((entries(&reading), codes(&reading)), (vec![], vec![]));
}

#[test]
fn row_3_one_newline_is_trimmed_from_each_part_of_basic_auth_and_told() {
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
fn row_3_a_basic_auth_password_that_is_only_a_newline_is_malformed() {
    let data = [("username", &b"u"[..]), ("password", b"\n")];
    let reading =
        read(&Source::ServiceAccountSecrets, BASIC_AUTH, &data, &[("tekton.dev/docker-0", "gcr.io")]);
    assert_eq!(codes(&reading), [ProblemCode::TrimmedNewline, ProblemCode::MalformedAuth]);
}
