//! Credentials that somebody has to be asked for: a helper program, a cloud (credentials specification §1.2, sources 5
//! and 9 to 11). The port; adapters lie beside it (`helper`, and the clouds under `cloud`).
//!
//! Such a source knows at once for which repositories it may have something, and is asked only when the trial reaches
//! it: a run that is served by its own Secret starts no program and contacts no cloud.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Credential, Entry, Key, Location, Problem, Source};
use crate::artifact::image::Repository;

/// A source that is asked when its turn comes.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// Which source it is.
    fn source(&self) -> Source;

    /// The place within it.
    fn location(&self) -> Location;

    /// The key under which it may have a credential for `repository`; nothing when it is not meant for it. Asks
    /// nobody.
    fn key(&self, repository: &Repository) -> Option<Key>;

    /// The credential for `repository`, within the time that the source is granted; or why there is none. What serves
    /// other runs too is remembered here, for as long as it is fresh.
    async fn fetch(&self, repository: &Repository) -> Result<Credential, Problem>;

    /// Another credential than `ended`, of which the registry says that its time is over; nothing where asking again
    /// would bring the same (§5.6, ECR).
    async fn renew(
        &self,
        _repository: &Repository,
        _ended: &Credential,
    ) -> Option<Result<Credential, Problem>> {
        None
    }
}

/// A source in the place of its credential; equal to itself alone.
#[derive(Clone)]
pub struct Fetcher(Arc<dyn Fetch>);

impl Fetcher {
    /// Wraps a source.
    pub fn new(source: impl Fetch + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// What the source may have for `repository`.
    pub(super) fn entry(&self, repository: &Repository) -> Option<Entry> {
        Some(Entry {
            source: self.source(),
            location: self.location(),
            key: self.key(repository)?,
            credential: Arc::new(Credential::ToFetch(self.clone())),
        })
    }
}

impl Deref for Fetcher {
    type Target = dyn Fetch;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl PartialEq for Fetcher {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Fetcher {}

impl Hash for Fetcher {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).cast::<()>().hash(state);
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source())
    }
}
