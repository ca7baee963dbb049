//! The port behind which signatures are recorded, so that it can be proven later that they were made, and when:
//! transparency logs and timestamp authorities (Chains specification §7).
//!
//! A log is told what was signed after it was signed and before it is stored. What it answers is verified before it
//! counts; the implementations are in `client/`.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::covered::Signature;
use super::entry::Entry;
use super::timestamp::SignedTimestamp;
use crate::error::{About, Class, Diagnose};

/// Something that records signatures: a Rekor of either version, or a timestamp authority.
#[async_trait]
pub trait Log: Send + Sync {
    /// Where it is, for messages and for the annotation of the run.
    fn url(&self) -> &str;

    /// Records `signature` and returns the proof, verified. A signature that is recorded already gets the proof that
    /// exists.
    async fn record(&self, signature: &Signature<'_>, now: Timestamp) -> Result<Proof, Error>;

    /// A timestamp over `content` as a whole, from whoever signs times: what cosign wants for an envelope that lies under
    /// a tag, where a bundle has one over the signature.
    async fn stamp(&self, content: &[u8], now: Timestamp) -> Result<Option<SignedTimestamp>, Error> {
        let _ = (content, now);
        Ok(None)
    }

    /// Whether cosign's tags have a place for its proof.
    fn fits_in_tags(&self) -> bool {
        true
    }

    /// What is not as safe here as it could be, in a sentence for people.
    fn warning(&self) -> Option<String> {
        None
    }
}

/// What a log gives for a signature.
#[derive(Debug, Clone)]
pub enum Proof {
    /// The signature is in a transparency log.
    Entry(Box<Entry>),
    /// The signature existed at a time.
    Timestamp(SignedTimestamp),
}

/// An entry as it is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Where it can be looked at.
    pub address: String,
    /// The id of the log's key, in hexadecimal.
    pub log: String,
}

impl Proof {
    /// The entry, if this is one of the log at `url`.
    pub fn logged(&self, url: &str) -> Option<Logged> {
        match self {
            Self::Entry(entry) => Some(Logged { address: entry.address(url), log: entry.log_id() }),
            Self::Timestamp(_) => None,
        }
    }
}

/// All that was gathered about one signature; travels with it into stores.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Entries in transparency logs.
    pub entries: Vec<Entry>,
    /// Signed timestamps.
    pub timestamps: Vec<SignedTimestamp>,
    /// What they are over, where that is not the signature: the envelope as it lies under a tag of cosign's.
    pub stamped: Option<Vec<u8>>,
}

impl Evidence {
    /// Adds what a log gave.
    pub fn add(&mut self, proof: Proof) {
        match proof {
            Proof::Entry(entry) => self.entries.push(*entry),
            Proof::Timestamp(timestamp) => self.timestamps.push(timestamp),
        }
    }

    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.timestamps.is_empty()
    }
}

/// Why a signature was not recorded, as the log's own client says it.
#[derive(Debug)]
pub struct Error(Box<dyn Diagnose + Send + Sync>);

impl Error {
    /// What a client says.
    pub fn of(error: impl Diagnose + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        self.0.class()
    }

    fn label(&self) -> &'static str {
        self.0.label()
    }

    fn hint(&self) -> Option<String> {
        self.0.hint()
    }

    fn about(&self) -> Option<About> {
        self.0.about()
    }

    fn host_away(&self) -> Option<&str> {
        self.0.host_away()
    }

    fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after()
    }
}
