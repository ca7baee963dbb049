//! What became of each artifact at each store: the value that events, logs, metrics, the annotation and the
//! command line are made from.

use std::sync::Arc;
use std::time::Duration;

use crate::artifact::{Artifact, Unusable};
use crate::config::{Finding, Problem};
use crate::error::{About, Class, Diagnose, chain};
use crate::storage::Stored;
use crate::tekton::record::OutcomeEntry;
use crate::{payload, signature, storage};

/// The result of one attempt on one run.
#[derive(Debug)]
pub struct Outcome {
    /// One entry for each artifact and store.
    pub entries: Vec<Entry>,
    /// Results of the run that name an image and cannot be used.
    pub unusable: Vec<Unusable>,
}

/// One artifact at one store.
#[derive(Debug)]
pub struct Entry {
    /// What was built.
    pub artifact: Artifact,
    /// The store's name, empty when no store was asked.
    pub store: &'static str,
    /// Where in the store.
    pub reference: String,
    /// Ids of the keys that signed.
    pub signer: String,
    /// What became of it.
    pub state: State,
}

impl Entry {
    /// An entry that concerns no store.
    pub(super) fn without_store(artifact: Artifact, state: State) -> Self {
        Self { artifact, store: "", reference: String::new(), signer: String::new(), state }
    }
}

/// As the annotation tells it.
impl From<&Entry> for OutcomeEntry {
    fn from(entry: &Entry) -> Self {
        let (result, reason) = match &entry.state {
            State::Stored(stored) => ("stored", stored.refused.join("; ")),
            State::Present => ("present", String::new()),
            State::Skipped(reason) => ("skipped", (*reason).to_owned()),
            State::Failed(error) => ("failed", chain(error)),
        };
        let (artifact, digest) = entry.artifact.told();
        let logged = match &entry.state {
            State::Stored(stored) => stored.logged.as_slice(),
            _ => &[],
        };
        let log = logged.iter().map(|entry| format!("{} in log {}", entry.address, entry.log));
        let (store, reference, signer) =
            (entry.store.to_owned(), entry.reference.clone(), entry.signer.clone());
        let log = log.collect::<Vec<_>>().join(" ");
        Self { artifact, digest, store, reference, signer, log, result, reason }
    }
}

/// What became of one artifact at one store.
#[derive(Debug)]
pub enum State {
    /// A signature was added.
    Stored(Stored),
    /// Every signature had been there already.
    Present,
    /// Nothing was asked for, for this reason.
    Skipped(&'static str),
    /// It is not in place.
    Failed(Error),
}

impl Outcome {
    /// The failures, if any.
    pub fn failures(&self) -> impl Iterator<Item = &Error> {
        self.entries.iter().filter_map(|entry| match &entry.state {
            State::Failed(error) => Some(error),
            _ => None,
        })
    }

    /// Whether everything that was asked for is in place.
    pub fn is_complete(&self) -> bool {
        self.failures().next().is_none()
    }

    /// Whether images were named, none of them in a way that can be used, and nothing else was signed: not what was
    /// asked for.
    pub fn is_unusable(&self) -> bool {
        !self.unusable.is_empty() && !self.has_signature()
    }

    /// Whether a signature was added anywhere.
    pub fn has_added(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.state, State::Stored(_)))
    }

    fn has_signature(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.state, State::Stored(_) | State::Present))
    }
}

/// Why one artifact is not in place at one store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to sign.
    #[error(transparent)]
    Payload(#[from] payload::Error),
    /// It could not be signed.
    #[error(transparent)]
    Sign(Arc<signature::Error>),
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] storage::Error),
    /// The configuration asks for something that this build does not have, or that lacks a setting.
    #[error("{0}")]
    NotBuilt(Finding),
}

impl Error {
    fn inner(&self) -> Option<&dyn Diagnose> {
        match self {
            Self::Payload(error) => Some(error),
            Self::Sign(error) => Some(error.as_ref()),
            Self::Store(error) => Some(error),
            Self::NotBuilt(_) => None,
        }
    }
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        self.inner().map_or(Class::Misconfigured, Diagnose::class)
    }

    fn label(&self) -> &'static str {
        match self {
            Self::NotBuilt(Finding { problem: Problem::NotInThisBuild, .. }) => "not_in_this_build",
            _ => self.inner().map_or("unset_setting", Diagnose::label),
        }
    }

    fn hint(&self) -> Option<String> {
        self.inner().and_then(Diagnose::hint)
    }

    fn about(&self) -> Option<About> {
        self.inner().and_then(Diagnose::about)
    }

    fn host_away(&self) -> Option<&str> {
        self.inner().and_then(Diagnose::host_away)
    }

    fn retry_after(&self) -> Option<Duration> {
        self.inner().and_then(Diagnose::retry_after)
    }
}
