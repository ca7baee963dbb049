//! Short-lived registry credentials on real servers: a real kube-apiserver with real tokens and rights, a token
//! service that verifies them by that server's keys, and the real distribution registry (`hack/test refresh`).

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

mod document;
#[path = "../docs/expressions.rs"]
mod expressions;
mod failures;
mod handbook;
mod helper;
mod identities;
mod login;
mod monitoring;
mod overlay;
mod person;
mod pull_token;
mod runs;
#[path = "../support/lib.rs"]
mod support;
mod tools;
mod updater;
mod world;
