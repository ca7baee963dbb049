//! Documents in databases: `DynamoDB`, Firestore and `MongoDB`, as the library of Chains lays them out (Chains specification
//! §6.4). Two requests of each: read a document by its name, write one.
//!
//! Guarantees: a document is written whole or not at all, and one that must not be replaced is not. Must not: search; a
//! document is known by its name alone.

pub mod dynamodb;
pub mod firestore;
#[cfg(feature = "mongodb")]
pub mod mongodb;

use serde_json::Value;

/// A signature with what it is over, under the field names of Chains.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    /// What was signed.
    pub signed: Vec<u8>,
    /// The signature in base64: an envelope, or a raw one.
    pub signature: String,
    /// The certificate as PEM; empty when a key signed.
    pub certificate: String,
    /// Its chain.
    pub chain: String,
    /// What was signed, for whoever searches in the database.
    pub object: Value,
}
