//! The pull-secret updater as a process of its own (`hallmark refresh`), and beside the signing of this controller
//! (`refresh.enabled`): the replicas share the Secrets as they share the runs.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use kube::Client;
use tokio_util::sync::CancellationToken;

use super::StartError;
use super::membership::{Membership, Roster};
use super::server::{listen, serve};
use super::settings::Settings;
use crate::error::chain;
use crate::refresh::sources::SourceError;
use crate::refresh::{Mine, Options, Updater};
use crate::telemetry::metrics::Metrics;

/// What the updater reads beside the cluster.
#[derive(Debug, Clone)]
pub struct Files {
    /// The identity token that is exchanged.
    pub token: PathBuf,
    /// `providers.toml`; it may be absent.
    pub providers: PathBuf,
}

/// How the updater is started on its own.
pub struct Alone {
    /// What it does.
    pub options: Options,
    /// Unique among the replicas.
    pub replica: String,
    /// Address of `/livez` and `/readyz`.
    pub health: SocketAddr,
    /// Address of `/metrics`.
    pub metrics: SocketAddr,
}

/// Why the updater did not start.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// A port.
    #[error(transparent)]
    Listen(#[from] StartError),
    /// The providers.
    #[error(transparent)]
    Sources(#[from] SourceError),
}

/// Runs the updater until `stop`.
pub async fn alone(client: Client, alone: Alone, stop: CancellationToken) -> Result<(), RefreshError> {
    let health = listen(alone.health, "--health-address").await?;
    let measured = listen(alone.metrics, "--metrics-address").await?;
    let metrics = Arc::new(Metrics::default());
    let closing = CancellationToken::new();
    let membership = Membership::new(client.clone(), &alone.options.namespace, &alone.replica);
    let (roster, renewing) = membership.keep(closing.clone());
    let updater = Updater::new(client, alone.options, mine(roster.clone()), Arc::clone(&metrics))?;
    let watching = updater.watching();
    let readyz = get(move || async move {
        let ready = watching.load(Ordering::Relaxed) > 0;
        if ready {
            (StatusCode::OK, "ok")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "no Secrets were listed yet")
        }
    });
    let health_routes = Router::new().route("/livez", get(|| async { "ok" })).route("/readyz", readyz);
    let text = get(move || async move {
        ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.text())
    });
    let running = async {
        counted(roster, &stop).await;
        updater.run(stop).await;
        // The Lease is given up once nothing is written any more.
        closing.cancel();
    };
    let served = tokio::join!(
        running,
        renewing,
        serve(health, health_routes, closing.clone()),
        serve(measured, Router::new().route("/metrics", text), closing.clone()),
    );
    for result in [served.2, served.3] {
        if let Err(error) = result {
            tracing::error!(%error, "health or metrics were no longer served");
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// Runs the updater beside the controller, if the first configuration asks for it.
pub(super) async fn beside(
    client: Client,
    first: Arc<Settings>,
    files: Files,
    namespace: String,
    roster: Roster,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let refresh = &first.config.refresh;
    if !refresh.enabled {
        return;
    }
    let options = Options {
        token_file: files.token,
        providers_file: files.providers,
        names: refresh.secret_names.iter().cloned().collect::<BTreeSet<_>>(),
        watch_all: false,
        service_accounts: false,
        namespace,
        registries: Arc::clone(&first.registries),
        federation: first.clouds.federation.clone(),
    };
    match Updater::new(client, options, mine(roster.clone()), metrics) {
        Ok(updater) => {
            counted(roster, &stop).await;
            updater.run(stop).await;
        }
        Err(error) => tracing::error!("pull secrets are not kept fresh: {}", chain(&error)),
    }
}

/// Waits until this replica counts among those which share the work.
async fn counted(mut roster: Roster, stop: &CancellationToken) {
    tokio::select! { () = stop.cancelled() => {}, _ = roster.wait_for(Option::is_some) => {} }
}

/// A Secret is this replica's like a run: by its name, among the replicas that are alive.
fn mine(roster: Roster) -> Mine {
    Arc::new(move |name| roster.borrow().as_ref().is_some_and(|members| members.owns(name)))
}
