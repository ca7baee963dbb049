//! What `/readyz` says: ready means that a good configuration and a key are in force and that every watch runs.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::tekton::Kind;

/// See the module.
#[derive(Default)]
pub(super) struct Readiness(Mutex<State>);

#[derive(Default)]
struct State {
    configured: bool,
    watching: BTreeSet<Kind>,
    stopping: bool,
}

impl Readiness {
    /// A configuration is in force.
    pub(super) fn configured(&self) {
        self.state().configured = true;
    }

    /// The watch of one kind has begun.
    pub(super) fn watching(&self, kind: Kind) {
        self.state().watching.insert(kind);
    }

    /// The process is about to end.
    pub(super) fn stopping(&self) {
        self.state().stopping = true;
    }

    /// What is missing, or `None` when ready.
    pub(super) fn lacks(&self) -> Option<&'static str> {
        let state = self.state();
        match () {
            () if state.stopping => Some("stopping"),
            () if !state.configured => Some("no good ConfigMap chains-config yet"),
            () if state.watching.len() < 2 => Some("the watches have not begun"),
            () => None,
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_names_what_is_missing_and_goes_first_when_stopping() {
        let readiness = Readiness::default();
        assert_eq!(readiness.lacks(), Some("no good ConfigMap chains-config yet"));
        readiness.configured();
        readiness.watching(Kind::TaskRun);
        assert_eq!(readiness.lacks(), Some("the watches have not begun"));
        readiness.watching(Kind::PipelineRun);
        assert_eq!(readiness.lacks(), None);
        readiness.stopping();
        assert_eq!(readiness.lacks(), Some("stopping"));
    }
}
