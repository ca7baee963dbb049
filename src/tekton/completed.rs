//! The proof that a run has ended: only a [`CompletedRun`] has artifacts and statements
//! (Chains specification §2.2, §2.5). A failed run is completed too.
//!
//! A `PipelineRun` has ended once its `TaskRuns` have; whoever goes on without those that have not says so
//! ([`Unfinished::leave_out`]). What its statement goes without can be asked for ([`CompletedRun::absent`]), so that
//! it is never left out in silence (defect D4 of §8.1).

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::{Kind, Run, TaskRun};

/// A run that has ended, with the `TaskRuns` that a `PipelineRun` made.
#[derive(Debug, Clone)]
pub struct CompletedRun {
    run: Run,
    children: Vec<TaskRun>,
    unfinished: Vec<String>,
}

/// Why a run is not completed.
#[derive(Debug, thiserror::Error)]
pub enum NotCompleted {
    /// It still runs, or never started: its condition `Succeeded` is missing or `Unknown`.
    #[error("{} {namespace}/{name} has not ended", kind.as_str())]
    Running {
        /// TaskRun or PipelineRun.
        kind: Kind,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// It has ended, and some of its `TaskRuns` have not.
    #[error("{0}")]
    Children(Box<Unfinished>),
}

/// A `PipelineRun` that has ended before all of its `TaskRuns` have: it was cancelled, or it ran out of time.
#[derive(Debug)]
pub struct Unfinished(CompletedRun);

/// A child that the statement about a `PipelineRun` goes without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absent<'a> {
    /// As the `PipelineRun` writes it.
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Why.
    pub reason: Absence,
}

/// Why a child is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// Statements tell of `TaskRuns` only.
    Kind,
    /// It was not found: deleted before the `PipelineRun` was signed.
    Gone,
    /// It did not end.
    Running,
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => "the statement tells of TaskRuns only",
            Self::Gone => "it no longer exists",
            Self::Running => "it has not ended",
        })
    }
}

impl CompletedRun {
    /// Takes a run that has ended, with its children as far as they are known, all of them ended.
    pub fn prove(run: Run, children: Vec<TaskRun>) -> Result<Self, NotCompleted> {
        if !run.is_done() {
            let metadata = run.metadata();
            let (namespace, name) = (metadata.namespace.clone(), metadata.name.clone());
            return Err(NotCompleted::Running { kind: run.kind(), namespace, name });
        }
        let (ended, running): (Vec<_>, Vec<_>) = children.into_iter().partition(TaskRun::is_done);
        let mut completed = Self::suppose(run, ended);
        completed.unfinished = running.into_iter().map(|child| child.0.metadata.name).collect();
        if completed.unfinished.is_empty() {
            Ok(completed)
        } else {
            Err(NotCompleted::Children(Box::new(Unfinished(completed))))
        }
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
        Self { run, children, unfinished: Vec::new() }
    }

    /// The run.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// `TaskRuns` of a `PipelineRun`, as far as they are known.
    pub fn children(&self) -> &[TaskRun] {
        &self.children
    }

    /// Children that the run names and that are not among [`CompletedRun::children`].
    pub fn absent(&self) -> Vec<Absent<'_>> {
        let mut told: HashSet<&str> =
            self.children.iter().map(|child| child.metadata().name.as_str()).collect();
        let unfinished: HashSet<&str> = self.unfinished.iter().map(String::as_str).collect();
        let absent = |kind, name| {
            let reason = match () {
                () if !is_task_run(kind) => Absence::Kind,
                () if unfinished.contains(name) => Absence::Running,
                () => Absence::Gone,
            };
            Absent { kind: if kind.is_empty() { Kind::TaskRun.as_str() } else { kind }, name, reason }
        };
        let references = self.run.child_references();
        references.filter(|(_, name)| told.insert(name)).map(|(kind, name)| absent(kind, name)).collect()
    }
}

impl Unfinished {
    /// The `TaskRuns` that have not ended.
    pub fn running(&self) -> &[String] {
        &self.0.unfinished
    }

    /// Goes on without them.
    pub fn leave_out(self) -> CompletedRun {
        self.0
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 5;
        let metadata = self.0.run.metadata();
        let running = self.running();
        let names: Vec<&str> = running.iter().take(SHOWN).map(String::as_str).collect();
        write!(f, "PipelineRun {}/{} has ended and ", metadata.namespace, metadata.name)?;
        write!(f, "{} of its TaskRuns not: {}", running.len(), names.join(", "))?;
        if running.len() > SHOWN { f.write_str(", …") } else { Ok(()) }
    }
}

/// Older versions of Tekton leave the kind out.
pub(super) fn is_task_run(kind: &str) -> bool {
    kind.is_empty() || kind == Kind::TaskRun.as_str()
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

    fn pipeline_run(references: &serde_json::Value) -> Run {
        Run::from_value(
            json!({"kind": "PipelineRun", "metadata": {"namespace": "ci", "name": "release"}, "status": {
            "conditions": [{"type": "Succeeded", "status": "True"}], "childReferences": references}}),
        )
        .unwrap()
    }

    fn child(name: &str, status: &str) -> TaskRun {
        TaskRun::from_value(json!({"metadata": {"name": name},
            "status": {"conditions": [{"type": "Succeeded", "status": status}]}}))
        .unwrap()
    }

    #[test]
    fn a_pipeline_run_has_not_ended_before_its_task_runs_whether_they_succeed_or_not() {
        let run = || pipeline_run(&json!([{"name": "a"}, {"name": "b"}]));
        let children = |b| vec![child("a", "False"), child("b", b)];
        assert_eq!(CompletedRun::prove(run(), children("True")).unwrap().absent(), []);
        for running in ["Unknown", ""] {
            let children = if running.is_empty() {
                vec![child("a", "True"), TaskRun::from_value(json!({"metadata": {"name": "b"}})).unwrap()]
            } else {
                children(running)
            };
            let Err(NotCompleted::Children(unfinished)) = CompletedRun::prove(run(), children) else {
                panic!("b still runs")
            };
            assert_eq!(unfinished.running(), ["b"]);
            assert_eq!(
                unfinished.to_string(),
                "PipelineRun ci/release has ended and 1 of its TaskRuns not: b"
            );
            let completed = unfinished.leave_out();
            assert_eq!(completed.children().len(), 1);
            let b = Absent { kind: "TaskRun", name: "b", reason: Absence::Running };
            assert_eq!(completed.absent(), [b]);
        }
    }

    #[test]
    fn what_the_statement_goes_without_is_told_once_each_with_the_reason() {
        let run = pipeline_run(&json!([{"name": "a", "kind": "TaskRun"}, {"name": "gone"}, {"name": "gone"},
            {"name": "approve", "kind": "CustomRun"}, {"name": "nested", "kind": "PipelineRun"}]));
        let completed = CompletedRun::prove(run, vec![child("a", "True")]).unwrap();
        let told: Vec<_> = completed
            .absent()
            .iter()
            .map(|absent| format!("{} {}: {}", absent.kind, absent.name, absent.reason))
            .collect();
        assert_eq!(
            told,
            [
                "TaskRun gone: it no longer exists",
                "CustomRun approve: the statement tells of TaskRuns only",
                "PipelineRun nested: the statement tells of TaskRuns only"
            ]
        );
    }

    #[test]
    fn many_unfinished_children_make_a_short_message() {
        let children = (0..4000).map(|number| child(&format!("c{number}"), "Unknown")).collect();
        let error = CompletedRun::prove(pipeline_run(&json!([])), children).unwrap_err().to_string();
        assert!(error.ends_with("4000 of its TaskRuns not: c0, c1, c2, c3, c4, …"), "{error}");
    }

    #[test]
    fn children_come_in_the_order_in_which_the_run_names_them() {
        let run = pipeline_run(&json!([{"name": "z"}, {"name": "a"}]));
        let completed =
            CompletedRun::prove(run, ["n", "a", "b", "z"].map(|name| child(name, "True")).into()).unwrap();
        let names: Vec<_> = completed.children().iter().map(|child| child.metadata().name.as_str()).collect();
        assert_eq!(names, ["z", "a", "n", "b"]);
    }
}
