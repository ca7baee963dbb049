//! `hallmark refresh`: the pull-secret updater on its own, with a service account and rights of its own.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::controller::stop_on_signal;
use super::registries::{RegistryOptions, federation};
use super::serving::{Replica, Serving};
use super::{Exit, fail, refuse};
use crate::controller::refresh::{Alone, alone};
use crate::refresh::{Options, PROVIDERS_FILE, TOKEN_FILE};

/// Keep annotated pull secrets filled with short-lived registry tokens.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark refresh
  hallmark refresh --secret-name pull-secret,regcred --providers /etc/hallmark/providers.toml
  hallmark refresh --kubeconfig ~/.kube/config --token-file ./oidc-token --log hallmark=debug

A Secret of type kubernetes.io/dockerconfigjson asks for a token by the annotation
  pull-secret-updater.chainguard.dev/identity: <identity UID>")]
pub struct Arguments {
    /// Names of the Secrets, separated by commas; names that the service account's own rights name are added.
    #[arg(long, value_delimiter = ',', default_value = "pull-secret", value_name = "NAME")]
    secret_name: Vec<String>,

    /// Watch every Secret of the cluster, whatever its name; the right to list them all is needed.
    #[arg(long)]
    watch_all: bool,

    /// File with the identity token that is exchanged.
    #[arg(long, env = "HALLMARK_REFRESH_TOKEN_FILE", default_value = TOKEN_FILE, value_name = "FILE")]
    token_file: PathBuf,

    /// Token services, in TOML; it may be absent, then there is Chainguard's alone.
    #[arg(long, env = "HALLMARK_REFRESH_PROVIDERS", default_value = PROVIDERS_FILE, value_name = "FILE")]
    providers: PathBuf,

    /// A Secret may name, by an annotation, a service account of its namespace whose token is exchanged instead.
    #[arg(long)]
    service_accounts: bool,

    /// Namespace of the Leases by which replicas share the Secrets.
    #[arg(long, env = "SYSTEM_NAMESPACE", default_value = "pull-secret-updater", value_name = "NAMESPACE")]
    system_namespace: String,

    #[command(flatten)]
    registries: RegistryOptions,

    #[command(flatten)]
    serving: Serving,

    #[command(flatten)]
    replica: Replica,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(arguments: Arguments) -> Exit {
    let (registries, client) = match arguments.serving.begin(&arguments.registries).await {
        Ok(begun) => begun,
        Err(exit) => return exit,
    };
    let federation = match federation(&registries) {
        Ok(federation) => federation,
        Err(error) => return fail(&error),
    };
    let names = arguments.secret_name.iter().map(|name| name.trim().to_owned());
    let options = Options {
        token_file: arguments.token_file,
        providers_file: arguments.providers,
        names: names.filter(|name| !name.is_empty()).collect::<BTreeSet<_>>(),
        watch_all: arguments.watch_all,
        service_accounts: arguments.service_accounts,
        namespace: arguments.system_namespace,
        federation,
        registries,
    };
    let alone_options = Alone {
        options,
        replica: arguments.replica.name(),
        health: arguments.serving.health_address,
        metrics: arguments.serving.metrics_address,
    };
    let stop = CancellationToken::new();
    match stop_on_signal(&stop, Box::pin(alone(client, alone_options, stop.clone()))).await {
        Ok(()) => Exit::Ok,
        Err(error) => refuse(&error, Exit::Failed),
    }
}
