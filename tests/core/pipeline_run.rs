//! PipelineRuns: the images that they name are signed, and their provenance lists the tasks that ran.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use crate::agent::{Agent, SOON, repository, stopped_well};
use crate::support::{Completion, Crane, PlainRegistry, PushedImage, eventually};

impl Agent {
    async fn pipeline_runs(&self) -> Api<DynamicObject> {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", "PipelineRun"));
        Api::namespaced_with(self.cluster.client().await, &self.namespace, &kind)
    }

    async fn create_pipeline_run(&self, name: &str) -> String {
        let run = json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"taskRunTemplate": {"serviceAccountName": "default"}, "pipelineRef": {"name": "release"}}});
        self.cluster.create(&run).await.metadata.uid.unwrap()
    }

    async fn create_child(&self, owner: &str, uid: &str, task: &str) {
        let reference = json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "name": owner, "uid": uid,
            "controller": true});
        let labels = json!({"tekton.dev/pipelineRun": owner, "tekton.dev/pipelineTask": task});
        let run = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"name": format!("{owner}-{task}"), "namespace": self.namespace, "labels": labels,
                "ownerReferences": [reference]},
            "spec": {"serviceAccountName": "default",
                "taskSpec": {"steps": [{"name": "step", "image": "busybox", "script": "true"}]}}});
        self.cluster.create(&run).await;
    }

    async fn complete_pipeline_run(&self, name: &str, image: &PushedImage, tasks: &[&str]) {
        let now = Timestamp::now().to_string();
        let child = |task: &&str| {
            json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "name": format!("{name}-{task}"), "pipelineTaskName": task})
        };
        let spec_of = |task: &&str| json!({"name": task, "taskRef": {"name": task}});
        let status = json!({"status": {
            "conditions": [{"type": "Succeeded", "status": "True", "reason": "Succeeded", "lastTransitionTime": now}],
            "startTime": now, "completionTime": now,
            "childReferences": tasks.iter().map(child).collect::<Vec<_>>(),
            "pipelineSpec": {"tasks": tasks.iter().map(spec_of).collect::<Vec<_>>()},
            "results": [{"name": "IMAGE_URL", "value": image.repository},
                {"name": "IMAGE_DIGEST", "value": image.digest}],
        }});
        let runs = self.pipeline_runs().await;
        runs.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    async fn pipeline_mark(&self, name: &str) -> String {
        let runs = self.pipeline_runs().await;
        eventually(&format!("PipelineRun {name} is marked"), SOON, async || {
            runs.get(name).await.unwrap().metadata.annotations?.remove("chains.tekton.dev/signed")
        })
        .await
    }
}

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
    agent.complete_pipeline_run("release", &image, &tasks).await;
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
