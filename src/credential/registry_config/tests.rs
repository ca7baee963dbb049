//! The tables of credentials specification §4.3 and §4.4, row by row, and the four examples of the guide that the
//! format comes from, with names and certificates of our own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use url::Url;

use super::*;
use crate::credential::{Credential, Login};

fn now() -> Timestamp {
    "2026-11-01T00:00:00Z".parse().unwrap()
}

fn read(text: &str) -> Reading {
    RegistryConfig::parse("registries.toml", text, &Proxies::none(), now())
}

fn config(text: &str) -> RegistryConfig {
    let reading = read(text);
    assert!(reading.config.is_some(), "{:?}", reading.findings);
    reading.config.unwrap()
}

fn codes(text: &str) -> Vec<FindingCode> {
    read(text).findings.iter().map(Finding::code).collect()
}

/// The only finding, which must be an error.
fn error(text: &str) -> String {
    let reading = read(text);
    assert!(reading.config.is_none(), "accepted: {text}");
    assert_eq!(reading.findings.len(), 1, "{:?}", reading.findings);
    reading.findings[0].to_string()
}

/// The only finding, which must be a warning.
fn warning(text: &str) -> String {
    let reading = read(text);
    assert!(reading.config.is_some(), "{:?}", reading.findings);
    assert_eq!(reading.findings.len(), 1, "{:?}", reading.findings);
    reading.findings[0].to_string()
}

fn pem(end: i32) -> String {
    let mut params = CertificateParams::new(vec!["ca.test".to_owned()]).unwrap();
    params.not_after = date_time_ymd(end, 1, 1);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

fn basic(username: &str, password: &str) -> Credential {
    Credential::Basic(Login { username: username.into(), password: password.into() })
}

fn credential(text: &str) -> Option<Credential> {
    config(text).table_for("registry.test").and_then(|table| table.credential.as_deref().cloned())
}

const LOCAL: &str = "registry.default.svc.cluster.local";

/// Number, keys, registry, winner.
const MATCHING: [(u8, &[&str], &str, Option<&str>); 33] = [
    (1, &["registry.corp."], "registry.corp", Some("registry.corp.")),
    (2, &["registry.corp"], "registry.corp", Some("registry.corp")),
    (3, &["registry.corp."], "registry.corp.", Some("registry.corp.")),
    (4, &["registry.corp."], "example.registry.corp", Some("registry.corp.")),
    (5, &[".registry.corp."], "example.registry.corp", Some(".registry.corp.")),
    (6, &[".registry.corp."], "registry.corp", None),
    (7, &[".registry.corp."], "a.b.registry.corp", Some(".registry.corp.")),
    (8, &["registry.corp."], "evilregistry.corp", None),
    (9, &[".registry.corp."], "evilregistry.corp", None),
    (10, &[".registry.corp.", ".corp."], "example.registry.corp", Some(".registry.corp.")),
    (11, &[".registry.corp.", ".corp."], "other.corp", Some(".corp.")),
    (12, &[".registry.corp.", ".corp."], "registry.corp", Some(".corp.")),
    (13, &["registry.corp.", ".corp."], "registry.corp", Some("registry.corp.")),
    (
        14,
        &["example.registry.corp.", ".registry.corp."],
        "example.registry.corp",
        Some("example.registry.corp."),
    ),
    (15, &[".example.registry.corp.", ".registry.corp."], "example.registry.corp", Some(".registry.corp.")),
    (16, &["ghcr.io.", "."], "ghcr.io", Some("ghcr.io.")),
    (17, &["ghcr.io.", "."], "docker.io", Some(".")),
    (18, &["."], "localhost", Some(".")),
    (19, &["corp.", "."], "registry.corp", Some("corp.")),
    (20, &["GHCR.io."], "ghcr.io", Some("GHCR.io.")),
    (21, &["docker.io."], "index.docker.io", Some("docker.io.")),
    (22, &["index.docker.io."], "index.docker.io", Some("index.docker.io.")),
    (23, &["registry.corp."], "registry.corp:5000", None),
    (24, &["."], "127.0.0.1:8000", Some(".")),
    (25, &["registry.corp:5000"], "registry.corp:5000", None),
    (26, &["127.0.0.1:8000"], "127.0.0.1:8000", None),
    (27, &[".0.1"], "127.0.0.1", None),
    (28, &["*.registry.corp."], "a.registry.corp", None),
    (29, &["..corp."], "a.corp", None),
    (30, &["ghcr.io.", "ghcr.io"], "ghcr.io", None),
    (31, &["registry.default.svc.cluster.local."], LOCAL, Some("registry.default.svc.cluster.local.")),
    (32, &[""], "localhost", None),
    (33, &[], "registry.corp", None),
];

fn of_keys(keys: &[&str]) -> String {
    keys.iter().flat_map(|key| ["[registries.", &format!("{key:?}"), "]\n"].map(str::to_owned)).collect()
}

#[test]
fn every_row_of_the_matching_table_has_its_winner() {
    for (number, (row, keys, registry, winner)) in (1..).zip(MATCHING) {
        assert_eq!(row, number, "§4.3: a row is missing or stands elsewhere");
        let found = read(&of_keys(keys)).config;
        let found = found.as_ref().and_then(|config| config.table_for(registry)).map(Table::as_written);
        assert_eq!(found, winner, "§4.3 row {row}: {keys:?} for {registry}");
        let reversed: Vec<&str> = keys.iter().rev().copied().collect();
        let found = read(&of_keys(&reversed)).config;
        let found = found.as_ref().and_then(|config| config.table_for(registry)).map(Table::as_written);
        assert_eq!(found, winner, "§4.3 row {row}: {keys:?} for {registry}, keys in the other order");
    }
}

#[test]
fn rows_25_to_30_and_32_are_told_when_the_file_is_read() {
    for (row, told) in [
        (25, "UnsupportedKey: registries.\"registry.corp:5000\" is not used: ports are not supported"),
        (26, "UnsupportedKey: registries.\"127.0.0.1:8000\" is not used: ports are not supported"),
        (
            28,
            "UnsupportedKey: registries.\"*.registry.corp.\" is not used: wildcards are not supported: use a leading dot",
        ),
        (29, "UnsupportedKey: registries.\"..corp.\" is not used: an empty label"),
    ] {
        assert!(warning(&of_keys(MATCHING[row - 1].1)).contains(told), "§4.3 row {row}");
    }
    assert_eq!(codes(&of_keys(MATCHING[29].1)), [FindingCode::DuplicateRegistry], "§4.3 row 30");
    assert!(error(&of_keys(MATCHING[31].1)).contains("write \".\""), "§4.3 row 32");
}

#[test]
fn rows_2_and_16_of_the_load_table_an_empty_file_is_an_empty_configuration() {
    for text in ["", "\n", "# nothing\n", "[registries]\n[extra-env]\n"] {
        let reading = read(text);
        assert_eq!((reading.config.unwrap().names().count(), reading.findings), (0, Vec::new()), "{text:?}");
    }
}

#[test]
fn row_3_what_is_no_toml_is_told_by_its_place_and_never_by_its_text() {
    for (text, place) in [
        ("[registries.\"a.b\"]\npassword = canary\n", "line 2, column 12"),
        ("password = \"canary", "line 1"),
        ("[a]\ncanary", "line 2"),
        ("a = 'canary'\na = 'canary'\n", "line 2, column 1: RegistryConfigInvalid: a key stands here twice"),
    ] {
        let told = error(text);
        assert!(told.starts_with(place), "{told}");
        assert!(!told.contains("canary"), "{told}");
    }
}

#[test]
fn rows_4_and_5_a_wrong_type_is_told_with_the_right_one() {
    assert_eq!(
        error("registries = \"canary\""),
        "line 1, column 14: RegistryConfigInvalid: registries: expected table, not string"
    );
    assert_eq!(
        error("[registries.\"a.b\"]\ninsecure-skip-verify = \"yes\""),
        "line 2, column 24: RegistryConfigInvalid: registries.\"a.b\".insecure-skip-verify: expected boolean, not string"
    );
    assert!(error("[registries]\n\"a.b\" = 5").contains("expected table"));
    assert!(error("[registries.a]\npassword = 5\n").contains("expected string"));
    assert!(error("extra-env = 1").contains("expected table"));
}

#[test]
fn row_6_an_unknown_key_is_a_warning_with_the_nearest_known_one() {
    assert_eq!(
        warning("[registries.a]\nca-cert = \"canary\""),
        "line 2, column 1: UnknownKey: key \"ca-cert\" is not known; did you mean ca-certs?"
    );
    assert!(warning("[registry]\n").contains("did you mean registries?"));
    assert!(!warning("zzz = 1").contains("did you mean"));
}

#[test]
fn row_7_half_a_login_is_an_error_that_names_the_table() {
    for half in ["username = \"u\"", "password = \"canary\"", "username = \"u\"\npassword = \"\""] {
        let told = error(&format!("[registries.\"registry.corp.\"]\n{half}"));
        assert!(told.contains("registries.\"registry.corp.\"") && told.contains("without"), "{told}");
        assert!(!told.contains("canary"), "{told}");
    }
}

#[test]
fn row_8_an_auth_that_is_no_login_is_an_error() {
    for auth in ["canary!", "Y2FuYXJ5", ""] {
        let text = format!("[registries.a]\nauth = {auth:?}");
        if auth.is_empty() {
            assert_eq!(codes(&text), [], "an empty text is no value");
        } else {
            assert_eq!(codes(&text), [FindingCode::MalformedAuth], "{auth}");
            assert!(!error(&text).contains(auth), "{auth}");
        }
    }
}

#[test]
fn row_9_authorities_without_certificates_trust_nobody() {
    let config = config("[registries.\".\"]\nca-certs = \"no PEM here\"");
    let Trust::Only(authorities) = &config.table_for("any.example").unwrap().trust else {
        panic!("not only")
    };
    assert_eq!((authorities.certificates().len(), authorities.table()), (0, "."));
}

#[test]
fn row_10_a_broken_certificate_is_an_error_that_names_its_number() {
    let broken = "-----BEGIN CERTIFICATE-----\ncanary\n-----END CERTIFICATE-----\n";
    let told = error(&format!("[registries.a]\nca-certs = '''{}{broken}'''", pem(2040)));
    assert!(told.contains("certificate 2 of ca-certs"), "{told}");
    assert!(!told.contains("canary"), "{told}");
}

#[test]
fn row_11_other_variables_are_ignored_with_a_warning() {
    let told = warning("[extra-env]\nFOO = \"canary\"\n");
    assert!(told.starts_with("line 2, column 1: UnknownKey: extra-env \"FOO\" is ignored"), "{told}");
}

#[test]
fn row_12_name_and_password_beat_auth_with_a_warning() {
    let text = format!(
        "[registries.\"registry.test\"]\nusername = \"u\"\npassword = \"p\"\nauth = {:?}",
        STANDARD.encode("a:b")
    );
    assert!(warning(&text).contains("username and password are used"));
    assert_eq!(credential(&text), Some(basic("u", "p")));
}

#[test]
fn row_13_an_inner_registry_with_its_own_authority_and_a_proxy_for_the_rest() {
    let config = config(&format!(
        "[extra-env]\nHTTP_PROXY = \"https://proxy.test\"\nHTTPS_PROXY = \"https://proxy.test\"\nNO_PROXY = \".inner\"\n\
         [registries.\"registry.inner.\"]\nca-certs = '''\n{}'''\n[registries.\"public.test.\"]\nauth = {:?}\n",
        pem(2040),
        STANDARD.encode("bob:hunter2")
    ));
    let url = |text: &str| Url::parse(text).unwrap();
    assert_eq!(config.proxies().of(&url("https://registry.inner/v2/")), None);
    assert_eq!(config.proxies().of(&url("https://public.test/v2/")), Some(&url("https://proxy.test")));
    assert!(matches!(config.table_for("registry.inner").unwrap().trust, Trust::Only(_)));
    let public = config.table_for("public.test").unwrap();
    assert_eq!(
        (&public.trust, public.credential.as_deref()),
        (&Trust::System, Some(&basic("bob", "hunter2")))
    );
    assert_eq!(config.table_for("other.test"), None);
}

#[test]
fn row_14_one_registry_only_and_every_other_one_forbidden() {
    let config = config(&format!(
        "[registries.\"only.test.\"]\nauth = {:?}\nca-certs = '''\nRoot CA 1\n{}Root CA 2\n{}'''\n\
         [registries.\".\"]\nca-certs = \"no PEM here means no CA certificates\"\n",
        STANDARD.encode("bob:hunter2"),
        pem(2040),
        pem(2041)
    ));
    let certificates = |host: &str| match &config.table_for(host).unwrap().trust {
        Trust::Only(authorities) => authorities.certificates().len(),
        other => panic!("{other:?}"),
    };
    assert_eq!((certificates("only.test"), certificates("other.test")), (2, 0));
}

#[test]
fn row_15_a_registry_without_transport_security() {
    let config = config(&format!("[registries.\"{LOCAL}.\"]\ninsecure-skip-verify = true\n"));
    let table = config.table_for(LOCAL).unwrap();
    assert_eq!((&table.trust, &table.credential), (&Trust::Insecure, &None));
    assert_eq!(config.table_for("other.test"), None);
}

#[test]
fn row_18_an_expired_authority_is_a_warning() {
    let text = format!("[registries.a]\nca-certs = '''{}'''", pem(2026));
    assert!(warning(&text).contains("ExpiredCA: registries.\"a\": certificate 1 of ca-certs has expired"));
}

#[test]
fn the_flag_beats_authorities_with_a_warning() {
    let text = format!("[registries.a]\ninsecure-skip-verify = true\nca-certs = '''{}'''", pem(2040));
    assert!(warning(&text).contains("ConflictingKeys"));
    assert_eq!(config(&text).table_for("a").unwrap().trust, Trust::Insecure);
}

#[test]
fn tokens_beat_logins_and_keep_them_as_a_fallback() {
    let table = |keys: &str| credential(&format!("[registries.\"registry.test.\"]\n{keys}"));
    let login = "username = \"u\"\npassword = \"p\"\n";
    let fallback = Some(Login { username: "u".into(), password: "p".into() });
    assert_eq!(
        table(&format!("registrytoken = \"r\"\nidentitytoken = \"i\"\n{login}")),
        Some(Credential::RegistryToken("r".into()))
    );
    assert_eq!(
        table(&format!("identitytoken = \"i\"\n{login}")),
        Some(Credential::IdentityToken { token: "i".into(), fallback: fallback.clone() })
    );
    let auth = STANDARD.encode("u:p");
    assert_eq!(
        table(&format!("identitytoken = \"i\"\nauth = {auth:?}")),
        Some(Credential::IdentityToken { token: "i".into(), fallback })
    );
    assert_eq!(table(&format!("auth = {auth:?}")), Some(basic("u", "p")));
    assert_eq!(table("ca-certs = \"\""), None);
}

#[test]
fn the_file_overrides_the_proxies_of_the_process_key_by_key() {
    let mut environment = Proxies::none();
    environment.set_https("http://outer:1").unwrap();
    environment.set_bypass("direct.test");
    let read = |text: &str| RegistryConfig::parse("f", text, &environment, now()).config.unwrap();
    let of = |text: &str, url: &str| read(text).proxies().of(&Url::parse(url).unwrap()).map(Url::to_string);
    assert_eq!(of("", "https://a.test/").as_deref(), Some("http://outer:1/"));
    assert_eq!(of("", "https://direct.test/"), None);
    assert_eq!(
        of("[extra-env]\nHTTPS_PROXY = \"inner:2\"", "https://a.test/").as_deref(),
        Some("http://inner:2/")
    );
    assert_eq!(
        of("[extra-env]\nNO_PROXY = \"\"", "https://direct.test/").as_deref(),
        Some("http://outer:1/")
    );
    assert!(
        error("[extra-env]\nHTTPS_PROXY = \"socks5://canary\"")
            .contains("HTTPS_PROXY: a proxy is written as")
    );
}

#[test]
fn the_entry_of_a_table_is_as_specific_as_the_labels_it_fixes() {
    let auth = STANDARD.encode("u:p");
    let config = config(&format!(
        "[registries.\".corp.\"]\nauth = {auth:?}\n[registries.\"b.corp\"]\nauth = {auth:?}"
    ));
    let repository = |text: &str| Repository::parse(text).unwrap();
    let specificity = |text: &str| {
        let repository = repository(text);
        let entry = config.entry_for(&repository).unwrap();
        let sought = crate::credential::matching::Sought::of(&repository);
        (entry.key.to_string(), entry.key.matches(&sought).unwrap())
    };
    let (exact, suffix) = (specificity("b.corp/app"), specificity("a.corp/app"));
    assert_eq!((exact.0.as_str(), suffix.0.as_str()), ("b.corp", ".corp."));
    assert!(exact.1 < suffix.1, "the smaller, the more specific");
    assert!(config.entry_for(&repository("other.test/app")).is_none());
    assert!(config.entry_for(&repository("b.corp:5000/app")).is_none());
}

#[test]
fn nothing_of_a_configuration_prints_a_secret() {
    let text = "[extra-env]\nHTTPS_PROXY = \"http://u:canary@p:1\"\n[registries.a]\nusername = \"u\"\npassword = \"canary\"\n\
                [registries.\"https://u:canary@b\"]\n[registries.c]\nregistrytoken = \"canary\"\nidentitytoken = \"canary\"\n";
    let reading = read(text);
    assert!(!format!("{reading:?}").contains("canary"));
    assert!(reading.findings.iter().all(|finding| !finding.to_string().contains("canary")));
}
