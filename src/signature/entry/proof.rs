//! What a log signed about an entry: the promise to take it in, with a time (version 1), and the root of a tree that
//! the entry is in (both versions; RFC 6962, and the checkpoints of C2SP).

use jiff::{SignedDuration, Timestamp};
use sigstore_types::{Checkpoint, InclusionProof, TransparencyLogEntry};
use url::Url;

use super::{EntryError, Logged, Version};
use crate::signature::trusted_root::KnownLog;

/// Clocks may differ by so much before a log counts as being ahead of time.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Every proof that is present has to hold, and there has to be one that `log` signed.
pub(super) fn verify(
    entry: &TransparencyLogEntry,
    version: Version,
    log: &KnownLog,
    now: Timestamp,
) -> Result<Logged, EntryError> {
    let promised = promise(entry, version, log, now)?;
    let proven = match &entry.inclusion_proof {
        Some(proof) => included(entry, proof, version, log, now)?,
        None => false,
    };
    match (promised, proven) {
        (None, false) => Err(EntryError::NoProof),
        (at, _) => Ok(Logged { at }),
    }
}

/// The path alone, up to the root that is named.
pub(super) fn holds_together(entry: &TransparencyLogEntry, version: Version) -> Result<(), EntryError> {
    let proof = entry.inclusion_proof.as_ref().ok_or(EntryError::NoProof)?;
    let checkpoint = proof.checkpoint.checkpoint().ok_or(EntryError::Checkpoint("there is none"))?;
    path(entry, proof, version, checkpoint)
}

/// The time that version 1 signed together with the entry.
fn promise(
    entry: &TransparencyLogEntry,
    version: Version,
    log: &KnownLog,
    now: Timestamp,
) -> Result<Option<Timestamp>, EntryError> {
    let (Some(promise), Version::V1) = (&entry.inclusion_promise, version) else { return Ok(None) };
    let at = entry.integrated_time.ok_or(EntryError::Promise)?;
    if !log.verifies(promised(entry, at).as_bytes(), promise.signed_entry_timestamp.as_bytes()) {
        return Err(EntryError::Promise);
    }
    if !log.is_valid(at) {
        return Err(EntryError::OutOfUse(at));
    }
    if at > now + SKEW { Err(EntryError::Future(at)) } else { Ok(Some(at)) }
}

/// What a promise is signed over: canonical JSON, whose texts are base64 and hexadecimal and need no escapes.
fn promised(entry: &TransparencyLogEntry, at: Timestamp) -> String {
    format!(
        r#"{{"body":"{}","integratedTime":{},"logID":"{}","logIndex":{}}}"#,
        entry.canonicalized_body.to_base64(),
        at.as_second(),
        hex::encode(entry.log_id.key_id.as_bytes()),
        entry.log_index,
    )
}

/// Whether the log signed the root of a tree with this entry in it. Proofs of old entries of version 1 came without
/// a checkpoint: such a path has to hold, and proves nothing.
fn included(
    entry: &TransparencyLogEntry,
    proof: &InclusionProof,
    version: Version,
    log: &KnownLog,
    now: Timestamp,
) -> Result<bool, EntryError> {
    let Some(checkpoint) = proof.checkpoint.checkpoint() else {
        if version == Version::V2 {
            return Err(EntryError::Checkpoint("there is none"));
        }
        merkle(entry, proof.log_index.get(), proof.tree_size, proof, &proof.root_hash)?;
        return Ok(false);
    };
    signed(checkpoint, version, log, now)?;
    path(entry, proof, version, checkpoint)?;
    Ok(true)
}

fn signed(
    checkpoint: &Checkpoint,
    version: Version,
    log: &KnownLog,
    now: Timestamp,
) -> Result<(), EntryError> {
    if version == Version::V2 && !is_origin_of(checkpoint.origin(), log.url()) {
        return Err(EntryError::Checkpoint("it is of another log"));
    }
    if !log.has_begun(now) {
        return Err(EntryError::OutOfUse(now));
    }
    // The hint has four bytes and may be shared; names say who signed, witnesses among them.
    let verified = checkpoint.signatures().iter().any(|signature| {
        let (hint, message) = (signature.key_id.as_slice(), checkpoint.signed_data());
        let named = version == Version::V1 || signature.name == checkpoint.origin();
        named && log.id().starts_with(hint) && log.verifies(message, signature.signature.as_bytes())
    });
    if verified { Ok(()) } else { Err(EntryError::Checkpoint("its log did not sign it")) }
}

/// A log of version 2 calls itself by its address without the scheme.
fn is_origin_of(origin: &str, url: &str) -> bool {
    let stripped = url.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let host = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    origin == stripped || host.as_deref() == Some(origin)
}

/// Version 2 counts leaves as it counts entries; version 1 counts those of its shard, and repeats the root.
fn path(
    entry: &TransparencyLogEntry,
    proof: &InclusionProof,
    version: Version,
    checkpoint: &Checkpoint,
) -> Result<(), EntryError> {
    let (root, size) = (checkpoint.root_hash(), checkpoint.tree_size());
    match version {
        Version::V2 => merkle(entry, entry.log_index.get(), size, proof, root),
        Version::V1 if *root != proof.root_hash => Err(EntryError::Checkpoint("it is of another tree")),
        Version::V1 => merkle(entry, proof.log_index.get(), proof.tree_size, proof, root),
    }
}

fn merkle(
    entry: &TransparencyLogEntry,
    leaf: u64,
    size: u64,
    proof: &InclusionProof,
    root: &sigstore_types::Sha256Hash,
) -> Result<(), EntryError> {
    let hash = sigstore_merkle::hash_leaf(entry.canonicalized_body.as_bytes());
    sigstore_merkle::verify_inclusion_proof(&hash, leaf, size, &proof.hashes, root)
        .map_err(|error| EntryError::Inclusion(error.to_string()))
}
