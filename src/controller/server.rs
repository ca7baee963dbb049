//! Health and metrics over HTTP. `/livez` says that the process serves requests and that nothing is wrong which a new
//! container would mend; `/readyz` says what is missing.
//! `/health` and `/readiness` are the names of Chains.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::StartError;
use super::queue::{Census, Queue};
use super::readiness::Readiness;
use crate::identity::stale::Staleness;
use crate::telemetry::metrics::work::WaitLabel;
use crate::telemetry::metrics::{LaneLabel, LaneValue, Metrics};

/// The listeners, open before anything else starts, so that a port in use is found at once.
pub(super) struct Endpoints {
    health: TcpListener,
    metrics: TcpListener,
}

impl Endpoints {
    pub(super) async fn bind(health: SocketAddr, metrics: SocketAddr) -> Result<Self, StartError> {
        Ok(Self {
            health: listen(health, "--health-address").await?,
            metrics: listen(metrics, "--metrics-address").await?,
        })
    }

    /// Serves until `stop`.
    pub(super) async fn serve(
        self,
        ready: Arc<Readiness>,
        stale: Arc<Staleness>,
        metrics: Arc<Metrics>,
        queue: Arc<Queue>,
        stop: CancellationToken,
    ) {
        let readyz = get(move || async move {
            ready.lacks().map_or((StatusCode::OK, "ok"), |lacking| (StatusCode::SERVICE_UNAVAILABLE, lacking))
        });
        // Only a new container gets a socket that was mounted by itself and has been replaced since.
        let livez = get(move || async move {
            let stale = stale.lasting(Instant::now());
            stale.map_or((StatusCode::OK, "ok"), |reason| (StatusCode::SERVICE_UNAVAILABLE, reason))
        });
        let health = Router::new()
            .route("/livez", livez.clone())
            .route("/health", livez)
            .route("/readyz", readyz.clone())
            .route("/readiness", readyz);
        let text = get(move || async move {
            tell(&metrics, &queue.census(Instant::now()));
            ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.text())
        });
        let served = tokio::join!(
            serve(self.health, health, stop.clone()),
            serve(self.metrics, Router::new().route("/metrics", text), stop)
        );
        for result in [served.0, served.1] {
            if let Err(error) = result {
                tracing::error!(%error, "health or metrics are no longer served");
            }
        }
    }
}

/// What is pending now, as metrics.
fn tell(metrics: &Metrics, census: &Census) {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    for (lane, (number, oldest)) in [(LaneValue::fresh, census.fresh), (LaneValue::backlog, census.backlog)] {
        let (label, seconds) = (LaneLabel { lane }, i64::try_from(oldest.as_secs()).unwrap_or(i64::MAX));
        metrics.pending.get_or_create(&label).set(count(number));
        metrics.work.oldest.get_or_create(&label).set(seconds);
    }
    let waits = [
        ("host", census.host),
        ("taskruns", census.children),
        ("retry", census.retry),
        ("turn", census.turn),
    ];
    for (reason, number) in waits {
        metrics.work.waiting.get_or_create(&WaitLabel { reason }).set(count(number));
    }
    metrics.work.hosts_away.set(count(census.hosts_away));
}

/// Listens, and says where; `option` is what sets the address.
pub(crate) async fn listen(address: SocketAddr, option: &'static str) -> Result<TcpListener, StartError> {
    let listener =
        TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, option, source })?;
    let bound = listener.local_addr().unwrap_or(address);
    tracing::info!(%bound, option, "listening");
    Ok(listener)
}

pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}
