//! What is remembered about a Secret between two looks, in memory alone: how often an exchange has failed, when the
//! next one may be tried, and a token that was granted and could not be written yet (credentials specification §6.7).
//! Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::reason::Reason;
use super::schedule::pause;
use crate::client::exchange::RegistryToken;

/// See the module.
#[derive(Default)]
pub struct State {
    failing: Option<Failing>,
    granted: Option<(String, RegistryToken)>,
    /// What was told last, so that it is not told again at each look.
    pub told_expired: bool,
}

/// What went wrong, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// In one word.
    pub reason: Reason,
    /// In one line, without any secret.
    pub text: String,
    /// When a server wants to be asked again.
    pub retry_after: Option<Duration>,
}

struct Failing {
    request: String,
    reason: Reason,
    attempts: u32,
    next_at: Timestamp,
    text: String,
}

impl State {
    /// When this request may be tried again, if it must wait, and what was said about it.
    pub fn waits_until(&self, request: &str, now: Timestamp) -> Option<(Timestamp, &str)> {
        let failing = self.failing.as_ref().filter(|failing| failing.request == request)?;
        (failing.next_at > now).then_some((failing.next_at, failing.text.as_str()))
    }

    /// Notes a failure of this request, and says when to try again.
    pub fn failed(&mut self, request: &str, failure: &Failure, now: Timestamp) -> Timestamp {
        let reason = failure.reason;
        let before =
            self.failing.take().filter(|failing| failing.request == request && failing.reason == reason);
        let attempts = before.map_or(1, |failing| failing.attempts.saturating_add(1));
        let next_at =
            now.saturating_add(pause(reason, attempts, failure.retry_after)).unwrap_or(Timestamp::MAX);
        let (request, text) = (request.to_owned(), failure.text.clone());
        self.failing = Some(Failing { request, reason, attempts, next_at, text });
        next_at
    }

    /// Everything is well; answers whether it was not.
    pub fn succeeded(&mut self) -> bool {
        self.granted = None;
        self.told_expired = false;
        self.failing.take().is_some()
    }

    /// Whether a new identity token may mend it.
    pub fn waits_for_token(&self) -> bool {
        self.failing.as_ref().is_some_and(|failing| failing.reason.waits_for_token())
    }

    /// The wait is over.
    pub fn may_try_now(&mut self, now: Timestamp) {
        if let Some(failing) = &mut self.failing {
            failing.next_at = failing.next_at.min(now);
        }
    }

    /// Keeps a token until it is written, so that a Secret that cannot be written costs one exchange.
    pub fn keep(&mut self, request: &str, token: &RegistryToken) {
        self.granted = Some((request.to_owned(), token.clone()));
    }

    /// The token that was kept, while it is worth writing.
    pub fn granted(&self, request: &str, now: Timestamp) -> Option<RegistryToken> {
        let (of, token) = self.granted.as_ref()?;
        let left = token.expires_at.duration_since(now);
        (of == request && left > token.lifetime() / 2).then(|| token.clone())
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::credential::Redacted;

    fn now() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    fn later(seconds: i64) -> Timestamp {
        now() + SignedDuration::from_secs(seconds)
    }

    fn failure(reason: Reason) -> Failure {
        Failure { reason, text: reason.to_string(), retry_after: None }
    }

    #[test]
    fn the_same_failure_waits_longer_each_time_and_another_begins_anew() {
        let mut state = State::default();
        assert_eq!(state.failed("r", &failure(Reason::ExchangeDenied), now()), later(30));
        assert_eq!(state.failed("r", &failure(Reason::ExchangeDenied), now()), later(60));
        assert_eq!(state.failed("r", &failure(Reason::ExchangeUnavailable), now()), later(5));
        assert!(state.succeeded() && !state.succeeded());
        assert_eq!(state.failed("r", &failure(Reason::ExchangeUnavailable), now()), later(5));
    }

    #[test]
    fn another_request_need_not_wait_for_the_last_one() {
        let mut state = State::default();
        state.failed("r", &failure(Reason::ExchangeDenied), now());
        assert_eq!(state.waits_until("r", now()), Some((later(30), "ExchangeDenied")));
        assert_eq!(state.waits_until("r", later(30)), None);
        assert_eq!(state.waits_until("other", now()), None);
    }

    #[test]
    fn a_new_identity_token_ends_the_wait_of_what_waits_for_it() {
        let mut state = State::default();
        state.failed("r", &failure(Reason::ExchangeUnavailable), now());
        assert!(!state.waits_for_token());
        state.failed("r", &failure(Reason::ExchangeDenied), now());
        assert!(state.waits_for_token());
        state.may_try_now(now());
        assert_eq!(state.waits_until("r", now()), None);
    }

    #[test]
    fn a_token_is_kept_for_its_request_and_for_half_of_its_life() {
        let mut state = State::default();
        let token = RegistryToken { token: Redacted::from("t"), issued_at: now(), expires_at: later(100) };
        state.keep("r", &token);
        assert_eq!(state.granted("r", later(49)), Some(token));
        assert_eq!(state.granted("r", later(50)), None);
        assert_eq!(state.granted("other", now()), None);
        state.succeeded();
        assert_eq!(state.granted("r", now()), None);
    }
}
