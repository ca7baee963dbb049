//! The agent in the cluster: watches runs, works them off, records the outcome, and ends without losing any.
//!
//! # Flow
//!
//! `watch` sees an event, `decide` says what it means, `queue` holds what is pending, a worker takes it to
//! `reconcile`, which runs the flow and records the outcome; `retry` says when to come back, `outage` probes
//! hosts that are away, once for all runs that wait for them, and `consulted` wakes runs whose credentials changed.
//!
//! # Guarantees
//!
//! A run is marked only after everything that was asked for is in place. Stopping takes no new work, lets what
//! runs finish, and leaves everything else for the next start, which finds it unmarked.

mod children;
mod companions;
mod consulted;
pub mod decide;
mod left_alone;
mod let_go;
mod members;
mod membership;
mod outage;
pub mod queue;
mod readiness;
mod reconcile;
pub mod refresh;
mod report;
pub mod retry;
mod runs;
pub(crate) mod server;
pub mod settings;
mod sight;
mod watch;
mod workers;

use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::join_all;
use kube::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::http::{Observer, Service};
use crate::client::registry::{self, Registry};
use crate::credential::kubernetes::Cluster;
use crate::tekton::Kind;
use crate::telemetry::metrics::Metrics;
pub use companions::Companions;
use consulted::Consultations;
use membership::Membership;
use queue::Queue;
use readiness::Readiness;
use reconcile::Context;
use report::Reporter;
use runs::Runs;
use server::Endpoints;
use settings::Follower;
pub use settings::{KeySource, Process};
use sight::Sight;
use watch::Watch;
use workers::work;

/// How the controller is started; everything else comes from `chains-config`.
pub struct Options {
    /// Namespaces to watch; all when empty.
    pub namespaces: Vec<String>,
    /// Where `chains-config` lies.
    pub system_namespace: String,
    /// Address of `/livez`, `/readyz`, `/health` and `/readiness`.
    pub health: SocketAddr,
    /// Address of `/metrics`.
    pub metrics: SocketAddr,
    /// Unique among the replicas.
    pub replica: String,
    /// Keys, proxies, files and identities.
    pub process: Process,
    /// The names of the other ConfigMaps.
    pub companions: Companions,
    /// What the pull-secret updater reads, if `refresh.enabled`.
    pub refresh: refresh::Files,
}

/// Why the controller did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is in use, or may not be opened.
    #[error("cannot listen on {address}: free the port, or choose another one with {option}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The option that sets it.
        option: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Registry(#[from] registry::Error),
}

/// Runs until `stop`, then drains.
pub async fn run(client: Client, options: Options, stop: CancellationToken) -> Result<(), StartError> {
    let (ready, metrics) = (Arc::new(Readiness::default()), Arc::new(Metrics::default()));
    let endpoints = Endpoints::bind(options.health, options.metrics).await?;
    let registry = Registry::new()?;
    let (edge, queue) = (TaskTracker::new(), Arc::new(Queue::default()));
    let closing = CancellationToken::new();
    let (health, counted, pending) = (Arc::clone(&ready), Arc::clone(&metrics), Arc::clone(&queue));
    let stale = Arc::clone(&options.process.identities.stale);
    edge.spawn(endpoints.serve(health, stale, counted, pending, closing.clone()));

    let (maps, namespace) = (options.companions, options.system_namespace);
    edge.spawn(companions::follow(client.clone(), namespace.clone(), maps, stop.clone()));
    let mut follower =
        Follower::new(client.clone(), &namespace, "chains-config", options.process, registry.clone());
    if let Some(first) = follower.first(&stop).await {
        let (settings, following) = follower.follow(first, stop.clone(), Arc::clone(&metrics));
        edge.spawn(following);
        ready.configured();
        let namespaces: Arc<[String]> = options.namespaces.into();
        let (roster, renewing) =
            Membership::new(client.clone(), &namespace, &options.replica).keep(closing.clone());
        edge.spawn(renewing);
        let consultations = Arc::new(Consultations::default());
        let (consulted, waiting) = (Arc::clone(&consultations), Arc::clone(&queue));
        edge.spawn(consulted::follow(consulted, waiting, client.clone(), stop.clone()));
        edge.spawn(refresh::beside(
            client.clone(),
            settings.current(),
            options.refresh,
            namespace,
            roster.clone(),
            Arc::clone(&metrics),
            stop.clone(),
        ));
        let context = Arc::new(Context {
            left_alone: Arc::default(),
            roster: roster.clone(),
            runs: Runs::new(client.clone()),
            registry: registry.clone(),
            cluster: Arc::new(Cluster::new(client.clone())),
            settings: settings.clone(),
            namespaces: Arc::clone(&namespaces),
            reporter: Reporter::new(client.clone(), metrics),
            consultations,
        });
        let told = Arc::clone(&context.reporter.metrics);
        registry.clients().circuits().observe(observer(told));
        edge.spawn(outage::probe(Arc::clone(&queue), registry, settings.clone(), stop.clone()));
        let left_alone = Arc::clone(&context.left_alone);
        let (pending, seen, let_go) = (Arc::clone(&queue), Arc::clone(&ready), Arc::default());
        let sight = Sight { queue: pending, settings, namespaces, roster, ready: seen, left_alone, let_go };
        edge.spawn(watch_all(client, sight, stop.clone()));
        work(&queue, &context, &ready, &stop).await;
    }
    closing.cancel();
    edge.close();
    edge.wait().await;
    tracing::info!("stopped");
    Ok(())
}

/// Counts requests to other servers.
fn observer(metrics: Arc<Metrics>) -> Observer {
    Box::new(move |service, host, took| {
        let service = match service {
            Service::Registry => "registry",
            Service::Token => "token",
            Service::Fulcio => "fulcio",
            Service::Log => "log",
            Service::Timestamp => "timestamp",
            Service::Kms => "kms",
            Service::Store => "store",
        };
        metrics.work.asked(service, host, took);
    })
}

/// Watches from the moment that this replica counts among those which share the work.
async fn watch_all(client: Client, mut sight: Sight, stop: CancellationToken) {
    let counted = sight.roster.wait_for(Option::is_some).await.is_ok();
    if !counted {
        return;
    }
    let namespaces: Vec<Option<String>> = match &*sight.namespaces {
        [] => vec![None],
        names => names.iter().cloned().map(Some).collect(),
    };
    let kinds = [Kind::TaskRun, Kind::PipelineRun].into_iter();
    let watches = kinds.flat_map(|kind| namespaces.iter().map(move |namespace| (kind, namespace.clone())));
    join_all(watches.map(|(kind, namespace)| {
        Watch { client: client.clone(), kind, namespace, sight: sight.clone() }.run(stop.clone())
    }))
    .await;
}

/// A number in 0..1 for spreading retries; its quality does not matter.
fn chance() -> f64 {
    let mut byte = [0; 4];
    let filled = aws_lc_rs::rand::fill(&mut byte).is_ok();
    if filled { f64::from(u32::from_le_bytes(byte)) / f64::from(u32::MAX) } else { 0.5 }
}
