//! The admission webhook on real servers: a real kube-apiserver asks it, a private registry behind tokens holds the images,
//! a real Fulcio and a real timestamp authority stand behind the signatures (`hack/test webhook`).

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

mod cases;
mod certificate;
mod metrics;
mod policy_controller;
mod source_document;
#[path = "../support/lib.rs"]
mod support;
mod tampered;
mod trust_roots;
mod workloads;
mod world;
