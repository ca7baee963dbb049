//! Attempts that only wait until what they wrote has stood for a while (see `storage::oci::tags`): they need neither a
//! core nor a server meanwhile, so that another attempt may begin in their place.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

/// How many attempts of the process wait so.
#[derive(Default)]
pub(super) struct Settling(watch::Sender<usize>);

/// The waits of one attempt, which may be at several tags at once.
#[derive(Default)]
pub(super) struct Waits(Mutex<usize>);

impl Settling {
    pub(super) fn count(&self) -> watch::Receiver<usize> {
        self.0.subscribe()
    }

    /// Waits; the attempt counts once, however many of its waits there are.
    pub(super) async fn wait(&self, waits: &Waits, time: Duration) {
        let _wait = Wait::begin(self, waits);
        sleep(time).await;
    }
}

/// Ends with the wait, or with an attempt that is broken off.
struct Wait<'a> {
    settling: &'a Settling,
    waits: &'a Waits,
}

impl<'a> Wait<'a> {
    fn begin(settling: &'a Settling, waits: &'a Waits) -> Self {
        let mut count = waits.0.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        if *count == 1 {
            settling.0.send_modify(|all| *all += 1);
        }
        Self { settling, waits }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut count = self.waits.0.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        if *count == 0 {
            self.settling.0.send_modify(|all| *all -= 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn an_attempt_counts_once_until_its_last_wait_ends_or_is_broken_off() {
        let (settling, one, other) = (Settling::default(), Waits::default(), Waits::default());
        let count = settling.count();
        let now = || *count.borrow();
        let mut first = Box::pin(settling.wait(&one, Duration::from_hours(1)));
        let mut broken_off = Box::pin(settling.wait(&other, Duration::from_hours(1)));
        assert!((&mut first).now_or_never().is_none() && (&mut broken_off).now_or_never().is_none());
        assert_eq!(now(), 2);
        settling.wait(&one, Duration::from_millis(1)).await;
        assert_eq!(now(), 2, "it waits at another tag too");
        drop(first);
        assert_eq!(now(), 1);
        drop(broken_off);
        assert_eq!(now(), 0);
        settling.wait(&one, Duration::from_millis(1)).await;
        assert_eq!(now(), 0);
    }
}
