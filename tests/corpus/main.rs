//! What hack/fuzz has found worth keeping is read again by every run of the tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and its parts are no library"
)]

#[path = "../fuzz/src/targets.rs"]
mod targets;

use std::fs;
use std::path::Path;

const LARGEST: u64 = 1024 * 1024;

#[test]
fn every_input_of_the_corpus_keeps_the_promises_of_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut bytes = 0;
    for (name, target) in targets::ALL {
        let inputs: Vec<_> = fs::read_dir(corpus.join(name)).unwrap().map(|file| file.unwrap()).collect();
        assert!(inputs.len() >= 10, "{name} has {} inputs", inputs.len());
        for input in inputs {
            bytes += input.metadata().unwrap().len();
            target(&fs::read(input.path()).unwrap());
        }
    }
    assert!(bytes <= LARGEST, "the corpus has {bytes} bytes");
}

#[test]
fn every_target_is_a_program_of_the_fuzz_package() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/src/bin");
    let mut found: Vec<_> = fs::read_dir(programs)
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    found.sort();
    let mut named = targets::ALL.map(|(name, _)| name.to_owned());
    named.sort();
    assert_eq!(found, named);
}

#[test]
fn the_lock_of_the_fuzz_package_knows_every_dependency() {
    let read = |name: &str| {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        toml::from_str::<toml::Table>(&text).unwrap()
    };
    let (manifest, lock) = (read("Cargo.toml"), read("tests/fuzz/Cargo.lock"));
    let packages = lock["package"].as_array().unwrap();
    let ours = packages.iter().find(|package| package["name"].as_str() == Some("hallmark")).unwrap();
    // A name that stands there in two versions is written with its version behind it.
    let locked = ours["dependencies"].as_array().unwrap().iter();
    let locked: Vec<_> =
        locked.map(|name| name.as_str().unwrap().split(' ').next().unwrap().to_owned()).collect();
    let dependencies = manifest["dependencies"].as_table().unwrap().iter();
    // What a feature brings that is off is in no lock of others.
    let wanted = dependencies.filter(|(_, dependency)| dependency.get("optional").is_none());
    for (name, _) in wanted {
        assert!(
            locked.contains(name),
            "{name} is missing: cargo metadata --manifest-path tests/fuzz/Cargo.toml"
        );
    }
}
