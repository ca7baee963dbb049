//! The session with Vault or `OpenBao`: one token for everybody, and how it is kept alive (Chains specification §5.3).
//!
//! # Flow
//!
//! A token is got when it is first needed and shared by everybody. When half of its life has passed it is renewed; when it
//! cannot be renewed, or not for long any more, there is a new login. All of that happens under one lock: a burst of runs
//! that meets an old token makes one request.
//!
//! # Guarantees
//!
//! - A server that is away while the token still lives costs nothing: the token stays in use and the renewal is tried again.
//! - A login that fails answers everybody for a moment, so that no queue of runs waits for one time-out after another.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::login::{Login, VaultVariables};
use super::{Failure, failure};
use crate::client::vault::{Lease, Vault};
use crate::config;
use crate::credential::Redacted;
use crate::error::{Class, Diagnose as _};

/// A token that is refused within this time after it was got is refused for good: one more login would change nothing.
const FRESH: Duration = Duration::from_secs(1);
/// How long one login that failed answers everybody.
const FRESH_FAILURE: Duration = Duration::from_secs(2);
/// How soon a renewal that failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// A token in use.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) token: Redacted,
    since: Instant,
    renewable: bool,
    /// How long it was to live when it was got.
    lasts: Option<Duration>,
    renew_at: Option<Instant>,
    ends: Option<Instant>,
}

/// The session.
pub(super) struct Session {
    login: Login,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    failed: Option<(Instant, Failure)>,
}

impl Session {
    /// As the settings have it, nobody logged in yet.
    pub(super) fn of(settings: &config::Kms, surroundings: &VaultVariables) -> Result<Self, Failure> {
        let login = Login::of(settings, surroundings).map_err(failure)?;
        Ok(Self { login, state: Mutex::default() })
    }

    /// A token that lives.
    pub(super) async fn token(&self, vault: &Vault) -> Result<Held, Failure> {
        let mut state = self.state.lock().await;
        let now = Instant::now();
        if let Some(current) = state.held.as_mut() {
            if !current.is_due(now) {
                return Ok(current.clone());
            }
            if current.lives(now) && current.renewed(vault, now).await {
                return Ok(current.clone());
            }
        }
        if let Some((_, failed)) = state.failed.as_ref().filter(|(at, _)| at.elapsed() < FRESH_FAILURE) {
            return Err(Arc::clone(failed));
        }
        match self.login.lease(vault).await {
            Ok(lease) => {
                state.failed = None;
                Ok(state.held.insert(Held::of(lease, Instant::now())).clone())
            }
            Err(error) => state.without_login(error, now),
        }
    }

    /// Ends the session of a token that was refused, unless somebody has done so; whether it is worth asking again.
    pub(super) async fn end(&self, refused: &Held) -> bool {
        let mut state = self.state.lock().await;
        match state.held.as_ref() {
            Some(current) if current.since != refused.since => true,
            _ if refused.since.elapsed() < FRESH || matches!(self.login, Login::Token(_)) => false,
            _ => {
                state.held = None;
                true
            }
        }
    }
}

impl State {
    /// What still lives serves on; else everybody hears of the failure for a while.
    fn without_login(&mut self, error: Failure, now: Instant) -> Result<Held, Failure> {
        let temporary = error.class() == Class::Temporary;
        if let Some(current) = self.held.as_mut().filter(|held| temporary && held.lives(now)) {
            current.renew_at = Some(now + AGAIN);
            return Ok(current.clone());
        }
        self.failed = Some((Instant::now(), Arc::clone(&error)));
        Err(error)
    }
}

impl Held {
    fn of(lease: Lease, now: Instant) -> Self {
        let Lease { token, lasts, renewable } = lease;
        let (renew_at, ends) = (lasts.map(|lasts| now + lasts / 2), lasts.map(|lasts| now + lasts));
        Self { token, since: now, renewable, lasts, renew_at, ends }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.renew_at.is_some_and(|at| at <= now)
    }

    fn lives(&self, now: Instant) -> bool {
        self.ends.is_none_or(|ends| now < ends)
    }

    /// Whether it lives on for a while. One that comes to the end of all renewals does not.
    async fn renewed(&mut self, vault: &Vault, now: Instant) -> bool {
        if !self.renewable {
            return false;
        }
        match vault.renew(&self.token).await {
            Ok(lease) => {
                // At the end of all renewals the server gives less, and at last nothing.
                let short = self.lasts.is_some_and(|first| lease.lasts.is_none_or(|now| now < first / 2));
                if !short {
                    self.renew_at = lease.lasts.map(|lasts| now + lasts / 2);
                    self.ends = lease.lasts.map(|lasts| now + lasts);
                }
                !short
            }
            Err(error) if error.class() == Class::Temporary => {
                tracing::warn!(%error, "the token of Vault is not renewed; it stays in use while it lives");
                self.renew_at = Some(now + AGAIN);
                true
            }
            Err(error) => {
                tracing::debug!(%error, "the token of Vault is not renewed");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_is_due_at_half_of_its_life_and_one_without_end_never() {
        let now = Instant::now();
        let held = |lasts| Held::of(Lease { token: "t".into(), lasts, renewable: true }, now);
        let minute = held(Some(Duration::from_mins(1)));
        assert!(
            !minute.is_due(now + Duration::from_secs(29)) && minute.is_due(now + Duration::from_secs(30))
        );
        assert!(minute.lives(now + Duration::from_secs(59)) && !minute.lives(now + Duration::from_mins(1)));
        let ever = held(None);
        assert!(!ever.is_due(now + Duration::from_hours(1)) && ever.lives(now + Duration::from_hours(1)));
    }
}
