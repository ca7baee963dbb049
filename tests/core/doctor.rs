//! `hallmark doctor` on a real cluster: a good installation is good, and each fault is named, alone, with its remedy.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::release;
use crate::support::{Authentication, Cluster, Crane, Distribution, Finished, Fulcio, Hallmark, TokenUser};

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
async fn a_missing_config_map_is_named_and_its_creation_told() {
    let installation = Installation::new("doctor-map", |object| {
        if is(object, "ConfigMap", "chains-config") {
            *object = Value::Null;
        }
    })
    .await;
    installation.has_only("config", "there is no ConfigMap", "kubectl create configmap chains-config").await;
}

#[tokio::test]
async fn a_bad_value_is_named_with_the_one_that_was_meant() {
    let installation = Installation::new("doctor-value", |object| {
        if is(object, "ConfigMap", "chains-config") {
            object["data"] = json!({"artifacts.oci.storage": "ocl"});
        }
    })
    .await;
    installation.has_only("config", "artifacts.oci.storage: \"ocl\"", "did you mean \"oci\"?").await;
}

#[tokio::test]
async fn a_missing_key_is_named_and_how_to_make_one() {
    let installation = Installation::new("doctor-key", |object| {
        if is(object, "Secret", "signing-secrets") {
            object.as_object_mut().unwrap().remove("stringData");
        }
    })
    .await;
    installation.has_only("keys", "no signing key", "cosign generate-key-pair").await;
}

#[tokio::test]
async fn a_wrong_password_is_named_and_not_shown() {
    let installation = Installation::new("doctor-password", |object| {
        if is(object, "Secret", "signing-secrets") {
            object["stringData"] = json!({"cosign.key": fixture("cosign.key"), "cosign.password": "canary"});
        }
    })
    .await;
    installation.has_only("keys", "the password in cosign.password is wrong", "").await;
    let finished = installation.run_as("admin", &[], &[]).await;
    assert!(!format!("{}{}", finished.stdout, finished.stderr).contains("canary"));
}

#[tokio::test]
async fn every_missing_verb_is_named_with_the_role_that_gives_it() {
    let installation = Installation::new("doctor-verb", |object| {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        if object["kind"] == "ClusterRole" && name.starts_with("tekton-chains-controller-cluster-access") {
            object["rules"][0]["verbs"] = json!(["get", "list", "watch"]);
        }
    })
    .await;
    let (lines, code) = installation.report(&[]).await;
    let failed: Vec<&Line> = lines.iter().filter(|line| line.is("failed")).collect();
    assert_eq!((failed.len(), code), (1, Some(1)), "one line for one role");
    for resource in ["pipelineruns", "taskruns"] {
        let found = format!("patch {resource}.tekton.dev in all namespaces");
        let role = "ClusterRole tekton-chains-controller-cluster-access";
        assert!(failed[0].says(&found, role), "{}", failed[0].0);
    }
}

#[tokio::test]
async fn tokens_of_runs_that_the_settings_ask_for_and_nobody_granted_are_a_warning() {
    let installation = Installation::new("doctor-run-identity", |object| {
        if is(object, "ConfigMap", "chains-config") {
            object["data"] = json!({"registry.run-identity": "true"});
        }
    })
    .await;
    let (lines, code) = installation.report(&[]).await;
    let (found, remedy) =
        ("may not create serviceaccounts/token in all namespaces", "config/components/run-identity");
    let told: Vec<&Line> = lines.iter().filter(|line| line.says(found, remedy)).collect();
    assert!(
        told.len() == 1 && told[0].is("warning"),
        "{:?}",
        lines.iter().map(|line| &line.0).collect::<Vec<_>>()
    );
    assert_eq!(code, Some(0), "runs may do without");

    let component = concat!(env!("CARGO_MANIFEST_DIR"), "/config/components/run-identity/clusterrole.yaml");
    let mut role: Value = serde_saphyr::from_str(&std::fs::read_to_string(component).unwrap()).unwrap();
    let name = format!("{}-run-identity", installation.namespace);
    role["metadata"]["name"] = name.clone().into();
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "tekton-chains-controller",
            "namespace": installation.namespace}]});
    installation.cluster.create(&role).await;
    installation.cluster.create(&binding).await;
    let (lines, code) = installation.report(&[]).await;
    assert!(!lines.iter().any(|line| line.says("serviceaccounts/token", "")));
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn a_fulcio_that_is_away_is_named() {
    let installation = Installation::keyless("doctor-away", "http://127.0.0.1:9", "sigstore").await;
    let (lines, code) = installation.report(&[]).await;
    only(&lines, "fulcio", "127.0.0.1:9", "can be reached from the controller's pod");
    assert_eq!(code, Some(4), "it may pass");
}

#[tokio::test]
async fn a_token_for_another_audience_is_named_before_anybody_sees_it() {
    let fulcio = Fulcio::start(Cluster::shared().await).await;
    let installation = Installation::keyless("doctor-audience", &fulcio.url, "vault").await;
    installation.has_only("identity", "is for audience \"vault\"", "set audience: sigstore").await;

    let installation = Installation::keyless("doctor-file", &fulcio.url, "sigstore").await;
    let token = installation.cluster.token(&installation.namespace, "tekton-chains-controller").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &token).unwrap();
    let finished = installation
        .run_as("admin", &["-o", "json", "--token-file", file.path().to_str().unwrap()], &[])
        .await;
    only(&lines(&finished), "identity", "it is not for audience \"sigstore\"", "set audience: sigstore");
    assert!(!finished.stdout.contains(&token) && !finished.stderr.contains(&token), "the token is not shown");
}

#[tokio::test]
async fn a_fulcio_of_other_issuers_is_told_by_its_own_word() {
    let other = crate::support::Issuer {
        url: "https://issuer.test".to_owned(),
        ca_pem: Cluster::shared().await.ca_pem(),
        kind: crate::support::Kind::Kubernetes,
    };
    let fulcio = Fulcio::trusting(&[other]).await;
    let installation = Installation::keyless("doctor-issuer", &fulcio.url, "sigstore").await;
    installation
        .has_only("fulcio", "is not configured for the issuer of the identity token", "oidc-issuers")
        .await;
}

#[tokio::test]
async fn a_registry_that_refuses_is_named_with_the_credential_that_is_missing() {
    let builder = TokenUser::new("builder", "canary-b").push("team/");
    let reader = TokenUser::new("reader", "canary-r").pull("team/");
    let registry = Distribution::start(Authentication::Token(vec![builder.clone(), reader.clone()])).await;
    Crane::new(&registry.access(Some(builder.login()))).push_random_image("team/app").await;
    let installation = Installation::new("doctor-registry", |_| {}).await;
    let (cluster, namespace) = (installation.cluster, &installation.namespace);
    cluster.registry_secret(namespace, "reads", &registry.access(Some(reader.login()))).await;
    cluster.set_secrets(namespace, "default", &["reads"]).await;

    let access = registry.access(None);
    let (image, ca) = (format!("{}/team/app", access.host), access.ca.clone().unwrap());
    let asked = ["-n", namespace, "--service-account", "default", "--image", &image, "-o", "json"];
    let environment = [("SSL_CERT_FILE", ca.to_str().unwrap())];
    let finished = installation.run_as("admin", &asked, &environment).await;
    let lines = lines(&finished);
    only(&lines, "registry", "no credential was accepted", "may not push");
    assert_eq!(finished.code, Some(3));
    assert!(lines.iter().any(|line| line.is("ok") && line.says("accepted", "")), "it may read");
    assert!(!format!("{}{}", finished.stdout, finished.stderr).contains("canary"));

    cluster.registry_secret(namespace, "pushes", &registry.access(Some(builder.login()))).await;
    cluster.set_secrets(namespace, "default", &["reads", "pushes"]).await;
    installation.run_as("admin", &asked, &environment).await.succeeded();
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
