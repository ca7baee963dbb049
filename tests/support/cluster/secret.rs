//! Registry credentials in the cluster: Secrets, and the service accounts that name them.

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::Cluster;
use crate::support::Access;

impl Cluster {
    /// Makes a Secret of type `kubernetes.io/dockerconfigjson` with the login of `access`.
    pub async fn registry_secret(&self, namespace: &str, name: &str, access: &Access) {
        self.create(&json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": name, "namespace": namespace},
            "stringData": {".dockerconfigjson": access.docker_config()},
        }))
        .await;
    }

    /// Sets the `imagePullSecrets` of a service account.
    pub async fn set_pull_secrets(&self, namespace: &str, account: &str, secrets: &[&str]) {
        self.patch_account(namespace, account, "imagePullSecrets", secrets).await;
    }

    /// Sets the `secrets` of a service account.
    pub async fn set_secrets(&self, namespace: &str, account: &str, secrets: &[&str]) {
        self.patch_account(namespace, account, "secrets", secrets).await;
    }

    async fn patch_account(&self, namespace: &str, account: &str, field: &str, secrets: &[&str]) {
        let names: Vec<Value> = secrets.iter().map(|name| json!({"name": name})).collect();
        let accounts = Api::<ServiceAccount>::namespaced(self.client().await, namespace);
        let patch = Patch::Merge(json!({ field: names }));
        accounts.patch(account, &PatchParams::default(), &patch).await.unwrap();
    }
}
