//! Promises kept on real servers: etcd, kube-apiserver, registries and cosign (`hack/test core`).

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

mod agent;
mod crash;
mod demo;
mod embedded_registry;
mod harness;
mod main_path;
mod outage;
mod release;
#[path = "../support/lib.rs"]
mod support;
