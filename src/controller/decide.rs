//! What to do with a run, decided from values alone: the run's head, the selection of the configuration, the time.
//! No input or output; every decision that needs explaining carries its reason.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::{Config, Finalizers, Outcomes};
use crate::tekton::head::RunHead;
use crate::tekton::record::is_held;

/// How long a run that is being deleted is held for its signature.
const DELETION_GRACE: Duration = Duration::from_mins(1);
/// TaskRuns of a cancelled PipelineRun end a little after it: nobody is told of that.
const QUIET: Duration = Duration::from_secs(10);
/// A TaskRun that has not ended by then will not: its node is gone, or nobody works on it.
const CHILD_LIMIT: Duration = Duration::from_hours(1);

/// What to do with a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing, now or later, until it changes.
    Ignore(Reason),
    /// It still runs: hold it, so that it cannot be deleted unsigned.
    Hold,
    /// It must not be held up any longer.
    Release,
    /// It is marked, and Chains still holds it, which it does for as long as a run exists: let go where it is found
    /// in a listing. Never where an event brings it, since a Chains that runs beside would hold it again each time.
    LetGo,
    /// It is not selected, and held: by us, when it was selected before, or by Chains. Let go, but once for a run that is
    /// watched: a Chains that runs beside holds it again each time.
    LetGoOnce,
    /// It is done and unsigned.
    Sign,
    /// It is done and its owner wants no signature: mark it.
    Skip(Reason),
    /// It is being deleted and there was no time to sign it: say so and let it go.
    Abandon,
}

/// Why nothing is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Not among the namespaces of `--namespace`.
    Namespace,
    /// Another controller runs it (`spec.managedBy`).
    ManagedBy,
    /// It has not ended.
    Running,
    /// It carries a mark.
    Marked,
    /// Its annotation says so.
    SkipAnnotation,
    /// The annotation of its PipelineRun says so.
    OwnerSkipped,
    /// It ended longer ago than `selection.max-age`.
    Age,
    /// It did not succeed, and `selection.outcomes` is `succeeded`.
    Failure,
    /// It has not the labels of `selection.label-selector`.
    Labels,
    /// Another replica works on it.
    Replica,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namespace => "its namespace is not watched",
            Self::ManagedBy => "another controller manages it (spec.managedBy)",
            Self::Running => "it has not ended",
            Self::Marked => "it is marked",
            Self::SkipAnnotation => "annotation chains.tekton.dev/skip is \"true\"",
            Self::OwnerSkipped => "annotation chains.tekton.dev/skip of its PipelineRun is \"true\"",
            Self::Failure => "it did not succeed (selection.outcomes)",
            Self::Labels => "it is not selected (selection.label-selector)",
            Self::Replica => "another replica works on it",
            Self::Age => "it ended longer ago than selection.max-age",
        })
    }
}

/// Decides. `namespaces` is empty when all are watched.
pub fn decide(head: &RunHead, config: &Config, namespaces: &[String], now: Timestamp) -> Decision {
    if !namespaces.is_empty() && !namespaces.iter().any(|name| name == head.namespace()) {
        return Decision::Ignore(Reason::Namespace);
    }
    if head.managed_by().is_some_and(|by| !config.managed_by.contains(by)) {
        return Decision::Ignore(Reason::ManagedBy);
    }
    if config.selection.label_selector.as_ref().is_some_and(|selector| !selector.matches(head.labels())) {
        return if is_held(head) { Decision::LetGoOnce } else { Decision::Ignore(Reason::Labels) };
    }
    if let Some(deleted_at) = head.deleted_at() {
        return decide_deleted(head, deleted_at, now);
    }
    if !head.is_done() {
        let hold = config.signing.finalizers == Finalizers::Running && !is_held(head) && !head.is_skipped();
        return if hold { Decision::Hold } else { Decision::Ignore(Reason::Running) };
    }
    if head.mark().is_some() {
        return if is_held(head) { Decision::LetGo } else { Decision::Ignore(Reason::Marked) };
    }
    if head.is_skipped() {
        return Decision::Skip(Reason::SkipAnnotation);
    }
    if config.selection.outcomes == Outcomes::Succeeded && !head.has_succeeded() {
        return Decision::Skip(Reason::Failure);
    }
    let age = head.completed_at().map(|completed| now.duration_since(completed).unsigned_abs());
    if config.selection.max_age.is_some_and(|most| age.is_some_and(|age| age > most)) {
        return Decision::Ignore(Reason::Age);
    }
    Decision::Sign
}

/// A deletion waits for a signature of a run that is done, for a minute, and for nothing else.
fn decide_deleted(head: &RunHead, deleted_at: Timestamp, now: Timestamp) -> Decision {
    let unsigned = head.is_done() && head.mark().is_none() && !head.is_skipped();
    let in_time = now.duration_since(deleted_at).unsigned_abs() <= DELETION_GRACE;
    match (unsigned, is_held(head)) {
        (true, _) if in_time => Decision::Sign,
        (true, true) => Decision::Abandon,
        (false, true) => Decision::Release,
        (_, false) => Decision::Ignore(Reason::Marked),
    }
}

/// What to do with a PipelineRun that has ended while TaskRuns of it have not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Wait until they have, for this long at most.
    Wait {
        /// What is left.
        at_most: Duration,
        /// It takes so long that somebody should know what is waited for.
        tell: bool,
    },
    /// It has waited long enough: sign it without them.
    Over,
}

/// How long a PipelineRun that has ended waits for TaskRuns that have not; never until they are signed.
pub fn patience(head: &RunHead, now: Timestamp) -> Patience {
    let (since, limit) = match head.deleted_at() {
        Some(deleted_at) => (Some(deleted_at), DELETION_GRACE / 2),
        None => (head.completed_at(), CHILD_LIMIT),
    };
    let Some(since) = since else { return Patience::Wait { at_most: limit, tell: true } };
    // A clock that is ahead makes it wait from now on.
    let waited = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    match limit.saturating_sub(waited) {
        Duration::ZERO => Patience::Over,
        _ if waited < QUIET => Patience::Wait { at_most: QUIET.saturating_sub(waited), tell: false },
        left => Patience::Wait { at_most: left, tell: true },
    }
}

#[cfg(test)]
mod tests;
