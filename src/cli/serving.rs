//! The options that commands have which run until they are stopped: `controller`, `refresh` and `webhook`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::registries::RegistryOptions;
use super::{Exit, controller, fail_to_connect, refuse};
use crate::credential::registry_config::RegistryConfig;

/// Where the cluster is, and where health and figures are told.
#[derive(Debug, Args)]
pub(super) struct Serving {
    /// Kubeconfig file; without it $KUBECONFIG, then the pod's own service account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Address of /livez and /readyz.
    #[arg(long, env = "HALLMARK_HEALTH_ADDRESS", default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub(super) health_address: SocketAddr,

    /// Address of /metrics.
    #[arg(long, env = "HALLMARK_METRICS_ADDRESS", default_value = "0.0.0.0:9090", value_name = "ADDRESS")]
    pub(super) metrics_address: SocketAddr,
}

impl Serving {
    /// What every such command begins with: the registries as they are configured, and a client for the cluster. What
    /// is wrong with either has been told.
    pub(super) async fn begin(
        &self,
        registries: &RegistryOptions,
    ) -> Result<(Arc<RegistryConfig>, kube::Client), Exit> {
        let registries = registries.read().map_err(|error| refuse(&error, Exit::Usage))?;
        Ok((registries, self.client().await?))
    }

    /// A client for the cluster; that there is none has been told.
    pub(super) async fn client(&self) -> Result<kube::Client, Exit> {
        let client = controller::client(self.kubeconfig.as_deref()).await;
        client.map_err(|error| fail_to_connect(error.as_ref()))
    }
}

/// One of several that share work.
#[derive(Debug, Args)]
pub(super) struct Replica {
    /// Name of this replica, unique among all.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    replica: Option<String>,
}

impl Replica {
    /// Its name; without one a name that is unique on this machine.
    pub(super) fn name(&self) -> String {
        self.replica.clone().unwrap_or_else(|| format!("process-{}", std::process::id()))
    }
}
