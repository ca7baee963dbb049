//! When to try again, decided from values alone: one rule for all causes (credentials specification §1.8).
//!
//! A permanent cause gives up at once; a cause that somebody has to mend backs off up to ten minutes; a host that
//! is away is not slept for: its runs wait until it answers, unless it did so several times and they failed all the
//! same. All end after the retry window.

use std::time::Duration;

use super::queue::Next;
use crate::error::{Class, Diagnose};

/// Delays for causes that somebody has to mend.
const MISCONFIGURED: [u64; 6] = [10, 30, 60, 120, 300, 600];
/// Delays for causes that pass, other than a host that is away.
const TEMPORARY: [u64; 6] = [1, 2, 5, 15, 30, 60];
/// Delays between the three looks for something that must exist, all within five minutes.
const ABSENT: [u64; 2] = [60, 120];

/// A host that answers probes and fails the run after each is not away but ill: its runs do not come back all at once
/// every few seconds.
const BACK_IN_VAIN: u32 = 6;

/// After a run was changed by others each time it was to be patched.
pub(super) const CONFLICT_PAUSE: Duration = Duration::from_secs(2);

/// What to do after an attempt with failures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Try again.
    Retry(Next),
    /// Mark it failed, for this reason.
    GiveUp(&'static str),
}

/// Decides. `attempts` counts those made so far, this one included; `elapsed` is the time since the first;
/// `chance` is uniform in 0..1.
pub fn verdict<'a, E: Diagnose + 'a>(
    failures: impl Iterator<Item = &'a E>,
    attempts: u32,
    elapsed: Duration,
    window: Duration,
    chance: f64,
) -> Verdict {
    let curable: Vec<&E> = failures.filter(|failure| !is_final(failure.class(), attempts)).collect();
    if curable.is_empty() {
        return Verdict::GiveUp("nothing that time does will mend it");
    }
    if elapsed >= window {
        return Verdict::GiveUp("signing.retry-window has passed");
    }
    if let Some(after) = curable.iter().filter_map(|failure| failure.retry_after()).max() {
        return Verdict::Retry(Next::After(after));
    }
    // A host that is away decides: while it is, the run cannot be completed anyway.
    let away = curable.iter().find_map(|failure| failure.host_away());
    if let Some(host) = away.filter(|_| attempts <= BACK_IN_VAIN) {
        return Verdict::Retry(Next::Host(host.to_owned(), window.saturating_sub(elapsed)));
    }
    let delay = curable.iter().map(|failure| delay(failure.class(), attempts)).min().unwrap_or_default();
    let left = window.saturating_sub(elapsed);
    Verdict::Retry(Next::After(spread(delay, chance).min(left)))
}

fn is_final(class: Class, attempts: u32) -> bool {
    match class {
        Class::Permanent => true,
        Class::Absent => attempts as usize > ABSENT.len(),
        Class::Misconfigured | Class::Temporary => false,
    }
}

fn delay(class: Class, attempts: u32) -> Duration {
    let delays: &[u64] = match class {
        Class::Permanent | Class::Absent => &ABSENT,
        Class::Misconfigured => &MISCONFIGURED,
        Class::Temporary => &TEMPORARY,
    };
    let position = (attempts.saturating_sub(1) as usize).min(delays.len() - 1);
    Duration::from_secs(delays.get(position).copied().unwrap_or_default())
}

/// ±20 %.
fn spread(delay: Duration, chance: f64) -> Duration {
    delay.mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failure")]
    struct Failure(Class, Option<&'static str>, Option<u64>);

    impl Diagnose for Failure {
        fn class(&self) -> Class {
            self.0
        }
        fn label(&self) -> &'static str {
            "test"
        }
        fn host_away(&self) -> Option<&str> {
            self.1
        }
        fn retry_after(&self) -> Option<Duration> {
            self.2.map(Duration::from_secs)
        }
    }

    const DAY: Duration = Duration::from_hours(24);

    fn after(failures: &[Failure], attempts: u32) -> Verdict {
        verdict(failures.iter(), attempts, Duration::ZERO, DAY, 0.5)
    }

    #[test]
    fn permanent_causes_give_up_at_once() {
        assert!(matches!(after(&[Failure(Class::Permanent, None, None)], 1), Verdict::GiveUp(_)));
    }

    #[test]
    fn one_curable_cause_among_permanent_ones_is_tried_again() {
        let failures = [Failure(Class::Permanent, None, None), Failure(Class::Misconfigured, None, None)];
        assert_eq!(after(&failures, 1), Verdict::Retry(Next::After(Duration::from_secs(10))));
    }

    #[test]
    fn credentials_back_off_up_to_ten_minutes() {
        let failure = [Failure(Class::Misconfigured, None, None)];
        let seconds: Vec<_> = (1..=8)
            .map(|attempt| match after(&failure, attempt) {
                Verdict::Retry(Next::After(delay)) => delay.as_secs(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(seconds, [10, 30, 60, 120, 300, 600, 600, 600]);
    }

    #[test]
    fn an_outage_waits_for_its_host_until_that_was_back_in_vain_too_often() {
        for attempt in [1, BACK_IN_VAIN] {
            let failure = [Failure(Class::Temporary, Some("registry:5000"), None)];
            assert_eq!(after(&failure, attempt), Verdict::Retry(Next::Host("registry:5000".into(), DAY)));
        }
        let failure = [Failure(Class::Temporary, Some("registry:5000"), None)];
        let later = Verdict::Retry(Next::After(Duration::from_mins(1)));
        assert_eq!(after(&failure, BACK_IN_VAIN + 1), later);
    }

    #[test]
    fn a_server_that_names_a_time_is_obeyed() {
        let failure = [Failure(Class::Temporary, None, Some(90))];
        assert_eq!(after(&failure, 1), Verdict::Retry(Next::After(Duration::from_secs(90))));
    }

    #[test]
    fn an_absent_image_is_believed_after_three_looks_within_five_minutes() {
        let failure = [Failure(Class::Absent, None, None)];
        assert_eq!(after(&failure, 1), Verdict::Retry(Next::After(Duration::from_mins(1))));
        assert_eq!(after(&failure, 2), Verdict::Retry(Next::After(Duration::from_mins(2))));
        assert!(matches!(after(&failure, 3), Verdict::GiveUp(_)));
    }

    #[test]
    fn the_window_ends_every_retry_and_none_is_planned_beyond_it() {
        let failure = [Failure(Class::Temporary, Some("registry:5000"), None)];
        assert!(matches!(verdict(failure.iter(), 2, DAY, DAY, 0.5), Verdict::GiveUp(_)));
        let soon = DAY.checked_sub(Duration::from_secs(5)).unwrap();
        let waits = Verdict::Retry(Next::Host("registry:5000".into(), Duration::from_secs(5)));
        assert_eq!(verdict(failure.iter(), 2, soon, DAY, 0.5), waits);
        let failure = [Failure(Class::Misconfigured, None, None)];
        let last = verdict(failure.iter(), 9, soon, DAY, 0.5);
        assert_eq!(last, Verdict::Retry(Next::After(Duration::from_secs(5))));
    }

    #[test]
    fn delays_spread_by_a_fifth_to_either_side() {
        assert_eq!(spread(Duration::from_secs(10), 0.0), Duration::from_secs(8));
        assert_eq!(spread(Duration::from_secs(10), 1.0), Duration::from_secs(12));
    }
}
