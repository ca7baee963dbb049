//! Stores beside registries and annotations: real servers where there are any (fake-gcs-server, the Versity S3 gateway,
//! FerretDB, DynamoDB Local, Apache Kafka), and `server.py`, which shares no code with what is tested, for the others;
//! Chains' own code reads back what it can
//! (`hack/test stores`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and it uses a part of what all tests share"
)]

#[path = "../core/agent.rs"]
mod agent;
mod buckets;
#[cfg(feature = "mongodb")]
mod doctor;
mod documents;
#[path = "../core/inside.rs"]
mod inside;
mod messages;
#[cfg(feature = "mongodb")]
mod mongodb;
mod records;
#[path = "../core/release.rs"]
mod release;
#[path = "../support/lib.rs"]
mod support;
mod together;
mod world;
