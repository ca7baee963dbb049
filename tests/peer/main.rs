//! Hallmark states runs as the code of its peer does, Tekton Chains (`hack/peer`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and its parts are no library"
)]

mod comparison;
mod generator;
mod goldens;
mod oracle;
mod recorded;
