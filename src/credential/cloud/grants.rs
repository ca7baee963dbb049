//! What clouds have granted, for as long as it serves: one grant for each key, one request for it on its way at a time,
//! and a renewal that fails leaves in use what is still good.
//!
//! The key says for whom and for which registry; whoever makes it sees to it that no two identities share one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Granted;
use crate::credential::{Credential, Problem};

/// A failure is told again for so long before the cloud is asked anew.
const FRESH_FAILURE: Duration = Duration::from_secs(10);
/// Keys that are remembered.
pub(super) const CAPACITY: usize = 1024;

/// See the module.
#[derive(Default)]
pub(in crate::credential) struct Grants(
    pub(super) Mutex<HashMap<String, Arc<tokio::sync::Mutex<Remembered>>>>,
);

/// What is known for one key.
#[derive(Default)]
pub(super) struct Remembered {
    pub(super) granted: Option<Granted>,
    pub(super) failed: Option<(Instant, Problem)>,
}

impl Grants {
    /// What is remembered while it is fresh, else what `ask` brings.
    pub(in crate::credential) async fn obtain(
        &self,
        key: &str,
        ask: impl Future<Output = Result<Granted, Problem>>,
    ) -> Result<Credential, Problem> {
        let remembered = self.remembered(key);
        let mut remembered = remembered.lock().await;
        if let Some(answer) = remembered.answer(Timestamp::now()) {
            return answer;
        }
        remembered.renew(ask).await
    }

    /// Another grant than `refused`, which has ended before its time; who asks after somebody else gets what that one
    /// was granted.
    pub(super) async fn instead_of(
        &self,
        refused: &Credential,
        key: &str,
        ask: impl Future<Output = Result<Granted, Problem>>,
    ) -> Result<Credential, Problem> {
        let remembered = self.remembered(key);
        let mut remembered = remembered.lock().await;
        if remembered.granted.as_ref().is_some_and(|granted| granted.credential == *refused) {
            remembered.granted = None;
        }
        if let Some(answer) = remembered.answer(Timestamp::now()) {
            return answer;
        }
        remembered.renew(ask).await
    }

    fn remembered(&self, key: &str) -> Arc<tokio::sync::Mutex<Remembered>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(key)
            && all.len() >= CAPACITY
            && let Some(victim) = all.keys().next().cloned()
        {
            all.remove(&victim);
        }
        Arc::clone(all.entry(key.to_owned()).or_default())
    }
}

impl Remembered {
    /// What can be said without asking.
    pub(super) fn answer(&self, now: Timestamp) -> Option<Result<Credential, Problem>> {
        if self.granted.as_ref().is_some_and(|granted| now < granted.renew_at) {
            return self.usable(now).map(Ok);
        }
        let (_, problem) = self.failed.as_ref().filter(|(at, _)| at.elapsed() < FRESH_FAILURE)?;
        Some(self.usable(now).ok_or_else(|| problem.clone()))
    }

    async fn renew(
        &mut self,
        ask: impl Future<Output = Result<Granted, Problem>>,
    ) -> Result<Credential, Problem> {
        match ask.await {
            Ok(granted) => {
                let credential = granted.credential.clone();
                *self = Self { granted: Some(granted), failed: None };
                Ok(credential)
            }
            Err(problem) => {
                tracing::debug!("{problem}");
                self.failed = Some((Instant::now(), problem.clone()));
                self.usable(Timestamp::now()).ok_or(problem)
            }
        }
    }

    pub(super) fn usable(&self, now: Timestamp) -> Option<Credential> {
        self.granted
            .as_ref()
            .filter(|granted| now < granted.expires_at)
            .map(|granted| granted.credential.clone())
    }
}
