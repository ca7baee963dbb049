//! `hallmark demo`, as somebody meets it who has just cloned the project: it runs, and what it prints at the end
//! works with the real cosign.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::support::{Access, Cosign, Finished, Hallmark, eventually};

const LIMIT: Duration = Duration::from_secs(20);

/// The passwords in a demo's directory.
fn passwords(directory: &Path) -> Vec<String> {
    let mut logins = Vec::new();
    let account = std::fs::read_to_string(directory.join("account.yaml")).unwrap();
    for object in serde_saphyr::from_multiple::<Value>(&account).unwrap() {
        logins.extend(object["stringData"][".dockerconfigjson"].as_str().map(login));
    }
    assert_eq!(logins.len(), 2, "two Secrets");
    logins.iter().map(|login| login.split_once(':').unwrap().1.to_owned()).collect()
}

fn login(docker_config: &str) -> String {
    let config: Value = serde_json::from_str(docker_config).unwrap();
    let (_, entry) = config["auths"].as_object().unwrap().iter().next().unwrap();
    String::from_utf8(BASE64_STANDARD.decode(entry["auth"].as_str().unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn a_program_is_told_what_the_demo_signed_and_where() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("demo");
    let directory = directory.to_str().unwrap();
    let told = Hallmark::run(&["demo", "-o", "json", "--directory", directory], &[]).await.succeeded().json();
    assert_eq!(
        (&told["verified"], &told["directory"]),
        (&Value::Bool(true), &Value::from(directory)),
        "{told}"
    );
    let digest = told["image"].as_str().unwrap().split_once("@sha256:").unwrap().1.to_owned();
    assert_eq!(told["signature"], format!("sha256-{digest}.sig"));
    assert!(told["credentials"][0]["selected"].is_number(), "{told}");
}

#[tokio::test]
async fn the_demo_shows_every_step_and_ends_well() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("demo");
    let started = Instant::now();
    let arguments = ["--log", "trace", "demo", "--directory", directory.to_str().unwrap()];
    let demo = Hallmark::run(&arguments, &[]).await.succeeded();
    assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());

    let steps: Vec<&str> = demo.stdout.lines().filter(|line| line.as_bytes().get(1) == Some(&b'.')).collect();
    assert_eq!(
        steps,
        [
            "1. The setting",
            "2. What the run built",
            "3. Which credential opened the registry",
            "4. What was pushed",
            "5. Verified by code that took no part in signing",
        ]
    );
    let lines = [
        "TaskRun ci/build-app has ended",
        "ci/registry-pull",
        "basic: denied (401 DENIED)",
        "ci/registry-push",
        "├─ signature",
        "└─ attestation",
        "✓ with one bit flipped, neither of them verifies",
    ];
    let mut rest = demo.stdout.as_str();
    for line in lines {
        rest =
            rest.split_once(line).unwrap_or_else(|| panic!("no {line:?} in its place:\n{}", demo.stdout)).1;
    }
    assert!(demo.stdout.lines().count() <= 45 && !demo.stdout.contains('\x1b'), "{}", demo.stdout);
    for password in passwords(&directory) {
        assert!(
            !demo.stdout.contains(&password) && !demo.stderr.contains(&password),
            "a password was printed"
        );
    }
    let private_key = std::fs::read_to_string(directory.join("x509.pem")).unwrap();
    let secret = private_key.lines().nth(1).unwrap();
    assert!(!demo.stdout.contains(secret) && !demo.stderr.contains(secret), "the key was printed");
}

#[tokio::test]
async fn a_proxy_in_the_environment_is_not_asked_for_this_machine() {
    let proxy = "http://127.0.0.1:1";
    Hallmark::run(&["demo"], &[("HTTP_PROXY", proxy), ("http_proxy", proxy), ("ALL_PROXY", proxy)])
        .await
        .succeeded();
}

#[tokio::test]
async fn what_others_put_into_the_directory_is_not_overwritten() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("x509.pem"), "precious").unwrap();
    let demo = Hallmark::run(&["demo", "--directory", place.path().to_str().unwrap()], &[]).await.failed();
    assert_eq!(demo.code, Some(1));
    assert!(demo.stderr.contains("--directory") && demo.stdout.is_empty(), "{demo:?}");
    assert_eq!(std::fs::read_to_string(place.path().join("x509.pem")).unwrap(), "precious");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let demo = Hallmark::run(&["demo", "--directory", "/proc/demo"], &[]).await.failed();
    assert_eq!(demo.code, Some(1));
    assert!(demo.stderr.contains("cannot make directory /proc/demo: "), "{}", demo.stderr);
}

/// A demo that was asked to stay, in its own home folder.
async fn kept() -> Hallmark {
    let demo = Hallmark::start(&["demo", "--keep"], &[]);
    demo.line("signing again finds both in place", LIMIT).await;
    demo
}

/// The commands that it prints, continued lines joined, in the order in which they are printed.
fn commands(demo: &Hallmark) -> Vec<String> {
    let lines = demo.lines();
    let printed = lines.iter().skip_while(|line| !line.starts_with("Done in")).skip(1);
    let text: Vec<&str> = printed.map(|line| line.trim()).take_while(|line| !line.starts_with('(')).collect();
    text.join("\n").replace("\\\n", "").lines().map(str::to_owned).collect()
}

/// Runs printed commands in the folder where the demo was started.
async fn shell(demo: &Hallmark, commands: &[&str]) -> Finished {
    let cosign = Cosign::new(&Access { host: String::new(), ca: None, login: None });
    let mut command = Command::new("sh");
    command.args(["-e", "-c", &commands.join("\n")]).current_dir(demo.home());
    cosign.run_beside(command).await
}

#[tokio::test]
async fn the_printed_commands_pass_and_with_another_key_they_fail() {
    let demo = kept().await;
    let commands = commands(&demo);
    let [export, verify, attestation, sign] = commands.as_slice() else { panic!("{commands:#?}") };
    assert!(verify.starts_with("cosign verify --key hallmark-demo/cosign.pub "), "{verify}");
    assert!(
        attestation.starts_with("cosign verify-attestation --type slsaprovenance --key "),
        "{attestation}"
    );

    let payloads = shell(&demo, &[export, verify]).await.succeeded().stdout;
    let digest = verify.split_once('@').unwrap().1;
    let payloads: Value = serde_json::from_str(&payloads).unwrap();
    assert_eq!(payloads[0]["critical"]["image"]["docker-manifest-digest"], digest);
    shell(&demo, &[export, attestation]).await.succeeded();
    shell(&demo, &[verify]).await.failed();

    let signed = shell(&demo, &[sign]).await.succeeded().stdout;
    assert_eq!(signed.matches(" present ").count(), 2, "{signed}");
    assert_eq!(signed.matches(" stored ").count(), 0, "{signed}");

    let stranger = Cosign::new(&Access { host: String::new(), ca: None, login: None });
    let other = stranger.generate_key_pair("other").await;
    std::fs::copy(&other.public, demo.home().join("other.pub")).unwrap();
    for command in [verify, attestation] {
        let changed = command.replace("hallmark-demo/cosign.pub", "other.pub");
        let refused = shell(&demo, &[export, &changed]).await.failed();
        assert!(refused.stderr.contains("signature"), "{}", refused.stderr);
    }
}

#[tokio::test]
async fn a_kept_demo_runs_until_it_is_told_to_stop() {
    let mut demo = kept().await;
    assert!(demo.exited().is_none());
    let address = demo
        .line("Registry  ", LIMIT)
        .await
        .split_whitespace()
        .nth(1)
        .unwrap()
        .trim_end_matches(',')
        .to_owned();
    assert!(std::net::TcpStream::connect(&address).is_ok(), "{address}");
    let home = demo.home().to_owned();
    let passwords = passwords(&home.join("hallmark-demo"));
    let (status, printed) = demo.terminate();
    assert_eq!(status.code(), Some(0), "{printed:?}");
    assert!(passwords.iter().all(|password| !printed.concat().contains(password)), "a password was printed");
    let gone = async || std::net::TcpStream::connect(&address).is_err().then_some(());
    eventually("the registry is gone", LIMIT, gone).await;
}
