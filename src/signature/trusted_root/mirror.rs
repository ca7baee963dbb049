//! The trust root of a TUF repository, followed: fetched in the background, verified from a first root on, kept in a
//! directory, and the last good one kept when the mirror is away or serves something that does not hold (Chains
//! specification §1.1, `signers.x509.tuf.mirror.url`).
//!
//! # Flow
//!
//! The first root: the operator's file; else the one of earlier, from the cache; else the mirror's own `root.json`, as
//! Chains takes it, with a warning. From there every newer root, timestamp, snapshot and targets, each verified by
//! `sigstore-tuf`; then the target `trusted_root.json`. A mirror that fails is replaced by the cache, verified the same
//! way, until there has been one good answer.
//!
//! # Guarantees
//!
//! - Nobody waits for the mirror for longer than [`PATIENCE`], and only when there is no root yet.
//! - A root that expired, was rolled back or is signed by somebody else is never taken; the one in force stays, with a
//!   warning at each attempt.
//!
//! # Caveats
//!
//! A cache does not help past the expiry of what it holds: a process that starts then, with the mirror away, has no root.

mod error;
mod first;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sigstore_tuf::{FileStore, MemoryStore, MetadataStore, Repository, StoreRepository, Updater};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use error::MirrorError;

use super::TrustedRoot;
use crate::artifact::digest::Digest;
use crate::client::http::{Clients, Transport};
use crate::client::tuf::Mirror;
use crate::config;
use crate::credential::registry_config::RegistryConfig;
use crate::error::{Diagnose as _, chain};

/// The target that is the trust root.
const TARGET: &str = "trusted_root.json";
/// How often the mirror is asked. Its timestamps last for days.
const EVERY: Duration = Duration::from_hours(1);
/// After a failure: soon, then less and less often.
const SOONEST: Duration = Duration::from_secs(2);
const LATEST: Duration = Duration::from_mins(5);
/// How long somebody who has no root at all waits for the first one.
const PATIENCE: Duration = Duration::from_secs(10);
/// One refresh, all of its files.
const LONGEST_REFRESH: Duration = Duration::from_mins(2);

type Answer = Result<Arc<TrustedRoot>, Arc<MirrorError>>;

/// What a mirror's root is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    address: String,
    transport: Transport,
    root: Option<PathBuf>,
    cache: Option<PathBuf>,
}

impl Source {
    /// The mirror of `settings`, if one is asked for: its address is another one than the default, or its first root is
    /// named. `usual_cache` is where it is kept unless the settings name a place.
    pub fn of(
        settings: &config::Fulcio,
        registries: &RegistryConfig,
        usual_cache: Option<&Path>,
    ) -> Option<Self> {
        let address = settings.tuf_mirror_url.clone();
        let wanted = settings.tuf_root.is_some() || address != config::Fulcio::default().tuf_mirror_url;
        wanted.then(|| Self {
            transport: Transport::to(&address, registries),
            root: settings.tuf_root.clone(),
            cache: settings.tuf_cache.clone().or_else(|| usual_cache.map(Path::to_owned)),
            address,
        })
    }
}

/// Follows one mirror.
pub struct TrustMirror {
    every: Duration,
    followed: Option<Followed>,
}

impl Default for TrustMirror {
    fn default() -> Self {
        Self::asking(EVERY)
    }
}

struct Followed {
    source: Source,
    latest: watch::Receiver<Option<Answer>>,
    /// Ends with this value.
    _task: JoinSet<()>,
}

impl TrustMirror {
    /// Asks again after this time.
    pub fn asking(every: Duration) -> Self {
        Self { every, followed: None }
    }

    /// The trust root of `source` as it is known now: the same value as before when nothing changed.
    pub async fn current(&mut self, source: &Source, clients: &Clients) -> Answer {
        let is_new = self.followed.as_ref().is_none_or(|followed| followed.source != *source);
        if is_new {
            self.followed = Some(follow(source, clients, self.every)?);
        }
        let patience = if is_new { PATIENCE } else { Duration::ZERO };
        let Some(followed) = &mut self.followed else { return Err(Arc::new(MirrorError::silent(source))) };
        let first = followed.latest.wait_for(Option::is_some);
        match tokio::time::timeout(patience, first).await {
            Ok(Ok(answer)) => answer.clone().unwrap_or_else(|| Err(Arc::new(MirrorError::silent(source)))),
            Ok(Err(_)) | Err(_) => Err(Arc::new(MirrorError::silent(source))),
        }
    }
}

fn follow(source: &Source, clients: &Clients, every: Duration) -> Result<Followed, Arc<MirrorError>> {
    let mirror = Mirror::new(clients, &source.transport, &source.address);
    let mirror = mirror.map_err(|error| Arc::new(MirrorError::Address(error)))?;
    let (sender, latest) = watch::channel(None);
    let (mut task, followed) = (JoinSet::new(), Follower::new(source, mirror));
    task.spawn(followed.run(sender, every));
    Ok(Followed { source: source.clone(), latest, _task: task })
}

/// The work in the background.
struct Follower {
    source: Source,
    mirror: Mirror,
    store: Arc<dyn MetadataStore>,
    /// The content of the root in force.
    content: Option<Vec<u8>>,
}

impl Follower {
    fn new(source: &Source, mirror: Mirror) -> Self {
        let store: Arc<dyn MetadataStore> = match &source.cache {
            // Two mirrors do not share a folder: each has its own versions.
            Some(folder) => {
                Arc::new(FileStore::new(folder.join(Digest::of(source.address.as_bytes()).hex())))
            }
            None => Arc::new(MemoryStore::new()),
        };
        Self { source: source.clone(), mirror, store, content: None }
    }

    async fn run(mut self, answers: watch::Sender<Option<Answer>>, every: Duration) {
        let mut pause = SOONEST;
        loop {
            let wait = match self.refresh(Timestamp::now()).await {
                Ok(root) => {
                    if let Some(root) = root {
                        answers.send_replace(Some(Ok(root)));
                    }
                    pause = SOONEST;
                    every
                }
                Err(error) => {
                    self.failed(error, &answers).await;
                    let now = pause;
                    pause = (pause * 2).min(LATEST);
                    now
                }
            };
            if answers.is_closed() {
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// The root in force stays; where there is none, that of the cache is taken if it still holds.
    async fn failed(&mut self, error: MirrorError, answers: &watch::Sender<Option<Answer>>) {
        let reason = chain(&error);
        if self.content.is_some() {
            tracing::warn!(hint = error.hint(), "the trust root of before stays in force: {reason}");
            return;
        }
        let answer = match self.cached(Timestamp::now()).await {
            Ok(Some(root)) => {
                tracing::warn!(hint = error.hint(), "the trust root of the cache is in force: {reason}");
                Ok(root)
            }
            Ok(None) | Err(_) => Err(Arc::new(error)),
        };
        answers.send_replace(Some(answer));
    }

    async fn refresh(&mut self, now: Timestamp) -> Result<Option<Arc<TrustedRoot>>, MirrorError> {
        let (mirror, source) = (self.mirror.clone(), self.source.clone());
        let fetched = async {
            let first = first::root(&source, &mirror, self.store.as_ref()).await?;
            verified(mirror, &first, &self.store, now).await.map_err(|error| MirrorError::tuf(&source, error))
        };
        let content = tokio::time::timeout(LONGEST_REFRESH, fetched).await;
        self.accept(content.unwrap_or_else(|_| Err(MirrorError::silent(&source)))?)
    }

    async fn cached(&mut self, now: Timestamp) -> Result<Option<Arc<TrustedRoot>>, MirrorError> {
        let source = self.source.clone();
        let Some(first) = first::known(&source, self.store.as_ref()).await? else { return Ok(None) };
        let offline = StoreRepository::new(Arc::clone(&self.store));
        let content = verified(offline, &first, &self.store, now).await;
        self.accept(content.map_err(|error| MirrorError::tuf(&source, error))?)
    }

    /// A new root, unless it is the one in force.
    fn accept(&mut self, content: Vec<u8>) -> Result<Option<Arc<TrustedRoot>>, MirrorError> {
        if self.content.as_ref() == Some(&content) {
            return Ok(None);
        }
        let root = TrustedRoot::read(&content).map_err(|source| MirrorError::Unusable {
            mirror: self.source.address.clone(),
            source: Box::new(source),
        })?;
        tracing::info!(mirror = self.source.address, "a new trust root is in force");
        self.content = Some(content);
        Ok(Some(Arc::new(root)))
    }
}

/// The trust root that `repository` has, verified from `first` on.
async fn verified(
    repository: impl Repository + 'static,
    first: &[u8],
    store: &Arc<dyn MetadataStore>,
    now: Timestamp,
) -> Result<Vec<u8>, sigstore_tuf::Error> {
    let mut limits = sigstore_tuf::UpdaterConfig::default();
    limits.target_max_length = super::LARGEST as u64;
    let updater = Updater::new(repository, first)?.with_config(limits);
    let mut updater = updater.with_store(Arc::clone(store));
    updater.refresh(now).await?;
    updater.get_target(TARGET, now).await
}
