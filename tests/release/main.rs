//! What `release.yaml` promises: it is made from `config/base/`, applies over Tekton Chains and back, grants the least,
//! and meets the restricted pod security profile (Chains specification §1.2, credentials specification §12).

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a missing field fails the test, as it should"
)]

mod granted;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

fn hack_release(arguments: &[&str]) -> Output {
    Command::new(Path::new(ROOT).join("hack/release")).args(arguments).output().unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = hack_release(&[arguments, &["--output", "-"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn documents() -> Vec<Value> {
    serde_saphyr::from_multiple(&read("release.yaml")).unwrap()
}

fn object(kind: &str, name: &str) -> Value {
    let mut found = documents();
    found.retain(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    assert_eq!(found.len(), 1, "{kind} {name}");
    found.remove(0)
}

fn pod() -> Value {
    object("Deployment", "tekton-chains-controller")["spec"]["template"].clone()
}

fn container() -> Value {
    pod()["spec"]["containers"][0].clone()
}

/// The rules of a role as `group/resource[name]: verbs`.
fn rights(kind: &str, name: &str) -> Vec<String> {
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let role = object(kind, name);
    let mut rights = Vec::new();
    for rule in role["rules"].as_array().unwrap() {
        for (group, resource) in words(&rule["apiGroups"])
            .iter()
            .flat_map(|g| words(&rule["resources"]).into_iter().map(move |r| (g.clone(), r)))
        {
            let names = words(&rule["resourceNames"]).join(",");
            rights.push(format!("{group}/{resource}[{names}]: {}", words(&rule["verbs"]).join(" ")));
        }
    }
    rights
}

#[test]
fn the_committed_release_is_what_hack_release_makes() {
    assert!(read("release.yaml") == printed(&[]), "release.yaml is not up to date: run hack/release");
}

#[test]
fn an_image_can_be_given_and_changes_one_line() {
    let image = "registry.other:5000/team/hallmark@sha256:05f95b26ed10668b7183c1e2da98610e91372fa9f510046d4ce5812addad86b5";
    let (stock, own) = (read("release.yaml"), printed(&["--image", image]));
    let changed: Vec<_> =
        stock.lines().zip(own.lines()).filter(|(a, b)| a != b).map(|(_, b)| b.trim()).collect();
    assert_eq!(changed, [format!("image: {image}")]);
    assert_eq!(stock.lines().count(), own.lines().count());
}

#[test]
fn wrong_arguments_are_refused_and_write_nothing() {
    let before = read("release.yaml");
    for arguments in
        [&["--image"][..], &["--image", "a b"], &["--image", "x\nkind: y"], &["--output"], &["now"]]
    {
        let output = hack_release(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--image REF"), "{arguments:?}");
    }
    assert_eq!(before, read("release.yaml"));
}

#[test]
fn its_objects_have_the_names_of_tekton_chains() {
    let objects: Vec<_> = documents()
        .iter()
        .map(|object| {
            format!("{} {}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        objects,
        [
            "Namespace tekton-chains",
            "ServiceAccount tekton-chains-controller",
            "ClusterRole tekton-chains-controller-cluster-access",
            "ClusterRole tekton-chains-controller-tenant-access",
            "ClusterRoleBinding tekton-chains-controller-cluster-access",
            "ClusterRoleBinding tekton-chains-controller-tenant-access",
            "Role tekton-chains-leader-election",
            "Role tekton-chains-controller",
            "Role tekton-chains-info",
            "RoleBinding tekton-chains-controller-leaderelection",
            "RoleBinding tekton-chains-controller",
            "RoleBinding tekton-chains-info",
            "ConfigMap chains-config",
            "ConfigMap chains-info",
            "Secret signing-secrets",
            "Deployment tekton-chains-controller",
            "Service tekton-chains-metrics",
            "PodDisruptionBudget tekton-chains-controller",
        ]
    );
    for object in documents() {
        let cluster_wide =
            ["Namespace", "ClusterRole", "ClusterRoleBinding"].contains(&object["kind"].as_str().unwrap());
        let namespace = if cluster_wide { Value::Null } else { json!("tekton-chains") };
        assert_eq!(object["metadata"]["namespace"], namespace, "{}", object["metadata"]["name"]);
    }
}

#[test]
fn settings_and_keys_ship_without_data_so_that_applying_again_resets_nothing() {
    for (kind, name) in [("ConfigMap", "chains-config"), ("Secret", "signing-secrets")] {
        let mut fields: Vec<_> = object(kind, name).as_object().unwrap().keys().cloned().collect();
        fields.sort();
        assert_eq!(fields, ["apiVersion", "kind", "metadata"], "{name}");
    }
}

#[test]
fn selectors_are_those_of_chains_and_match_the_pod() {
    let selector = json!({
        "app.kubernetes.io/name": "controller",
        "app.kubernetes.io/component": "controller",
        "app.kubernetes.io/instance": "default",
        "app.kubernetes.io/part-of": "tekton-chains",
    });
    assert_eq!(object("Deployment", "tekton-chains-controller")["spec"]["selector"]["matchLabels"], selector);
    assert_eq!(
        object("PodDisruptionBudget", "tekton-chains-controller")["spec"]["selector"]["matchLabels"],
        selector
    );
    assert_eq!(object("Service", "tekton-chains-metrics")["spec"]["selector"], selector);
    for (label, value) in selector.as_object().unwrap() {
        assert_eq!(&pod()["metadata"]["labels"][label], value, "{label}");
    }
    assert_eq!(pod()["metadata"]["labels"]["app"], "tekton-chains-controller");
}

#[test]
fn two_agents_never_run_at_once() {
    let spec = object("Deployment", "tekton-chains-controller")["spec"].clone();
    assert_eq!(spec["strategy"], json!({"type": "Recreate"}));
    assert_eq!(spec["replicas"], 1);
}

#[test]
fn the_rights_are_these_and_no_others() {
    assert_eq!(
        rights("ClusterRole", "tekton-chains-controller-cluster-access"),
        ["tekton.dev/taskruns[]: get list watch patch", "tekton.dev/pipelineruns[]: get list watch patch"]
    );
    assert_eq!(
        rights("ClusterRole", "tekton-chains-controller-tenant-access"),
        ["/pods[]: get", "/serviceaccounts[]: get", "/secrets[]: get", "/events[]: create",]
    );
    assert_eq!(
        rights("Role", "tekton-chains-leader-election"),
        ["coordination.k8s.io/leases[]: create patch list delete"]
    );
    assert_eq!(
        rights("Role", "tekton-chains-controller"),
        ["/configmaps[chains-config,config-logging,tekton-chains-config-leader-election,\
         tekton-chains-config-observability]: get"]
    );
    assert_eq!(rights("Role", "tekton-chains-info"), ["/configmaps[chains-info]: get"]);
}

#[test]
fn every_role_is_bound_to_the_agent_or_is_the_public_version() {
    let bindings =
        documents().into_iter().filter(|object| object["kind"].as_str().unwrap().ends_with("RoleBinding"));
    let agent =
        json!([{"kind": "ServiceAccount", "name": "tekton-chains-controller", "namespace": "tekton-chains"}]);
    let everybody =
        json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:authenticated"}]);
    let mut bound = Vec::new();
    for binding in bindings {
        let role = &binding["roleRef"];
        let subjects = if role["name"] == "tekton-chains-info" { &everybody } else { &agent };
        assert_eq!(&binding["subjects"], subjects, "{role}");
        assert_eq!(
            object(role["kind"].as_str().unwrap(), role["name"].as_str().unwrap())["kind"],
            role["kind"]
        );
        bound.push(role["name"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        bound.len(),
        documents().iter().filter(|o| o["kind"].as_str().unwrap().ends_with("Role")).count()
    );
}

#[test]
fn the_pod_meets_the_restricted_profile_with_a_read_only_root() {
    let context = &pod()["spec"]["securityContext"];
    assert_eq!((&context["runAsNonRoot"], &context["runAsUser"]), (&json!(true), &json!(65532)));
    assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(
        container()["securityContext"],
        json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "capabilities": {"drop": ["ALL"]},
        })
    );
    for volume in pod()["spec"]["volumes"].as_array().unwrap() {
        assert!(
            ["secret", "projected", "emptyDir"].iter().any(|kind| volume.get(kind).is_some()),
            "{volume}"
        );
    }
}

#[test]
fn the_namespace_warns_and_audits_but_never_enforces() {
    let labels = object("Namespace", "tekton-chains")["metadata"]["labels"].clone();
    assert_eq!(labels["pod-security.kubernetes.io/warn"], "restricted");
    assert_eq!(labels["pod-security.kubernetes.io/audit"], "restricted");
    assert!(labels.get("pod-security.kubernetes.io/enforce").is_none());
}

#[test]
fn keys_token_registries_and_trust_roots_are_mounted_where_they_are_looked_for() {
    let volumes = pod()["spec"]["volumes"].clone();
    let volume = |name: &str| volumes.as_array().unwrap().iter().find(|v| v["name"] == name).unwrap().clone();
    let mounts: Vec<_> = container()["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| {
            (volume(mount["name"].as_str().unwrap()), mount["mountPath"].clone(), mount["readOnly"] == true)
        })
        .collect();
    let token = json!({"path": "oidc-token", "expirationSeconds": 600, "audience": "sigstore"});
    let [keys, registries, oidc, cache] = &mounts[..] else { panic!("{mounts:?}") };
    assert_eq!(keys.0["secret"], json!({"secretName": "signing-secrets", "optional": true}));
    assert_eq!((&keys.1, keys.2), (&json!("/etc/signing-secrets"), true));
    assert_eq!(registries.0["secret"], json!({"secretName": "hallmark-registries", "optional": true}));
    assert_eq!((&registries.1, registries.2), (&json!("/etc/hallmark"), true));
    assert_eq!(oidc.0["projected"]["sources"], json!([{"serviceAccountToken": token}]));
    assert_eq!((&oidc.1, oidc.2), (&json!("/var/run/sigstore/cosign"), true));
    assert!(cache.0.get("emptyDir").is_some() && !cache.2);
}

#[test]
fn the_container_is_started_probed_and_scraped_as_the_program_expects() {
    let container = container();
    assert_eq!(container["name"], "tekton-chains-controller");
    assert_eq!(container["args"], json!(["controller"]));
    let ports =
        json!([{"name": "metrics", "containerPort": 9090}, {"name": "probes", "containerPort": 8080}]);
    assert_eq!(container["ports"], ports);
    assert_eq!(container["livenessProbe"]["httpGet"], json!({"path": "/livez", "port": "probes"}));
    assert_eq!(container["readinessProbe"]["httpGet"], json!({"path": "/readyz", "port": "probes"}));
    let namespace =
        json!({"name": "SYSTEM_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}});
    assert_eq!(container["env"][0], namespace);
    assert_eq!(object("Service", "tekton-chains-metrics")["spec"]["ports"][0]["targetPort"], 9090);
    assert!(pod()["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap() > 25);
}

#[test]
fn the_version_is_that_of_the_package() {
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    assert_eq!(object("ConfigMap", "chains-info")["data"], json!({"version": version}));
    assert_eq!(pod()["metadata"]["labels"]["app.kubernetes.io/version"], version);
    let deployment = object("Deployment", "tekton-chains-controller");
    assert_eq!(deployment["metadata"]["labels"]["app.kubernetes.io/version"], version);
    assert_eq!(container()["image"], format!("registry.example/hallmark:{version}"));
}

#[test]
fn kustomize_takes_the_same_files_in_the_same_order() {
    let mut files: Vec<_> = std::fs::read_dir(Path::new(ROOT).join("config/base"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    files.sort();
    let kustomization: Value = serde_saphyr::from_str(&read("config/base/kustomization.yaml")).unwrap();
    assert_eq!(kustomization["resources"], json!(files));
}
