//! Archivista and Container Analysis: what they receive, how often, and what a person reads when they refuse.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::agent::{Agent, stopped_well};
use crate::support::{Access, Completion, binary, run};
use crate::world::{Servers, Signing, envelope_verifies, hex, openssl_verifies};

const APP: &str = "registry.test/team/app";

fn decoded(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap_or_else(|| panic!("{value}"))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn archivista_has_the_statements_about_run_and_image_each_once() {
    let servers = Servers::start();
    let address = format!("{}/archivista/", servers.url);
    let config = [
        ("artifacts.taskrun.storage", "archivista"),
        ("artifacts.oci.storage", "archivista"),
        ("storage.archivista.url", address.as_str()),
    ];
    let signing = Signing::of("build", &[APP], &config);
    let first = signing.results(&[]).await;
    assert!(first.len() == 2 && first.iter().all(|result| result.ends_with(" stored")), "{first:?}");
    let envelopes = servers.state().await["envelopes"].clone();
    let mut predicates: Vec<String> = Vec::new();
    for (name, envelope) in envelopes.as_object().unwrap() {
        let statement = envelope_verifies(envelope.as_str().unwrap().as_bytes());
        assert_eq!(statement["subject"][0]["digest"]["sha256"], hex('a'));
        assert!(first.iter().any(|result| result.contains(name)), "{name} is in the outcome: {first:?}");
        predicates.push(statement["predicateType"].as_str().unwrap().to_owned());
    }
    predicates.sort();
    assert_eq!(predicates, ["https://sigstore.dev/cosign/sign/v1", "https://slsa.dev/provenance/v0.2"]);
    assert!(signing.results(&[]).await.iter().all(|result| result.ends_with(" present")));
    assert_eq!(servers.count("POST /archivista/upload").await, 2, "each was uploaded once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_with_two_hundred_images_stored_is_not_stored_again_after_a_restart() {
    const IMAGES: usize = 200;
    const LONG: Duration = Duration::from_mins(2);
    let servers = Servers::start();
    // It cannot be searched: what is there is known by the names in the annotations alone.
    servers.control(json!({"index": false})).await;
    let address = format!("{}/archivista", servers.url);
    let config = [
        ("artifacts.taskrun.storage", "archivista"),
        ("artifacts.oci.storage", "archivista"),
        ("storage.archivista.url", address.as_str()),
    ];
    let nowhere = Access { host: "127.0.0.1:1".to_owned(), ca: None, login: None };
    let agent = Agent::prepare("many-images", &nowhere, &config).await;
    let images: Vec<String> = (0..IMAGES).map(|number| format!("{APP}@sha256:{number:064x}")).collect();
    let completion = Completion::success().result("IMAGES", images.join(","));
    let uploads = async || servers.count("POST /archivista/upload").await;

    let before = agent.start().await;
    agent.cluster.completed_task_run(&agent.namespace, "build", &completion).await;
    assert_eq!(agent.mark("build", LONG).await, "true");
    assert_eq!(uploads().await, IMAGES + 1);
    before.kill();
    let annotations = agent.annotations("build").await;
    assert!(annotations["chains.tekton.dev/outcome"].contains("not-shown"), "the outcome is cut");
    assert!(annotations["chains.tekton.dev/stored"].len() <= 32 * 1024);

    let runs = agent.cluster.task_runs(&agent.namespace).await;
    let unmarked = json!({"metadata": {"annotations": {"chains.tekton.dev/signed": null}}});
    runs.patch("build", &PatchParams::default(), &Patch::Merge(unmarked)).await.unwrap();
    let after = agent.start().await;
    assert_eq!(agent.mark("build", LONG).await, "true");
    assert_eq!(uploads().await, IMAGES + 1, "nothing was uploaded again");
    stopped_well(after);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_archivista_refuses_is_told_and_no_address_is_no_store() {
    let servers = Servers::start();
    let address = format!("{}/archivista", servers.url);
    let config = |address| {
        [
            ("artifacts.taskrun.storage", "archivista"),
            ("artifacts.oci.storage", ""),
            ("storage.archivista.url", address),
        ]
    };
    let signing = Signing::of("build", &[APP], &config(&address));
    servers.control(json!({"fail": {"POST /archivista/upload": [413, "too large"]}})).await;
    let refused = signing.sign(&[]).await.failed();
    for text in
        ["cannot upload an envelope", "Archivista at 127.0.0.1", "413 too large", "storage.archivista.url"]
    {
        assert!(refused.stderr.contains(text), "{text} in {}", refused.stderr);
    }
    let unusable = Signing::of("build", &[APP], &config("archivista.test")).sign(&[]).await.failed();
    assert!(
        unusable.stderr.contains("storage.archivista.url cannot be used: it is no URL"),
        "{}",
        unusable.stderr
    );
    let unset = Signing::of("build", &[APP], &config("")).sign(&[]).await.failed();
    assert!(unset.stderr.contains("it needs storage.archivista.url, which is not set"), "{}", unset.stderr);
}

fn to_grafeas(servers: &Servers) -> Vec<(&'static str, String)> {
    vec![
        ("artifacts.taskrun.storage", "grafeas".to_owned()),
        ("artifacts.oci.storage", "grafeas".to_owned()),
        ("storage.grafeas.projectid", "project".to_owned()),
        ("storage.grafeas.endpoint", format!("{}/grafeas", servers.url)),
    ]
}

fn borrowed<'a>(config: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    config.iter().map(|(key, value)| (*key, value.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn occurrences_are_such_as_container_analysis_takes_and_made_once() {
    let servers = Servers::start();
    let clouds = servers.clouds();
    for (name, format) in [("one", "slsa/v1"), ("two", "slsa/v2alpha3"), ("three", "slsa/v2alpha4")] {
        let mut config = to_grafeas(&servers);
        config.push(("artifacts.taskrun.format", format.to_owned()));
        let signing = Signing::of(name, &[APP, "registry.test/team/other"], &borrowed(&config));
        let first = signing.results(&clouds).await;
        assert!(first.iter().any(|result| result.ends_with(" stored")), "{first:?}");
        let again = signing.results(&clouds).await;
        assert!(again.iter().all(|result| result.ends_with(" present")), "{again:?}");
    }
    let state = servers.state().await;
    let notes: Vec<&String> = state["notes"].as_object().unwrap().keys().collect();
    assert_eq!(
        notes,
        ["projects/project/notes/tekton-ci-simplesigning", "projects/project/notes/tekton-ci-taskrun-intoto"]
    );
    let occurrences = state["occurrences"].as_array().unwrap();
    // Two images, signed once for all three runs, and their provenance in three forms; v2alpha4 knows no images there.
    assert!(occurrences.len() >= 6, "{}", occurrences.len());
    for occurrence in occurrences {
        judged(occurrence).await;
        let signature = decoded(&occurrence["envelope"]["signatures"][0]["sig"]);
        if occurrence.get("build").is_some() {
            let statement = envelope_verifies(&signature);
            assert_eq!(
                decoded(&occurrence["envelope"]["payload"]),
                serde_json::to_vec(&statement).map(|_| decoded(&envelope(&signature)["payload"])).unwrap()
            );
        } else {
            openssl_verifies(&decoded(&occurrence["attestation"]["serializedPayload"]), &signature);
        }
    }
}

fn envelope(content: &[u8]) -> Value {
    serde_json::from_slice(content).unwrap()
}

/// The types of Grafeas' own code take it, field by field.
async fn judged(occurrence: &Value) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("occurrence.json");
    std::fs::write(&file, occurrence.to_string()).unwrap();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec \"$0\" grafeas < \"$FILE\""]).arg(binary("chains-reader")).env("FILE", &file);
    run(command).await.succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_namespace_has_its_note_and_a_refusal_names_the_roles() {
    let servers = Servers::start();
    let (config, clouds) = (to_grafeas(&servers), servers.clouds());
    for namespace in ["first", "second"] {
        let mut signing = Signing::of("build", &[APP], &borrowed(&config));
        signing.run["metadata"]["namespace"] = json!(namespace);
        signing.sign(&clouds).await.succeeded();
    }
    let state = servers.state().await;
    let notes: Vec<&String> = state["notes"].as_object().unwrap().keys().collect();
    let of = |namespace: &str, kind: &str| format!("projects/project/notes/tekton-{namespace}-{kind}");
    let (signing, provenance) = ("simplesigning", "taskrun-intoto");
    let mut expected =
        [of("first", signing), of("first", provenance), of("second", signing), of("second", provenance)];
    expected.sort();
    assert_eq!(notes, expected.iter().collect::<Vec<_>>());

    let other: Vec<_> = config
        .iter()
        .map(|(key, value)| {
            (*key, if *key == "storage.grafeas.projectid" { "other".into() } else { value.clone() })
        })
        .collect();
    let refused = Signing::of("build", &[APP], &borrowed(&other)).sign(&clouds).await.failed();
    for text in
        ["PERMISSION_DENIED", "Container Analysis at 127.0.0.1", "roles/containeranalysis.occurrences.editor"]
    {
        assert!(refused.stderr.contains(text), "{text} in {}", refused.stderr);
    }
    assert!(!refused.stderr.contains("canary"));
}
