//! The proof that a run has ended: only a [`CompletedRun`] has artifacts and statements
//! (Chains specification §2.2). A failed run is completed too.

use std::collections::HashMap;

use super::{Kind, Run, TaskRun};

/// A run that has ended, with the `TaskRuns` that a `PipelineRun` made.
#[derive(Debug, Clone)]
pub struct CompletedRun {
    run: Run,
    children: Vec<TaskRun>,
}

/// The run still runs, or never started: its condition `Succeeded` is missing or `Unknown`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {namespace}/{name} has not ended", kind.as_str())]
pub struct NotCompleted {
    kind: Kind,
    namespace: String,
    name: String,
}

impl CompletedRun {
    /// Takes a run that has ended, with its children as far as they are known.
    pub fn prove(run: Run, children: Vec<TaskRun>) -> Result<Self, NotCompleted> {
        if run.is_done() {
            return Ok(Self::suppose(run, children));
        }
        let metadata = run.metadata();
        let (namespace, name) = (metadata.namespace.clone(), metadata.name.clone());
        Err(NotCompleted { kind: run.kind(), namespace, name })
    }

    /// Takes a run as if it had ended: to show what would be signed, never to sign it.
    ///
    /// The children are put into the order in which the run names them, so that a statement does not depend on
    /// how they were found; those that it does not name follow as they came.
    pub fn suppose(run: Run, mut children: Vec<TaskRun>) -> Self {
        let places: HashMap<&str, usize> =
            run.child_references().enumerate().map(|(place, (_, name))| (name, place)).collect();
        children
            .sort_by_key(|child| places.get(child.metadata().name.as_str()).copied().unwrap_or(usize::MAX));
        Self { run, children }
    }

    /// The run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// `TaskRuns` of a `PipelineRun`, as far as they are known.
    pub fn children(&self) -> &[TaskRun] {
        &self.children
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with_status(status: &str) -> Run {
        Run::from_value(json!({"kind": "TaskRun", "metadata": {"namespace": "build", "name": "one"},
            "status": {"conditions": [{"type": "Succeeded", "status": status}]}}))
        .unwrap()
    }

    #[test]
    fn success_and_failure_are_both_an_end() {
        for status in ["True", "False"] {
            assert!(CompletedRun::prove(with_status(status), Vec::new()).is_ok(), "{status}");
        }
    }

    #[test]
    fn a_run_without_an_outcome_is_not_completed() {
        let error = CompletedRun::prove(with_status("Unknown"), Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "TaskRun build/one has not ended");
        let unheard_of = Run::from_value(json!({"kind": "PipelineRun"})).unwrap();
        assert!(CompletedRun::prove(unheard_of, Vec::new()).is_err());
    }

    #[test]
    fn children_come_in_the_order_in_which_the_run_names_them() {
        let run = Run::from_value(json!({"kind": "PipelineRun", "status": {
            "conditions": [{"type": "Succeeded", "status": "True"}],
            "childReferences": [{"name": "z"}, {"name": "a"}]}}))
        .unwrap();
        let child = |name| TaskRun::from_value(json!({"metadata": {"name": name}})).unwrap();
        let completed = CompletedRun::prove(run, ["n", "a", "b", "z"].map(child).into()).unwrap();
        let names: Vec<_> = completed.children().iter().map(|child| child.metadata().name.as_str()).collect();
        assert_eq!(names, ["z", "a", "n", "b"]);
    }
}
