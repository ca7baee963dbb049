//! When a token is replaced, and when a failed exchange is tried again (credentials specification §6.6, §6.7). Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::reason::Reason;
use crate::artifact::digest::Digest;

/// Tokens of Secrets that were made at the same moment are replaced over this share of their life. The specification's
/// tenth would put a sixth of them into one minute where each lives an hour, which its own case 10 forbids.
const JITTER: f64 = 0.35;
const BUFFER_SHARE: i32 = 5;
const LONGEST_BUFFER: SignedDuration = SignedDuration::from_mins(10);
const SHORTEST_PAUSE: SignedDuration = SignedDuration::from_secs(30);

/// The life of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// When it was granted.
    pub begin: Timestamp,
    /// When it ends.
    pub end: Timestamp,
}

impl Life {
    fn length(self) -> SignedDuration {
        self.end.duration_since(self.begin).max(SignedDuration::ZERO)
    }

    /// When the token of the Secret with this uid is replaced. Every replica comes to the same moment.
    pub fn refresh_at(self, buffer: Option<SignedDuration>, uid: &str) -> Timestamp {
        let length = self.length();
        let buffer = buffer.unwrap_or_else(|| LONGEST_BUFFER.min(length / BUFFER_SHARE));
        let jitter = SignedDuration::try_from_secs_f64(length.as_secs_f64() * JITTER * spread(uid));
        let ahead = buffer.saturating_add(jitter.unwrap_or_default());
        let at = self.end.saturating_sub(ahead).unwrap_or(self.begin);
        at.max(self.soonest())
    }

    /// No exchange follows a successful one sooner than this.
    pub fn soonest(self) -> Timestamp {
        let pause = SHORTEST_PAUSE.min(self.length() / 2);
        self.begin.saturating_add(pause).unwrap_or(self.end)
    }
}

/// How long to wait after a failure; `attempts` counts those in a row, this one included.
pub fn pause(reason: Reason, attempts: u32, asked: Option<Duration>) -> SignedDuration {
    let (first, longest): (i64, i64) = match reason {
        Reason::ExchangeDenied | Reason::ExchangeThrottled => (30, 600),
        Reason::ExchangeUnavailable => (5, 300),
        Reason::ApiUnavailable => (2, 60),
        Reason::ExchangeInvalid => (60, 600),
        Reason::SubjectTokenUnavailable => (30, 30),
        // Somebody has to change something, and most of it is seen when it happens.
        _ => (600, 600),
    };
    if let Some(asked) =
        asked.filter(|_| matches!(reason, Reason::ExchangeThrottled | Reason::ExchangeUnavailable))
    {
        let asked = i64::try_from(asked.as_secs()).unwrap_or(i64::MAX);
        return SignedDuration::from_secs(asked.clamp(1, 3600));
    }
    let doubled = 1_i64.checked_shl(attempts.saturating_sub(1).min(16)).unwrap_or(i64::MAX);
    SignedDuration::from_secs(first.saturating_mul(doubled).min(longest))
}

/// A number in 0..1 that is this Secret's.
fn spread(uid: &str) -> f64 {
    let digest = Digest::of(uid.as_bytes());
    let mut bytes = [0; 4];
    for (to, from) in bytes.iter_mut().zip(digest.as_bytes()) {
        *to = *from;
    }
    f64::from(u32::from_be_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(seconds: i64) -> Life {
        let begin = Timestamp::from_second(1_700_000_000).unwrap();
        Life { begin, end: begin + SignedDuration::from_secs(seconds) }
    }

    fn after(seconds: i64, buffer: Option<i64>, uid: &str) -> f64 {
        let life = life(seconds);
        life.refresh_at(buffer.map(SignedDuration::from_secs), uid).duration_since(life.begin).as_secs_f64()
    }

    #[test]
    fn two_hundred_secrets_of_one_moment_are_spread_so_that_no_minute_has_a_tenth_of_them() {
        let mut minutes = std::collections::BTreeMap::new();
        for number in 0..200 {
            let uid = format!("0f4e8b5e-0000-4000-8000-{number:012}");
            #[expect(clippy::cast_possible_truncation, reason = "a count of minutes")]
            let minute = (after(3600, None, &uid) / 60.0) as i64;
            *minutes.entry(minute).or_insert(0) += 1;
        }
        let fullest = minutes.values().max().unwrap();
        assert!(*fullest <= 20, "{minutes:?}");
        assert!(*minutes.first_key_value().unwrap().0 >= 28 && *minutes.last_key_value().unwrap().0 < 50);
    }

    #[test]
    fn a_token_is_replaced_before_its_end_whatever_its_length() {
        for seconds in [5, 30, 60, 600, 3600, 86_400, 30 * 86_400] {
            for number in 0..50 {
                #[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
                let (at, whole) = (after(seconds, None, &format!("uid {number}")), seconds as f64);
                assert!(at < whole && at >= (whole / 2.0).min(30.0), "{seconds}: {at}");
            }
        }
        assert!(after(3600, None, "a") < 3000.0 && after(86_400, None, "a") < 85_800.0);
    }

    #[test]
    fn a_buffer_of_its_own_counts_but_never_makes_a_hot_loop() {
        assert!(after(3600, Some(1800), "a") <= 1800.0);
        assert!((after(3600, Some(7200), "a") - 30.0).abs() < 1e-6);
        assert!((after(30, Some(7200), "a") - 15.0).abs() < 1e-6);
        assert!((after(0, None, "a")).abs() < 1e-6);
    }

    #[test]
    fn a_denial_costs_at_most_ten_exchanges_in_ten_minutes() {
        let (mut at, mut exchanges) = (0, 0);
        while at < 600 {
            exchanges += 1;
            at += pause(Reason::ExchangeDenied, exchanges, None).as_secs();
        }
        assert!(exchanges <= 10, "{exchanges}");
    }

    #[test]
    fn pauses_double_up_to_their_limit_and_a_service_may_ask_for_another() {
        let seconds = |reason, attempts| pause(reason, attempts, None).as_secs();
        assert_eq!([1, 2, 3, 7, 40].map(|n| seconds(Reason::ExchangeUnavailable, n)), [5, 10, 20, 300, 300]);
        assert_eq!([1, 2, 5, 6].map(|n| seconds(Reason::ExchangeDenied, n)), [30, 60, 480, 600]);
        assert_eq!([1, 2, 5].map(|n| seconds(Reason::ExchangeInvalid, n)), [60, 120, 600]);
        assert_eq!([1, 9].map(|n| seconds(Reason::SubjectTokenUnavailable, n)), [30, 30]);
        assert_eq!([1, 9].map(|n| seconds(Reason::IdentityNotFound, n)), [600, 600]);
        assert_eq!([1, 9].map(|n| seconds(Reason::ApiUnavailable, n)), [2, 60]);
        let asked = |reason, after| pause(reason, 1, Some(Duration::from_secs(after))).as_secs();
        assert_eq!(asked(Reason::ExchangeThrottled, 7), 7);
        assert_eq!(asked(Reason::ExchangeThrottled, 0), 1, "never hot");
        assert_eq!(asked(Reason::ExchangeThrottled, u64::MAX), 3600);
        assert_eq!(asked(Reason::ExchangeDenied, 7), 30);
    }
}
