//! The store `oci`: signatures beside their image in a registry, in cosign's tags, as Sigstore bundles that refer to
//! the image, or both (Chains specification §6.2).

mod bundles;
mod children;
mod manifest;
mod subjects;
mod tags;

use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBuilder;

use super::{Error, Place, Store};
use crate::client::registry::{self, Session};
use crate::config::OciStorage;
use crate::error::Diagnose;
use crate::signature::log::Log;
use bundles::Bundles;
pub use children::Indexes;
use subjects::Subjects;
use tags::Tags;

/// How often a tag that others keep replacing is merged anew.
const MERGES: usize = 8;
/// Signatures that could be ours and are looked into; the newest ones first.
const MAX_LOOKED_INTO: usize = 32;

/// The layouts that `settings` ask for, for one run. `logs` are what its signatures are recorded in: one that is there
/// already counts with a proof of theirs alone. `rivals` says that other processes may be writing the same tags.
pub fn layouts(
    session: &Arc<Session>,
    settings: &OciStorage,
    logs: &[Arc<dyn Log>],
    rivals: bool,
) -> Vec<Arc<dyn Store>> {
    let subjects = Arc::new(Subjects::new(Arc::clone(session)));
    let mut layouts: Vec<Arc<dyn Store>> = Vec::new();
    if settings.keeps_tags() {
        let recorded = logs.iter().any(|log| log.fits_in_tags());
        layouts.push(Arc::new(Tags::new(Arc::clone(&subjects), settings, recorded, rivals)));
    }
    if settings.keeps_bundles() {
        let recorded = !logs.is_empty();
        layouts.push(Arc::new(Bundles::new(subjects, settings.repository.clone(), recorded)));
    }
    layouts
}

fn policy() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(20))
        .with_max_times(MERGES - 1)
        .with_jitter()
}

fn contended(place: &Place) -> Error {
    Error::Contended { place: Box::new(place.clone()), times: MERGES }
}

fn backend(error: registry::Error) -> Error {
    Error::Backend(Box::new(error) as Box<dyn Diagnose + Send + Sync>)
}
