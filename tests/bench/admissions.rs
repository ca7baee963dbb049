//! What an admission costs: reviews of digests that are known already, sent to `hallmark webhook` over TLS on connections
//! that stay open, as the API server does. The webhook runs on one core (`taskset`), this driver wherever there is room.
//!
//! Guarantees: reviews are sent at fixed times, whether or not earlier ones were answered, and their time is counted from
//! when they were due, so that a stall shows; an answer that does not admit ends the benchmark.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hallmark::signature::key::Key;
use serde_json::{Value, json};

use crate::figures::{Figures, Row, percentile};
use crate::support::{Cluster, PlainRegistry, PushedImage, Server, binary, eventually, http_client};

/// Images that are admitted again and again, and policies of which one governs them.
const IMAGES: usize = 100;
const POLICIES: usize = 20;
const RATE: u32 = 1000;
const SECONDS: u32 = 20;
/// Connections that the API server would have open; one review at a time on each.
const CONNECTIONS: usize = 16;
const START: Duration = Duration::from_mins(1);
const SYSTEM: &str = "cosign-system";

struct World {
    client: reqwest::Client,
    url: String,
    reviews: Vec<String>,
    webhook: Server,
    _registry: PlainRegistry,
    _folder: tempfile::TempDir,
}

/// Measures, and adds what was found.
pub async fn measure(hallmark: &Path, figures: &mut Figures) {
    let world = World::start(hallmark).await;
    for review in &world.reviews {
        world.ask(review).await;
    }
    let cpu = cpu(world.webhook.id());
    let started = Instant::now();
    let mut times = world.at_rate().await;
    let spent = self::cpu(world.webhook.id()) - cpu;
    let asked = times.len() as f64;
    figures.add(Row::Admissions, "hallmark", asked / started.elapsed().as_secs_f64());
    figures.add(Row::AdmissionCpu, "hallmark", spent * 1000.0 / asked);
    times.sort_by(f64::total_cmp);
    figures.add(Row::Admission, "hallmark", percentile(&times, 50));
    figures.add(Row::AdmissionTail, "hallmark", percentile(&times, 99));
    figures.add(Row::AdmissionsAtMost, "hallmark", world.as_fast_as_possible().await);
}

impl World {
    async fn start(hallmark: &Path) -> Self {
        let cluster = Cluster::shared().await;
        let (registry, folder) = (PlainRegistry::start().await, tempfile::tempdir().unwrap());
        let key = format!("{}/tests/fixtures/keys/p256", env!("CARGO_MANIFEST_DIR"));
        let public = std::fs::read_to_string(format!("{key}.pub")).unwrap();
        install(cluster);
        for number in 0..POLICIES {
            let glob = format!("{}/team-{number}/**", registry.host());
            let spec = json!({"images": [{"glob": glob}], "authorities": [{"key": {"data": public}}]});
            let policy = json!({"apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
                "metadata": {"name": format!("policy-{number}")}, "spec": spec});
            kubectl(cluster, &["apply", "-f", "-"], &policy.to_string());
        }
        let signer = signing_key(&key);
        let mut reviews = Vec::new();
        for number in 0..IMAGES {
            let image = registry.put_image(&format!("team-0/app-{number}")).await;
            let payload = payload(&image);
            let signature = BASE64_STANDARD.encode(signer.sign_now(payload.as_bytes()).unwrap());
            let annotations = json!({"dev.cosignproject.cosign/signature": signature});
            registry.put_signature(&image, &payload, &annotations).await;
            reviews.push(review(&image, number));
        }
        let kubeconfig = cluster.service_account_kubeconfig(SYSTEM, "hallmark-webhook").await;
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(hallmark).args(["webhook", "--kubeconfig"]).arg(kubeconfig);
        command.args(["--address", "127.0.0.1:0", "--host", "127.0.0.1"]);
        command.args(["--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"]);
        command.env_clear().env("HOME", folder.path()).env("PATH", "/usr/bin:/bin");
        let webhook = Server::spawn("webhook", &mut command, folder.path());
        let authority = authority(cluster).await;
        let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(CONNECTIONS);
        let client = client
            .tls_certs_only([reqwest::Certificate::from_pem(authority.as_bytes()).unwrap()])
            .timeout(Duration::from_secs(10));
        // Installs the provider of TLS.
        let _ = http_client(None);
        let url = format!("https://{}/validate", address(&webhook).await);
        let client = client.build().unwrap();
        let world = Self { client, url, reviews, webhook, _registry: registry, _folder: folder };
        world.ready().await;
        world
    }

    /// Waits until the policies are in force.
    async fn ready(&self) {
        eventually("the policies are in force", START, async || {
            let answer = self.post(&self.reviews[0]).await.ok()?;
            (answer["response"]["allowed"] == true).then_some(())
        })
        .await;
    }

    async fn post(&self, review: &str) -> reqwest::Result<Value> {
        let sent = self.client.post(&self.url).body(review.to_owned()).send().await?;
        Ok(serde_json::from_str(&sent.text().await?).unwrap_or_default())
    }

    async fn ask(&self, review: &str) {
        let answer = self.post(review).await.unwrap();
        assert_eq!(answer["response"]["allowed"], true, "{answer}");
    }

    /// How many milliseconds each review took from when it was due.
    async fn at_rate(&self) -> Vec<f64> {
        let began = Instant::now();
        let due = |number: u32| began + Duration::from_secs(1) * number / RATE;
        let connection = async |first: usize| {
            let mut times = Vec::new();
            for number in (first..(RATE * SECONDS) as usize).step_by(CONNECTIONS) {
                let due = due(u32::try_from(number).unwrap());
                tokio::time::sleep_until(due.into()).await;
                self.ask(&self.reviews[number % self.reviews.len()]).await;
                times.push(due.elapsed().as_secs_f64() * 1000.0);
            }
            times
        };
        let all = futures::future::join_all((0..CONNECTIONS).map(connection)).await;
        all.into_iter().flatten().collect()
    }

    /// Reviews in a second, when the next is sent as soon as one is answered.
    async fn as_fast_as_possible(&self) -> f64 {
        let (began, limit) = (Instant::now(), Duration::from_secs(5));
        let connection = async |first: usize| {
            let mut count = 0;
            while began.elapsed() < limit {
                self.ask(&self.reviews[(first + count) % self.reviews.len()]).await;
                count += 1;
            }
            count
        };
        let counts = futures::future::join_all((0..CONNECTIONS).map(connection)).await;
        counts.into_iter().sum::<usize>() as f64 / began.elapsed().as_secs_f64()
    }
}

fn signing_key(file: &str) -> Key {
    Key::from_pem("p256", &std::fs::read(format!("{file}.pem")).unwrap()).unwrap()
}

fn payload(image: &PushedImage) -> String {
    json!({"critical": {"identity": {"docker-reference": image.repository},
        "image": {"docker-manifest-digest": image.digest}, "type": "cosign container image signature"},
        "optional": null})
    .to_string()
}

/// A pod as Deployments make them, with what the API server adds.
fn review(image: &PushedImage, number: usize) -> String {
    let container = json!({"name": "app", "image": image.by_digest(), "imagePullPolicy": "IfNotPresent",
        "env": [{"name": "A", "value": "a"}, {"name": "B", "value": "b"}],
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10},
        "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true}],
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"});
    let sidecar = {
        let mut sidecar = container.clone();
        sidecar["name"] = json!("sidecar");
        sidecar
    };
    let fields = json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:containers": {}}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("app-{number}"), "namespace": "team", "generateName": "app-", "labels": {"app": "app"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app", "uid": "u", "controller": true}],
            "managedFields": [{"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
                "fieldsType": "FieldsV1", "fieldsV1": fields}]},
        "spec": {"serviceAccountName": "default", "containers": [container, sidecar], "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "securityContext": {},
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
            "volumes": [{"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]}});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": format!("review-{number}"), "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"}, "namespace": "team", "operation": "CREATE",
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
        "object": pod, "oldObject": null, "dryRun": false, "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}}})
    .to_string()
}

/// The overlay without the configurations: this driver asks in place of the API server.
fn install(cluster: &Cluster) {
    let manifests = kubectl(cluster, &["kustomize", "config/overlays/webhook"], "");
    kubectl(cluster, &["apply", "-f", "-"], &manifests);
    // The API server itself must not ask an address that nobody has.
    let patch = json!([{"op": "replace", "path": "/webhooks", "value": []}]).to_string();
    for kind in ["mutatingwebhookconfiguration", "validatingwebhookconfiguration"] {
        kubectl(cluster, &["patch", kind, "hallmark-webhook", "--type=json", "-p", &patch], "");
    }
    let established = ["wait", "--for=condition=established", "--timeout=30s"];
    let kinds = ["crd/clusterimagepolicies.policy.sigstore.dev", "crd/trustroots.policy.sigstore.dev"];
    kubectl(cluster, &[&established[..], &kinds].concat(), "");
}

/// Whom the serving certificate comes from.
async fn authority(cluster: &Cluster) -> String {
    let arguments =
        ["get", "secret", "hallmark-webhook-certificate", "-n", SYSTEM, "-o", "jsonpath={.data.ca\\.crt}"];
    eventually("there is a certificate", START, async || {
        let text = kubectl(cluster, &arguments, "");
        let pem = BASE64_STANDARD.decode(text.trim()).ok()?;
        String::from_utf8(pem).ok().filter(|pem| pem.contains("BEGIN CERTIFICATE"))
    })
    .await
}

async fn address(webhook: &Server) -> String {
    eventually("the webhook listens", START, async || {
        let log = webhook.log_text();
        let line = log.lines().find(|line| line.contains("--address"))?;
        let line: Value = serde_json::from_str(line).ok()?;
        let bound = line.get("bound").or_else(|| line["fields"].get("bound"))?;
        Some(bound.as_str()?.to_owned())
    })
    .await
}

fn kubectl(cluster: &Cluster, arguments: &[&str], input: &str) -> String {
    use std::io::Write as _;
    let mut command = Command::new(binary("kubectl"));
    command.arg("--kubeconfig").arg(cluster.kubeconfig("admin")).args(arguments);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Seconds that a process has computed.
fn cpu(id: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let after_name = text.rsplit(')').next().unwrap();
    let ticks = |field: usize| after_name.split_whitespace().nth(field).unwrap().parse::<f64>().unwrap();
    // User and system time, fields 14 and 15, in hundredths.
    (ticks(11) + ticks(12)) / 100.0
}
