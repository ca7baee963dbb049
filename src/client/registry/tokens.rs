//! Registry tokens that were obtained by exchange, kept for their lifetime under a key that no two tenants
//! share: namespace, candidate, registry, scopes. One exchange in flight per key.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::Mutex as AsyncMutex;

use crate::client::token::Authorization;
use crate::credential::{Credential, Provenance};

/// More tokens than this are not kept: the oldest exchanges are repeated instead.
const CAPACITY: usize = 4096;

/// What a token belongs to. The credential itself is part of it, so that a repaired Secret or file never meets a
/// token of the old one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    pub namespace: String,
    pub candidate: Provenance,
    pub credential: Arc<Credential>,
    pub registry: String,
    pub scope: String,
}

/// A token, and whether it was obtained before it was asked for now.
pub(super) struct Held {
    pub authorization: Arc<Authorization>,
    pub remembered: bool,
}

type Slot = Arc<AsyncMutex<Option<Arc<Authorization>>>>;

#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<TokenKey, Slot>>);

impl Tokens {
    /// The token for `key`, if there is one that is fresh.
    pub(super) fn remembered(&self, key: &TokenKey, now: Timestamp) -> Option<Held> {
        let slot = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).map(Arc::clone)?;
        // Whoever holds it is asking for a new one.
        let held = slot.try_lock().ok()?;
        fresh(held.as_ref(), now)
    }

    /// The token for `key`, from the cache while it is fresh, else by `exchange`.
    pub(super) async fn obtain<E>(
        &self,
        key: TokenKey,
        now: Timestamp,
        exchange: impl Future<Output = Result<Authorization, E>>,
    ) -> Result<Held, E> {
        let slot = self.slot(key);
        let mut held = slot.lock().await;
        if let Some(token) = fresh(held.as_ref(), now) {
            return Ok(token);
        }
        let token = Arc::new(exchange.await?);
        *held = Some(Arc::clone(&token));
        Ok(Held { authorization: token, remembered: false })
    }

    /// Forgets a token that the registry refused.
    pub(super) fn forget(&self, key: &TokenKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn slot(&self, key: TokenKey) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= CAPACITY && !slots.contains_key(&key) {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(key).or_default())
    }
}
fn fresh(held: Option<&Arc<Authorization>>, now: Timestamp) -> Option<Held> {
    let token = held.filter(|token| token.refresh_at.is_none_or(|at| now < at))?;
    Some(Held { authorization: Arc::clone(token), remembered: true })
}
