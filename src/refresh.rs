//! The pull-secret updater: Secrets that ask for it by an annotation hold a short-lived registry token, and hold
//! another one before that ends (credentials specification §6).
//!
//! # Flow
//!
//! A watch sees the names of annotated Secrets, [`agenda`] says when each is looked at, a worker reads the Secret,
//! [`decide`] says what it needs, and the worker exchanges the identity token and writes the result.
//!
//! # Guarantees
//!
//! - Nothing is exchanged for a Secret that is fresh, and whether it is can be told without any network (U1).
//! - Whatever fails, the content of a Secret stays as it was; entries of other registries always do (U5).
//! - No token is kept in memory longer than it takes to write it, in no log, Event, status or metric.
//! - One replica writes each Secret: whoever starts the updater says which are his. Two that both think so for a
//!   moment do no harm: both write good tokens over a version that each has read, and one of them reads again.
//!
//! # Caveats
//!
//! How often an exchange has failed is forgotten at a restart: each failing Secret costs one exchange then.

pub mod agenda;
mod cloud;
pub mod content;
pub mod decide;
mod event;
pub mod failing;
pub mod failure;
pub mod held;
mod names;
pub mod patch;
pub mod reason;
pub mod request;
pub mod schedule;
pub mod sources;
pub mod splice;
mod watch;
mod worker;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_util::sync::CancellationToken;

use crate::client::http::Clients;
use crate::credential::cloud::federation::Federation;
use crate::credential::registry_config::RegistryConfig;
use crate::error::chain;
use crate::telemetry::metrics::Metrics;
use agenda::{Agenda, Name, Next};
use event::Events;
use sources::{SourceError, Sources};
use watch::Watch;
use worker::Worker;

/// Where the source document mounts the updater's token.
pub const TOKEN_FILE: &str = "/var/run/chainguard/oidc/oidc-token";
/// Beside `registries.toml`.
pub const PROVIDERS_FILE: &str = "/etc/hallmark/providers.toml";
/// Secrets that are worked on at the same time.
const CONCURRENCY: usize = 16;
const LOOK_AT_FILES: Duration = Duration::from_secs(2);
const LOOK_AT_RIGHTS: Duration = Duration::from_mins(1);
/// How soon a replica takes up the Secrets of one that is gone.
const OTHERS: SignedDuration = SignedDuration::from_secs(5);

/// How the updater is started.
pub struct Options {
    /// The file with the identity token.
    pub token_file: PathBuf,
    /// `providers.toml`; it may be absent.
    pub providers_file: PathBuf,
    /// Names of Secrets beside those that the rights name.
    pub names: BTreeSet<String>,
    /// Every Secret is watched, whatever its name; needs the right to list them all.
    pub watch_all: bool,
    /// A Secret may name a service account of its namespace.
    pub service_accounts: bool,
    /// The updater's own namespace.
    pub namespace: String,
    /// Whom to trust, and proxies.
    pub registries: Arc<RegistryConfig>,
    /// The clouds, for providers of their kinds.
    pub federation: Federation,
}

/// Whether a Secret, by `namespace/name`, is this replica's.
pub type Mine = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// An updater that can run.
pub struct Updater {
    worker: Worker,
    sources: Sources,
    options: Options,
    mine: Mine,
    watching: Arc<AtomicUsize>,
}

impl Updater {
    /// Reads the providers.
    pub fn new(
        client: Client,
        options: Options,
        mine: Mine,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SourceError> {
        let sources = Sources::new(&options.providers_file, &options.token_file)?;
        let worker = Worker {
            events: Events::new(client.clone()),
            client,
            clients: Clients::default(),
            registries: Arc::clone(&options.registries),
            federation: options.federation.clone(),
            token_file: options.token_file.clone(),
            service_accounts: options.service_accounts,
            metrics,
        };
        Ok(Self { worker, sources, options, mine, watching: Arc::default() })
    }

    /// Counts the names whose Secrets were listed: none at the start.
    pub fn watching(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.watching)
    }

    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let (sender, seen) = mpsc::channel(1024);
        let Self { worker, mut sources, options, mine, watching } = self;
        tokio::select! {
            () = stop.cancelled() => {}
            () = watch(&worker.client, &options, &sender, &watching) => {}
            () = act(&worker, &mut sources, seen, &mine) => {}
        }
    }
}

/// Watches every name there is, and those that come to be granted.
async fn watch(client: &Client, options: &Options, seen: &Sender<Name>, watching: &AtomicUsize) {
    let mut watches = FuturesUnordered::new();
    let begin = |name: Option<String>| {
        tracing::info!(name = name.as_deref().unwrap_or("*"), "watching Secrets of this name");
        let first = AtomicBool::new(true);
        Watch::new(client.clone(), name, seen.clone()).run(move || {
            watching.fetch_add(usize::from(first.swap(false, Ordering::Relaxed)), Ordering::Relaxed);
        })
    };
    if options.watch_all {
        return begin(None).await;
    }
    let mut known = options.names.clone();
    watches.extend(known.iter().cloned().map(|name| begin(Some(name))));
    let mut ticks = tokio::time::interval(LOOK_AT_RIGHTS);
    loop {
        tokio::select! {
            Some(()) = watches.next() => {}
            _ = ticks.tick() => match names::granted(client, &options.namespace).await {
                Ok(granted) => {
                    for name in granted {
                        if known.insert(name.clone()) {
                            watches.push(begin(Some(name)));
                        }
                    }
                }
                Err(error) => tracing::warn!(error = %chain(&error), "cannot review our own rights"),
            }
        }
    }
}

/// Works off the agenda.
async fn act(worker: &Worker, sources: &mut Sources, mut seen: Receiver<Name>, mine: &Mine) {
    let (mut agenda, mut working) = (Agenda::default(), FuturesUnordered::new());
    let mut ticks = tokio::time::interval(LOOK_AT_FILES);
    loop {
        while working.len() < CONCURRENCY
            && let Some((name, mut state)) = agenda.take(Timestamp::now())
        {
            let (providers, is_mine) = (sources.providers(), mine(&name.to_string()));
            working.push(async move {
                let next = if is_mine {
                    worker.look(&name, &mut state, &providers).await
                } else {
                    Next::At(Timestamp::now().saturating_add(OTHERS).unwrap_or(Timestamp::MAX))
                };
                (name, state, next)
            });
        }
        let idle = working.len() < CONCURRENCY;
        tokio::select! {
            received = seen.recv() => match received {
                Some(name) => agenda.seen(name, Timestamp::now()),
                None => return,
            },
            Some((name, state, next)) = working.next() => agenda.finished(&name, state, next),
            _ = ticks.tick() => {
                if sources.providers_changed() | sources.token_changed() {
                    agenda.token_changed(Timestamp::now());
                }
            }
            () = until(agenda.next()), if idle => {}
        }
    }
}

/// Sleeps until then; for ever when there is nothing to wait for.
async fn until(at: Option<Timestamp>) {
    let Some(at) = at else { return std::future::pending().await };
    let left = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
    // Clocks are set: nobody sleeps longer than a minute without looking at one.
    tokio::time::sleep(left.min(Duration::from_mins(1))).await;
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
