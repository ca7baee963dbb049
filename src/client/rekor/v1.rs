//! Rekor of version 1: `hashedrekord` for signatures over bytes, `dsse` for envelopes.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use http::header::LOCATION;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::LARGEST_ANSWER;
use crate::artifact::digest::Digest;
use crate::client::log::{Answer, Endpoint, Error};
use crate::signature::covered::{Covered, Signature};
use crate::signature::dsse;
use crate::signature::entry::Entry;
use crate::signature::trusted_root::KnownLog;

const ENTRIES: &str = "/api/v1/log/entries";

/// Sends `signature`, and fetches its entry where there is one already.
pub(super) async fn record(
    endpoint: &Endpoint,
    signature: &Signature<'_>,
    now: Timestamp,
) -> Result<Entry, Error> {
    let proposal = proposal(signature).to_string().into_bytes();
    let answer = endpoint.post(ENTRIES, "application/json", proposal, LARGEST_ANSWER, now).await?;
    let answer = if answer.status == StatusCode::CONFLICT {
        let id = existing(&answer).ok_or_else(|| endpoint.unexpected("409 without the id of an entry"))?;
        endpoint.get(&format!("{ENTRIES}/{id}"), LARGEST_ANSWER, now).await?
    } else {
        answer
    };
    Entry::of_rekor_v1(&answer.body).ok_or_else(|| endpoint.unexpected("without a log entry"))
}

/// The key that the log shows.
pub(super) async fn public_key(endpoint: &Endpoint, now: Timestamp) -> Result<KnownLog, Error> {
    let answer = endpoint.get("/api/v1/log/publicKey", LARGEST_ANSWER, now).await?;
    let pem = String::from_utf8_lossy(&answer.body);
    KnownLog::of_pem(&endpoint.address, &pem).map_err(|error| endpoint.unproven(error))
}

fn proposal(signature: &Signature<'_>) -> Value {
    let verifier = BASE64_STANDARD.encode(signature.pem());
    match signature.covered {
        Covered::Payload(payload) => json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": { "hash": { "algorithm": "sha256", "value": Digest::of(payload).hex() } },
                "signature": {
                    "content": BASE64_STANDARD.encode(signature.bytes),
                    "publicKey": { "content": verifier },
                },
            },
        }),
        Covered::Envelope { payload_type, payload } => {
            let envelope = dsse::envelope(payload_type, payload, signature.key().id(), signature.bytes);
            json!({
                "apiVersion": "0.0.1",
                "kind": "dsse",
                "spec": {
                    "proposedContent": {
                        "envelope": String::from_utf8_lossy(&envelope),
                        "verifiers": [verifier],
                    },
                },
            })
        }
    }
}

/// The id of the entry that is there: in the header, and in older versions in the message alone.
fn existing(answer: &Answer) -> Option<String> {
    let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let from_header = location.and_then(|path| path.rsplit('/').next()).filter(|id| is_id(id));
    let body = String::from_utf8_lossy(&answer.body);
    let mut words = body.split(|c: char| !c.is_ascii_alphanumeric());
    from_header.or_else(|| words.find(|word| is_id(word))).map(str::to_owned)
}

/// The hash of a leaf, mostly behind the number of its tree.
fn is_id(word: &str) -> bool {
    matches!(word.len(), 64 | 80) && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}
