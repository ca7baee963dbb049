//! What the programs work on: one cluster and one registry for all of them, images, and runs in any number.
//!
//! Runs that only have to be there are written into etcd as copies of one that the API server made.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::delay::relay;
use crate::program::Program;
use crate::release;
use crate::support::{Cluster, Completion, PlainRegistry, http_client};

/// Runs of this size are what clusters report: 10 KiB.
const PADDING: usize = 6 * 1024;
const SETTINGS: [(&str, &str); 3] = [
    ("artifacts.taskrun.format", "slsa/v1"),
    ("artifacts.taskrun.storage", "oci"),
    ("artifacts.oci.storage", "oci"),
];

/// Servers, and what is in them.
pub struct World {
    pub cluster: &'static Cluster,
    pub registry: PlainRegistry,
    /// The registry's host as the runs name it.
    front: String,
    http: reqwest::Client,
    kubeconfigs: BTreeMap<&'static str, PathBuf>,
    template: Value,
    made: AtomicUsize,
}

impl World {
    /// Starts the servers, with a delay in front of the registry.
    pub async fn start(delay: Duration) -> Self {
        let cluster = Cluster::shared().await;
        let registry = PlainRegistry::start().await;
        let front = match delay {
            Duration::ZERO => registry.host().to_owned(),
            delay => relay(registry.host(), delay).await,
        };
        let kubeconfigs = install(cluster).await;
        let template = template(cluster).await;
        let (http, made) = (http_client(None), AtomicUsize::new(0));
        Self { cluster, registry, front, http, kubeconfigs, template, made }
    }

    /// How a program reaches the API server.
    pub fn kubeconfig(&self, program: &Program) -> &PathBuf {
        &self.kubeconfigs[program.service_account()]
    }

    /// A namespace with `count` completed runs that wait for their signatures, each with its pod and its image.
    pub async fn completed_runs(&self, count: usize) -> String {
        let namespace = self.cluster.namespace("completed").await;
        let pods = self.pods(&namespace).await;
        let make = async |number: usize| {
            let name = format!("run-{number}");
            let status = self.completion(&name).await;
            create_pod(&pods, &name).await;
            self.put(&namespace, &name, &status, &json!({})).await;
        };
        futures::stream::iter(0..count).map(make).buffer_unordered(4).collect::<()>().await;
        namespace
    }

    /// A namespace with `count` runs that were signed long ago.
    pub async fn signed_runs(&self, count: usize) -> String {
        let namespace = self.cluster.namespace("signed").await;
        self.add_signed(&namespace, count, PADDING).await;
        namespace
    }

    /// Completed runs without pods in a namespace that there is; made fast, to be many.
    pub async fn add_completed(&self, namespace: &str, prefix: &str, count: usize, annotations: &Value) {
        let make = async |number: usize| {
            let status = self.completion("none").await;
            self.put(namespace, &format!("{prefix}-{number}"), &status, annotations).await;
        };
        futures::stream::iter(0..count).map(make).buffer_unordered(8).collect::<()>().await;
    }

    /// Signed runs in a namespace that there is, each larger than `size` bytes.
    pub async fn add_signed(&self, namespace: &str, count: usize, size: usize) {
        let status = self.completion("signed").await;
        let annotations = signed(size);
        let make = async |number: usize| {
            self.put(namespace, &format!("old-{number}"), &status, &annotations).await;
        };
        futures::stream::iter(0..count).map(make).buffer_unordered(8).collect::<()>().await;
    }

    /// A signed run as the API server gives it, larger than `size` bytes.
    pub fn signed_run(&self, namespace: &str, size: usize) -> Value {
        let mut run = self.template.clone();
        run["metadata"]["namespace"] = namespace.into();
        run["metadata"]["annotations"] = signed(size);
        run
    }

    /// Runs that still run, made fast, and the status that each of them is to end with.
    pub async fn add_running(&self, namespace: &str, prefix: &str, count: usize) -> Vec<(String, Value)> {
        let make = async |number: usize| {
            let name = format!("{prefix}-{number}");
            self.put(namespace, &name, &Value::Null, &json!({})).await;
            (name, self.completion("none").await)
        };
        futures::stream::iter(0..count).map(make).buffer_unordered(8).collect().await
    }

    /// The patch that ends a run.
    pub fn patch(status: &Value) -> (PatchParams, Patch<Value>) {
        (PatchParams::default(), Patch::Merge(json!({"status": status})))
    }

    /// Ends runs of [`World::add_running`], all at once.
    pub async fn end_all(&self, namespace: &str, runs: &[(String, Value)]) {
        let end = async |(name, status): &(String, Value)| {
            self.put(namespace, name, status, &json!({})).await;
        };
        futures::stream::iter(runs).map(end).buffer_unordered(8).collect::<()>().await;
    }

    /// How many signatures and statements lie beside the image of a status.
    pub async fn layers(&self, status: &Value) -> [usize; 2] {
        let text = |number: usize| status["results"][number]["value"].as_str().unwrap().to_owned();
        let (repository, digest) = (text(0), text(1).replace(':', "-"));
        let path = repository.split_once('/').unwrap().1.to_owned();
        let count = async |suffix: &str| {
            let url = format!("http://{}/v2/{path}/manifests/{digest}.{suffix}", self.registry.host());
            let answer = self.http.get(url).send().await.unwrap();
            if !answer.status().is_success() {
                return 0;
            }
            let manifest: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
            manifest["layers"].as_array().map_or(0, Vec::len)
        };
        [count("sig").await, count("att").await]
    }

    /// A run that has its pod and still runs.
    pub async fn running(&self, runs: &Api<DynamicObject>, namespace: &str, name: &str) {
        create_pod(&self.pods(namespace).await, name).await;
        let run = json!({
            "apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": name, "namespace": namespace},
            "spec": self.template["spec"],
        });
        runs.create(&PostParams::default(), &serde_json::from_value(run).unwrap()).await.unwrap();
    }

    /// Completes a run; answers when the API server had said so.
    pub async fn complete(&self, runs: &Api<DynamicObject>, name: &str, status: &Value) -> Instant {
        let patch = Patch::Merge(json!({"status": status}));
        runs.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
        Instant::now()
    }

    /// The status of a run that has built a new image.
    pub async fn completion(&self, pod: &str) -> Value {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let repository = format!("bench/app-{}", number % 20);
        let digest = self.push_image(&repository, number).await;
        let mut status = self.template["status"].clone();
        status["podName"] = pod.into();
        status["results"][0]["value"] = format!("{}/{repository}", self.front).into();
        status["results"][1]["value"] = digest.into();
        status
    }

    async fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.cluster.client().await, namespace)
    }

    /// Pushes an image that differs from all others by an annotation; answers its digest.
    async fn push_image(&self, repository: &str, number: usize) -> String {
        let base = format!("http://{}/v2/{repository}", self.registry.host());
        let config = "{}";
        let uploaded =
            self.http.post(format!("{base}/blobs/uploads/?digest={}", digest(config))).body(config);
        assert!(uploaded.send().await.unwrap().status().is_success());
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": kind, "layers": [],
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config), "size": 2},
            "annotations": {"number": number.to_string()},
        })
        .to_string();
        let digest = digest(&manifest);
        let put =
            self.http.put(format!("{base}/manifests/{digest}")).header("content-type", kind).body(manifest);
        assert!(put.send().await.unwrap().status().is_success());
        digest
    }

    async fn put(&self, namespace: &str, name: &str, status: &Value, annotations: &Value) {
        let mut run = self.template.clone();
        run["metadata"]["name"] = name.into();
        run["metadata"]["namespace"] = namespace.into();
        run["metadata"]["uid"] = uid(namespace, name).into();
        run["metadata"]["annotations"] = annotations.clone();
        if status.is_null() {
            run.as_object_mut().unwrap().remove("status");
        } else {
            run["status"] = status.clone();
        }
        let body =
            json!({"key": STANDARD.encode(key(namespace, name)), "value": STANDARD.encode(run.to_string())});
        etcd(&self.http, self.cluster, "put", &body).await;
    }
}

/// The annotations of a run that was signed long ago, as large as `size`.
fn signed(size: usize) -> Value {
    json!({"chains.tekton.dev/signed": "true", "example.com/notes": "n".repeat(size)})
}

/// Hallmark's release, a service account with every right for Chains, and the settings of both.
async fn install(cluster: &Cluster) -> BTreeMap<&'static str, PathBuf> {
    release::grant(cluster, "tekton-chains").await;
    let metadata = json!({"name": "peer", "namespace": "tekton-chains"});
    cluster.create(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})).await;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "peer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "peer", "namespace": "tekton-chains"}],
    });
    cluster.create(&binding).await;
    let maps = Api::<ConfigMap>::namespaced(cluster.client().await, "tekton-chains");
    let settings = json!({"data": BTreeMap::from(SETTINGS)});
    maps.patch("chains-config", &PatchParams::default(), &Patch::Merge(settings)).await.unwrap();
    let mut kubeconfigs = BTreeMap::new();
    for account in ["tekton-chains-controller", "peer"] {
        kubeconfigs.insert(account, cluster.service_account_kubeconfig("tekton-chains", account).await);
    }
    kubeconfigs
}

/// A completed run as the API server has it in etcd.
async fn template(cluster: &Cluster) -> Value {
    let namespace = cluster.namespace("template").await;
    let digest = format!("sha256:{}", "0".repeat(64));
    let completion = Completion::success().image("", "registry/app", &digest).pod("pod");
    cluster.completed_task_run(&namespace, "template", &completion).await;
    let asked = json!({"key": STANDARD.encode(key(&namespace, "template"))});
    let answer = etcd(&http_client(None), cluster, "range", &asked).await;
    let stored = STANDARD.decode(answer["kvs"][0]["value"].as_str().unwrap()).unwrap();
    serde_json::from_slice(&stored).unwrap()
}

async fn etcd(http: &reqwest::Client, cluster: &Cluster, operation: &str, body: &Value) -> Value {
    let url = format!("{}/v3/kv/{operation}", cluster.etcd());
    let answer = http.post(url).body(body.to_string()).send().await.unwrap().error_for_status().unwrap();
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

async fn create_pod(pods: &Api<Pod>, name: &str) {
    let pod = json!({
        "metadata": {"name": name},
        "spec": {"serviceAccountName": "default", "containers": [{"name": "step-build", "image": "busybox"}]},
    });
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
}

fn key(namespace: &str, name: &str) -> String {
    format!("/registry/tekton.dev/taskruns/{namespace}/{name}")
}

/// The same for the same run, so that one that is written again is no other.
fn uid(namespace: &str, name: &str) -> String {
    let hash = digest(&format!("{namespace}/{name}"));
    format!("00000000-0000-4000-8000-{}", &hash[hash.len() - 12..])
}

fn digest(text: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    format!("sha256:{}", hex::encode(hash))
}
