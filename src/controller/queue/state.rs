//! What the queue knows, and the moves that keep it in order.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;

use super::recent::Recent;
use super::{Job, Lane};
use crate::tekton::head::RunKey;

/// All bodies together.
pub(super) const BODY_BUDGET: usize = 8 * 1024 * 1024;

/// What a [`Queue`](super::Queue) knows, behind its lock. A key is there once, however many places refer to it: ten
/// thousand of them are most of what a full backlog costs.
#[derive(Default)]
pub(super) struct State {
    pub(super) fresh: VecDeque<Arc<RunKey>>,
    /// By the end of the run, and the order of coming among those of one moment; the next one is the last.
    pub(super) backlog: BTreeMap<(Option<Timestamp>, Reverse<u64>), Arc<RunKey>>,
    pub(super) due: BTreeMap<Due, Arc<RunKey>>,
    pub(super) awaiting: HashMap<String, BTreeSet<Arc<RunKey>>>,
    pub(super) tasks: HashMap<Arc<RunKey>, Task>,
    pub(super) recent: Recent,
    pub(super) body_bytes: usize,
    pub(super) sequence: u64,
    pub(super) closed: bool,
}

/// When, and a number that keeps those of one moment apart.
pub(super) type Due = (Instant, u64);

/// One run.
pub(super) struct Task {
    pub(super) lane: Lane,
    /// When it ended, of one that was there before; it orders the backlog.
    pub(super) completed: Option<Timestamp>,
    pub(super) place: Place,
    pub(super) body: Option<Bytes>,
    pub(super) attempts: u32,
    /// When it was first offered.
    pub(super) came: Instant,
    pub(super) since: Option<Instant>,
    pub(super) due: Option<Due>,
    pub(super) waits_for: WaitsFor,
    pub(super) reopened: bool,
}

/// What is to happen before its time is up. Most runs wait for nothing but their turn, so it takes little room.
#[derive(Default, PartialEq, Eq)]
pub(super) enum WaitsFor {
    #[default]
    Nothing,
    /// These TaskRuns have to end.
    Children(BTreeSet<String>),
    /// This host has to answer.
    Host(Box<str>),
}

/// Where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Queued,
    Later,
    Working { again: bool },
}

impl Task {
    /// That came at this moment, to stand in this lane.
    pub(super) fn new(lane: Lane, came: Instant) -> Self {
        let (completed, body, since, due) = (None, None, None, None);
        let (place, waits_for, attempts, reopened) = (Place::Queued, WaitsFor::Nothing, 0, false);
        Self { lane, completed, place, body, attempts, came, since, due, waits_for, reopened }
    }
}

impl State {
    /// The one key that all places share.
    pub(super) fn shared(&self, key: &RunKey) -> Option<Arc<RunKey>> {
        self.tasks.get_key_value(key).map(|(shared, _)| Arc::clone(shared))
    }

    /// Puts a task that there is where its lane says.
    pub(super) fn enqueue(&mut self, key: &Arc<RunKey>) {
        let Some(task) = self.tasks.get(key) else { return };
        match task.lane {
            Lane::Fresh => self.fresh.push_back(Arc::clone(key)),
            Lane::Backlog => {
                self.sequence += 1;
                self.backlog.insert((task.completed, Reverse(self.sequence)), Arc::clone(key));
            }
        }
    }

    pub(super) fn take(&mut self, now: Instant) -> Option<Job> {
        while let Some(key) = self.pop(now) {
            let Some(task) =
                self.tasks.get_mut(&key).filter(|task| !matches!(task.place, Place::Working { .. }))
            else {
                continue;
            };
            task.place = Place::Working { again: false };
            let waited_for = std::mem::take(&mut task.waits_for);
            let since = *task.since.get_or_insert(now);
            let (lane, came, attempts, reopened, body) =
                (task.lane, task.came, task.attempts, task.reopened, task.body.take());
            self.body_bytes -= body.as_ref().map_or(0, Bytes::len);
            self.awaits_no_more(&key, waited_for);
            let key = RunKey::clone(&key);
            return Some(Job { key, body, attempts, came, since, lane, reopened });
        }
        None
    }

    pub(super) fn pop(&mut self, now: Instant) -> Option<Arc<RunKey>> {
        if let Some(key) = self.fresh.pop_front() {
            return Some(key);
        }
        match self.due.first_entry() {
            Some(first) if first.key().0 <= now => Some(first.remove()),
            _ => self.backlog.pop_last().map(|(_, key)| key),
        }
    }

    pub(super) fn has_ready(&self, now: Instant) -> bool {
        !self.fresh.is_empty()
            || !self.backlog.is_empty()
            || self.due.keys().next().is_some_and(|(at, _)| *at <= now)
    }

    pub(super) fn schedule(&mut self, key: &Arc<RunKey>, at: Instant) {
        if let Some(task) = self.tasks.get_mut(key) {
            self.sequence += 1;
            let due = (at, self.sequence);
            let before = task.due.replace(due);
            before.and_then(|before| self.due.remove(&before));
            self.due.insert(due, Arc::clone(key));
        }
    }

    /// Queues keep the key of a forgotten task until it comes up; it is passed over then.
    pub(super) fn forget(&mut self, key: &RunKey) {
        if let Some(task) = self.tasks.remove(key) {
            self.release(task.body);
            self.awaits_no_more(key, task.waits_for);
        }
    }

    pub(super) fn awaits_no_more(&mut self, key: &RunKey, waited_for: WaitsFor) {
        let WaitsFor::Host(host) = waited_for else { return };
        if let Entry::Occupied(mut awaiting) = self.awaiting.entry(host.into()) {
            awaiting.get_mut().remove(key);
            if awaiting.get().is_empty() {
                awaiting.remove();
            }
        }
    }

    /// It was tried before, so everything is read anew.
    pub(super) fn reopen(&mut self, key: Arc<RunKey>, came: Instant) {
        let task =
            Task { place: Place::Later, attempts: 1, reopened: true, ..Task::new(Lane::Backlog, came) };
        self.tasks.insert(key, task);
    }

    pub(super) fn afford(&mut self, body: Option<Bytes>) -> Option<Bytes> {
        let body = body.filter(|body| self.body_bytes + body.len() <= BODY_BUDGET)?;
        self.body_bytes += body.len();
        Some(body)
    }

    pub(super) fn release(&mut self, body: Option<Bytes>) {
        self.body_bytes -= body.map_or(0, |body| body.len());
    }
}
