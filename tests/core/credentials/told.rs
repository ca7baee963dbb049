//! What a person is told when no credential serves, and that the remedy is enough.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::{Named, without_credentials};
use crate::agent::{Agent, SOON, stopped_well};
use crate::main_path::TO_REGISTRY;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_any_credential_is_told_what_was_looked_at_and_what_to_add() {
    let (registry, builder, image, agent) = without_credentials(TO_REGISTRY).await;
    let access = registry.access(None);
    let hallmark = agent.start().await;
    agent.build("build", &access, &image).await;
    let account = format!("service account {}/default", agent.namespace);
    let remedy = format!("add a secret of type kubernetes.io/dockerconfigjson for {}", access.host);
    let texts = ["RegistryAuthFailed", "no credential matches", &account, &remedy, "Tried again in"];
    agent.event(&texts).await;
    assert!(!agent.annotations("build").await.contains_key("chains.tekton.dev/signed"));

    // The remedy is enough: nobody has to touch the run.
    agent.secret("push", &access, &builder).await;
    agent.cluster.set_secrets(&agent.namespace, "default", &["push"]).await;
    assert_eq!(agent.mark("build", Duration::from_mins(1)).await, "true");
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_not_json_or_missing_is_named_and_hides_no_other() {
    let (registry, builder, image, agent) = without_credentials(TO_REGISTRY).await;
    let access = registry.access(None);
    agent
        .cluster
        .create(&json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": "broken", "namespace": agent.namespace},
            "stringData": {".dockerconfigjson": "{\"auths\": {\"canary"}}))
        .await;
    let hallmark = agent.start().await;
    let named = Named { account_secrets: &["broken", "missing"], ..Named::default() };
    agent.build_with("alone", &named, &access, &[&image]).await;
    let broken = format!("secret {}/broken: MalformedJSON", agent.namespace);
    let missing = format!("secret {}/missing: SecretNotFound", agent.namespace);
    let remedy = format!("mend secret {}/broken (MalformedJSON), or add a secret of type", agent.namespace);
    agent.event(&["RegistryAuthFailed", &broken, &remedy]).await;
    // An Event has no room for all of it; the log has.
    hallmark.line(&missing, SOON).await;

    agent.secret("push", &access, &builder).await;
    let named = Named { account_secrets: &["broken", "missing", "push"], ..Named::default() };
    agent.build_with("beside", &named, &access, &[&image]).await;
    assert_eq!(agent.mark("beside", SOON).await, "true");
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_2_a_secret_that_may_not_be_read_is_named_with_the_right_that_is_missing() {
    let (registry, builder, image, agent) = without_credentials(TO_REGISTRY).await;
    let access = registry.access(None);
    agent.secret("push", &access, &builder).await;
    agent.cluster.set_secrets(&agent.namespace, "default", &["push"]).await;
    let hallmark = agent.start_as(&account(&agent, "limited", &["pods", "serviceaccounts"]).await, &[]);
    agent.build("build", &access, &image).await;
    let secret = format!("secret {}/push: SecretForbidden", agent.namespace);
    let who = format!("system:serviceaccount:{}:limited", agent.namespace);
    agent.event(&["RegistryAuthFailed", &secret, &who, "cannot get resource \"secrets\""]).await;
    stopped_well(hallmark);
}

/// A kubeconfig of a new account with all rights that an agent needs in one namespace, of those on core objects only
/// to read these.
pub async fn account(agent: &Agent, name: &str, readable: &[&str]) -> PathBuf {
    let here = json!({"name": name, "namespace": agent.namespace});
    let rules = json!([
        {"apiGroups": ["tekton.dev"], "resources": ["taskruns", "pipelineruns"],
            "verbs": ["get", "list", "watch", "patch"]},
        {"apiGroups": [""], "resources": readable, "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
            "verbs": ["create", "patch", "list", "delete"]},
    ]);
    let rbac = "rbac.authorization.k8s.io/v1";
    let subject = json!({"kind": "ServiceAccount", "name": name, "namespace": agent.namespace});
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name});
    for object in [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": here}),
        json!({"apiVersion": rbac, "kind": "Role", "metadata": here, "rules": rules}),
        json!({"apiVersion": rbac, "kind": "RoleBinding", "metadata": here, "subjects": [subject], "roleRef": role}),
    ] {
        agent.cluster.create(&object).await;
    }
    agent.cluster.service_account_kubeconfig(&agent.namespace, name).await
}
