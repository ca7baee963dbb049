//! Timestamp authorities (RFC 3161): that a signature existed at a time, without a log.
//!
//! # Guarantees
//!
//! - A timestamp leaves here only when it answers this request (nonce), is over this signature, and is by an authority
//!   of the trust root; where the root knows none, [`Log::warning`] tells that nobody checked who signed it.
//! - The answer is bounded. What is sent is the hash of a signature, and says nothing about what was signed.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use jiff::Timestamp;

use super::http::{Clients, Transport};
use super::log::{Endpoint, Error, Kind};
use crate::signature::covered::Signature;
use crate::signature::log::{self, Log, Proof};
use crate::signature::timestamp::{Nonce, SignedTimestamp, TimestampError, TokenError, request};
use crate::signature::trusted_root::TrustedRoot;

/// With its chain an answer has some kilobytes.
const LARGEST_ANSWER: usize = 64 * 1024;

/// A timestamp authority.
pub struct TimestampAuthority {
    endpoint: Endpoint,
    root: Option<Arc<TrustedRoot>>,
}

impl TimestampAuthority {
    /// The one whose requests go to `address`, as `timestamp.url` has it: `https://host/api/v1/timestamp`.
    pub fn new(
        clients: &Clients,
        transport: &Transport,
        address: &str,
        root: Option<Arc<TrustedRoot>>,
    ) -> Result<Self, Error> {
        let endpoint = Endpoint::new(Kind::Timestamp, clients, transport, address)?;
        Ok(Self { endpoint, root: root.filter(|root| root.knows_timestamps()) })
    }

    /// A timestamp over the raw `signature`.
    pub async fn timestamp(&self, signature: &[u8], now: Timestamp) -> Result<SignedTimestamp, Error> {
        let nonce = nonce().ok_or(Error::Randomness)?;
        let query = request(signature, nonce).ok_or(Error::Randomness)?;
        let media_type = "application/timestamp-query";
        let answer = self.endpoint.post("", media_type, query, LARGEST_ANSWER, now).await?;
        let timestamp = SignedTimestamp::read(answer.body.to_vec());
        let timestamp = timestamp.map_err(|error| self.endpoint.unproven(error))?;
        self.check(&timestamp, signature, nonce, now).map_err(|error| self.endpoint.unproven(error))?;
        Ok(timestamp)
    }

    fn check(
        &self,
        timestamp: &SignedTimestamp,
        signature: &[u8],
        nonce: Nonce,
        now: Timestamp,
    ) -> Result<(), TimestampError> {
        if !timestamp.answers(nonce) {
            return Err(TokenError::OtherRequest.into());
        }
        timestamp.is_over(signature)?;
        self.root.as_ref().map_or(Ok(()), |root| timestamp.verify(root, signature, now).map(|_| ()))
    }
}

fn nonce() -> Option<Nonce> {
    let mut random = [0; 8];
    SystemRandom::new().fill(&mut random).ok()?;
    Some(Nonce::new(random))
}

#[async_trait]
impl Log for TimestampAuthority {
    fn url(&self) -> &str {
        &self.endpoint.address
    }

    async fn record(&self, signature: &Signature<'_>, now: Timestamp) -> Result<Proof, log::Error> {
        self.timestamp(signature.bytes, now).await.map(Proof::Timestamp).map_err(log::Error::of)
    }

    async fn stamp(&self, content: &[u8], now: Timestamp) -> Result<Option<SignedTimestamp>, log::Error> {
        self.timestamp(content, now).await.map(Some).map_err(log::Error::of)
    }

    fn warning(&self) -> Option<String> {
        let server = self.endpoint.server();
        let text =
            format!("no trust root knows a timestamp authority, so who signs for {server} is not checked");
        self.root.is_none().then_some(text)
    }
}

#[cfg(test)]
mod tests;
