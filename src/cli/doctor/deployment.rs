//! What this program reads of a Deployment. The whole type of Kubernetes would bring all that a pod can say into the
//! binary, most of whose code is resident once it runs.

use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client};
use serde::Deserialize;

/// The Deployment of the controller.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::cli) struct Deployment {
    pub(super) spec: Spec,
    pub(super) status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spec {
    pub replicas: Option<i32>,
    template: Template,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Status {
    pub ready_replicas: i32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Template {
    spec: Pod,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod {
    pub containers: Vec<Container>,
    pub volumes: Vec<Volume>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Container {
    pub name: String,
    pub image: Option<String>,
    pub args: Vec<String>,
    pub volume_mounts: Vec<Mount>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Mount {
    pub name: String,
    pub mount_path: String,
}

/// A volume, as far as it can hold an identity.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Volume {
    pub name: String,
    pub csi: Option<Driver>,
    pub host_path: Option<HostPath>,
    pub projected: Option<Projected>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Driver {
    pub driver: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HostPath {
    pub path: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Projected {
    /// null where there is none.
    pub sources: Option<Vec<Source>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Source {
    pub service_account_token: Option<Token>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Token {
    pub audience: Option<String>,
    pub path: String,
}

impl Deployment {
    /// The one of this name, if there is one.
    pub(super) async fn get(client: &Client, namespace: &str, name: &str) -> kube::Result<Option<Self>> {
        let resource = ApiResource {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            plural: "deployments".to_owned(),
        };
        let all: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let found = all.get_opt(name).await?;
        found.map(|found| serde_json::from_value(found.data).map_err(kube::Error::SerdeError)).transpose()
    }

    pub(super) fn pod(&self) -> &Pod {
        &self.spec.template.spec
    }
}
