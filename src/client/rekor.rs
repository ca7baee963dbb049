//! Transparency logs: Rekor of version 1 and of version 2, which is made of tiles (Chains specification §7).
//!
//! Requests of its own and not `sigstore-rekor`: that one takes certificates alone, reads answers without a limit, and
//! loses status and `Retry-After`.
//!
//! # Guarantees
//!
//! - An entry leaves here only when it is about the signature that was sent, and when it verifies: against the logs of
//!   the trust root, and where there is none, against the key that a log of version 1 shows itself, fetched once.
//! - A signature that is in a log of version 1 already gets the entry that exists. One of version 2 gives a proof once.
//!
//! # Caveats
//!
//! Without a trust root an entry is held against what the log says of itself, which [`Log::warning`] tells. A log of
//! version 2 shows no key at all: its proof is held against its own checkpoint, whose signature nobody checks. It does
//! not retry: its class says whether to come back.

mod v1;
mod v2;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::http::{Clients, Transport};
use super::log::{Endpoint, Error, Kind};
use crate::signature::covered::Signature;
use crate::signature::entry::{Entry, EntryError, Version};
use crate::signature::log::{self, Log, Proof};
use crate::signature::trusted_root::{KnownLog, TrustedRoot};

/// An entry has a few kilobytes; its proof has at most 64 hashes.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// A transparency log.
pub struct Rekor {
    endpoint: Endpoint,
    version: Version,
    root: Option<Arc<TrustedRoot>>,
    shown: OnceCell<KnownLog>,
}

impl Rekor {
    /// The one at `address`, as `transparency.url` has it. Without a `root`, or with one that knows no log, entries
    /// are held against what the log says of itself.
    pub fn new(
        clients: &Clients,
        transport: &Transport,
        address: &str,
        version: Version,
        root: Option<Arc<TrustedRoot>>,
    ) -> Result<Self, Error> {
        let endpoint = Endpoint::new(Kind::Rekor, clients, transport, address)?;
        let root = root.filter(|root| !root.logs().is_empty());
        Ok(Self { endpoint, version, root, shown: OnceCell::new() })
    }

    /// Records `signature`.
    pub async fn entry(&self, signature: &Signature<'_>, now: Timestamp) -> Result<Entry, Error> {
        let entry = match self.version {
            Version::V1 => v1::record(&self.endpoint, signature, now).await?,
            Version::V2 => v2::record(&self.endpoint, signature, now).await?,
        };
        self.check(&entry, signature, now).await?;
        Ok(entry)
    }

    /// Whether it answers as a log; nothing is recorded.
    pub async fn answers(&self, now: Timestamp) -> Result<(), Error> {
        match self.version {
            Version::V1 => v1::public_key(&self.endpoint, now).await.map(|_| ()),
            Version::V2 => self.endpoint.get("/api/v2/checkpoint", LARGEST_ANSWER, now).await.map(|_| ()),
        }
    }

    async fn check(&self, entry: &Entry, signature: &Signature<'_>, now: Timestamp) -> Result<(), Error> {
        let unproven = |error: EntryError| self.endpoint.unproven(error);
        match (&self.root, self.version) {
            (Some(root), _) => entry.verify(root.logs(), signature, now).map(|_| ()).map_err(unproven),
            (None, Version::V1) => {
                let shown = self.shown.get_or_try_init(|| v1::public_key(&self.endpoint, now)).await?;
                entry.verify(std::slice::from_ref(shown), signature, now).map(|_| ()).map_err(unproven)
            }
            (None, Version::V2) => {
                entry.is_about(signature).map_err(|mismatch| unproven(mismatch.into()))?;
                entry.holds_together().map_err(unproven)
            }
        }
    }
}

#[async_trait]
impl Log for Rekor {
    fn url(&self) -> &str {
        &self.endpoint.address
    }

    async fn record(&self, signature: &Signature<'_>, now: Timestamp) -> Result<Proof, log::Error> {
        let entry = self.entry(signature, now).await.map_err(log::Error::of)?;
        Ok(Proof::Entry(Box::new(entry)))
    }

    fn fits_in_tags(&self) -> bool {
        self.version == Version::V1
    }

    fn warning(&self) -> Option<String> {
        let held_against = match self.version {
            _ if self.root.is_some() => return None,
            Version::V1 => "the key that it shows itself",
            Version::V2 => "its own checkpoint, whose signature nobody checks",
        };
        let server = self.endpoint.server();
        Some(format!("no trust root knows a log, so entries of {server} are held against {held_against}"))
    }
}

#[cfg(test)]
pub(crate) mod tests;
