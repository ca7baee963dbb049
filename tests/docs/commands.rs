//! Every command of README and handbook is run by a test as it is written, or it is said here why it is not.

use std::path::Path;

use clap::{CommandFactory as _, Parser as _};
use hallmark::cli::Cli;

use crate::{files, read, root};

/// Blocks that no test runs: the page, a part of the block, and what does it instead or what is missing.
const NOT_RUN: &[(&str, &str, &str)] = &[
    ("README.md", "cargo run --release", "tests/core/demo.rs runs the demo of the build under test"),
    ("README.md", "hack/test", "it is what runs the tests"),
    (
        "docs/authentication.md",
        "kubectl apply -k my-overlay",
        "the overlay is the reader's; tests/cloud has the component",
    ),
    (
        "docs/authentication.md",
        "-- hallmark doctor --cloud",
        "there is no kubelet; tests/cloud runs doctor --cloud",
    ),
    ("docs/benchmarks.md", "hack/bench", "benchmarks are run by hand, on a quiet machine"),
    (
        "docs/install.md",
        "crane push target/image/layout",
        "the group image does the same in folders of its own",
    ),
    ("docs/install.md", "docker build", "there is no docker here"),
    (
        "docs/keyless.md",
        "hallmark identity --provider filesystem",
        "tests/keyless/main.rs, with the test's own token",
    ),
    ("docs/keyless.md", "-- /hallmark identity", "there is no kubelet"),
    (
        "docs/keyless.md",
        "spire-server entry create",
        "there is no kubelet to attest a pod; tests/keyless/spire.rs has a process",
    ),
    (
        "docs/keyless.md",
        "hallmark sign -f run.yaml --identity-token",
        "tests/keyless/signing.rs, with the test's own addresses",
    ),
    (
        "docs/keyless.md",
        "--trusted-root trusted_root.json",
        "tests/keyless/signing.rs, with the test's own names",
    ),
    (
        "docs/short-lived.md",
        "hallmark auth login --issuer",
        "tests/refresh/login.rs, with an issuer of the test's own",
    ),
    (
        "docs/short-lived.md",
        "kubectl apply -k config/overlays/pull-secret-updater",
        "tests/refresh/world.rs, from the project's root",
    ),
    (
        "docs/stores.md",
        "--from-file=kafka-ca.crt",
        "tests/core/handbook.rs makes the same Secret, of another file",
    ),
    ("docs/signers.md", "vault secrets enable", "the group signers asks Vault's API for the same"),
    ("docs/signers.md", "hashivault://hallmark", "the group signers, with keys of its own"),
    ("docs/signers.md", "awskms:///alias/hallmark", "the group signers, with keys and servers of its own"),
];

/// Blocks that a test runs: the page, the part by which the test finds it, and the test.
const RUN: &[(&str, &str, &str)] = &[
    ("README.md", "kubectl apply -f release.yaml", HANDBOOK),
    ("README.md", "kubectl patch configmap chains-config", HANDBOOK),
    ("README.md", "kubectl create secret docker-registry push", HANDBOOK),
    ("README.md", "cosign verify --key", HANDBOOK),
    ("README.md", "hallmark sign -f - --key x509.pem", HANDBOOK),
    ("README.md", "hallmark creds explain", HANDBOOK),
    ("docs/admission.md", "kubectl apply -k config/overlays/webhook", HANDBOOK),
    ("docs/admission.md", "regcreds", HANDBOOK),
    ("docs/admission.md", "kubectl create configmap trusted-root", HANDBOOK),
    ("docs/authentication.md", "kubectl create secret docker-registry push", HANDBOOK),
    ("docs/authentication.md", "--from-file=.dockerconfigjson=config.json", HANDBOOK),
    ("docs/authentication.md", "hallmark creds explain", HANDBOOK),
    ("docs/authentication.md", "hallmark config check --registries", HANDBOOK),
    ("docs/install.md", "hack/release --image", HANDBOOK),
    ("docs/install.md", "hallmark keys generate", HANDBOOK),
    ("docs/install.md", "signing.finalizers", HANDBOOK),
    ("docs/install.md", "/spec/strategy", HANDBOOK),
    ("docs/keyless.md", "kubectl get --raw /.well-known/openid-configuration", HANDBOOK),
    ("docs/keyless.md", "kubectl create clusterrolebinding issuer-discovery", HANDBOOK),
    ("docs/keyless.md", "--force-conflicts", HANDBOOK),
    ("docs/keyless.md", "fulcio.enabled", HANDBOOK),
    ("docs/keyless.md", "keyless-eks", HANDBOOK),
    ("docs/keyless.md", "-k config/overlays/private-fulcio", "tests/core/handbook.rs: private-fulcio"),
    ("docs/keyless.md", "spiffe-csi", HANDBOOK),
    ("docs/keyless.md", "spiffe-hostpath", HANDBOOK),
    ("docs/keys.md", "cosign generate-key-pair", HANDBOOK),
    ("docs/operating.md", "hallmark explain RUN", HANDBOOK),
    ("docs/operating.md", "hallmark retry RUN", HANDBOOK),
    ("docs/operating.md", "OTEL_EXPORTER_OTLP_ENDPOINT", HANDBOOK),
    ("docs/short-lived.md", "hallmark auth identity create kind-pull-secrets", REFRESH),
    ("docs/short-lived.md", "hallmark auth configure-docker --identity", REFRESH),
    ("docs/short-lived.md", "hallmark auth pull-token --identity", REFRESH),
    ("docs/short-lived.md", "kubectl annotate secret pull-secret ", "tests/refresh/document.rs"),
    ("docs/short-lived.md", "kubectl create clusterrolebinding", "tests/refresh/document.rs"),
    ("docs/short-lived.md", "kubectl create clusterrole ", "tests/refresh/failures.rs"),
    ("docs/signers.md", "> cosign.pub", HANDBOOK),
    ("docs/signers.md", "hallmark keys public --secret", HANDBOOK),
    ("docs/signers.md", "> new.pub", HANDBOOK),
    ("docs/signers.md", "--retire", HANDBOOK),
    ("docs/troubleshooting.md", "hallmark explain RUN", HANDBOOK),
    ("docs/troubleshooting.md", "hallmark completions bash", HANDBOOK),
    ("docs/verify.md", "--type slsaprovenance", HANDBOOK),
    ("docs/verify.md", "hallmark policy test", HANDBOOK),
];
const HANDBOOK: &str = "tests/core/handbook.rs";
const REFRESH: &str = "tests/refresh/handbook.rs";

/// The blocks of shell of every page, with their pages.
fn blocks() -> Vec<(String, String)> {
    let mut pages = files(&root().join("docs"), "md");
    pages.push(root().join("README.md"));
    let mut found = Vec::new();
    for page in pages {
        let name = page.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let text = read(&name);
        let blocks = text.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("sh\n"));
        found.extend(blocks.map(|block| (name.clone(), block.to_owned())));
    }
    found
}

#[test]
fn every_block_of_commands_is_run_by_a_test_or_has_its_reason() {
    let blocks = blocks();
    assert!(blocks.len() > 50, "only {} blocks", blocks.len());
    let listed: Vec<_> = RUN.iter().chain(NOT_RUN).collect();
    for (page, block) in &blocks {
        let by = listed.iter().filter(|(of, part, _)| of == page && block.contains(part)).count();
        assert!(by > 0, "no test runs this of {page}, and no reason is given:\n{block}");
    }
    for (page, part, _) in listed {
        let there = blocks.iter().filter(|(of, block)| of == page && block.contains(part)).count();
        assert!(there > 0, "{page} has no such block any more: {part}");
    }
}

#[test]
fn the_tests_that_are_named_find_the_blocks_by_these_parts() {
    for (page, part, test) in RUN {
        let (file, word) = test.split_once(": ").unwrap_or((test, part));
        assert!(Path::new(&root().join(file)).exists(), "{file}");
        // A part with quotes is escaped there.
        let sought = word.trim();
        assert!(read(file).contains(sought), "{file} does not run {sought:?} of {page}");
    }
}

/// The command lines of hallmark in a script: what stands before them in a pipe, redirections and remarks are left out.
fn of_hallmark(script: &str) -> Vec<Vec<String>> {
    let joined = script.replace("\\\n", " ");
    let mut found = Vec::new();
    for line in joined.lines() {
        let words = split(line);
        for (number, word) in words.iter().enumerate() {
            let before = number.checked_sub(1).map_or("", |before| words[before].as_str());
            // A command begins the line, or a part of it; `kubectl exec … -- hallmark` is one too.
            let begins = ["", "|", "&&", ";", "--"].contains(&before) || before.contains('=');
            if begins && word == "hallmark" {
                let ends = |word: &&String| !["|", "&&", ";", ">", "<", "#"].contains(&word.as_str());
                found.push(words[number..].iter().take_while(ends).cloned().collect());
            }
        }
    }
    found
}

/// Words as a shell makes them of a line that holds nothing unusual.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for character in line.chars() {
        match (quote, character) {
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            (None, ' ') => words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty())),
            _ => word.push(character),
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// The examples of a command's help and of those below it.
fn examples(command: &clap::Command, found: &mut Vec<(String, String)>) {
    if let Some(help) = command.get_after_help() {
        found.push((format!("the help of {}", command.get_name()), help.to_string()));
    }
    for below in command.get_subcommands() {
        examples(below, found);
    }
}

#[test]
fn every_command_line_of_hallmark_that_people_read_is_understood() {
    let mut texts = blocks();
    examples(&Cli::command(), &mut texts);
    let mut count = 0;
    for (place, text) in texts {
        let is_help = place.starts_with("the help");
        let lines = text.replace("\\\n", " ");
        let lines = lines.lines().filter(|line| !is_help || line.starts_with("  "));
        for command in lines.flat_map(of_hallmark) {
            let command: Vec<String> =
                command.iter().map(|word| word.replace("IMAGE", "registry.example/team/app:v1")).collect();
            if let Err(error) = Cli::try_parse_from(&command) {
                panic!("{place}: {}: {error}", command.join(" "));
            }
            count += 1;
        }
    }
    assert!(count > 100, "only {count} command lines");
}

#[test]
fn command_lines_are_taken_out_of_scripts() {
    let script = "kubectl get x -o yaml | hallmark sign -f - \\\n  --key 'a b' > out   # hallmark writes\n";
    assert_eq!(of_hallmark(script)[0], ["hallmark", "sign", "-f", "-", "--key", "a b"]);
}
