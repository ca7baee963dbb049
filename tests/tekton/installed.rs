//! Hallmark as its users install it: `kubectl apply -f release.yaml`, and the agent with the rights that this gives.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Cluster, Finished, Hallmark, eventually};

/// Where Chains and Hallmark live.
pub const SYSTEM: &str = "tekton-chains";
/// Long enough for a machine under load, and no test waits so long when all is well.
pub const SOON: Duration = Duration::from_mins(2);
/// Images and statements of both kinds of runs go to the registry.
pub const SETTINGS: [(&str, &str); 3] = [
    ("artifacts.taskrun.storage", "oci"),
    ("artifacts.pipelinerun.storage", "oci"),
    ("artifacts.oci.storage", "oci"),
];

/// The key that both sign with.
pub fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/keys/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// `kubectl apply -f release.yaml`.
pub async fn apply_release(cluster: &Cluster) -> Finished {
    cluster.kubectl(&["apply", "-f", "release.yaml"], "").await.succeeded()
}

/// Fills `chains-config` and `signing-secrets` as the documentation says.
pub async fn fill(cluster: &Cluster) {
    let settings: serde_json::Map<_, _> =
        SETTINGS.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
    let key = STANDARD.encode(std::fs::read(fixture("p256.pem")).unwrap());
    for (object, data) in
        [("configmap/chains-config", json!(settings)), ("secret/signing-secrets", json!({"x509.pem": key}))]
    {
        let data = json!({"data": data}).to_string();
        let patch = ["patch", "-n", SYSTEM, object, "--type=merge", "-p", &data];
        cluster.kubectl(&patch, "").await.succeeded();
    }
}

/// Writes what `signing-secrets` holds into a folder, as its volume would.
pub async fn mount_keys(cluster: &Cluster, folder: &Path) {
    let secret = cluster.got(&["secret", "signing-secrets", "-n", SYSTEM]).await;
    std::fs::create_dir_all(folder).unwrap();
    for (name, content) in secret["data"].as_object().unwrap() {
        std::fs::write(folder.join(name), STANDARD.decode(content.as_str().unwrap()).unwrap()).unwrap();
    }
}

/// The agent of the Deployment: its arguments, its service account, its mounted keys.
pub async fn start_agent(cluster: &Cluster, keys: &Path, ca: Option<&Path>) -> Hallmark {
    mount_keys(cluster, keys).await;
    let kubeconfig = cluster.service_account_kubeconfig(SYSTEM, "tekton-chains-controller").await;
    let (kubeconfig, keys) = (kubeconfig.to_str().unwrap(), keys.to_str().unwrap());
    let arguments = [
        &["controller", "--kubeconfig", kubeconfig, "--signing-secrets", keys, "--system-namespace", SYSTEM]
            [..],
        &["--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0", "--replica", "agent"],
    ];
    let ca = ca.map(|ca| ca.to_str().unwrap());
    let environment: Vec<_> = ca.into_iter().map(|ca| ("SSL_CERT_FILE", ca)).collect();
    Hallmark::start(&arguments.concat(), &environment)
}

/// Waits until a run is marked, and answers it.
pub async fn marked(cluster: &Cluster, namespace: &str, run: &str) -> Value {
    eventually(&format!("{run} is marked"), SOON, async || {
        let run = cluster.got(&["-n", namespace, run]).await;
        run["metadata"]["annotations"]["chains.tekton.dev/signed"].is_string().then_some(run)
    })
    .await
}
