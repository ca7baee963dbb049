//! PipelineRuns with their TaskRuns, as Tekton's controller makes and ends them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use crate::agent::{Agent, SOON};
use crate::support::{Access, Completion, eventually};

/// How a PipelineRun ends.
pub struct End {
    references: Vec<Value>,
    tasks: Vec<Value>,
    finally: Vec<Value>,
    results: Vec<Value>,
    succeeded: bool,
    ago: SignedDuration,
}

/// An entry of `status.childReferences`.
pub fn reference(kind: &str, name: &str, task: &str) -> Value {
    json!({"apiVersion": "tekton.dev/v1", "kind": kind, "name": name, "pipelineTaskName": task})
}

impl End {
    /// With these children, whose tasks are those of the pipeline.
    pub fn well(references: &[Value]) -> Self {
        let tasks = references
            .iter()
            .map(|child| json!({"name": child["pipelineTaskName"], "taskRef": {"name": "t"}}));
        let (finally, results) = (Vec::new(), Vec::new());
        let (references, tasks) = (references.to_vec(), tasks.collect());
        Self { references, tasks, finally, results, succeeded: true, ago: SignedDuration::ZERO }
    }

    /// Cancelled, or failed.
    pub fn badly(references: &[Value]) -> Self {
        Self { succeeded: false, ..Self::well(references) }
    }

    /// The pipeline's own order of tasks.
    pub fn pipeline(self, tasks: &[&str], finally: &[&str]) -> Self {
        let named = |names: &[&str]| {
            names.iter().map(|name| json!({"name": name, "taskRef": {"name": "t"}})).collect()
        };
        Self { tasks: named(tasks), finally: named(finally), ..self }
    }

    /// Adds a result.
    pub fn result(mut self, name: &str, value: &str) -> Self {
        self.results.push(json!({"name": name, "value": value}));
        self
    }

    /// It ended some time ago.
    pub fn ago(self, ago: SignedDuration) -> Self {
        Self { ago, ..self }
    }

    fn status(&self) -> Value {
        let status = if self.succeeded { "True" } else { "False" };
        let at = (Timestamp::now() - self.ago).to_string();
        json!({"status": {
            "conditions": [{"type": "Succeeded", "status": status, "reason": "Ended", "lastTransitionTime": at}],
            "startTime": at, "completionTime": at, "childReferences": self.references,
            "pipelineSpec": {"tasks": self.tasks, "finally": self.finally}, "results": self.results,
        }})
    }
}

impl Agent {
    /// A namespace whose statements about PipelineRuns go to their annotations, and a TaskRun gets none.
    pub async fn without_registry(prefix: &str) -> Self {
        let nowhere = Access { host: "127.0.0.1:1".to_owned(), ca: None, login: None };
        let config = [("artifacts.pipelinerun.storage", "tekton"), ("artifacts.taskrun.storage", "")];
        Self::prepare(prefix, &nowhere, &config).await
    }

    pub async fn pipeline_runs(&self) -> Api<DynamicObject> {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", "PipelineRun"));
        Api::namespaced_with(self.cluster.client().await, &self.namespace, &kind)
    }

    pub async fn create_pipeline_run(&self, name: &str) -> String {
        let run = json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"taskRunTemplate": {"serviceAccountName": "default"}, "pipelineRef": {"name": "release"}}});
        self.cluster.create(&run).await.metadata.uid.unwrap()
    }

    /// Makes any object of Tekton's in the agent's namespace.
    pub async fn create_run(&self, kind: &str, name: &str, mut metadata: Value, spec: &Value) -> String {
        metadata["name"] = name.into();
        metadata["namespace"] = self.namespace.clone().into();
        let run = json!({"apiVersion": "tekton.dev/v1", "kind": kind, "metadata": metadata, "spec": spec});
        self.cluster.create(&run).await.metadata.uid.unwrap()
    }

    /// Makes the TaskRun `owner-task`.
    pub async fn create_child(&self, owner: &str, uid: &str, task: &str) {
        self.create_child_as(
            owner,
            uid,
            &format!("{owner}-{task}"),
            &json!({
            "tekton.dev/pipelineRun": owner, "tekton.dev/pipelineTask": task}),
        )
        .await;
    }

    pub async fn create_child_as(&self, owner: &str, uid: &str, name: &str, labels: &Value) {
        let reference = json!({"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "name": owner, "uid": uid,
            "controller": true});
        let run = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"name": name, "namespace": self.namespace, "labels": labels,
                "ownerReferences": [reference]},
            "spec": {"serviceAccountName": "default",
                "taskSpec": {"steps": [{"name": "step", "image": "busybox", "script": "true"}]}}});
        self.cluster.create(&run).await;
    }

    /// Makes the TaskRun `owner-task` and completes it.
    pub async fn ended_child(&self, owner: &str, uid: &str, task: &str) {
        self.create_child(owner, uid, task).await;
        self.cluster.complete(&self.namespace, &format!("{owner}-{task}"), &Completion::success()).await;
    }

    pub async fn end_pipeline_run(&self, name: &str, end: End) {
        let runs = self.pipeline_runs().await;
        runs.patch_status(name, &PatchParams::default(), &Patch::Merge(end.status())).await.unwrap();
    }

    pub async fn pipeline_annotation(&self, name: &str, annotation: &str) -> String {
        let (runs, annotation) = (self.pipeline_runs().await, format!("chains.tekton.dev/{annotation}"));
        eventually(&format!("PipelineRun {name} has {annotation}"), SOON, async || {
            runs.get(name).await.unwrap().metadata.annotations?.remove(&annotation)
        })
        .await
    }

    pub async fn pipeline_mark(&self, name: &str) -> String {
        self.pipeline_annotation(name, "signed").await
    }

    /// The outcome of a marked PipelineRun: its own statement first.
    pub async fn pipeline_outcome(&self, name: &str) -> Vec<Value> {
        assert_eq!(self.pipeline_mark(name).await, "true");
        serde_json::from_str(&self.pipeline_annotation(name, "outcome").await).unwrap()
    }

    /// The tasks in the statement about a PipelineRun with this uid, which lies in its annotations.
    pub async fn stated_tasks(&self, name: &str, uid: &str) -> Vec<String> {
        assert_eq!(self.pipeline_mark(name).await, "true");
        let payload = self.pipeline_annotation(name, &format!("payload-pipelinerun-{uid}")).await;
        let statement: Value = serde_json::from_slice(&STANDARD.decode(payload).unwrap()).unwrap();
        let tasks = statement["predicate"]["buildConfig"]["tasks"].as_array().cloned().unwrap_or_default();
        tasks.iter().map(|task| task["name"].as_str().unwrap().to_owned()).collect()
    }

    pub async fn delete_child(&self, name: &str) {
        let runs = self.cluster.task_runs(&self.namespace).await;
        runs.delete(name, &DeleteParams::default()).await.unwrap();
        let gone = async || runs.get_opt(name).await.unwrap().is_none().then_some(());
        eventually(&format!("{name} is gone"), SOON, gone).await;
    }

    /// How often anybody listed the TaskRuns of this namespace, and how often one was read by its name.
    pub fn lookups(&self) -> (usize, usize) {
        let asked = |verb: &str| {
            self.cluster
                .audited(|event| {
                    event.verb == verb
                        && event.object_ref.namespace == self.namespace
                        && event.object_ref.resource == "taskruns"
                        && event.user.username.ends_with(":tekton-chains-controller")
                })
                .len()
        };
        (asked("list"), asked("get"))
    }
}
