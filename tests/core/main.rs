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

mod acceptance;
mod agent;
mod bad_input;
mod crash;
mod credentials;
mod deletion;
mod demo;
mod doctor;
mod embedded_registry;
mod examples;
mod explain;
#[path = "../docs/expressions.rs"]
mod expressions;
mod handbook;
mod harness;
mod hostile;
mod index_children;
#[path = "../tekton/installed.rs"]
#[expect(dead_code, reason = "the group tekton uses all of it")]
mod installed;
mod key_policy;
mod keys;
mod layouts;
mod main_path;
mod monitoring;
mod outage;
mod overlays;
mod own_credentials;
mod pipeline_run;
mod progress;
mod release;
mod seed;
mod selection;
mod settings;
mod silent;
mod status;
#[path = "../support/lib.rs"]
mod support;
mod traces;
mod verify;
mod wake;
mod writers;
