//! Tekton Pipelines as its users install it: the manifests of its module, its controller and webhook with the rights of
//! those manifests, and kwok in place of the nodes.
//!
//! Four things differ from a cluster, because there is no network of Services, no controller manager and no scheduler
//! here: the webhook's Service is an external name of this machine, the processes are started by the test with the
//! variables of their Deployments, and the test takes the first taint off the one node and assigns the pods to it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::support::{Cluster, Server, binary, eventually, free_port, installed};

/// Where Tekton lives.
const NAMESPACE: &str = "tekton-pipelines";
const START: Duration = Duration::from_mins(2);

/// A running Tekton; it ends when this is dropped.
pub struct Pipelines {
    servers: Vec<Server>,
    /// Ends with this.
    _scheduler: JoinSet<()>,
    folder: TempDir,
}

impl Pipelines {
    /// Installs Tekton on a cluster that knows none of its kinds, and waits until it takes runs.
    pub async fn start(cluster: &Cluster) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let manifests = manifests(port);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests}).to_string();
        // The large definitions do not fit into the annotation that a plain apply leaves.
        cluster.kubectl(&["apply", "--server-side", "-f", "-"], &list).await.succeeded();
        let servers = vec![
            tekton(cluster, &manifests, "webhook", port, folder.path()).await,
            kwok(cluster, folder.path()),
        ];
        let mut scheduler = JoinSet::new();
        scheduler.spawn(assign(cluster.client().await));
        let mut pipelines = Self { servers, folder, _scheduler: scheduler };
        pipelines.node(cluster).await;
        pipelines.webhook_answers(cluster).await;
        let controller =
            tekton(cluster, &manifests, "controller", free_port(), pipelines.folder.path()).await;
        pipelines.servers.push(controller);
        pipelines
    }

    /// What the servers wrote, for a test that fails.
    pub fn logs(&self) -> String {
        self.servers.iter().map(|server| tail(&server.log_text())).collect::<Vec<_>>().join("\n---\n")
    }

    async fn node(&self, cluster: &Cluster) {
        let room = json!({"cpu": "32", "memory": "256Gi", "pods": "1000", "ephemeral-storage": "1Ti"});
        let node = json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "simulated", "labels": {"kubernetes.io/os": "linux"}},
            "status": {"allocatable": room, "capacity": room}});
        cluster.create(&node).await;
        let taints = ["patch", "node", "simulated", "--type=merge", "-p", r#"{"spec": {"taints": null}}"#];
        cluster.kubectl(&taints, "").await.succeeded();
        let ready = ["wait", "--for=condition=Ready", "node/simulated", "--timeout=120s"];
        cluster.kubectl(&ready, "").await.succeeded();
    }

    /// The webhook completes its configurations itself; then a run without a task is refused in its words.
    async fn webhook_answers(&self, cluster: &Cluster) {
        let wrong = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"name": "wrong", "namespace": "default"}, "spec": {}});
        eventually("Tekton's webhook refuses a run without a task", START, async || {
            let asked = cluster.kubectl(&["create", "--dry-run=server", "-f", "-"], &wrong.to_string()).await;
            asked.stderr.contains("validation.webhook.pipeline.tekton.dev").then_some(())
        })
        .await;
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Everything of Tekton's release but the resolvers, the exporter of events and the scaling of the webhook, with the
/// webhook behind a port of this machine.
fn manifests(port: u16) -> Vec<Value> {
    let release = installed("tekton-release");
    let mut files: Vec<_> = ["", "100-namespace", "300-crds"]
        .iter()
        .flat_map(|folder| fs::read_dir(release.join(folder)).unwrap())
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .filter(|path| !path.ends_with("events.yaml") && !path.ends_with("webhook-hpa.yaml"))
        .collect();
    files.sort_by_key(|path| (!path.to_string_lossy().contains("namespace"), path.clone()));
    let documents = files.iter().flat_map(|path| documents(path));
    documents.map(|document| behind(document, port)).collect()
}

fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// The API server finds the webhook under a name outside the cluster, which is this machine.
fn behind(mut document: Value, port: u16) -> Value {
    let is_service = document["kind"] == "Service";
    if is_service && document["metadata"]["name"] == "tekton-pipelines-webhook" {
        document["spec"] = json!({"type": "ExternalName", "externalName": "localhost"});
    }
    if let Some(service) = document.pointer_mut("/spec/conversion/webhook/clientConfig/service") {
        service["port"] = port.into();
    }
    for webhook in document.pointer_mut("/webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
        webhook["clientConfig"]["service"]["port"] = port.into();
    }
    document
}

/// Starts `tekton-controller` or `tekton-webhook` with the rights, arguments and variables of its Deployment.
async fn tekton(cluster: &Cluster, manifests: &[Value], which: &str, port: u16, folder: &Path) -> Server {
    let name = format!("tekton-pipelines-{which}");
    let deployment = manifests.iter().find(|m| m["kind"] == "Deployment" && m["metadata"]["name"] == *name);
    let pod = &deployment.unwrap()["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let account = pod["serviceAccountName"].as_str().unwrap();
    let mut command = Command::new(binary(&format!("tekton-{which}")));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder).current_dir(folder);
    for variable in container["env"].as_array().unwrap() {
        // Those that name a field of the pod: its namespace alone.
        let value = variable["value"].as_str().unwrap_or(NAMESPACE);
        command.env(variable["name"].as_str().unwrap(), value);
    }
    command.env_remove("SSL_CERT_FILE").env("POD_NAME", &name).env("WEBHOOK_PORT", port.to_string());
    for listener in ["PROBES_PORT", "METRICS_PROMETHEUS_PORT", "PROFILING_PORT"] {
        command.env(listener, free_port().to_string());
    }
    command.env("METRICS_PROMETHEUS_HOST", "127.0.0.1");
    command
        .args(container["args"].as_array().into_iter().flatten().map(|argument| argument.as_str().unwrap()));
    command.arg("-kubeconfig").arg(cluster.service_account_kubeconfig(NAMESPACE, account).await);
    Server::spawn(&name, &mut command, folder)
}

fn kwok(cluster: &Cluster, folder: &Path) -> Server {
    let mut command = Command::new(binary("kwok"));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", folder).current_dir(folder);
    command.arg("--kubeconfig").arg(cluster.kubeconfig("admin"));
    command.args(["--config", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tekton/stages.yaml")]);
    command.args(["--manage-all-nodes=true", "--server-address=127.0.0.1:0"]);
    Server::spawn("kwok", &mut command, folder)
}

/// Assigns every pod to the one node, which is all that a scheduler could do here.
async fn assign(client: kube::Client) {
    let waiting = ListParams::default().fields("spec.nodeName=");
    loop {
        let pods =
            Api::<Pod>::all(client.clone()).list(&waiting).await.map(|list| list.items).unwrap_or_default();
        for pod in pods {
            let (name, namespace) = (pod.metadata.name.unwrap(), pod.metadata.namespace.unwrap());
            let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
                "target": {"apiVersion": "v1", "kind": "Node", "name": "simulated"}});
            let pods = Api::<Pod>::namespaced(client.clone(), &namespace);
            // One that was deleted meanwhile needs no node.
            let _ = pods
                .create_subresource::<Value, Value>("binding", &name, &PostParams::default(), &binding)
                .await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
