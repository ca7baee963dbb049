//! What the queue knows, and the moves that keep it in order.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;

use super::recent::Recent;
use super::{Job, Lane};
use crate::tekton::head::RunKey;

/// All bodies together.
pub(super) const BODY_BUDGET: usize = 8 * 1024 * 1024;

/// What a [`Queue`](super::Queue) knows, behind its lock.
#[derive(Default)]
pub(super) struct State {
    pub(super) fresh: VecDeque<RunKey>,
    /// By the end of the run, and the order of coming among those of one moment; the next one is the last.
    pub(super) backlog: BTreeMap<(Option<Timestamp>, Reverse<u64>), RunKey>,
    pub(super) due: BTreeMap<Due, RunKey>,
    pub(super) awaiting: HashMap<String, BTreeSet<RunKey>>,
    pub(super) tasks: HashMap<RunKey, Task>,
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
    /// TaskRuns that it waits for.
    pub(super) children: BTreeSet<String>,
    /// The host that it waits for.
    pub(super) host: Option<String>,
    pub(super) reopened: bool,
}

/// Where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Queued,
    Later,
    Working { again: bool },
}

impl State {
    /// Puts a task that there is where its lane says.
    pub(super) fn enqueue(&mut self, key: &RunKey) {
        let Some(task) = self.tasks.get(key) else { return };
        match task.lane {
            Lane::Fresh => self.fresh.push_back(key.clone()),
            Lane::Backlog => {
                self.sequence += 1;
                self.backlog.insert((task.completed, Reverse(self.sequence)), key.clone());
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
            task.children.clear();
            let host = task.host.take();
            let since = *task.since.get_or_insert(now);
            let (lane, came, attempts, reopened, body) =
                (task.lane, task.came, task.attempts, task.reopened, task.body.take());
            self.body_bytes -= body.as_ref().map_or(0, Bytes::len);
            self.awaits_no_more(&key, host);
            return Some(Job { key, body, attempts, came, since, lane, reopened });
        }
        None
    }

    pub(super) fn pop(&mut self, now: Instant) -> Option<RunKey> {
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

    pub(super) fn schedule(&mut self, key: &RunKey, at: Instant) {
        if let Some(task) = self.tasks.get_mut(key) {
            self.sequence += 1;
            let due = (at, self.sequence);
            let before = task.due.replace(due);
            before.and_then(|before| self.due.remove(&before));
            self.due.insert(due, key.clone());
        }
    }

    /// Queues keep the key of a forgotten task until it comes up; it is passed over then.
    pub(super) fn forget(&mut self, key: &RunKey) {
        if let Some(task) = self.tasks.remove(key) {
            self.release(task.body);
            self.awaits_no_more(key, task.host);
        }
    }

    pub(super) fn awaits_no_more(&mut self, key: &RunKey, host: Option<String>) {
        if let Some(Entry::Occupied(mut awaiting)) = host.map(|host| self.awaiting.entry(host)) {
            awaiting.get_mut().remove(key);
            if awaiting.get().is_empty() {
                awaiting.remove();
            }
        }
    }

    /// It was tried before, so everything is read anew.
    pub(super) fn reopen(&mut self, key: &RunKey, came: Instant) {
        let (lane, completed, place) = (Lane::Backlog, None, Place::Later);
        let (since, due, children, host) = (None, None, BTreeSet::new(), None);
        let (body, attempts, reopened) = (None, 1, true);
        let task =
            Task { lane, completed, place, body, attempts, came, since, due, children, host, reopened };
        self.tasks.insert(key.clone(), task);
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
