//! The admission webhook: pods and workloads run only the images that policies admit (credentials specification §8.7).
//!
//! # Flow
//!
//! `follower` keeps a `snapshot` of policies and settings; `serving` keeps the certificate that the API server trusts;
//! `server` reads a `review`, `subject` says what it would run, `examiner` asks every policy that governs it.
//!
//! # Guarantees
//!
//! - For an enforced policy everything but an explicit pass is a denial: no answer in time, no snapshot, no such kind.
//! - Replicas share nothing but a Secret, and each answers alone.
//!
//! # Caveats
//!
//! The registry configuration and the agent's docker files are read at the start.

mod certificate;
mod examiner;
mod follower;
mod listener;
mod review;
mod server;
mod serving;
mod snapshot;
mod subject;
mod verdicts;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::client::registry::{self, Registry};
use crate::controller;
use crate::controller::server::listen;
use crate::credential::agent::Lent;
use crate::credential::kubernetes::Cluster;
use crate::credential::registry_config::RegistryConfig;
use crate::telemetry::metrics::admission::AdmissionMetrics;
use examiner::Examiner;
use follower::{Current, Follower, Sources};
use listener::TlsListener;
use serving::{Keeper, Places, Served};

/// How the webhook is started.
pub struct Options {
    /// Its namespace, where keys and pull secrets of policies lie.
    pub namespace: String,
    /// The ConfigMap with the settings.
    pub config_map: String,
    /// `trusted_root.json`.
    pub trusted_root: Option<PathBuf>,
    /// Where reviews are answered.
    pub address: SocketAddr,
    /// Where `/livez` and `/readyz` are.
    pub health: SocketAddr,
    /// Where `/metrics` is.
    pub metrics: SocketAddr,
    /// The Secret with the serving certificate.
    pub certificate: String,
    /// The name of both webhook configurations.
    pub configuration: String,
    /// Names and addresses under which the API server reaches this process.
    pub names: Vec<String>,
    /// Authorities, proxies and credentials by host.
    pub registries: Arc<RegistryConfig>,
    /// The agent's docker and podman files.
    pub files: Arc<Lent>,
}

/// Why the webhook does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is in use, or may not be opened.
    #[error(transparent)]
    Listen(#[from] controller::StartError),
    /// TLS towards registries cannot be set up.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// TLS cannot be served.
    #[error("cannot serve TLS")]
    Tls(#[from] rustls::Error),
    /// The server ended.
    #[error("the server ended")]
    Served(#[from] std::io::Error),
}

/// Runs until `stop`.
pub async fn run(client: Client, options: Options, stop: CancellationToken) -> Result<(), StartError> {
    let health = listen(options.health, "--health-address").await?;
    let measures = listen(options.metrics, "--metrics-address").await?;
    let reviews = listen(options.address, "--address").await?;
    let served = Arc::new(Served::default());
    let sources = Sources {
        namespace: options.namespace.clone(),
        config_map: options.config_map,
        trusted_root: options.trusted_root,
        registries: Arc::clone(&options.registries),
    };
    let (follower, current) = Follower::new(client.clone(), sources);
    let places = Places {
        namespace: options.namespace.clone(),
        secret: options.certificate,
        configuration: options.configuration,
        names: options.names,
    };
    let keeper = Keeper::new(client.clone(), places, Arc::clone(&served));
    let metrics = Arc::new(AdmissionMetrics::default());
    let examiner = Examiner {
        cluster: Arc::new(Cluster::new(client)),
        registry: Registry::new()?,
        registries: options.registries,
        files: options.files,
        namespace: options.namespace,
        metrics: Arc::clone(&metrics),
    };
    let context = server::Context { examiner: Arc::new(examiner), current: current.clone() };
    let ready = readiness(current, Arc::clone(&served));
    let serving = async {
        served.first().await;
        let listener = TlsListener::new(reviews, Arc::clone(&served))?;
        let serving = axum::serve(listener, server::router(context));
        serving.with_graceful_shutdown(stop.clone().cancelled_owned()).await?;
        Ok::<_, StartError>(())
    };
    let healthy = async { axum::serve(health, ready).await };
    let counted = async { axum::serve(measures, measures_of(metrics)).await };
    tokio::select! {
        () = follower.run() => Ok(()),
        () = keeper.run() => Ok(()),
        ended = healthy => Ok(ended?),
        ended = counted => Ok(ended?),
        // Ends by itself once `stop` came; before the first certificate there is nothing to end.
        ended = async { tokio::select! { ended = serving => ended, () = stopped_early(&stop, &served) => Ok(()) } } => ended,
    }
}

async fn stopped_early(stop: &CancellationToken, served: &Served) {
    stop.cancelled().await;
    if served.is_there() {
        std::future::pending::<()>().await;
    }
}

fn measures_of(metrics: Arc<AdmissionMetrics>) -> Router {
    let text =
        move || async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.text()) };
    Router::new().route("/metrics", get(text))
}

fn readiness(current: Current, served: Arc<Served>) -> Router {
    let ready = move || async move {
        if current.borrow().is_none() {
            return (StatusCode::SERVICE_UNAVAILABLE, "the policies have not been read");
        }
        if !served.is_there() {
            return (StatusCode::SERVICE_UNAVAILABLE, "there is no serving certificate");
        }
        (StatusCode::OK, "ok")
    };
    Router::new().route("/livez", get(|| async { "ok" })).route("/readyz", get(ready))
}
