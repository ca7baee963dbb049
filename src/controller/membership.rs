//! The replicas that are alive, through one Lease each: renewed every two seconds, dead ten seconds after the last renewal, gone when a
//! replica stops in order. `kubectl scale` is all that a user does to share the work.
//!
//! # Guarantees
//!
//! A replica that cannot renew its Lease for seven seconds takes no work until it can, since the others will count it
//! as dead after ten. With 15, 10 and 2 seconds, as Kubernetes' own leaders have them, a death was noticed after up to
//! seventeen seconds, since the others look every two. During a hand-over two replicas may look at one run; what the first put in place the
//! second finds there.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::members::Members;
use super::runs::said;

const DURATION: SignedDuration = SignedDuration::from_secs(10);
const DEADLINE: Duration = Duration::from_secs(7);
const RENEW: Duration = Duration::from_secs(2);
/// Leases of replicas carry this label, so that they are listed without the others of the namespace.
const LABEL: (&str, &str) = ("app.kubernetes.io/component", "hallmark-replica");

/// Keeps this replica's Lease and follows those of the others.
pub(super) struct Membership {
    leases: Api<Lease>,
    own: String,
}

/// What the rest of the controller sees: who shares the work, or nobody while this replica may not work.
pub(super) type Roster = watch::Receiver<Option<Members>>;

impl Membership {
    /// `own` is unique among the replicas, such as the pod's name.
    pub(super) fn new(client: Client, namespace: &str, own: &str) -> Self {
        Self { leases: Api::namespaced(client, namespace), own: format!("hallmark-{own}") }
    }

    /// Keeps the Lease until `stop`, then gives it up. The roster is empty until the first renewal.
    pub(super) fn keep(self, stop: CancellationToken) -> (Roster, impl Future<Output = ()>) {
        let (sender, roster) = watch::channel(None);
        let task = async move {
            let mut renewed = tokio::time::Instant::now();
            while !stop.is_cancelled() {
                match self.renew().await {
                    Ok(members) => {
                        renewed = tokio::time::Instant::now();
                        publish(&sender, Some(members));
                    }
                    Err(error) => {
                        tracing::warn!(error = said(&error), "cannot renew the Lease {}", self.own);
                        if renewed.elapsed() > DEADLINE {
                            publish(&sender, None);
                        }
                    }
                }
                tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(RENEW) => {} }
            }
            if let Err(error) = self.leases.delete(&self.own, &DeleteParams::default()).await {
                tracing::warn!(
                    error = said(&error),
                    "cannot give up the Lease {}; it expires by itself",
                    self.own
                );
            }
        };
        (roster, task)
    }

    async fn renew(&self) -> kube::Result<Members> {
        let now = Timestamp::now();
        let params = PatchParams::apply("hallmark").force();
        self.leases.patch(&self.own, &params, &Patch::Apply(lease(&self.own, now))).await?;
        let labelled = ListParams::default().labels(&format!("{}={}", LABEL.0, LABEL.1));
        let all = self.leases.list(&labelled).await?;
        Ok(Members::new(&self.own, all.into_iter().filter(|lease| is_alive(lease, now)).filter_map(name)))
    }
}

fn publish(sender: &watch::Sender<Option<Members>>, members: Option<Members>) {
    sender.send_if_modified(|current| {
        let changed = *current != members;
        if changed {
            let count = members.as_ref().map_or(0, Members::count);
            tracing::info!(replicas = count, "replicas that share the work");
            *current = members;
        }
        changed
    });
}

fn lease(own: &str, now: Timestamp) -> Lease {
    let labels = [(LABEL.0.to_owned(), LABEL.1.to_owned())].into();
    Lease {
        metadata: ObjectMeta { name: Some(own.to_owned()), labels: Some(labels), ..ObjectMeta::default() },
        spec: Some(LeaseSpec {
            holder_identity: Some(own.to_owned()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            renew_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        }),
    }
}

/// The clocks of two nodes may differ by a little; a Lease from the future is as good as one from now.
fn is_alive(lease: &Lease, now: Timestamp) -> bool {
    let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref());
    renewed.is_some_and(|renewed| now.duration_since(renewed.0) <= DURATION)
}

fn name(lease: Lease) -> Option<String> {
    lease.metadata.name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_alive_for_ten_seconds_after_its_renewal() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let lease = lease("a", now);
        assert!(is_alive(&lease, now + SignedDuration::from_secs(10)));
        assert!(!is_alive(&lease, now + SignedDuration::from_secs(11)));
        assert!(is_alive(&lease, now - SignedDuration::from_secs(5)), "another clock");
        assert!(!is_alive(&Lease::default(), now));
    }
}
