//! PipelineRuns: the images that they name are signed, and their provenance lists the tasks that ran.

pub mod fixture;
mod memory;
mod shapes;
mod waiting;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::agent::{Agent, SOON, repository, stopped_well};
use crate::support::{Completion, Crane, PlainRegistry, PushedImage};
use fixture::{End, reference};

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_run_is_signed_with_its_images_and_the_tasks_that_ran() {
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let image = Crane::new(&access).push_random_image("app").await;
    let config = [("artifacts.pipelinerun.storage", "oci"), ("artifacts.taskrun.storage", "")];
    let agent = Agent::prepare("pipeline", &access, &config).await;
    let hallmark = agent.start().await;
    let uid = agent.create_pipeline_run("release").await;
    let tasks = ["compile", "push"];
    for task in tasks {
        agent.create_child("release", &uid, task).await;
        let completion = Completion::success().result("NOTE", "done");
        agent.cluster.complete(&agent.namespace, &format!("release-{task}"), &completion).await;
    }
    let references = tasks.map(|task| reference("TaskRun", &format!("release-{task}"), task));
    let end =
        End::well(&references).result("IMAGE_URL", &image.repository).result("IMAGE_DIGEST", &image.digest);
    agent.end_pipeline_run("release", end).await;
    assert_eq!(agent.pipeline_mark("release").await, "true");
    agent.cosign_accepts(&access, &image).await;

    let statement = statement(&access, &image).await;
    assert_eq!(statement["subject"][0]["name"], repository(&access, &image));
    assert_eq!(statement["predicate"]["buildType"], "tekton.dev/v1/PipelineRun");
    let listed = statement["predicate"]["buildConfig"]["tasks"].as_array().unwrap();
    let names: Vec<_> = listed.iter().map(|task| task["name"].as_str().unwrap()).collect();
    assert_eq!(names, tasks);
    for task in tasks {
        assert_eq!(
            agent.mark(&format!("release-{task}"), SOON).await,
            "true",
            "a run with nothing to sign is marked"
        );
    }
    stopped_well(hallmark);
}

/// The statement in the attestation of an image.
async fn statement(access: &crate::support::Access, image: &PushedImage) -> Value {
    let crane = Crane::new(access);
    let manifest = crane.manifest(&image.cosign_tag("att")).await.unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let blob = crane.run(&["blob", &format!("{}@{layer}", image.repository)]).await.succeeded();
    let envelope: Value = serde_json::from_str(&blob.stdout).unwrap();
    serde_json::from_slice(&STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()).unwrap()
}
