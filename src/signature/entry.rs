//! An entry of a transparency log about one signature, of Rekor version 1 or 2: read from what logs and stores hold,
//! verified against the logs that are trusted, written for stores (Chains specification §7).
//!
//! # Guarantees
//!
//! - [`Entry::verify`] accepts an entry of a known log that is about exactly this signature: its bytes, what it covers
//!   and its key or certificate. Every proof that is present has to hold, and at least one that the log signed.
//! - A time comes out only where the log signed it: version 1's promise (the SET). An entry of version 2 proves that a
//!   signature is in the log, never when.
//! - Whoever reads bounds what he reads; nothing here asks a server or looks at a clock.

mod body;
mod cosign;
mod proof;
mod rekor;

use jiff::Timestamp;
use sigstore_types::{KindVersion, TransparencyLogEntry};

pub use body::Mismatch;
pub use cosign::{ANNOTATION, ReadError};

use super::covered::Signature;
use super::trusted_root::KnownLog;

/// An entry that somebody gave; nothing in it is to be believed before it was verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry(pub(super) TransparencyLogEntry);

/// What a verified entry proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logged {
    /// When the log took the signature in, if it says so.
    pub at: Option<Timestamp>,
}

/// The two kinds of log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// Rekor with Trillian: promises and times.
    V1,
    /// Rekor on tiles: proofs alone.
    V2,
}

/// Why an entry proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Nobody's whom we trust.
    #[error("the log entry is of log {0}, which the trust root does not have")]
    UnknownLog(String),
    /// About something else.
    #[error("the log entry is not about this signature: {0}")]
    Mismatch(#[from] Mismatch),
    /// Neither promise nor proof.
    #[error("the log entry has no proof that the log signed")]
    NoProof,
    /// The promise is not the log's.
    #[error("the signed entry timestamp of the log entry does not verify")]
    Promise,
    /// The log was not in use then.
    #[error("the log entry is of {0}, when its log was not in use")]
    OutOfUse(Timestamp),
    /// Clocks differ, or somebody lies.
    #[error("the log entry is of {0}, which is still to come")]
    Future(Timestamp),
    /// The path does not lead from the entry to the root of the tree.
    #[error("the inclusion proof of the log entry does not hold: {0}")]
    Inclusion(String),
    /// The root of the tree is not the log's.
    #[error("the checkpoint of the log entry does not verify: {0}")]
    Checkpoint(&'static str),
}

impl Entry {
    /// Whether it proves that one of `logs` took in `signature`; `now` is when that is asked.
    pub fn verify(
        &self,
        logs: &[KnownLog],
        signature: &Signature<'_>,
        now: Timestamp,
    ) -> Result<Logged, EntryError> {
        self.is_about(signature)?;
        let id = self.0.log_id.key_id.as_bytes();
        let log = logs.iter().find(|log| log.id() == id);
        let log = log.ok_or_else(|| EntryError::UnknownLog(self.log_id().chars().take(128).collect()))?;
        proof::verify(&self.0, self.version(), log, now)
    }

    /// Whether its body is about exactly this signature; who wrote the body is not asked.
    pub fn is_about(&self, signature: &Signature<'_>) -> Result<(), Mismatch> {
        body::matches(self.0.kind_version, self.0.canonicalized_body.as_bytes(), signature)
    }

    /// Whether its proof leads to the root that its own checkpoint names: as much as can be told of a log whose key
    /// nobody knows.
    pub fn holds_together(&self) -> Result<(), EntryError> {
        proof::holds_together(&self.0, self.version())
    }

    /// Of which kind of log it is.
    pub fn version(&self) -> Version {
        match self.0.kind_version {
            KindVersion::HashedRekordV002 => Version::V2,
            _ => Version::V1,
        }
    }

    /// Its place in the log.
    pub fn index(&self) -> u64 {
        self.0.log_index.get()
    }

    /// The id of the log's key, in hexadecimal.
    pub fn log_id(&self) -> String {
        hex::encode(self.0.log_id.key_id.as_bytes())
    }

    /// What `chains.tekton.dev/transparency` says of it, for a log at `url`.
    pub fn address(&self, url: &str) -> String {
        let (url, index) = (url.trim_end_matches('/'), self.index());
        match self.version() {
            Version::V1 => format!("{url}/api/v1/log/entries?logIndex={index}"),
            Version::V2 => format!("{url}?logIndex={index}"),
        }
    }
}

#[cfg(test)]
#[path = "../../tests/support/made_log.rs"]
#[allow(dead_code, missing_docs, unreachable_pub, reason = "the tests on real servers use it as well")]
pub(crate) mod made_log;
#[cfg(test)]
pub(crate) mod tests;
