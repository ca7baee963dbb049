//! What resolving credentials costs: eight candidates out of 1,000 entries in 20 Secrets, and reading those Secrets.
//! `cargo bench --bench credentials`. The first must take a millisecond or less on one core (must show 8 of the
//! credentials issue).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a benchmark fails by panicking, and is no library"
)]

use std::collections::BTreeMap;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use hallmark::artifact::image::Repository;
use hallmark::credential::docker_config::{Secret, read_secret};
use hallmark::credential::{Keychain, Location, SecretRef, Source};
use serde_json::{Map, Value, json};

const SECRETS: usize = 20;
const ENTRIES: usize = 50;
/// The Secrets that have an entry for the repository which is pushed to.
const MATCHING: usize = 8;

fn main() {
    divan::main();
}

/// A docker config with entries of every shape, one of them for the registry if it is to have one.
fn config(number: usize) -> Vec<u8> {
    let mut auths = Map::new();
    for entry in 0..ENTRIES {
        let key = match entry {
            0 if number < MATCHING && number.is_multiple_of(2) => "registry.example/team".to_owned(),
            0 if number < MATCHING => "registry.example/team/app".to_owned(),
            _ if entry % 5 == 0 => format!("*.region-{number}-{entry}.registry.example"),
            _ if entry % 3 == 0 => format!("registry.example/other-{number}-{entry}"),
            _ => format!("https://registry-{number}-{entry}.example/v1/"),
        };
        let login = json!({"username": format!("user-{number}-{entry}"), "password": "p".repeat(40)});
        auths.insert(key, login);
    }
    Value::from(Map::from_iter([("auths".to_owned(), auths.into())])).to_string().into_bytes()
}

fn read(number: usize, content: &BTreeMap<String, Vec<u8>>, keychain: &mut Keychain) {
    let reference = SecretRef {
        namespace: "ci".to_owned(),
        name: format!("secret-{number}"),
        uid: format!("uid-{number}"),
        resource_version: "1".to_owned(),
    };
    let kind = "kubernetes.io/dockerconfigjson";
    let secret = Secret { reference: &reference, kind, data: content, annotations: &BTreeMap::new() };
    let source = Source::ServiceAccountSecrets;
    let reading = read_secret(&source, &secret);
    keychain.add(source, Location::Secret(reference), reading);
}

fn contents() -> Vec<BTreeMap<String, Vec<u8>>> {
    let data = |number| BTreeMap::from([(".dockerconfigjson".to_owned(), config(number))]);
    (0..SECRETS).map(data).collect()
}

fn keychain(contents: &[BTreeMap<String, Vec<u8>>]) -> Keychain {
    let mut keychain = Keychain::default();
    for (number, content) in contents.iter().enumerate() {
        read(number, content, &mut keychain);
    }
    keychain
}

/// The candidates in their order.
#[divan::bench]
fn resolve(bencher: Bencher<'_, '_>) {
    let (keychain, repository) =
        (keychain(&contents()), Repository::parse("registry.example/team/app").unwrap());
    assert_eq!(keychain.entries.len(), SECRETS * ENTRIES);
    // And anonymous.
    assert_eq!(keychain.candidates(&repository).len(), MATCHING + 1);
    let items = ItemsCount::new(SECRETS * ENTRIES);
    bencher.counter(items).bench_local(|| black_box(&keychain).candidates(black_box(&repository)));
}

/// The Secrets as the API server gives them, which a warm agent reads once a minute at most.
#[divan::bench]
fn read_secrets(bencher: Bencher<'_, '_>) {
    let contents = contents();
    let items = ItemsCount::new(SECRETS * ENTRIES);
    bencher.counter(items).bench_local(|| keychain(black_box(&contents)));
}
