//! From what a watch sees to what the queue holds: decides for each run at once, and passes on only what is
//! pending. A run that needs nothing leaves no trace.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;

use super::decide::{Decision, Reason, decide};
use super::left_alone::LeftAlone;
use super::let_go::LetGo;
use super::membership::Roster;
use super::queue::{Lane, Queue};
use super::settings::Followed;
use crate::tekton::Kind;
use crate::tekton::head::RunHead;

/// Where watches report to.
#[derive(Clone)]
pub(super) struct Sight {
    pub queue: Arc<Queue>,
    pub settings: Followed,
    pub namespaces: Arc<[String]>,
    pub roster: Roster,
    pub ready: Arc<super::readiness::Readiness>,
    pub left_alone: Arc<LeftAlone>,
    pub let_go: Arc<LetGo>,
}

impl Sight {
    /// A run as it is now.
    pub(super) fn seen(
        &self,
        kind: Kind,
        head: &RunHead,
        lane: Lane,
        body: impl FnOnce() -> Bytes,
        now: Timestamp,
    ) {
        let key = head.key(kind);
        self.pipeline_run_seen(kind, head);
        // The event of its end comes before that of its mark.
        if head.mark().is_none() {
            self.child_ended(kind, head);
        }
        match self.decide(head, now) {
            Decision::Ignore(reason) => {
                tracing::trace!(run = %key, %reason, "ignored");
                self.queue.withdraw(&key);
            }
            Decision::Sign => self.queue.offer(key, lane, Some(body()), Instant::now()),
            Decision::LetGo => {}
            Decision::LetGoOnce if !self.let_go.is_first(head.uid()) => {
                tracing::trace!(run = %key, "held again by somebody else, and left to them");
            }
            // Holding a run that still runs never delays one that is done.
            Decision::Hold => {
                self.let_go.forget(head.uid());
                self.queue.offer(key, Lane::Backlog, None, Instant::now());
            }
            _ => self.queue.offer(key, lane, None, Instant::now()),
        }
    }

    /// A run that was there before anybody watched: its body is read when its turn comes.
    pub(super) fn listed(&self, kind: Kind, head: &RunHead, now: Timestamp) {
        self.pipeline_run_seen(kind, head);
        self.child_ended(kind, head);
        let decision = self.decide(head, now);
        if decision == Decision::LetGoOnce {
            // Whoever holds it again after this is left alone.
            self.let_go.is_first(head.uid());
        }
        if !matches!(decision, Decision::Ignore(_)) {
            self.queue.offer_old(head.key(kind), head.completed_at(), Instant::now());
        }
    }

    /// A run that no longer exists.
    pub(super) fn gone(&self, kind: Kind, head: &RunHead) {
        self.queue.withdraw(&head.key(kind));
        if kind == Kind::PipelineRun {
            self.left_alone.gone(head);
        }
        self.wake_owner(kind, head);
    }

    /// Everything that was there has been listed.
    pub(super) fn all_listed(&self, kind: Kind, namespace: Option<&String>) {
        if kind == Kind::PipelineRun {
            self.left_alone.listed(namespace);
        }
    }

    /// Whichever replica signs its TaskRuns.
    fn pipeline_run_seen(&self, kind: Kind, head: &RunHead) {
        if kind == Kind::PipelineRun {
            self.left_alone.seen(head);
        }
    }

    /// A PipelineRun waits for its TaskRuns, whichever replica signs those.
    fn child_ended(&self, kind: Kind, head: &RunHead) {
        if head.is_done() {
            self.wake_owner(kind, head);
        }
    }

    fn wake_owner(&self, kind: Kind, head: &RunHead) {
        if let Some(owner) = head.pipeline_run().filter(|_| kind == Kind::TaskRun) {
            self.queue.child_ended(&owner, head.name());
        }
    }

    /// How much of the backlog is pending.
    pub(super) fn backlog(&self) -> usize {
        self.queue.depth(Lane::Backlog)
    }

    /// A watch has begun.
    pub(super) fn watching(&self, kind: Kind) {
        self.ready.watching(kind);
    }

    /// A run of another replica is nothing to this one.
    fn decide(&self, head: &RunHead, now: Timestamp) -> Decision {
        if !self.roster.borrow().as_ref().is_some_and(|members| members.owns(head.uid())) {
            return Decision::Ignore(Reason::Replica);
        }
        let settings = self.settings.current();
        decide(head, &settings.config, &self.namespaces, now)
    }
}
