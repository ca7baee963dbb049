//! The PipelineRuns whose owner wants no signature: their TaskRuns get none either, since Tekton does not pass the
//! annotation on to them.
//!
//! Guarantees: costs no request. The watches see every PipelineRun anyway, and only those with the annotation are
//! remembered, by uid. Until the first listing of them has come to its end, and when there are too many to remember,
//! the answer is "unknown", and whoever asks has to look.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::tekton::head::{RunHead, RunKey};

/// More are not remembered: a uid takes about a hundred bytes.
const MOST: usize = 10_000;

/// See the module.
#[derive(Default)]
pub(super) struct LeftAlone(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    uids: HashSet<String>,
    /// Namespaces that were listed to their end; nothing for all of them.
    listed: HashSet<Option<String>>,
    overflowed: bool,
}

impl LeftAlone {
    /// A PipelineRun as it is now.
    pub(super) fn seen(&self, head: &RunHead) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !head.is_skipped() {
            seen.uids.remove(head.uid());
        } else if seen.uids.len() < MOST {
            seen.uids.insert(head.uid().to_owned());
        } else if !seen.uids.contains(head.uid()) {
            seen.overflowed = true;
        }
    }

    /// A PipelineRun that no longer exists. Its TaskRuns go with it.
    pub(super) fn gone(&self, head: &RunHead) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).uids.remove(head.uid());
    }

    /// Every PipelineRun of this namespace, or of all, has been seen.
    pub(super) fn listed(&self, namespace: Option<&String>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.listed.insert(namespace.cloned());
    }

    /// Whether this PipelineRun is left alone; nothing when that is not known.
    pub(super) fn knows(&self, run: &RunKey) -> Option<bool> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.uids.contains(&run.uid) {
            return Some(true);
        }
        let listed = seen.listed.contains(&None) || seen.listed.contains(&Some(run.namespace.clone()));
        (listed && !seen.overflowed).then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tekton::Kind;

    fn head(uid: &str, skip: &str) -> RunHead {
        serde_json::from_value(json!({"metadata": {"name": uid, "namespace": "ci", "uid": uid,
            "annotations": {"chains.tekton.dev/skip": skip}}}))
        .unwrap()
    }

    fn knows(left_alone: &LeftAlone, uid: &str) -> Option<bool> {
        left_alone.knows(&head(uid, "").key(Kind::PipelineRun))
    }

    #[test]
    fn a_pipeline_run_is_left_alone_while_it_carries_the_annotation() {
        let left_alone = LeftAlone::default();
        left_alone.listed(None);
        for (skip, expected) in [("true", true), ("false", false), ("true", true)] {
            left_alone.seen(&head("1", skip));
            assert_eq!(knows(&left_alone, "1"), Some(expected));
        }
        left_alone.gone(&head("1", "true"));
        assert_eq!(knows(&left_alone, "1"), Some(false));
    }

    #[test]
    fn nothing_is_known_of_others_before_they_were_listed() {
        let left_alone = LeftAlone::default();
        left_alone.seen(&head("1", "true"));
        assert_eq!((knows(&left_alone, "1"), knows(&left_alone, "2")), (Some(true), None));
        left_alone.listed(Some(&"other".to_owned()));
        assert_eq!(knows(&left_alone, "2"), None);
        left_alone.listed(Some(&"ci".to_owned()));
        assert_eq!(knows(&left_alone, "2"), Some(false));
    }

    #[test]
    fn too_many_are_looked_up_and_none_is_forgotten() {
        let left_alone = LeftAlone::default();
        left_alone.listed(None);
        (0..MOST).for_each(|number| left_alone.seen(&head(&number.to_string(), "true")));
        assert_eq!((knows(&left_alone, "0"), knows(&left_alone, "x")), (Some(true), Some(false)));
        left_alone.seen(&head("one more", "true"));
        assert_eq!((knows(&left_alone, "0"), knows(&left_alone, "one more")), (Some(true), None));
    }
}
