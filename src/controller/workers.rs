//! The attempts that run at the same time: as many as `signing.concurrency` says now, and beside them those that are
//! held up by a host which answers nobody, so that it does not hold up runs for others, and those that only wait until what
//! they wrote has stood for a while, which needs nothing but time.
//!
//! Guarantees: a smaller number ends no attempt, it only begins none before others have ended; a larger one counts at
//! once. Stopping takes no new work and lets what runs finish, within the time that Kubernetes grants.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::queue::{Job, Queue};
use super::readiness::Readiness;
use super::reconcile::{Context, reconcile};

/// How long a stop waits for the attempts that run.
const DRAIN: Duration = Duration::from_secs(25);
/// How often attempts that take all places are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// At most so many times `signing.concurrency` begin beside those that are not held up, while it is not yet known that a
/// host answers nobody.
const HELD_UP: usize = 3;
/// As many begin beside those that wait for what they wrote to settle: each keeps its run and its statement in memory.
const SETTLING: usize = 3;

/// Works until `stop`, then finishes what has begun.
pub(super) async fn work(
    queue: &Arc<Queue>,
    context: &Arc<Context>,
    ready: &Readiness,
    stop: &CancellationToken,
) {
    let mut attempts = JoinSet::new();
    let mut settings = context.settings.clone();
    let mut settling = context.registry.settling();
    loop {
        let concurrency = settings.current().config.signing.concurrency;
        // Those that are held up were counted as requests, of which an attempt may have several under way.
        let circuits = context.registry.clients().circuits();
        let held_up = circuits.held_up(Instant::now(), concurrency * HELD_UP);
        let most = concurrency + held_up + (*settling.borrow_and_update()).min(concurrency * SETTLING);
        let busy = attempts.len() >= concurrency;
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = attempts.join_next() => if let Err(error) = ended {
                tracing::error!(%error, "an attempt broke off; the next start takes its run up");
            },
            Some(job) = queue.next(), if attempts.len() < most => {
                attempts.spawn(attempt(Arc::clone(queue), Arc::clone(context), job));
            }
            _ = settings.changed() => {}
            _ = settling.changed() => {}
            () = tokio::time::sleep(LOOK), if busy => {}
        }
    }
    ready.stopping();
    tracing::info!("stopping: no new work, finishing what has begun");
    queue.close();
    let drained = async { while attempts.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("some attempts did not finish in {DRAIN:?}; the next start takes them up");
    }
}

async fn attempt(queue: Arc<Queue>, context: Arc<Context>, job: Job) {
    let next = reconcile(&job, &context).await;
    queue.finished(&job.key, next, Instant::now());
}
