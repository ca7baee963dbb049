//! What doctor says of missing rights.

use serde_json::{Value, json};

use super::{Installation, Line, is};

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
