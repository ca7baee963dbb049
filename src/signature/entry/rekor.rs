//! Entries as the logs answer with them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use sigstore_types::{CanonicalizedBody, TransparencyLogEntry};

use super::Entry;

/// An entry as Rekor of version 1 gives it, by its id.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    body: CanonicalizedBody,
    #[serde(default)]
    integrated_time: i64,
    #[serde(rename = "logID")]
    log_id: String,
    log_index: u64,
    #[serde(default)]
    verification: Verification,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verification {
    inclusion_proof: Option<Proof>,
    signed_entry_timestamp: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Proof {
    #[serde(default)]
    checkpoint: String,
    hashes: Vec<String>,
    log_index: u64,
    root_hash: String,
    tree_size: u64,
}

impl Entry {
    /// Reads what Rekor of version 1 answers: one entry, under its id.
    pub fn of_rekor_v1(json: &[u8]) -> Option<Self> {
        let answer: BTreeMap<String, Answer> = serde_json::from_slice(json).ok()?;
        let mut entries = answer.into_values();
        let entry = entries.next().filter(|_| entries.next().is_none())?;
        let kind = kind(entry.body.as_bytes())?;
        let proof = match entry.verification.inclusion_proof {
            Some(proof) => Some(proof.in_bundle()?),
            None => None,
        };
        let promise = entry.verification.signed_entry_timestamp;
        let promise = promise.map(|set| json!({ "signedEntryTimestamp": set }));
        of_parts(&json!({
            "logIndex": entry.log_index,
            "logId": { "keyId": base64_of_hex(&entry.log_id)? },
            "kindVersion": kind,
            "integratedTime": entry.integrated_time,
            "inclusionPromise": promise,
            "inclusionProof": proof,
            "canonicalizedBody": entry.body,
        }))
    }

    /// Reads what Rekor of version 2 answers: an entry as bundles hold it.
    pub fn of_rekor_v2(json: &[u8]) -> Option<Self> {
        serde_json::from_slice::<TransparencyLogEntry>(json).ok().map(Self)
    }
}

impl Proof {
    fn in_bundle(&self) -> Option<Value> {
        let hashes: Option<Vec<_>> = self.hashes.iter().map(|hash| base64_of_hex(hash)).collect();
        Some(json!({
            "logIndex": self.log_index,
            "rootHash": base64_of_hex(&self.root_hash)?,
            "treeSize": self.tree_size.to_string(),
            "hashes": hashes?,
            "checkpoint": { "envelope": self.checkpoint },
        }))
    }
}

/// Kind and version as a body names them.
pub(super) fn kind(body: &[u8]) -> Option<Value> {
    let body: Value = serde_json::from_slice(body).ok()?;
    Some(json!({ "kind": body.get("kind")?, "version": body.get("apiVersion")? }))
}

/// An entry of the parts that bundles name: read, so that each of them is checked once and in one place.
pub(super) fn of_parts(parts: &Value) -> Option<Entry> {
    TransparencyLogEntry::deserialize(parts).ok().map(Entry)
}

pub(super) fn base64_of_hex(text: &str) -> Option<String> {
    use base64::Engine as _;
    hex::decode(text).ok().map(|bytes| base64::prelude::BASE64_STANDARD.encode(bytes))
}
