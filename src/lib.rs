//! Hallmark signs what Tekton builds.
//!
//! A **completed run** → its **artifacts** → a **payload** for each → a **signature** over it → **storage** →
//! **recorded** on the run. The modules are named for these steps; [`flow`] is the sentence itself.
//!
//! # Arrows
//!
//! A module may use those above it in this list and no others; `tests/layers.rs` holds the table.
//!
//! 1. [`error`], [`tekton`], [`artifact`], [`config`]: values, no input or output at all.
//! 2. [`payload`], and the pure parts of [`signature`], [`storage`], [`credential`], [`identity`].
//! 3. [`client`]: the only place that opens sockets.
//! 4. adapters: `storage::oci`, `credential::kubernetes`, `config::watch`, [`refresh`].
//! 5. [`flow`]: ports only.
//! 6. [`controller`]; 7. [`cli`]; 8. `main`.
//!
//! # Invariants
//!
//! - Nothing is signed twice and nothing is lost, whatever step a crash follows.
//! - A credential is used only for a run whose own pod, template or service account names it now.
//! - `signed: "true"` means that everything which the configuration asks of this run is in place.
//! - Memory grows with pending work, not with the runs that exist.
//! - Every byte from outside is bounded and timed; secrets cannot print.

pub mod artifact;
pub mod cli;
pub mod client;
pub mod config;
pub mod controller;
pub mod credential;
pub mod error;
pub mod flow;
pub mod identity;
pub mod payload;
pub mod policy;
pub mod refresh;
pub mod signature;
pub mod storage;
pub mod tekton;
pub mod telemetry;
