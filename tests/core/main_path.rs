//! The main path: a completed TaskRun becomes a signature and an attestation that cosign accepts.

use std::time::Duration;

use crate::agent::{Agent, SOON, stopped_well};
use crate::support::{Authentication, Cosign, Crane, Distribution, PlainRegistry, TokenUser, eventually};

/// Attestations go to the registry too.
pub const TO_REGISTRY: &[(&str, &str)] =
    &[("artifacts.taskrun.storage", "oci"), ("artifacts.taskrun.format", "slsa/v1")];

#[tokio::test]
async fn a_completed_task_run_is_signed_in_a_registry_that_demands_a_token() {
    let builder = TokenUser::new("builder", "the builder's password").push("team/");
    let registry = Distribution::start(Authentication::Token(vec![builder.clone()])).await;
    let access = registry.access(Some(builder.login()));
    let image = Crane::new(&access).push_random_image("team/app").await;
    let agent = Agent::prepare("main-path", &access, TO_REGISTRY).await;
    let hallmark = agent.start().await;

    agent.build("build", &access, &image).await;
    assert_eq!(agent.mark("build", SOON).await, "true");
    agent.cosign_accepts(&access, &image).await;

    let outcome = agent.outcome("build", SOON).await;
    let results: Vec<_> =
        outcome.iter().map(|entry| (entry["store"].as_str(), entry["result"].as_str())).collect();
    assert_eq!(results, [(Some("oci"), Some("stored")), (Some("oci"), Some("stored"))]);
    stopped_well(hallmark);
}

#[tokio::test]
async fn another_key_verifies_nothing() {
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let image = Crane::new(&access).push_random_image("app").await;
    let agent = Agent::prepare("other-key", &access, TO_REGISTRY).await;
    let _hallmark = agent.start().await;
    agent.build("build", &access, &image).await;
    assert_eq!(agent.mark("build", SOON).await, "true");

    let cosign = Cosign::new(&access);
    let other = cosign.generate_key_pair("other").await;
    cosign.verify(&other.public, &image.by_digest()).await.failed();
    cosign.verify_attestation(&other.public, "slsaprovenance", &image.by_digest()).await.failed();
}

#[tokio::test]
async fn a_key_that_cosign_encrypted_signs() {
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let image = Crane::new(&access).push_random_image("app").await;
    let mut agent = Agent::prepare("cosign-key", &access, TO_REGISTRY).await;
    let cosign = Cosign::new(&access);
    agent.use_cosign_key(&cosign.generate_key_pair("pair").await);
    let _hallmark = agent.start().await;
    agent.build("build", &access, &image).await;
    assert_eq!(agent.mark("build", SOON).await, "true");
    agent.cosign_accepts(&access, &image).await;
}

#[tokio::test]
async fn runs_that_completed_before_the_agent_started_are_signed_too() {
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let agent = Agent::prepare("backlog", &access, TO_REGISTRY).await;
    let crane = Crane::new(&access);
    let mut images = Vec::new();
    for number in 0..5 {
        let image = crane.push_random_image(&format!("app-{number}")).await;
        agent.build(&format!("build-{number}"), &access, &image).await;
        images.push(image);
    }
    let _hallmark = agent.start().await;
    for (number, image) in images.iter().enumerate() {
        assert_eq!(agent.mark(&format!("build-{number}"), SOON).await, "true");
        agent.cosign_accepts(&access, image).await;
    }
}

#[tokio::test]
async fn a_run_is_held_while_it_runs_and_let_go_with_its_mark() {
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let image = Crane::new(&access).push_random_image("app").await;
    let agent = Agent::prepare("held", &access, TO_REGISTRY).await;
    let _hallmark = agent.start().await;
    agent.cluster.create_task_run(&agent.namespace, "build").await;
    let runs = agent.cluster.task_runs(&agent.namespace).await;
    let finalizers =
        async || runs.get("build").await.unwrap().metadata.finalizers.filter(|held| !held.is_empty());
    let held = eventually("the run is held", SOON, finalizers).await;
    assert_eq!(held, ["chains.tekton.dev/taskrun"]);

    let completion = crate::support::Completion::success().image(
        "",
        &crate::agent::repository(&access, &image),
        &image.digest,
    );
    agent.cluster.complete(&agent.namespace, "build", &completion).await;
    assert_eq!(agent.mark("build", SOON).await, "true");
    assert_eq!(finalizers().await, None);
}

#[tokio::test]
async fn nothing_is_signed_without_a_good_config_map_and_it_is_taken_up_live() {
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let image = Crane::new(&access).push_random_image("app").await;
    let mistakes = [
        ("artifacts.taskrun.format", "slsa/v9"),
        ("artifacts.oci.storage", "floppy"),
        ("artifacts.pipelinerun.signer", "pen"),
    ];
    let agent = Agent::prepare("bad-config", &access, &mistakes).await;
    let hallmark = agent.start().await;
    for (key, _) in mistakes {
        hallmark.line(key, SOON).await;
    }
    agent.build("build", &access, &image).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(Agent::layers(&access, &image, "sig").await, 0);

    agent.configure(TO_REGISTRY).await;
    assert_eq!(agent.mark("build", SOON).await, "true");
    agent.cosign_accepts(&access, &image).await;
}
