//! What counts of a Pod: whom it runs as, and the Secrets that it pulls with (credentials specification §1.2).
//!
//! A Pod has some thousand fields, and a decoder for all of them is half a megabyte of code, most of it resident once
//! the agent runs. Everything else in it is skipped unread. Must not be written back: it would lose the rest.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::LocalObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

/// A Pod.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Its name and namespace.
    pub metadata: ObjectMeta,
    spec: Option<Spec>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    service_account_name: Option<String>,
    image_pull_secrets: Option<Vec<LocalObjectReference>>,
}

impl Pod {
    /// The service account that it runs as.
    pub fn service_account(&self) -> Option<&str> {
        self.spec.as_ref()?.service_account_name.as_deref().filter(|name| !name.is_empty())
    }

    /// Its `imagePullSecrets`.
    pub fn image_pull_secrets(&self) -> &[LocalObjectReference] {
        self.spec.as_ref().and_then(|spec| spec.image_pull_secrets.as_deref()).unwrap_or_default()
    }
}

impl k8s_openapi::Resource for Pod {
    const API_VERSION: &'static str = "v1";
    const GROUP: &'static str = "";
    const KIND: &'static str = "Pod";
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = "pods";
    type Scope = NamespaceResourceScope;
}

impl k8s_openapi::Metadata for Pod {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::Resource as _;
    use k8s_openapi::api::core::v1;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_counts_is_read_and_everything_else_is_skipped() {
        let pod: Pod = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "build-pod", "namespace": "ci"},
            "spec": {"serviceAccountName": "builder", "imagePullSecrets": [{"name": "a"}, {"name": "b"}],
                "containers": [{"name": "step", "field-of-tomorrow": 1}], "nodeName": "node"},
            "status": {"phase": "Succeeded"},
        }))
        .unwrap();
        assert_eq!(pod.metadata.name.as_deref(), Some("build-pod"));
        assert_eq!(pod.service_account(), Some("builder"));
        let names: Vec<_> = pod.image_pull_secrets().iter().map(|secret| secret.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn a_pod_that_names_nothing_has_no_service_account_and_no_secrets() {
        let empty = json!({"serviceAccountName": "", "imagePullSecrets": null});
        for spec in [json!(null), json!({}), empty] {
            let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
            assert_eq!(pod.service_account(), None);
            assert!(pod.image_pull_secrets().is_empty());
        }
    }

    #[test]
    fn it_is_asked_for_where_the_api_server_has_its_pods() {
        assert_eq!(
            (Pod::API_VERSION, Pod::KIND, Pod::URL_PATH_SEGMENT),
            (v1::Pod::API_VERSION, v1::Pod::KIND, v1::Pod::URL_PATH_SEGMENT)
        );
    }
}
