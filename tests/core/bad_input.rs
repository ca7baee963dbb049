//! Bad input is refused with an error that names the object and the remedy.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::agent::{Agent, SOON, repository, stopped_well};
use crate::main_path::TO_REGISTRY;
use crate::support::{
    Authentication, Completion, Cosign, Crane, Distribution, Finished, Hallmark, PlainRegistry, PushedImage,
};

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/keys/{name}", env!("CARGO_MANIFEST_DIR"))
}

async fn prepare(config: &[(&str, &str)]) -> (PlainRegistry, PushedImage, Agent) {
    let registry = PlainRegistry::start().await;
    let image = Crane::new(&registry.access()).push_random_image("app").await;
    let agent = Agent::prepare("bad-input", &registry.access(), config).await;
    (registry, image, agent)
}

/// `hallmark sign` on a completed run with these results.
async fn sign(folder: &Path, key: &str, repository: &str, digest: &str, more: &[&str]) -> Finished {
    let run = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun",
        "metadata": {"name": "build", "namespace": "ci", "uid": "u"}, "spec": {},
        "status": {"conditions": [{"type": "Succeeded", "status": "True"}], "results": [
            {"name": "IMAGE_URL", "type": "string", "value": repository},
            {"name": "IMAGE_DIGEST", "type": "string", "value": digest}]}});
    let file = folder.join("run.json");
    fs::write(&file, run.to_string()).unwrap();
    let arguments = ["sign", "-f", file.to_str().unwrap(), "--key", key];
    Hallmark::run(&[&arguments, more].concat(), &[]).await
}

#[track_caller]
fn said(finished: &Finished, code: i32, texts: &[&str]) {
    assert_eq!(finished.code, Some(code), "{}{}", finished.stdout, finished.stderr);
    for text in texts {
        assert!(finished.stderr.contains(text), "{text:?} is not in {}", finished.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_nothing_is_marked_and_a_key_that_comes_later_is_enough() {
    let (registry, image, agent) = prepare(TO_REGISTRY).await;
    let key = agent.keys().join("x509.pem");
    let content = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let hallmark = agent.start().await;
    agent.build("build", &registry.access(), &image).await;
    let place = agent.keys().to_str().unwrap();
    agent.event(&["no signing key", place, "cosign generate-key-pair k8s://", "Tried again in"]).await;
    assert!(!agent.annotations("build").await.contains_key("chains.tekton.dev/signed"));
    fs::write(&key, content).unwrap();
    assert_eq!(agent.mark("build", Duration::from_mins(1)).await, "true");
    stopped_well(hallmark);

    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().to_str().unwrap();
    let finished = sign(folder.path(), empty, "localhost/app", &image.digest, &[]).await;
    said(&finished, 1, &["no signing key", empty, "cosign generate-key-pair"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_by_the_controller_and_by_the_command_line() {
    let (registry, image, mut agent) = prepare(TO_REGISTRY).await;
    let cosign = Cosign::new(&registry.access());
    agent.use_cosign_key(&cosign.generate_key_pair("pair").await);
    fs::write(agent.keys().join("cosign.password"), "wrong").unwrap();
    let texts = ["cosign.key cannot be decrypted", "cosign.password", "byte for byte"];
    let hallmark = agent.start().await;
    agent.build("build", &registry.access(), &image).await;
    agent.event(&texts).await;
    stopped_well(hallmark);

    let folder = tempfile::tempdir().unwrap();
    let finished =
        sign(folder.path(), agent.keys().to_str().unwrap(), &image.repository, &image.digest, &[]).await;
    said(&finished, 1, &texts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pem_of_the_wrong_type_is_told_with_the_command_that_converts_it() {
    let folder = tempfile::tempdir().unwrap();
    let digest = format!("sha256:{}", "a".repeat(64));
    let cases = [
        ("ec-sec1.pem", ["\"EC PRIVATE KEY\"", "openssl pkcs8 -topk8 -nocrypt"]),
        ("p256.pub", ["\"PUBLIC KEY\"", "openssl pkcs8"]),
        ("README.md", ["not a PEM file", "openssl genpkey"]),
        ("rsa1024.pem", ["holds no usable key", "2048"]),
    ];
    for (name, texts) in cases {
        let finished = sign(folder.path(), &fixture(name), "localhost/app", &digest, &[]).await;
        said(&finished, 1, &texts);
    }
    let missing = sign(folder.path(), "/no/such/key.pem", "localhost/app", &digest, &[]).await;
    said(&missing, 1, &["/no/such/key.pem"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_digests_are_told_by_their_result_and_leave_the_run_failed() {
    let config = [("artifacts.taskrun.storage", "oci")];
    let (registry, image, agent) = prepare(&config).await;
    let hallmark = agent.start().await;
    let hex = image.digest.strip_prefix("sha256:").unwrap();
    let digests =
        [hex.to_owned(), "sha256:abc".to_owned(), format!("sha256:{}", hex.to_uppercase()), String::new()];
    let mut completion = Completion::success();
    for (number, digest) in digests.iter().enumerate() {
        completion = completion.image(&format!("N{number}_"), &image.repository, digest);
    }
    agent.cluster.completed_task_run(&agent.namespace, "build", &completion).await;
    assert_eq!(agent.mark("build", SOON).await, "failed");
    for number in 0..3 {
        agent.event(&["UnusableResult", &format!("N{number}_IMAGE_DIGEST"), "sha256:<64 lower-case"]).await;
    }
    agent.event(&["UnusableResult", "N3_IMAGE_URL", "write result N3_IMAGE_DIGEST too"]).await;
    agent.event(&["SigningGivenUp"]).await;
    let outcome = agent.outcome("build", SOON).await;
    assert!(outcome.iter().any(|entry| entry["artifact"] == "result N1_IMAGE_DIGEST"), "{outcome:?}");

    // One that is good is signed, and the others are told all the same.
    let completion = completion.image("", &repository(&registry.access(), &image), &image.digest);
    agent.cluster.completed_task_run(&agent.namespace, "mixed", &completion).await;
    assert_eq!(agent.mark("mixed", SOON).await, "true");
    agent.cosign_accepts(&registry.access(), &image).await;
    stopped_well(hallmark);

    let folder = tempfile::tempdir().unwrap();
    let finished = sign(folder.path(), &fixture("p256.pem"), &image.repository, "sha256:abc", &[]).await;
    said(&finished, 1, &["result IMAGE_DIGEST", "sha256:<64 lower-case"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_exist_is_looked_for_again_before_the_run_is_given_up() {
    let (registry, mut image, agent) = prepare(TO_REGISTRY).await;
    image.digest = format!("sha256:{}", "d".repeat(64));
    let hallmark = agent.start().await;
    agent.build("build", &registry.access(), &image).await;
    let event = agent
        .event(&["SigningFailed", &image.by_digest(), "check that the task pushed it", "Tried again"])
        .await;
    let seconds: u64 =
        event.split_once("Tried again in ").unwrap().1.split_once(" s.").unwrap().0.parse().unwrap();
    assert!((40..=80).contains(&seconds), "{event}");
    let outcome = agent.outcome("build", SOON).await;
    assert!(outcome.iter().all(|entry| entry["result"] == "failed"), "{outcome:?}");
    let annotations = agent.annotations("build").await;
    assert_eq!(annotations["chains.tekton.dev/retries"], "0");
    assert!(!annotations.contains_key("chains.tekton.dev/signed"));
    stopped_well(hallmark);

    let folder = tempfile::tempdir().unwrap();
    let finished = sign(folder.path(), &fixture("p256.pem"), &image.repository, &image.digest, &[]).await;
    said(&finished, 1, &[&image.by_digest(), "check that the task pushed it"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_mistakes_in_a_config_map_file_are_reported_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let mistakes = "artifacts.taskrun.format: slsa/v9\n  artifacts.oci.storage: floppy\n  artifacts.pipelinerun.signer: pen";
    fs::write(&config, format!("kind: ConfigMap\ndata:\n  {mistakes}\n")).unwrap();
    let more = ["--config", config.to_str().unwrap()];
    let digest = format!("sha256:{}", "a".repeat(64));
    let finished = sign(folder.path(), &fixture("p256.pem"), "localhost/app", &digest, &more).await;
    let keys = ["artifacts.taskrun.format", "artifacts.oci.storage", "artifacts.pipelinerun.signer"];
    said(&finished, 2, &keys);
    said(&finished, 2, &["slsa/v9", "slsa/v1", "floppy", "oci", "pen", "x509"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_run_with_4000_results_is_signed_and_its_unusable_ones_are_told_within_bounds() {
    let (registry, image, agent) = prepare(TO_REGISTRY).await;
    let hallmark = agent.start().await;
    let mut plain = Completion::success();
    let mut hostile = Completion::success();
    for number in 0..3998 {
        plain = plain.result(&format!("result-{number}"), "value");
        hostile = hostile.result(&format!("R{number}_IMAGE_URL"), "localhost/app");
    }
    for (name, completion) in [("plain", plain), ("hostile", hostile)] {
        let completion = completion.image("", &repository(&registry.access(), &image), &image.digest);
        agent.cluster.completed_task_run(&agent.namespace, name, &completion).await;
        let completed = Instant::now();
        assert_eq!(agent.mark(name, SOON).await, "true");
        println!("{name}: marked after {:?}", completed.elapsed());
        assert!(agent.annotations(name).await["chains.tekton.dev/outcome"].len() <= 4096);
    }
    agent.event(&["UnusableResult", "R0_IMAGE_URL", "write result R0_IMAGE_DIGEST too"]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(agent.events().await.len() <= 64);
    agent.cosign_accepts(&registry.access(), &image).await;
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_ends_the_controller_with_the_option_that_chooses_another() {
    let (_registry, _, agent) = prepare(TO_REGISTRY).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let kubeconfig = agent.cluster.kubeconfig("admin");
    for option in ["--health-address", "--metrics-address"] {
        let other = if option == "--health-address" { "--metrics-address" } else { "--health-address" };
        let arguments = [
            "controller",
            "--kubeconfig",
            kubeconfig.to_str().unwrap(),
            option,
            &address,
            other,
            "127.0.0.1:0",
        ];
        let finished = tokio::time::timeout(SOON, Hallmark::run(&arguments, &[])).await;
        said(&finished.expect("it ends by itself"), 1, &[&address, option, "in use"]);
    }
}

#[tokio::test]
async fn a_pipeline_run_whose_task_runs_are_not_all_there_is_signed_and_what_is_left_out_is_said() {
    let registry = PlainRegistry::start().await;
    let image = Crane::new(&registry.access()).push_random_image("app").await;
    let condition = |status: &str| json!([{"type": "Succeeded", "status": status}]);
    let child = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": "slow",
        "namespace": "ci", "labels": {"tekton.dev/pipelineRun": "release"}}, "status": {"conditions": condition("Unknown")}});
    let run = json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
        "metadata": {"name": "release", "namespace": "ci", "uid": "u"}, "spec": {},
        "status": {"conditions": condition("False"), "childReferences": [{"name": "slow"}, {"name": "lost"}],
            "results": [{"name": "IMAGE_URL", "value": image.repository},
                {"name": "IMAGE_DIGEST", "value": image.digest}]}});
    let folder = tempfile::tempdir().unwrap();
    let (run_file, both) = (folder.path().join("run.json"), folder.path().join("both.json"));
    fs::write(&run_file, run.to_string()).unwrap();
    fs::write(&both, json!({"kind": "List", "items": [run, child]}).to_string()).unwrap();
    let key = fixture("p256.pem");
    let arguments = |file: &Path| ["sign", "-f", file.to_str().unwrap(), "--key", &key].map(str::to_owned);
    let signed = async |file: &Path| {
        let arguments = arguments(file);
        Hallmark::run(&arguments.each_ref().map(String::as_str), &[]).await
    };
    let alone = signed(&run_file).await;
    said(
        &alone,
        0,
        &["the statement about PipelineRun ci/release goes without", "slow (it is not in the files)"],
    );
    said(&signed(&both).await, 0, &["slow (it has not ended)", "lost (it is not in the files)"]);
    // A run of its own that has not ended is refused as before.
    let mut other = child;
    other["metadata"]["labels"] = json!({});
    fs::write(&both, json!({"kind": "List", "items": [run, other]}).to_string()).unwrap();
    said(&signed(&both).await, 1, &["TaskRun ci/slow has not ended"]);
}

#[tokio::test]
async fn a_key_that_cannot_be_read_and_a_registry_that_cannot_be_trusted_are_told_with_their_causes() {
    let registry = Distribution::start(Authentication::None).await;
    let image = Crane::new(&registry.access(None)).push_random_image("app").await;
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.pem");
    let missing = missing.to_str().unwrap();
    let finished = sign(folder.path(), missing, &image.repository, &image.digest, &[]).await;
    said(&finished, 1, &["cannot read the signing key", missing, "No such file"]);
    let finished = sign(folder.path(), &fixture("p256.pem"), &image.repository, &image.digest, &[]).await;
    assert_ne!(finished.code, Some(0));
    assert!(finished.stderr.contains("no trusted TLS connection"), "{}", finished.stderr);
    assert!(finished.stderr.contains("certificate"), "why, from below: {}", finished.stderr);
}

#[tokio::test]
async fn standard_input_is_read_once_and_not_by_two_options() {
    for arguments in [
        &["payload", "-f", "-", "--child", "-"][..],
        &["payload", "-f", "-", "--config", "-"],
        &["sign", "-f", "-", "-f", "-", "--key", "x"],
        &["sign", "-f", "-", "--config", "-", "--key", "x"],
    ] {
        let finished = Hallmark::run_with_input(arguments, &[], "{}").await;
        said(&finished, 2, &["standard input can be read once", "2 times"]);
    }
}
