//! Pending work, in the order in which it is taken: runs that completed now, then what is due again, then the
//! backlog that was found at start-up, newest first.
//!
//! # Guarantees
//!
//! - One run is worked on by one worker at a time; what happens to it meanwhile is looked at afterwards.
//! - Nothing is in here but pending work: a run that is finished is forgotten, but for a short list that keeps
//!   late events of just finished runs from being taken for new ones.
//! - Memory is bounded: bodies of runs are dropped over a budget and read again when their turn comes.

mod recent;
mod state;

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::sleep_until;

use crate::tekton::head::RunKey;
pub use recent::FOR as SETTLING;
use state::{Place, State, Task, WaitsFor};

/// Which queue a run stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// It completed while somebody watched.
    Fresh,
    /// It was there before.
    Backlog,
}

/// Work for one worker.
#[derive(Debug)]
pub struct Job {
    /// Which run.
    pub key: RunKey,
    /// The run as the API server sent it, if it was kept.
    pub body: Option<Bytes>,
    /// How often it was tried before.
    pub attempts: u32,
    /// When it was offered.
    pub came: Instant,
    /// When it was first tried.
    pub since: Instant,
    /// Where it stood.
    pub lane: Lane,
    /// It was given up, and what it failed for may be mended: its mark `failed` is no reason to leave it alone.
    pub reopened: bool,
}

/// What comes after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it is marked.
    Done,
    /// Nothing until it changes.
    Idle,
    /// Another attempt after this time.
    After(Duration),
    /// Another attempt when this host answers again, or after this time.
    Host(String, Duration),
    /// Another attempt when these TaskRuns of a PipelineRun have ended, or after this time.
    Children(BTreeSet<String>, Duration),
}

/// What is pending, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Completed while somebody watched, and how long ago the oldest came.
    pub fresh: (usize, Duration),
    /// There before, and how long ago the oldest came.
    pub backlog: (usize, Duration),
    /// They wait for a host.
    pub host: usize,
    /// They wait for their TaskRuns.
    pub children: usize,
    /// They wait for their next attempt.
    pub retry: usize,
    /// They wait for their turn, or are being worked on.
    pub turn: usize,
    /// Hosts that are away.
    pub hosts_away: usize,
}

impl Census {
    fn count(&mut self, task: &Task, now: Instant) {
        let (number, oldest) = match task.lane {
            Lane::Fresh => &mut self.fresh,
            Lane::Backlog => &mut self.backlog,
        };
        *number += 1;
        *oldest = now.saturating_duration_since(task.came).max(*oldest);
        let class = match (task.place, &task.waits_for) {
            (Place::Queued | Place::Working { .. }, _) => &mut self.turn,
            (Place::Later, WaitsFor::Host(_)) => &mut self.host,
            (Place::Later, WaitsFor::Children(_)) => &mut self.children,
            (Place::Later, WaitsFor::Nothing) => &mut self.retry,
        };
        *class += 1;
    }
}

/// See the module.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

impl Queue {
    /// A run is done and unsigned. `body` is what the API server sent.
    pub fn offer(&self, key: RunKey, lane: Lane, body: Option<Bytes>, now: Instant) {
        self.take_in(key, lane, body, None, now);
    }

    /// A run was done and unsigned before anybody watched: those that ended last go first.
    pub fn offer_old(&self, key: RunKey, completed: Option<Timestamp>, now: Instant) {
        self.take_in(key, Lane::Backlog, None, completed, now);
    }

    fn take_in(
        &self,
        key: RunKey,
        lane: Lane,
        body: Option<Bytes>,
        completed: Option<Timestamp>,
        now: Instant,
    ) {
        let mut state = self.state();
        if state.recent.has(&key, now) {
            return;
        }
        let body = state.afford(body);
        if let Some(task) = state.tasks.get_mut(&key) {
            let old = std::mem::replace(&mut task.body, body);
            let overtakes = lane == Lane::Fresh && task.lane == Lane::Backlog;
            task.lane = if overtakes { Lane::Fresh } else { task.lane };
            match &mut task.place {
                Place::Working { again } => *again = true,
                // Its place in the backlog is passed over when it comes up.
                Place::Queued if overtakes => {
                    let key = state.shared(&key);
                    state.fresh.extend(key);
                }
                Place::Queued | Place::Later => {}
            }
            state.release(old);
            return;
        }
        let key = Arc::new(key);
        state.tasks.insert(Arc::clone(&key), Task { completed, body, ..Task::new(lane, now) });
        state.enqueue(&key);
        drop(state);
        self.changed.notify_one();
    }

    /// A run needs no work any more: it is marked, or gone. One that was taken up again in spite of its mark stays.
    pub fn withdraw(&self, key: &RunKey) {
        let mut state = self.state();
        let idle = |task: &Task| !task.reopened && !matches!(task.place, Place::Working { .. });
        if state.tasks.get(key).is_some_and(idle) {
            state.forget(key);
        }
    }

    /// A TaskRun has ended, or is gone: the PipelineRun that made it may wait for it.
    pub fn child_ended(&self, owner: &RunKey, child: &str) {
        let mut state = self.state();
        let Some(key) = state.shared(owner) else { return };
        let Some(task) = state.tasks.get_mut(owner) else { return };
        let was_last = match &mut task.waits_for {
            WaitsFor::Children(children) => children.remove(child) && children.is_empty(),
            _ => false,
        };
        match &mut task.place {
            // It may have been looked at before it ended.
            Place::Working { again } => *again = true,
            Place::Later if was_last => {
                (task.place, task.waits_for) = (Place::Queued, WaitsFor::Nothing);
                let due = task.due.take();
                state.enqueue(&key);
                due.and_then(|due| state.due.remove(&due));
                drop(state);
                self.changed.notify_one();
            }
            Place::Queued | Place::Later => {}
        }
    }

    /// The next job, or `None` once the queue is closed.
    pub async fn next(&self) -> Option<Job> {
        loop {
            let changed = self.changed.notified();
            let due = {
                let mut state = self.state();
                if state.closed {
                    // Every worker has to hear of it.
                    self.changed.notify_one();
                    return None;
                }
                if let Some(job) = state.take(Instant::now()) {
                    if state.has_ready(Instant::now()) {
                        self.changed.notify_one();
                    }
                    return Some(job);
                }
                state.due.keys().next().map(|(at, _)| *at)
            };
            match due {
                Some(at) => {
                    tokio::select! { () = sleep_until(at.into()) => {}, () = changed => {} }
                }
                None => changed.await,
            }
        }
    }

    /// Ends an attempt.
    pub fn finished(&self, key: &RunKey, next: Next, now: Instant) {
        let mut state = self.state();
        let Some(key) = &state.shared(key) else { return };
        let Some(task) = state.tasks.get_mut(key) else { return };
        // Waiting for others is no failed attempt, and takes no time from its own.
        let waits = matches!(next, Next::Children(..));
        (task.attempts, task.since) = if waits { (0, None) } else { (task.attempts + 1, task.since) };
        let again = task.place == (Place::Working { again: true });
        match next {
            Next::Done | Next::Idle | Next::Children(..) if again => {
                // What was sent meanwhile may be older than what this attempt wrote: the run is read anew.
                (task.place, task.attempts) = (Place::Queued, 0);
                let old = task.body.take();
                state.release(old);
                state.enqueue(key);
            }
            Next::Done => {
                state.forget(key);
                state.recent.add(key, now);
            }
            Next::Idle => state.forget(key),
            Next::After(delay) => {
                task.place = Place::Later;
                state.schedule(key, now + delay);
            }
            Next::Children(names, at_most) => {
                (task.place, task.waits_for) = (Place::Later, WaitsFor::Children(names));
                state.schedule(key, now + at_most);
            }
            Next::Host(host, at_most) => {
                (task.place, task.waits_for) = (Place::Later, WaitsFor::Host(host.as_str().into()));
                state.awaiting.entry(host).or_default().insert(Arc::clone(key));
                state.schedule(key, now + at_most);
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// A host answers again: the runs that wait for it follow one another closely, not all at once.
    pub fn host_is_back(&self, host: &str, spread: impl Fn() -> Duration, now: Instant) {
        let mut state = self.state();
        for key in state.awaiting.remove(host).unwrap_or_default() {
            state.schedule(&key, now + spread());
        }
        drop(state);
        self.changed.notify_one();
    }

    /// What these runs failed for may be mended: those that wait come up one after the other, those that were given
    /// up are taken up again.
    pub fn wake(&self, keys: &HashSet<RunKey>, spread: impl Fn() -> Duration, now: Instant) {
        let mut state = self.state();
        for key in keys {
            let key = state.shared(key).unwrap_or_else(|| Arc::new(key.clone()));
            match state.tasks.get(&key).map(|task| task.place) {
                None => state.reopen(Arc::clone(&key), now),
                Some(Place::Later) => {}
                Some(Place::Queued | Place::Working { .. }) => continue,
            }
            state.schedule(&key, now + spread());
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Hosts that runs wait for.
    pub fn awaited_hosts(&self) -> Vec<String> {
        self.state().awaiting.keys().cloned().collect()
    }

    /// No job is handed out any more.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// What is pending now, counted.
    pub fn census(&self, now: Instant) -> Census {
        let state = self.state();
        let mut census = Census { hosts_away: state.awaiting.len(), ..Census::default() };
        for task in state.tasks.values() {
            census.count(task, now);
        }
        census
    }

    /// Runs that are pending, by lane.
    pub fn depth(&self, lane: Lane) -> usize {
        self.state().tasks.values().filter(|task| task.lane == lane).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
