//! The steps of the sentence as spans, for those who trace: one for each run, one for each thing that is done for it.
//! Names are few and fixed; what differs stands in the fields. Without a subscriber they are nothing.

use tracing::field::Empty;
use tracing::{Span, info_span};

use super::outcome::Outcome;
use crate::error::Diagnose as _;
use crate::storage::Place;
use crate::tekton::head::RunKey;

/// One attempt at one run, which all other steps are part of.
pub fn run(key: &RunKey, attempt: u32) -> Span {
    info_span!(
        "sign run",
        run.kind = key.kind.as_str(),
        run.namespace = %key.namespace,
        run.name = %key.name,
        run.uid = %key.uid,
        run.attempt = attempt,
        run.complete = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

/// Says on the span of the run what became of it.
pub fn ended(outcome: &Outcome) {
    let span = Span::current();
    span.record("run.complete", outcome.is_complete());
    if let Some(failure) = outcome.failures().next() {
        span.record("otel.status_code", "ERROR");
        span.record("otel.status_description", failure.label());
    }
}

/// What is at a place already?
pub(super) fn look(store: &str, place: &Place) -> Span {
    info_span!("look", store, %place)
}

/// A signature in one name.
pub(super) fn sign(signer: &str) -> Span {
    info_span!("sign", signer)
}

/// Logs and timestamps.
pub(super) fn record() -> Span {
    info_span!("record")
}

/// What a place lacks.
pub(super) fn add(store: &str, place: &Place) -> Span {
    info_span!("store", store, %place)
}
