//! Since when the socket of the Workload API has been refusing, for the probe that has the container restarted (credentials
//! specification §9.1): a socket file that is mounted by itself stays the old one for ever, and only a new container gets
//! the new one.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// An agent of SPIRE that restarts is back sooner.
const BOUND: Duration = Duration::from_mins(2);

/// Shared by the source and the probe.
#[derive(Debug, Default)]
pub struct Staleness(Mutex<Option<Instant>>);

impl Staleness {
    /// A socket file was there and refused.
    pub(super) fn refused(&self, now: Instant) {
        self.since().get_or_insert(now);
    }

    /// Anything else happened there.
    pub(super) fn cleared(&self) {
        *self.since() = None;
    }

    /// What to say when that has lasted too long.
    pub fn lasting(&self, now: Instant) -> Option<&'static str> {
        let since = *self.since();
        since.filter(|since| now.saturating_duration_since(*since) >= BOUND).map(|_| {
            "the socket of the SPIFFE Workload API was replaced on the host, or its agent is down: mount its directory"
        })
    }

    fn since(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_that_lasts_is_told_and_an_answer_ends_it() {
        let (stale, start) = (Staleness::default(), Instant::now());
        assert_eq!(stale.lasting(start), None);
        stale.refused(start);
        stale.refused(start + Duration::from_mins(1));
        assert_eq!(stale.lasting(start + BOUND.saturating_sub(Duration::from_secs(1))), None);
        assert!(stale.lasting(start + BOUND).unwrap().contains("mount its directory"));
        stale.cleared();
        assert_eq!(stale.lasting(start + 2 * BOUND), None);
    }
}
