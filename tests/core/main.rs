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
mod bad_input;
mod crash;
mod credentials;
mod deletion;
mod demo;
mod embedded_registry;
mod harness;
mod main_path;
mod outage;
mod pipeline_run;
mod release;
mod seed;
#[path = "../support/lib.rs"]
mod support;
