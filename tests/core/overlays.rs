//! The overlays and components of `config/`, and the documented ways of mounting the SPIFFE Workload API, on a real API
//! server with `PodSecurity` admission, applied with kubectl as users do.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::support::{Cluster, Hallmark, binary, eventually};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const OVERLAYS: [&str; 6] =
    ["keyless-aks", "keyless-eks", "keyless-gke", "private-fulcio", "spiffe-csi", "spiffe-hostpath"];

/// These tests share one installation, each as if nobody else did.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// kubectl with every right, `input` on its standard input.
async fn kubectl(cluster: &Cluster, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(binary("kubectl"));
    command.arg("--kubeconfig").arg(cluster.kubeconfig("admin")).args(arguments).current_dir(ROOT);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    });
    output.await.unwrap()
}

/// Applies it; answers what the API server warned of.
async fn apply(cluster: &Cluster, arguments: &[&str], input: &str) -> String {
    let output = kubectl(cluster, &[&["apply"], arguments].concat(), input).await;
    let warnings = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {warnings}");
    warnings
}

async fn built(cluster: &Cluster, folder: &str) -> String {
    let output = kubectl(cluster, &["kustomize", folder], "").await;
    assert!(output.status.success(), "{folder}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The agent's pod, as the API server has it now.
async fn pod(cluster: &Cluster) -> Value {
    let arguments = ["get", "deployment", "tekton-chains-controller", "-n", "tekton-chains", "-o", "json"];
    let output = kubectl(cluster, &arguments, "").await;
    let deployment: Value = serde_json::from_slice(&output.stdout).unwrap();
    deployment["spec"]["template"]["spec"].clone()
}

/// Names and places of what is mounted, `volume at path`.
fn mounts(pod: &Value) -> Vec<String> {
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    let shown = |mount: &Value| {
        format!("{} at {}", mount["name"].as_str().unwrap(), mount["mountPath"].as_str().unwrap())
    };
    mounts.iter().map(shown).collect()
}

fn volume<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    pod["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == name)
}

#[tokio::test]
async fn each_overlay_is_accepted_and_leads_back_to_the_stock_installation() {
    let (_turn, cluster) = (ONE_AT_A_TIME.lock().await, Cluster::shared().await);
    for overlay in OVERLAYS {
        let stock = apply(cluster, &["-k", "config"], "").await;
        assert!(!stock.contains("PodSecurity"), "the stock pod meets the restricted profile: {stock}");
        let before = pod(cluster).await;
        assert!(mounts(&before).contains(&"oidc-info at /var/run/sigstore/cosign".to_owned()), "{before}");

        let warned = apply(cluster, &["-k", &format!("config/overlays/{overlay}")], "").await;
        assert_eq!(warned.contains("PodSecurity"), overlay == "spiffe-hostpath", "{overlay}: {warned}");
        let after = pod(cluster).await;
        if overlay.starts_with("spiffe") {
            assert!(volume(&after, "oidc-info").is_none(), "the token is replaced: {after}");
        } else {
            assert_eq!(before, after, "{overlay} changes settings alone");
        }
    }
    apply(cluster, &["-k", "config"], "").await;
    assert!(volume(&pod(cluster).await, "spiffe-workload-api").is_none());
}

#[tokio::test]
async fn the_overlays_for_spiffe_mount_where_the_agent_looks() {
    let (_turn, cluster) = (ONE_AT_A_TIME.lock().await, Cluster::shared().await);
    apply(cluster, &["-k", "config/overlays/spiffe-hostpath"], "").await;
    let pod_with_path = pod(cluster).await;
    let path = json!({"path": "/run/spire/sockets", "type": "Directory"});
    assert_eq!(volume(&pod_with_path, "spiffe-workload-api").unwrap()["hostPath"], path);
    assert!(mounts(&pod_with_path).contains(&"spiffe-workload-api at /run/spire/sockets".to_owned()));
    let variables = pod_with_path["containers"][0]["env"].as_array().unwrap();
    let socket = json!({"name": "SPIFFE_ENDPOINT_SOCKET", "value": "/run/spire/sockets/agent.sock"});
    assert!(variables.contains(&socket), "{variables:?}");

    apply(cluster, &["-k", "config/overlays/spiffe-csi"], "").await;
    let pod_with_driver = pod(cluster).await;
    let driver = json!({"driver": "csi.spiffe.io", "readOnly": true});
    assert_eq!(volume(&pod_with_driver, "spiffe-workload-api").unwrap()["csi"], driver);
    assert!(mounts(&pod_with_driver).contains(&"spiffe-workload-api at /spiffe-workload-api".to_owned()));
    let variables = pod_with_driver["containers"][0]["env"].as_array().unwrap();
    assert!(!variables.contains(&socket), "no variable is needed: {variables:?}");
}

/// From the documentation of Tekton Chains, as it stands there.
const HOST_PATH: [(&str, &str); 3] = [
    (
        "        volumeMounts:\n",
        "        - name: spiffe-workload-api
          mountPath: /run/spire/sockets/agent.sock
          readOnly: true\n",
    ),
    (
        "        env:\n",
        "        - name: SPIFFE_ENDPOINT_SOCKET
          value: \"/run/spire/sockets/agent.sock\"\n",
    ),
    (
        "      volumes:\n",
        "      - name: spiffe-workload-api
        hostPath:
          path: /run/spire/sockets/agent.sock\n",
    ),
];

/// The same; lists are further to the right there.
const DRIVER: [(&str, &str); 2] = [
    (
        "        volumeMounts:\n",
        "          - name: spiffe-workload-api
            mountPath: /spiffe-workload-api
            readOnly: true\n",
    ),
    (
        "      volumes:\n",
        "        - name: spiffe-workload-api
          csi:
            driver: \"csi.spiffe.io\"
            readOnly: true\n",
    ),
];

/// `release.yaml` with text pasted below the keys that the documentation names.
fn pasted<'a>(snippets: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut text = std::fs::read_to_string(Path::new(ROOT).join("release.yaml")).unwrap();
    for (key, snippet) in snippets {
        assert_eq!(text.matches(key).count(), 1, "{key}");
        text = text.replace(key, &format!("{key}{snippet}"));
    }
    text
}

#[tokio::test]
async fn the_documented_snippets_are_accepted_when_they_are_pasted_into_the_release() {
    let (_turn, cluster) = (ONE_AT_A_TIME.lock().await, Cluster::shared().await);
    apply(cluster, &["-f", "release.yaml"], "").await;
    let unchanged = HOST_PATH.map(|(key, snippet)| (key, snippet.to_owned()));
    let warned = apply(cluster, &["-f", "-"], &pasted(unchanged)).await;
    assert!(warned.contains("hostPath"), "warned of, not refused: {warned}");
    let with_path = pod(cluster).await;
    assert!(mounts(&with_path).contains(&"spiffe-workload-api at /run/spire/sockets/agent.sock".to_owned()));
    assert!(mounts(&with_path).contains(&"oidc-info at /var/run/sigstore/cosign".to_owned()), "added");

    apply(cluster, &["-f", "release.yaml"], "").await;
    let indented = |snippet: &str| snippet.lines().fold(String::new(), |text, line| text + &line[2..] + "\n");
    let warned = apply(cluster, &["-f", "-"], &pasted(DRIVER.map(|(key, s)| (key, indented(s))))).await;
    assert!(!warned.contains("PodSecurity"), "{warned}");
    assert!(mounts(&pod(cluster).await).contains(&"spiffe-workload-api at /spiffe-workload-api".to_owned()));
    apply(cluster, &["-f", "release.yaml"], "").await;
}

#[tokio::test]
async fn a_namespace_that_enforces_the_restricted_profile_would_refuse_a_host_path() {
    let (_turn, cluster) = (ONE_AT_A_TIME.lock().await, Cluster::shared().await);
    let namespace = cluster.namespace("enforced").await;
    let label = "pod-security.kubernetes.io/enforce=restricted";
    kubectl(cluster, &["label", "namespace", &namespace, label], "").await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": namespace},
        "spec": {"containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "v", "hostPath": {"path": "/run/spire/sockets"}}]}});
    let refused = cluster.try_create(&pod).await.unwrap_err();
    assert!(
        refused.to_string().contains("PodSecurity"),
        "admission is on, and this is what it does: {refused}"
    );
}

#[tokio::test]
async fn settings_of_the_user_outlive_an_overlay_that_is_left_by_server_side_apply() {
    let (_turn, cluster) = (ONE_AT_A_TIME.lock().await, Cluster::shared().await);
    apply(cluster, &["-k", "config"], "").await;
    let patch = r#"{"data": {"artifacts.taskrun.storage": "oci"}}"#;
    let settings = ["configmap", "chains-config", "-n", "tekton-chains"];
    kubectl(cluster, &[&["patch"], &settings[..], &["--type", "merge", "-p", patch]].concat(), "").await;
    let known = async || -> Value {
        let output = kubectl(cluster, &[&["get"], &settings[..], &["-o", "json"]].concat(), "").await;
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["data"].clone()
    };
    apply(cluster, &["-k", "config/overlays/private-fulcio"], "").await;
    let fulcio = json!({"artifacts.taskrun.storage": "oci", "signers.x509.fulcio.enabled": "true",
        "signers.x509.fulcio.address": "http://fulcio.fulcio-system.svc"});
    assert_eq!(known().await, fulcio);
    // A plain apply would remove the whole of `data`, since the stock manifest has none.
    apply(cluster, &["--server-side", "--force-conflicts", "-k", "config"], "").await;
    assert_eq!(known().await, json!({"artifacts.taskrun.storage": "oci"}));
    let away = r#"{"data": null}"#;
    kubectl(cluster, &[&["patch"], &settings[..], &["--type", "merge", "-p", away]].concat(), "").await;
}

#[tokio::test]
async fn the_settings_of_each_overlay_are_ones_that_chains_takes() {
    let cluster = Cluster::shared().await;
    for overlay in OVERLAYS {
        let text = built(cluster, &format!("config/overlays/{overlay}")).await;
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let settings =
            documents.iter().find(|document| document["metadata"]["name"] == "chains-config").unwrap();
        assert_eq!(settings["data"]["signers.x509.fulcio.enabled"], "true", "{overlay}");
        Hallmark::run_with_input(&["config", "check", "-"], &[], &settings.to_string()).await.succeeded();
    }
}

/// The commands of the shell blocks of a page, one a line.
fn commands(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(ROOT).join(page)).unwrap().replace("\\\n", " ");
    let mut commands = Vec::new();
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        match (inside, line) {
            (false, "```sh") => inside = true,
            (true, "```") => inside = false,
            (true, command) => commands.push(command.to_owned()),
            (false, _) => {}
        }
    }
    commands
}

#[tokio::test]
async fn every_kubectl_command_of_the_page_about_keyless_signing_works() {
    let (_turn, cluster) = (ONE_AT_A_TIME.lock().await, Cluster::shared().await);
    apply(cluster, &["-k", "config"], "").await;
    // What needs a kubelet is left out.
    let commands: Vec<_> = commands("docs/keyless.md")
        .into_iter()
        .filter(|command| command.starts_with("kubectl ") && !command.contains(" exec "))
        .collect();
    assert!(commands.len() > 5, "{commands:?}");
    for line in commands {
        let tools = format!("{}:/usr/bin:/bin", binary("kubectl").parent().unwrap().display());
        let mut command = Command::new("sh");
        command.args(["-c", &line]).env("KUBECONFIG", cluster.kubeconfig("admin")).env("PATH", tools);
        command.current_dir(ROOT);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let away = ["patch", "configmap", "chains-config", "-n", "tekton-chains", "--type", "merge"];
    kubectl(cluster, &[&away[..], &["-p", r#"{"data": null}"#]].concat(), "").await;
    apply(cluster, &["-k", "config"], "").await;
}

#[tokio::test]
async fn components_are_added_by_whoever_wants_them() {
    let (_turn, cluster) = (ONE_AT_A_TIME.lock().await, Cluster::shared().await);
    let monitors = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "servicemonitors.monitoring.coreos.com"},
        "spec": {"group": "monitoring.coreos.com", "scope": "Namespaced",
            "names": {"plural": "servicemonitors", "singular": "servicemonitor", "kind": "ServiceMonitor"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
    cluster.create(&monitors).await;
    let wait =
        ["wait", "--for=condition=Established", "crd/servicemonitors.monitoring.coreos.com", "--timeout=60s"];
    assert!(kubectl(cluster, &wait, "").await.status.success());

    // kustomize takes relative paths alone.
    let folder = tempfile::tempdir().unwrap();
    let up = "../".repeat(folder.path().canonicalize().unwrap().components().count() - 1);
    let config = format!("{up}{}/config", ROOT.trim_start_matches('/'));
    let own = json!({"resources": [format!("{config}/base")], "components": [
        format!("{config}/components/network-policy"), format!("{config}/components/service-monitor"),
        format!("{config}/components/run-identity")]});
    std::fs::write(folder.path().join("kustomization.yaml"), own.to_string()).unwrap();
    let agent = "--as=system:serviceaccount:tekton-chains:tekton-chains-controller";
    let right = ["auth", "can-i", "create", "serviceaccounts", "--subresource=token", "-n", "default", agent];
    assert!(!kubectl(cluster, &right, "").await.status.success(), "no release gives this right");
    apply(cluster, &["-k", folder.path().to_str().unwrap()], "").await;
    let given = async || kubectl(cluster, &right, "").await.status.success().then_some(());
    eventually("the component gives it", std::time::Duration::from_secs(20), given).await;

    let labels = ["-l", "app.kubernetes.io/part-of=tekton-chains", "-n", "tekton-chains", "-o", "json"];
    let kinds = "networkpolicy,servicemonitor,service";
    let output = kubectl(cluster, &[&["get", kinds], &labels[..]].concat(), "").await;
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let one =
        |kind: &str| found["items"].as_array().unwrap().iter().find(|item| item["kind"] == kind).unwrap();
    let (policy, monitor, service) = (one("NetworkPolicy"), one("ServiceMonitor"), one("Service"));
    let labels = crate::release::objects().into_iter().find(|object| object["kind"] == "Deployment").unwrap();
    let labels = &labels["spec"]["template"]["metadata"]["labels"];
    for (label, value) in policy["spec"]["podSelector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&labels[label], value, "the policy selects the pod");
    }
    for (label, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&service["metadata"]["labels"][label], value, "the monitor selects the service");
    }
    assert_eq!(monitor["spec"]["endpoints"][0]["port"], service["spec"]["ports"][0]["name"]);
}
