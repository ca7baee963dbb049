//! Promises kept beside the real Tekton (`hack/test tekton`): its controller and webhook complete runs, on nodes that kwok
//! simulates; the definitions of its older releases are those that runs are made by; and Tekton Chains signs on the same
//! cluster before and after Hallmark.

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

mod beside;
mod builds;
mod chains;
mod installed;
mod migration;
mod pipelines;
mod releases;
#[path = "../support/lib.rs"]
mod support;
