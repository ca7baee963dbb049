//! Objects in buckets: Google Cloud Storage, S3 and what speaks as it does, Azure Blob Storage (Chains specification
//! §6.3). Two requests of each: read an object, write one.
//!
//! Guarantees: a write that did not arrive whole is an error, never a success (defect D14); an object that must not be
//! replaced is not, whoever writes at the same time. Who writes is given: identities are in `storage::access`.
//!
//! By hand and not by `object_store`: see Cargo.toml.

pub mod azure;
pub mod gcs;
pub mod s3;

use bytes::Bytes;

use super::store::{Answer, Error, Server};

/// What a write may replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// Whatever is there.
    Anything,
    /// Nothing: what is there stays.
    Nothing,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is there now.
    Now,
    /// Something had been there, and stayed.
    Before,
}

/// Why an object was not read.
#[derive(Debug)]
pub enum Unread {
    /// Whoever reads may only write, or nothing at all.
    Denied(Error),
    /// Another reason.
    Failed(Error),
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What an answer to a read means; `absent` says that 404 is for the object, `denied` that 403 is for reading.
fn object(
    server: &Server,
    what: &str,
    answer: Answer,
    (absent, denied): (bool, bool),
    remedy: String,
) -> Result<Option<Bytes>, Unread> {
    match answer.status.as_u16() {
        200 => Ok(Some(answer.body)),
        404 if absent => Ok(None),
        403 if denied => Err(Unread::Denied(server.refused(what, &answer, remedy))),
        _ => Err(Unread::Failed(server.refused(what, &answer, remedy))),
    }
}
