//! Cloud identities against servers that share no code with them (`server.py`): botocore recomputes what is signed,
//! `PyJWT` verifies tokens, and a request with one byte changed is refused (credentials specification §1.6, `hack/test
//! cloud`).
//!
//! Without Python and its packages (`hack/install cloud-judges`) each test says so and is passed over.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and its parts are no library"
)]

mod acr;
mod clouds;
mod ecr;
mod google;
mod pull_secrets;
mod run_identity;
#[path = "../support/lib.rs"]
mod support;
