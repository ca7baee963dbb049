//! `hallmark controller`: the agent in the cluster. Reads the settings of its environment, which is done nowhere
//! else, and starts the controller.

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::serving::{Replica, Serving};
use super::{Exit, environment, refuse};
use crate::controller::refresh::Files;
use crate::controller::{self, Companions, KeySource, Options, Process};
use crate::refresh::{PROVIDERS_FILE, TOKEN_FILE};

/// Watch TaskRuns and PipelineRuns and sign what they build.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark controller
  hallmark controller --namespace team-a,team-b --log hallmark=debug
  hallmark controller --kubeconfig ~/.kube/config --signing-secrets tekton-chains/signing-secrets")]
pub struct Arguments {
    /// Namespaces to watch, separated by commas; all when absent.
    #[arg(long, value_delimiter = ',', value_name = "NAMESPACE")]
    namespace: Vec<String>,

    /// Namespace of the ConfigMap chains-config.
    #[arg(long, env = "SYSTEM_NAMESPACE", default_value = "tekton-chains", value_name = "NAMESPACE")]
    system_namespace: String,

    /// Where the signing keys are: a directory, or the Secret NAMESPACE/NAME to be read through the API server.
    #[arg(
        long,
        env = "HALLMARK_SIGNING_SECRETS",
        default_value = "/etc/signing-secrets",
        value_name = "PLACE"
    )]
    signing_secrets: String,

    /// Name of the ConfigMap that sets the level of the log, unless --log does.
    #[arg(
        long,
        env = "CONFIG_LOGGING_NAME",
        default_value = "config-logging",
        value_name = "NAME",
        hide = true
    )]
    config_logging: String,

    /// Name of the leader election ConfigMap of Chains: what it sets is reported as unused.
    #[arg(
        long,
        env = "CONFIG_LEADERELECTION_NAME",
        default_value = "tekton-chains-config-leader-election",
        value_name = "NAME",
        hide = true
    )]
    config_leader_election: String,

    /// Name of the observability ConfigMap of Chains: what it sets is reported as unused.
    #[arg(
        long,
        env = "CONFIG_OBSERVABILITY_NAME",
        default_value = "tekton-chains-config-observability",
        value_name = "NAME",
        hide = true
    )]
    config_observability: String,

    /// File with the identity token that is exchanged for registry tokens, with refresh.enabled and for providers with
    /// agent-identity.
    #[arg(long, env = "HALLMARK_REFRESH_TOKEN_FILE", default_value = TOKEN_FILE, value_name = "FILE")]
    refresh_token_file: PathBuf,

    /// Token services, in TOML, with refresh.enabled and for providers with agent-identity; it may be absent.
    #[arg(long, env = "HALLMARK_REFRESH_PROVIDERS", default_value = PROVIDERS_FILE, value_name = "FILE")]
    refresh_providers: PathBuf,

    #[command(flatten)]
    serving: Serving,

    #[command(flatten)]
    replica: Replica,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(arguments: Arguments) -> Exit {
    let client = match arguments.serving.client().await {
        Ok(client) => client,
        Err(exit) => return exit,
    };
    let exchanges = Files { token: arguments.refresh_token_file, providers: arguments.refresh_providers };
    let namespaces = arguments.namespace.iter().map(|name| name.trim().to_owned());
    let options = Options {
        namespaces: namespaces.filter(|name| !name.is_empty()).collect(),
        system_namespace: arguments.system_namespace,
        replica: arguments.replica.name(),
        health: arguments.serving.health_address,
        metrics: arguments.serving.metrics_address,
        process: Process {
            keys: key_source(&arguments.signing_secrets),
            proxies: environment::proxies(),
            surroundings: environment::surroundings(),
            clouds: environment::clouds(),
            trust_cache: environment::trust_cache(),
            exchanges: exchanges.clone(),
            identities: environment::identities(Some(&client)),
            vault: environment::kms(),
            stores: environment::stores(),
        },
        companions: Companions {
            logging: arguments.config_logging,
            leader_election: arguments.config_leader_election,
            observability: arguments.config_observability,
        },
        refresh: exchanges,
    };
    let stop = CancellationToken::new();
    match stop_on_signal(&stop, Box::pin(controller::run(client, options, stop.clone()))).await {
        Ok(()) => Exit::Ok,
        Err(error) => refuse(&error, Exit::Failed),
    }
}

/// Runs to the end; a signal cancels `stop`, which is what `running` ends by.
pub(super) async fn stop_on_signal<T>(stop: &CancellationToken, running: impl Future<Output = T>) -> T {
    let stopped = async {
        if let Err(error) = terminated().await {
            tracing::error!(%error, "cannot listen for signals");
        }
        stop.cancel();
    };
    let running = async {
        let result = running.await;
        // One that could not start waits for no signal.
        stop.cancel();
        result
    };
    let (result, ()) = tokio::join!(running, stopped_or(stop, stopped));
    result
}

/// Waits for a signal, or for a controller that has stopped by itself.
async fn stopped_or(stop: &CancellationToken, signalled: impl Future<Output = ()>) {
    tokio::select! { () = signalled => {}, () = stop.cancelled() => {} }
}

async fn terminated() -> std::io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    Ok(())
}

/// A client for the cluster of `kubeconfig`, else of the environment.
pub(super) async fn client(
    kubeconfig: Option<&std::path::Path>,
) -> Result<kube::Client, Box<dyn std::error::Error>> {
    let config = match kubeconfig {
        Some(path) => {
            let file = kube::config::Kubeconfig::read_from(path)?;
            kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default()).await?
        }
        None => kube::Config::infer().await?,
    };
    Ok(kube::Client::try_from(config)?)
}

/// `a/b` without a leading slash names a Secret.
fn key_source(text: &str) -> KeySource {
    match text.split_once('/') {
        Some((namespace, name))
            if !namespace.is_empty() && !namespace.starts_with('.') && !name.contains('/') =>
        {
            KeySource::Secret { namespace: namespace.to_owned(), name: name.to_owned() }
        }
        _ => KeySource::Directory(PathBuf::from(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_written_as_namespace_and_name_and_everything_else_is_a_directory() {
        assert!(matches!(key_source("tekton-chains/signing-secrets"), KeySource::Secret { .. }));
        for path in ["/etc/signing-secrets", "./keys/here", "keys", "a/b/c"] {
            assert!(matches!(key_source(path), KeySource::Directory(_)), "{path}");
        }
    }
}
