//! The entry as cosign keeps it beside a signature under a tag: the promise and what it is signed over, without a
//! proof of inclusion. There is no such form for version 2, whose entries have no promise.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::rekor::{base64_of_hex, kind, of_parts};
use super::{Entry, Version};

/// The annotation of a layer that holds it.
pub const ANNOTATION: &str = "dev.sigstore.cosign/bundle";

/// Why an annotation holds no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the annotation {ANNOTATION} holds no log entry")]
pub struct ReadError;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Annotation {
    signed_entry_timestamp: String,
    payload: Payload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    body: String,
    integrated_time: i64,
    log_index: u64,
    #[serde(rename = "logID")]
    log_id: String,
}

impl Entry {
    /// What the annotation says; `None` for an entry without a promise.
    pub fn to_annotation(&self) -> Option<String> {
        let promise = self.0.inclusion_promise.as_ref().filter(|_| self.version() == Version::V1)?;
        let annotation = json!({
            "SignedEntryTimestamp": promise.signed_entry_timestamp,
            "Payload": {
                "body": self.0.canonicalized_body,
                "integratedTime": self.0.integrated_time?.as_second(),
                "logIndex": self.index(),
                "logID": self.log_id(),
            },
        });
        Some(annotation.to_string())
    }

    /// Reads the annotation.
    pub fn of_annotation(text: &str) -> Result<Self, ReadError> {
        let annotation: Annotation = serde_json::from_str(text).map_err(|_| ReadError)?;
        let payload = annotation.payload;
        let body = BASE64_STANDARD.decode(&payload.body).map_err(|_| ReadError)?;
        let read = of_parts(&json!({
            "logIndex": payload.log_index,
            "logId": { "keyId": base64_of_hex(&payload.log_id).ok_or(ReadError)? },
            "kindVersion": kind(&body).ok_or(ReadError)?,
            "integratedTime": payload.integrated_time,
            "inclusionPromise": { "signedEntryTimestamp": annotation.signed_entry_timestamp },
            "canonicalizedBody": payload.body,
        }));
        read.filter(|entry| entry.version() == Version::V1).ok_or(ReadError)
    }
}
