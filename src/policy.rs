//! ClusterImagePolicy (`policy.sigstore.dev/v1alpha1` and `v1beta1`): which images must be signed, and by whom
//! (credentials specification §8).
//!
//! An **image** is governed by every policy whose globs match it. Each policy has **authorities**; what was found
//! beside the image is **checked** against each, and **evaluation** turns the results into one verdict.
//!
//! # Guarantees
//!
//! - A field that is not understood makes a policy unusable; nothing in it is passed over.
//! - For an enforced policy everything but an explicit pass is a denial: what could not be decided too.
//!
//! This file and its pure parts do no input or output; [`verification`] looks at registries, and [`webhook`] answers the
//! API server.

pub mod authority;
pub mod check;
mod document;
pub mod evaluation;
mod field;
pub mod finding;
pub mod glob;
pub mod identity;
pub mod material;
pub mod predicate;
pub mod reference;
pub mod repositories;
pub mod source;
pub mod trust;
pub mod trust_root;
pub mod verification;
pub mod webhook;
pub mod workload;

use authority::Authority;
use glob::Glob;
use reference::Reference;
use workload::{Workload, WorkloadMatch};

pub use document::{Reading, Rules};

/// A policy that was read whole and holds together.
#[derive(Debug, Clone)]
pub struct ClusterImagePolicy {
    /// Its name.
    pub name: String,
    /// Which images it governs; at least one.
    pub images: Vec<Glob>,
    /// Which workloads it governs; all when there is none.
    pub workloads: Vec<WorkloadMatch>,
    /// One of them must be satisfied; at least one.
    pub authorities: Vec<Authority>,
    /// What becomes of an image that satisfies none.
    pub mode: Mode,
}

/// What a failure of a policy leads to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Denial.
    #[default]
    Enforce,
    /// A warning, for this policy alone.
    Warn,
}

impl ClusterImagePolicy {
    /// The first glob that governs the image.
    pub fn governs(&self, image: &Reference) -> Option<&Glob> {
        self.images.iter().find(|glob| glob.matches(image))
    }

    /// Whether it governs a workload.
    pub fn selects(&self, workload: &Workload<'_>) -> bool {
        self.workloads.is_empty() || self.workloads.iter().any(|wanted| wanted.matches(workload))
    }
}

impl Mode {
    /// As policies write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Warn => "warn",
        }
    }
}
