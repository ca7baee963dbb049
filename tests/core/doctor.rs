//! `hallmark doctor` on a real cluster: a good installation is good, and each fault is named, alone, with its remedy.

mod rights;
mod servers;
mod settings;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::release;
use crate::support::{Cluster, Finished, Fulcio, Hallmark};

const KINDS: [&str; 8] = [
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "ConfigMap",
    "Secret",
    "Deployment",
];

/// The objects of the release in a namespace of a test's own.
struct Installation {
    cluster: &'static Cluster,
    namespace: String,
}

/// One line of the report.
struct Line(Value);

impl Line {
    fn is(&self, state: &str) -> bool {
        self.0["state"] == state
    }

    fn says(&self, found: &str, remedy: &str) -> bool {
        let text = |field: &str| self.0[field].as_str().unwrap_or_default().to_owned();
        text("found").contains(found) && text("remedy").contains(remedy)
    }
}

impl Installation {
    /// As `release.yaml` has it, with a key and a controller that runs; `change` may break each object, or remove it
    /// by making it null.
    async fn new(prefix: &str, change: impl Fn(&mut Value)) -> Self {
        let cluster = Cluster::shared().await;
        let namespace = cluster.namespace(prefix).await;
        for mut object in release::objects() {
            if !KINDS.contains(&object["kind"].as_str().unwrap()) {
                continue;
            }
            move_to(&namespace, &mut object);
            complete(&mut object);
            change(&mut object);
            if !object.is_null() {
                cluster.create(&object).await;
            }
        }
        let status = json!({"status": {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1}});
        let deployments = Api::<Deployment>::namespaced(cluster.client().await, &namespace);
        let patch = Patch::Merge(&status);
        deployments.patch_status("tekton-chains-controller", &PatchParams::default(), &patch).await.unwrap();
        Self { cluster, namespace }
    }

    /// Keyless, by a Fulcio at `address`.
    async fn keyless(prefix: &str, address: &str, audience: &str) -> Self {
        let config = json!({"signers.x509.fulcio.enabled": "true", "signers.x509.fulcio.address": address});
        Self::new(prefix, |object| {
            if is(object, "ConfigMap", "chains-config") {
                object["data"] = config.clone();
            }
            if object["kind"] == "Deployment" {
                let volumes = object["spec"]["template"]["spec"]["volumes"].as_array_mut().unwrap();
                let oidc = volumes.iter_mut().find(|volume| volume["name"] == "oidc-info").unwrap();
                oidc["projected"]["sources"][0]["serviceAccountToken"]["audience"] = audience.into();
            }
        })
        .await
    }

    async fn run_as(&self, user: &str, more: &[&str], environment: &[(&str, &str)]) -> Finished {
        let kubeconfig = self.cluster.kubeconfig(user);
        let mut arguments = vec!["doctor", "--system-namespace", &self.namespace];
        arguments.extend(["--kubeconfig", kubeconfig.to_str().unwrap(), "--log", "trace"]);
        arguments.extend(more);
        Hallmark::run(&arguments, environment).await
    }

    /// The report of an administrator, and how the command ended.
    async fn report(&self, more: &[&str]) -> (Vec<Line>, Option<i32>) {
        let finished = self.run_as("admin", &[more, &["-o", "json"]].concat(), &[]).await;
        (lines(&finished), finished.code)
    }

    /// Exactly one thing has failed: this one.
    async fn has_only(&self, check: &str, found: &str, remedy: &str) {
        let (lines, code) = self.report(&[]).await;
        only(&lines, check, found, remedy);
        assert!(code.is_some_and(|code| code != 0), "{code:?}");
    }
}

fn lines(finished: &Finished) -> Vec<Line> {
    let report: Value = serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", finished.stdout, finished.stderr));
    report["checks"].as_array().unwrap().iter().cloned().map(Line).collect()
}

fn only(lines: &[Line], check: &str, found: &str, remedy: &str) {
    let failed: Vec<&Value> = lines.iter().filter(|line| line.is("failed")).map(|line| &line.0).collect();
    let named =
        lines.iter().any(|line| line.is("failed") && line.0["check"] == check && line.says(found, remedy));
    assert!(named && failed.len() == 1, "{failed:#?}");
}

fn is(object: &Value, kind: &str, name: &str) -> bool {
    object["kind"] == kind && object["metadata"]["name"] == name
}

/// Into another namespace; what belongs to none gets another name.
fn move_to(namespace: &str, object: &mut Value) {
    if object["metadata"]["namespace"] == "tekton-chains" {
        object["metadata"]["namespace"] = namespace.into();
    }
    let of_cluster = object["kind"].as_str().unwrap().starts_with("Cluster");
    for name in [&["metadata", "name"], &["roleRef", "name"]] {
        let Some(name) = object.pointer_mut(&format!("/{}", name.join("/"))) else { continue };
        if of_cluster {
            *name = format!("{}-{namespace}", name.as_str().unwrap()).into();
        }
    }
    for subject in object["subjects"].as_array_mut().into_iter().flatten() {
        if subject["namespace"].is_string() {
            subject["namespace"] = namespace.into();
        }
    }
}

/// What a user adds to the release: an image and a key.
fn complete(object: &mut Value) {
    if object["kind"] == "Deployment" {
        object["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.test/hallmark:v1".into();
    }
    if is(object, "Secret", "signing-secrets") {
        object["stringData"] = json!({"x509.pem": fixture("p256.pem")});
    }
    // Only the API server fills what is null.
    if object["subjects"].is_null() {
        object.as_object_mut().unwrap().remove("subjects");
    }
}

fn fixture(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/fixtures/keys/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[tokio::test]
async fn a_good_installation_is_all_ok() {
    let installation = Installation::new("doctor-good", |_| {}).await;
    let (lines, code) = installation.report(&[]).await;
    let other: Vec<&Value> = lines.iter().filter(|line| !line.is("ok")).map(|line| &line.0).collect();
    assert!(other.is_empty() && code == Some(0), "{other:#?}");
    let checks: Vec<&str> = lines.iter().map(|line| line.0["check"].as_str().unwrap()).collect();
    assert_eq!(
        checks,
        ["cluster", "tekton", "controller", "config", "rights", "keys", "registries", "identity"]
    );
    let id = fixture("p256.fingerprint");
    assert!(lines.iter().any(|line| line.says(id.trim(), "")), "the key's id is shown");

    let table = installation.run_as("admin", &[], &[]).await.succeeded().stdout;
    assert!(table.ends_with("8 ok, 0 to know, 0 failed, 0 not checked\n"), "{table}");
    assert!(!table.contains('\u{1b}') && !table.contains("PRIVATE KEY"), "{table}");
}

#[tokio::test]
async fn a_good_keyless_installation_is_all_ok_down_to_the_certificate() {
    let cluster = Cluster::shared().await;
    // Fulcio reads the cluster's keys as anybody would.
    let group = "rbac.authorization.k8s.io";
    let discovery = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "doctor-discovery"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:service-account-issuer-discovery"},
        "subjects": [{"apiGroup": group, "kind": "Group", "name": "system:unauthenticated"}]});
    cluster.create(&discovery).await;
    let fulcio = Fulcio::start(cluster).await;
    let installation = Installation::keyless("doctor-keyless", &fulcio.url, "sigstore").await;
    let (lines, code) = installation.report(&[]).await;
    assert!(!lines.iter().any(|line| line.is("failed")) && code == Some(0));
    assert!(lines.iter().any(|line| line.is("ok") && line.says("takes tokens of issuer", "")));
    assert_eq!(fulcio.issued().await, 0, "nobody asked for a certificate");
    let name = format!("namespaces/{}/serviceaccounts/tekton-chains-controller", installation.namespace);
    assert!(lines.iter().any(|line| line.is("ok") && line.says(&name, "")));

    let (lines, code) = installation.report(&["--certificate"]).await;
    assert!(
        lines.iter().any(|line| line.is("ok") && line.says("issued a certificate for", ""))
            && code == Some(0)
    );
    assert_eq!(fulcio.issued().await, 1);
}

#[tokio::test]
async fn what_may_not_be_looked_at_is_unchecked_and_no_failure() {
    let installation = Installation::new("doctor-nobody", |_| {}).await;
    let finished = installation.run_as("nobody", &["-o", "json"], &[]).await;
    let lines = lines(&finished);
    assert_eq!(finished.code, Some(0));
    assert!(!lines.iter().any(|line| line.is("failed")));
    for check in ["controller", "config", "rights", "keys", "registries"] {
        let unchecked =
            |line: &Line| line.0["check"] == check && line.is("unchecked") && line.says("", "run doctor");
        assert!(lines.iter().any(unchecked), "{check}");
    }
}

#[tokio::test]
async fn the_controller_itself_can_ask_about_its_own_rights() {
    let installation = Installation::new("doctor-own", |_| {}).await;
    let (cluster, namespace) = (installation.cluster, &installation.namespace);
    let kubeconfig = cluster.service_account_kubeconfig(namespace, "tekton-chains-controller").await;
    let arguments = ["doctor", "--system-namespace", namespace, "-o", "json", "--kubeconfig"];
    let finished = Hallmark::run(&[&arguments[..], &[kubeconfig.to_str().unwrap()]].concat(), &[]).await;
    let lines = lines(&finished);
    for (check, state) in [("rights", "ok"), ("keys", "ok"), ("config", "ok"), ("controller", "unchecked")] {
        assert!(lines.iter().any(|line| line.0["check"] == check && line.is(state)), "{check}");
    }
}

#[tokio::test]
async fn a_controller_that_does_not_run_is_named() {
    let installation = Installation::new("doctor-scaled", |object| {
        if object["kind"] == "Deployment" {
            object["spec"]["replicas"] = 0.into();
        }
    })
    .await;
    installation.has_only("controller", "scaled to nothing", "--replicas=1").await;
}

#[tokio::test]
async fn without_an_api_server_the_one_thing_to_do_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "users": [{"name": "c", "user": {}}]});
    std::fs::write(&file, text.to_string()).unwrap();
    let finished =
        Hallmark::run(&["doctor", "-o", "json", "--kubeconfig", file.to_str().unwrap()], &[]).await;
    only(&lines(&finished), "cluster", "", "its API server is up");
    assert_eq!(finished.code, Some(4));
}
