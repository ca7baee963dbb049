//! One function a target: it reads what somebody else wrote and panics when a promise is broken. hack/fuzz runs them
//! with what libFuzzer invents, `tests/corpus` with what was kept of that.

#[path = "signatures.rs"]
pub mod signatures;

use std::collections::BTreeMap;

use hallmark::artifact::image::Repository;
use hallmark::client::challenge::Challenge;
use hallmark::client::token::response::{Token, refresh_at};
use hallmark::credential::docker_config::{self, Reading};
use hallmark::credential::matching::Sought;
use hallmark::credential::registry_config::{Proxies, RegistryConfig};
use hallmark::credential::{Key, Keychain, Location, SecretRef, Source};
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;

/// What reads one input.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const ALL: [(&str, Target); 9] = [
    ("docker_config", docker_config),
    ("matching", matching),
    ("registries", registries),
    ("challenge", challenge),
    ("token_response", token_response),
    ("policy", signatures::policy),
    ("certificate", signatures::certificate),
    ("bundle", signatures::bundle),
    ("manifest", signatures::manifest),
];

/// A key is shown up to here.
const CUT: usize = 200;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// A docker config in a file and in Secrets of each type: always a reading, the same for the same bytes, bounded, and
/// every key that it yields is a key.
pub fn docker_config(data: &[u8]) {
    let (source, file) = (Source::ControllerDockerConfig, Location::File("config.json".to_owned()));
    let read = || docker_config::read_document(&source, file.clone(), data);
    check_reading(&read(), &read());
    let (name, content) = data.iter().position(|byte| *byte == b'\n').map_or((data, data), |at| {
        let (name, content) = data.split_at(at);
        (name, content.get(1..).unwrap_or_default())
    });
    let reference = SecretRef {
        namespace: "ci".to_owned(),
        name: "push".to_owned(),
        uid: String::new(),
        resource_version: String::new(),
    };
    let fields = [".dockerconfigjson", ".dockercfg", "config.json", "username", "password"];
    let content: BTreeMap<String, Vec<u8>> =
        fields.iter().map(|field| ((*field).to_owned(), content.to_vec())).collect();
    let annotations =
        BTreeMap::from([("tekton.dev/docker-0".to_owned(), String::from_utf8_lossy(name).into_owned())]);
    for kind in ["dockerconfigjson", "dockercfg", "basic-auth"].map(|kind| format!("kubernetes.io/{kind}")) {
        let secret = docker_config::Secret {
            reference: &reference,
            kind: &kind,
            data: &content,
            annotations: &annotations,
        };
        let read = || docker_config::read_secret(&Source::ServiceAccountSecrets, &secret);
        let reading = read();
        assert!(reading.helpers == docker_config::Helpers::default(), "a Secret names nothing to be run");
        check_reading(&reading, &read());
    }
}

fn check_reading(reading: &Reading, again: &Reading) {
    assert_eq!(format!("{reading:?}"), format!("{again:?}"), "the same bytes, the same reading");
    assert!(reading.entries.len() <= 1000);
    for entry in &reading.entries {
        let shown = entry.key.to_string();
        assert!(shown.len() >= CUT || Key::parse(&shown).is_ok(), "{shown:?} was a key");
    }
    let keychain = Keychain { entries: reading.entries.clone(), ..Keychain::default() };
    for name in ["ghcr.io/team/app", "ubuntu", "registry.test:5000/app"] {
        let repository = Repository::parse(name).unwrap();
        assert!(!keychain.candidates(&repository).is_empty(), "anonymous is always among them");
        assert!(keychain.places(&repository).len() <= reading.entries.len());
    }
}

/// A key on the first line, a repository on the second: what matches, matches by its host too, and a key that was
/// shown and is read again means the same.
pub fn matching(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (key, name) = text.split_once('\n').unwrap_or((&text, "registry.test/team/app"));
    let (Ok(key), Ok(repository)) = (Key::parse(key), Repository::parse(name)) else { return };
    let sought = Sought::of(&repository);
    let fit = key.matches(&sought);
    assert!(fit.is_none() || key.matches_host(&sought));
    let shown = key.to_string();
    if shown.len() < CUT {
        assert_eq!(Key::parse(&shown).unwrap().matches(&sought), fit, "{shown}");
    }
    let same = Repository::parse(&repository.to_string()).unwrap();
    assert_eq!(same, repository, "a repository is its own canonical form");
}

/// A registry configuration: always a reading, with a configuration exactly when nothing is an error.
pub fn registries(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let reading = RegistryConfig::parse("registries.toml", &text, &Proxies::none(), NOW);
    let again = RegistryConfig::parse("registries.toml", &text, &Proxies::none(), NOW);
    assert_eq!(format!("{:?}", reading.findings), format!("{:?}", again.findings));
    let Some(config) = reading.config else {
        assert!(!reading.findings.is_empty(), "a refusal has a reason");
        return;
    };
    assert_eq!(Some(&config), again.config.as_ref());
    for host in ["registry.corp", "a.registry.corp", "127.0.0.1:5000", "localhost", "index.docker.io"] {
        let table = config.table_for(host);
        let repository = Repository::parse(&format!("{host}/team/app")).unwrap();
        let entry = config.entry_for(&repository);
        assert!(table.is_some() || entry.is_none(), "a credential without a table");
        let matches =
            |entry: hallmark::credential::Entry| entry.key.matches(&Sought::of(&repository)).is_some();
        assert!(entry.is_none_or(matches), "the credential of a table is for its registry");
    }
}

/// `WWW-Authenticate` headers, one a line.
pub fn challenge(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(http::header::WWW_AUTHENTICATE, value);
        }
    }
    let challenges = Challenge::parse_all(&headers);
    if let Some(usable) = Challenge::first_usable(&challenges) {
        let _ = (usable.realm(), usable.service(), usable.error());
        assert!(usable.scopes().all(|scope| !scope.is_empty()));
        assert_eq!(usable.clone().without_scope().scopes().count(), 0);
    }
}

/// The answer of a token service: a token that is of use now and is fetched anew before its end, or nothing.
pub fn token_response(data: &[u8]) {
    for now in [NOW, "2026-01-01T00:00:00Z".parse().unwrap()] {
        let Ok(token) = Token::parse(data, now) else { continue };
        assert!(!token.bearer.is_empty());
        let refresh = refresh_at(token.expires_at, now);
        assert!(refresh >= now);
        assert!(refresh <= token.expires_at || refresh == now);
        assert!(!format!("{token:?}").contains("eyJ"), "a token does not print");
    }
}
