//! TaskRuns, completed as Tekton's controller would complete them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::{Cluster, resource};
use crate::support::eventually;

/// How a run ends.
#[derive(Debug, Clone)]
pub struct Completion {
    /// Results by name; images are `IMAGE_URL` and `IMAGE_DIGEST`.
    pub results: Vec<(String, Value)>,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// The name of its pod.
    pub pod: String,
}

impl Completion {
    /// A success without results.
    pub fn success() -> Self {
        Self { results: Vec::new(), succeeded: true, pod: String::new() }
    }

    /// A failure without results.
    pub fn failure() -> Self {
        Self { succeeded: false, ..Self::success() }
    }

    /// Adds a result.
    pub fn result(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.results.push((name.to_owned(), value.into()));
        self
    }

    /// Adds the pair of results that names an image: `IMAGE_URL`, `IMAGE_DIGEST`, with this prefix.
    pub fn image(self, prefix: &str, repository: &str, digest: &str) -> Self {
        self.result(&format!("{prefix}IMAGE_URL"), repository)
            .result(&format!("{prefix}IMAGE_DIGEST"), digest)
    }

    /// Names the pod that ran it.
    pub fn pod(mut self, name: &str) -> Self {
        name.clone_into(&mut self.pod);
        self
    }

    fn status(&self, spec: &Value, now: Timestamp) -> Value {
        let (status, reason) = if self.succeeded { ("True", "Succeeded") } else { ("False", "Failed") };
        let typed = |value: &Value| match value {
            Value::String(_) => "string",
            Value::Array(_) => "array",
            _ => "object",
        };
        let result =
            |(name, value): &(String, Value)| json!({"name": name, "type": typed(value), "value": value});
        let (start, now) = ((now - SignedDuration::from_secs(5)).to_string(), now.to_string());
        let steps = spec["steps"].as_array().into_iter().flatten();
        let image_id = format!("docker.io/library/busybox@sha256:{}", "b".repeat(64));
        let step = |step: &Value| {
            let name = step["name"].as_str().unwrap_or("unnamed");
            let code = i32::from(!self.succeeded);
            json!({"name": name, "container": format!("step-{name}"), "imageID": image_id, "terminated":
                {"exitCode": code, "reason": "Completed", "startedAt": start, "finishedAt": now}})
        };
        json!({
            "conditions": [{"type": "Succeeded", "status": status, "reason": reason,
                "message": "ended by a test", "lastTransitionTime": now}],
            "startTime": start, "completionTime": now, "podName": self.pod, "taskSpec": spec,
            "results": self.results.iter().map(result).collect::<Vec<_>>(),
            "steps": steps.map(step).collect::<Vec<_>>(),
        })
    }
}

fn one_step() -> Value {
    json!({"steps": [{"name": "build", "image": "busybox", "script": "true"}]})
}

impl Cluster {
    /// Creates a TaskRun of one step in `namespace`, running as its `default` service account.
    pub async fn create_task_run(&self, namespace: &str, name: &str) -> DynamicObject {
        self.create(&json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"serviceAccountName": "default", "taskSpec": one_step()},
        }))
        .await
    }

    /// Completes a TaskRun through its status, and answers it as it is then.
    pub async fn complete(&self, namespace: &str, name: &str, completion: &Completion) -> DynamicObject {
        let runs = self.task_runs(namespace).await;
        let inline = runs.get(name).await.unwrap().data["spec"]["taskSpec"].clone();
        // A run that refers to a task gets the task's specification from Tekton.
        let spec = if inline.is_null() { one_step() } else { inline };
        let patch = Patch::Merge(json!({"status": completion.status(&spec, Timestamp::now())}));
        runs.patch_status(name, &PatchParams::default(), &patch).await.unwrap()
    }

    /// A TaskRun that is created and completed.
    pub async fn completed_task_run(
        &self,
        namespace: &str,
        name: &str,
        completion: &Completion,
    ) -> DynamicObject {
        self.create_task_run(namespace, name).await;
        self.complete(namespace, name, completion).await
    }

    /// The value of an annotation of a TaskRun, as soon as it is there.
    pub async fn annotation(&self, namespace: &str, name: &str, key: &str, limit: Duration) -> String {
        let runs = self.task_runs(namespace).await;
        eventually(&format!("{namespace}/{name} has {key}"), limit, async || {
            runs.get(name).await.unwrap().metadata.annotations?.remove(key)
        })
        .await
    }

    /// The TaskRuns of a namespace.
    pub async fn task_runs(&self, namespace: &str) -> Api<DynamicObject> {
        let kind = resource("tekton.dev/v1", "TaskRun");
        Api::namespaced_with(self.client().await, namespace, &kind)
    }
}
