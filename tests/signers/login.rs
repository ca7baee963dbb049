//! Every way of logging in to Vault that Chains documents, each with tokens of their real issuers.

use std::path::Path;

use serde_json::{Map, json};

use crate::support::{Cluster, Finished, Hallmark, Issuer, Spire, Vault};

const KEY: &str = "release";

async fn prepared() -> Vault {
    let vault = Vault::start().await;
    vault.key(KEY, "ecdsa-p256").await;
    vault.policy(KEY).await;
    vault
}

/// `hallmark keys public` with these keys of the ConfigMap beside those that name key and server.
async fn public(vault: &Vault, settings: &[(&str, &str)], environment: &[(&str, &str)]) -> Finished {
    let mut data = Map::new();
    data.insert("signers.kms.kmsref".into(), format!("hashivault://{KEY}").into());
    if environment.is_empty() {
        data.insert("signers.kms.auth.address".into(), vault.url.as_str().into());
    }
    for (key, value) in settings {
        data.insert(format!("signers.kms.auth.{key}"), (*value).into());
    }
    let map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chains-config"}, "data": data});
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    std::fs::write(&file, map.to_string()).unwrap();
    Hallmark::run(&["keys", "public", "--config", file.to_str().unwrap()], environment).await
}

fn write(folder: &Path, name: &str, content: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, content).unwrap();
    file.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_is_taken_from_a_file_the_config_map_or_the_environment() {
    let vault = prepared().await;
    let (folder, token) = (tempfile::tempdir().unwrap(), vault.token(KEY, "1h").await);
    let file = write(folder.path(), "token", &format!("{token}\n"));
    let key = vault.public_key(KEY).await;
    for (settings, environment) in [
        (vec![("token-path", file.as_str())], vec![]),
        (vec![("token", token.as_str())], vec![]),
        (vec![], vec![("VAULT_ADDR", vault.url.as_str()), ("VAULT_TOKEN", &token)]),
        (vec![], vec![("BAO_ADDR", vault.url.as_str()), ("BAO_TOKEN", &token)]),
    ] {
        let finished = public(&vault, &settings, &environment).await.succeeded();
        assert_eq!(finished.stdout.trim(), key);
    }
    // The file beats the ConfigMap.
    public(&vault, &[("token-path", &file), ("token", "wrong")], &[]).await.succeeded();
    let refused = public(&vault, &[("token", "hvs.canary")], &[]).await.failed();
    assert!(!refused.stderr.contains("canary"), "{}", refused.stderr);
    let unset = public(&vault, &[], &[]).await.failed();
    assert!(unset.stderr.contains("signers.kms.auth.oidc.role"), "{}", unset.stderr);
}

#[tokio::test]
async fn a_service_account_logs_in_by_jwt_and_by_kubernetes() {
    let (vault, cluster) = (prepared().await, Cluster::shared().await);
    cluster.lets_anybody_read_the_keys_of_its_issuer().await;
    let namespace = cluster.namespace("vault").await;
    let subject = format!("system:serviceaccount:{namespace}:default");
    let role = json!({"bound_subject": subject, "token_policies": [KEY], "token_ttl": "1h"});
    vault.trust("jwt", &Issuer::of(cluster), "/openid/v1/jwks", &role).await;

    let folder = tempfile::tempdir().unwrap();
    let token = cluster.token_for(&namespace, "default", "vault").await;
    let file = write(folder.path(), "jwt", &token);
    let key = vault.public_key(KEY).await;
    let by_jwt = [("oidc.role", "chains"), ("oidc.token-path", file.as_str())];
    assert_eq!(public(&vault, &by_jwt, &[]).await.succeeded().stdout.trim(), key);

    let elsewhere = cluster.namespace("stranger").await;
    let stranger = cluster.token_for(&elsewhere, "default", "vault").await;
    let other = write(folder.path(), "stranger", &stranger);
    let refused = public(&vault, &[("oidc.role", "chains"), ("oidc.token-path", &other)], &[]).await.failed();
    for text in ["auth/jwt in role chains", "auth/jwt/role/chains exists"] {
        assert!(refused.stderr.contains(text), "{text} in {}", refused.stderr);
    }
    assert!(!refused.stderr.contains(&stranger[..40]), "no token is shown");

    kubernetes(&vault, cluster, &namespace).await;
    let own = write(folder.path(), "own", &cluster.token(&namespace, "default").await);
    let by_kubernetes = [("oidc.path", "kubernetes"), ("oidc.role", "chains"), ("oidc.token-path", &own)];
    assert_eq!(public(&vault, &by_kubernetes, &[]).await.succeeded().stdout.trim(), key);
    let nowhere = [("oidc.path", "elsewhere"), ("oidc.role", "chains"), ("oidc.token-path", &own)];
    let nowhere = public(&vault, &nowhere, &[]).await.failed();
    assert!(nowhere.stderr.contains("auth/elsewhere"), "{}", nowhere.stderr);
}

/// Kubernetes authentication, which asks the API server about each token.
async fn kubernetes(vault: &Vault, cluster: &Cluster, namespace: &str) {
    let rbac = "rbac.authorization.k8s.io";
    let role = json!({"apiGroup": rbac, "kind": "ClusterRole", "name": "system:auth-delegator"});
    let account = json!({"kind": "ServiceAccount", "name": "default", "namespace": namespace});
    let binding = json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding",
        "metadata": {"name": format!("reviewer-{namespace}")}, "roleRef": role, "subjects": [account]});
    cluster.create(&binding).await;
    vault.write("sys/auth/kubernetes", json!({"type": "kubernetes"})).await;
    let reviewer = cluster.token(namespace, "default").await;
    let config = json!({"kubernetes_host": cluster.url(), "kubernetes_ca_cert": cluster.ca_pem(),
        "token_reviewer_jwt": reviewer, "disable_local_ca_jwt": true});
    vault.write("auth/kubernetes/config", config).await;
    let role = json!({"bound_service_account_names": ["default"], "token_policies": [KEY],
        "bound_service_account_namespaces": [namespace]});
    vault.write("auth/kubernetes/role/chains", role).await;
}

#[tokio::test]
async fn a_spiffe_identity_logs_in_and_beats_a_token() {
    let (vault, spire) = (prepared().await, Spire::start().await);
    let id = spire.register("ns/tekton-chains/sa/tekton-chains-controller").await;
    let role = json!({"bound_subject": id, "token_policies": [KEY]});
    vault.trust("spire", &spire.issuer(), "/keys", &role).await;
    let socket = format!("unix://{}", spire.socket().display());
    let settings = [
        ("spire.sock", socket.as_str()),
        ("spire.audience", "vault"),
        ("oidc.path", "spire"),
        ("oidc.role", "chains"),
        ("token", "of no use"),
    ];
    assert_eq!(public(&vault, &settings, &[]).await.succeeded().stdout.trim(), vault.public_key(KEY).await);
}
