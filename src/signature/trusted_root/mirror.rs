//! The trust root of a TUF repository, and its SigningConfig where that is wanted, followed: fetched in the background,
//! verified from a first root on, kept in a directory, and the last good ones kept when the mirror is away or serves
//! something that does not hold (Chains specification §1.1, `signers.x509.tuf.mirror.url`).
//!
//! # Flow
//!
//! The first root: the operator's file, or the one in a `TrustRoot`; else the one of earlier, from the cache; else the mirror's own `root.json`, as
//! Chains takes it, with a warning. From there every newer root, timestamp, snapshot and targets, each verified by
//! `sigstore-tuf`; then the targets. A mirror that fails is replaced by the cache, verified the same
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
mod source;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sigstore_tuf::{FileStore, MemoryStore, MetadataStore, Repository, StoreRepository, Updater};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use error::MirrorError;
use source::Remote;
pub use source::Source;

use super::TrustedRoot;
use crate::artifact::digest::Digest;
use crate::client::http::Clients;
use crate::error::{Diagnose as _, chain};
use crate::signature::signing_config::{SigningConfig, SigningConfigError};

/// The target that names the services that sign, as Sigstore's own repository has it.
const SERVICES: &str = "signing_config.v0.2.json";
/// How often the mirror is asked. Its timestamps last for days.
const EVERY: Duration = Duration::from_hours(1);
/// After a failure: soon, then less and less often.
const SOONEST: Duration = Duration::from_secs(2);
const LATEST: Duration = Duration::from_mins(5);
/// How long somebody who has no root at all waits for the first one.
const PATIENCE: Duration = Duration::from_secs(10);
/// One refresh, all of its files.
const LONGEST_REFRESH: Duration = Duration::from_mins(2);

type Answer = Result<Arc<Mirrored>, Arc<MirrorError>>;

/// What a repository holds for us.
#[derive(Debug)]
pub struct Mirrored {
    /// Whom to trust.
    pub root: Arc<TrustedRoot>,
    /// Its SigningConfig, where that was asked for.
    signing_config: Option<Vec<u8>>,
    mirror: String,
}

impl Mirrored {
    /// The services that sign at `now`, where they were asked for.
    ///
    /// # Errors
    ///
    /// None of a kind is valid then.
    pub fn services(&self, now: Timestamp) -> Result<Option<SigningConfig>, MirrorError> {
        let read = self.signing_config.as_ref().map(|json| SigningConfig::read(json, now)).transpose();
        read.map_err(|source| self.unusable(source))
    }

    /// Why the services cannot sign.
    pub fn unusable(&self, source: SigningConfigError) -> MirrorError {
        MirrorError::Services { mirror: self.mirror.clone(), source }
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
    let remote = source.remote(clients).map_err(Arc::new)?;
    let (sender, latest) = watch::channel(None);
    let (mut task, followed) = (JoinSet::new(), Follower::new(source, remote));
    task.spawn(followed.run(sender, every));
    Ok(Followed { source: source.clone(), latest, _task: task })
}

/// The work in the background.
struct Follower {
    source: Source,
    remote: Remote,
    store: Arc<dyn MetadataStore>,
    /// What is in force.
    content: Option<Content>,
}

/// The targets, as they are served.
#[derive(PartialEq)]
struct Content {
    root: Vec<u8>,
    signing_config: Option<Vec<u8>>,
}

impl Follower {
    fn new(source: &Source, remote: Remote) -> Self {
        let store: Arc<dyn MetadataStore> = match &source.cache {
            // Two mirrors do not share a folder: each has its own versions.
            Some(folder) => Arc::new(FileStore::new(folder.join(Digest::of(source.name().as_bytes()).hex()))),
            None => Arc::new(MemoryStore::new()),
        };
        Self { source: source.clone(), remote, store, content: None }
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

    async fn refresh(&mut self, now: Timestamp) -> Result<Option<Arc<Mirrored>>, MirrorError> {
        let (remote, source) = (self.remote.clone(), self.source.clone());
        let fetched = async {
            let first = first::root(&source, &remote, self.store.as_ref()).await?;
            let read = verified(remote, &first, &source, &self.store, now).await;
            read.map_err(|error| MirrorError::tuf(&source, error))
        };
        let content = tokio::time::timeout(LONGEST_REFRESH, fetched).await;
        self.accept(content.unwrap_or_else(|_| Err(MirrorError::silent(&source)))?, now)
    }

    async fn cached(&mut self, now: Timestamp) -> Result<Option<Arc<Mirrored>>, MirrorError> {
        let source = self.source.clone();
        let Some(first) = first::known(&source, self.store.as_ref()).await? else { return Ok(None) };
        let offline = StoreRepository::new(Arc::clone(&self.store));
        let content = verified(offline, &first, &source, &self.store, now).await;
        self.accept(content.map_err(|error| MirrorError::tuf(&source, error))?, now)
    }

    /// What is new, unless it is what is in force.
    fn accept(&mut self, content: Content, now: Timestamp) -> Result<Option<Arc<Mirrored>>, MirrorError> {
        if self.content.as_ref() == Some(&content) {
            return Ok(None);
        }
        let mirror = self.source.name().to_owned();
        let root = TrustedRoot::read(&content.root).map_err(|source| MirrorError::Unusable {
            target: self.source.target.clone(),
            mirror: mirror.clone(),
            source: Box::new(source),
        })?;
        let signing_config = content.signing_config.clone();
        let mirrored = Mirrored { root: Arc::new(root), signing_config, mirror };
        // Services that nobody can sign with do not take the place of those that sign.
        mirrored.services(now)?;
        tracing::info!(mirror = mirrored.mirror, "a new trust root is in force");
        self.content = Some(content);
        Ok(Some(Arc::new(mirrored)))
    }
}

/// What `repository` has, verified from `first` on.
async fn verified(
    repository: impl Repository + 'static,
    first: &[u8],
    source: &Source,
    store: &Arc<dyn MetadataStore>,
    now: Timestamp,
) -> Result<Content, sigstore_tuf::Error> {
    let mut limits = sigstore_tuf::UpdaterConfig::default();
    limits.target_max_length = super::LARGEST as u64;
    let updater = Updater::new(repository, first)?.with_config(limits);
    let mut updater = updater.with_store(Arc::clone(store));
    updater.refresh(now).await?;
    let root = updater.get_target(&source.target, now).await?;
    let signing_config =
        if source.signing_config { Some(updater.get_target(SERVICES, now).await?) } else { None };
    Ok(Content { root, signing_config })
}
