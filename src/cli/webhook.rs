//! `hallmark webhook`: the admission webhook. Reads the settings of its environment and starts it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::controller::stop_on_signal;
use super::registries::RegistryOptions;
use super::serving::Serving;
use super::{Exit, environment, refuse};
use crate::policy::webhook::{self, Options};

/// Admit only images that ClusterImagePolicies admit.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark webhook
  hallmark webhook --trusted-root /etc/hallmark/trusted_root.json
  hallmark webhook --kubeconfig ~/.kube/config --address 127.0.0.1:8443 --host 127.0.0.1

Install it with `kubectl apply -k config/overlays/webhook`; namespaces opt in with
  kubectl label namespace NAME policy.sigstore.dev/include=true")]
pub struct Arguments {
    /// Namespace of the settings and of the Secrets that policies name.
    #[arg(long, env = "SYSTEM_NAMESPACE", default_value = "cosign-system", value_name = "NAMESPACE")]
    system_namespace: String,

    /// ConfigMap with the keys policy.* and registry.*; it may be absent.
    #[arg(long, default_value = "chains-config", value_name = "NAME")]
    config_map: String,

    /// Whose certificates and logs are trusted: a `trusted_root.json` of Sigstore, followed while it changes.
    #[arg(long, env = "HALLMARK_TRUSTED_ROOT", value_name = "FILE")]
    trusted_root: Option<PathBuf>,

    /// The Service in front of it: the certificate is for its name in the cluster.
    #[arg(long, default_value = "hallmark-webhook", value_name = "NAME")]
    service: String,

    /// A name or address that the certificate is for, in place of the Service's; may be given several times.
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,

    /// Secret that holds the serving certificate; it must exist and may be empty.
    #[arg(long, default_value = "hallmark-webhook-certificate", value_name = "NAME")]
    certificate_secret: String,

    /// Name of the validating and of the mutating webhook configuration.
    #[arg(long, default_value = "hallmark-webhook", value_name = "NAME")]
    configuration: String,

    #[command(flatten)]
    registries: RegistryOptions,

    /// Address where the API server asks.
    #[arg(long, default_value = "0.0.0.0:8443", value_name = "ADDRESS")]
    address: SocketAddr,

    #[command(flatten)]
    serving: Serving,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(arguments: Arguments) -> Exit {
    let (registries, client) = match arguments.serving.begin(&arguments.registries).await {
        Ok(begun) => begun,
        Err(exit) => return exit,
    };
    let surroundings = environment::surroundings();
    let files = Arc::new(surroundings.read().files(surroundings.search_path.as_deref()));
    let (service, namespace) = (&arguments.service, &arguments.system_namespace);
    let names = match arguments.host.as_slice() {
        [] => vec![format!("{service}.{namespace}.svc"), format!("{service}.{namespace}.svc.cluster.local")],
        hosts => hosts.to_vec(),
    };
    let options = Options {
        namespace: arguments.system_namespace,
        config_map: arguments.config_map,
        trusted_root: arguments.trusted_root,
        address: arguments.address,
        health: arguments.serving.health_address,
        metrics: arguments.serving.metrics_address,
        certificate: arguments.certificate_secret,
        configuration: arguments.configuration,
        names,
        registries,
        files,
    };
    let stop = CancellationToken::new();
    match stop_on_signal(&stop, Box::pin(webhook::run(client, options, stop.clone()))).await {
        Ok(()) => Exit::Ok,
        Err(error) => refuse(&error, Exit::Failed),
    }
}
