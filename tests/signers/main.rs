//! Keys that stay elsewhere, on a real Vault and on servers that judge as clouds do, with cosign as the judge; and the opinion of sigstore-go on what was signed
//! (`hack/test signers`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and it uses a part of what all tests share"
)]

#[path = "../core/agent.rs"]
mod agent;
#[path = "../cloud/clouds.rs"]
mod clouds;
mod clouds_kms;
mod doctor;
#[path = "../core/inside.rs"]
mod inside;
mod login;
mod pkcs11;
#[path = "../core/release.rs"]
mod release;
mod second_opinion;
#[path = "../support/lib.rs"]
mod support;
mod vault;
