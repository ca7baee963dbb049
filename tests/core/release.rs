//! The objects of `release.yaml` on a real cluster, so that every test runs with the rights that users get.

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::support::Cluster;

static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// Installs the release once, and gives its service account the same rights in `namespace` that it has in its own.
pub async fn grant(cluster: &Cluster, namespace: &str) {
    INSTALLED
        .get_or_init(async || {
            for object in objects() {
                apply(cluster, &object).await;
            }
        })
        .await;
    for mut object in objects() {
        let is_role = object["kind"] == "Role" || object["kind"] == "RoleBinding";
        if is_role && object["metadata"]["namespace"] == "tekton-chains" {
            object["metadata"]["namespace"] = namespace.into();
            apply(cluster, &object).await;
        }
    }
}

/// Every document of `release.yaml`.
pub fn objects() -> Vec<Value> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/release.yaml")).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

async fn apply(cluster: &Cluster, object: &Value) {
    let (version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let name = object["metadata"]["name"].as_str().unwrap();
    let client = cluster.client().await;
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    api.patch(name, &PatchParams::apply("release").force(), &Patch::Apply(object)).await.unwrap();
}
