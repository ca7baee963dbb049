//! Pending work, in the order in which it is taken: runs that completed now, then what is due again, then the
//! backlog that was found at start-up.
//!
//! # Guarantees
//!
//! - One run is worked on by one worker at a time; what happens to it meanwhile is looked at afterwards.
//! - Nothing is in here but pending work: a run that is finished is forgotten, but for a short list that keeps
//!   late events of just finished runs from being taken for new ones.
//! - Memory is bounded: bodies of runs are dropped over a budget and read again when their turn comes.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::sleep_until;

use crate::tekton::head::RunKey;

/// All bodies together.
const BODY_BUDGET: usize = 8 * 1024 * 1024;
/// Finished runs that are remembered, and for how long.
const RECENT: usize = 4096;
const RECENT_FOR: Duration = Duration::from_secs(30);

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
    /// When it was first tried.
    pub since: Instant,
    /// Where it stood.
    pub lane: Lane,
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
    /// Another attempt when this host answers again.
    Host(String),
}

/// See the module.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    fresh: VecDeque<RunKey>,
    backlog: VecDeque<RunKey>,
    due: BTreeMap<(Instant, u64), RunKey>,
    awaiting: HashMap<String, Vec<RunKey>>,
    tasks: HashMap<RunKey, Task>,
    recent: VecDeque<(Instant, RunKey)>,
    recent_keys: HashSet<RunKey>,
    body_bytes: usize,
    sequence: u64,
    closed: bool,
}

struct Task {
    lane: Lane,
    place: Place,
    body: Option<Bytes>,
    attempts: u32,
    since: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Queued,
    Later,
    Working { again: bool },
}

impl Queue {
    /// A run is done and unsigned. `body` is what the API server sent.
    pub fn offer(&self, key: RunKey, lane: Lane, body: Option<Bytes>, now: Instant) {
        let mut state = self.state();
        if state.recently_finished(&key, now) {
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
                Place::Queued if overtakes => state.fresh.push_back(key),
                Place::Queued | Place::Later => {}
            }
            state.release(old);
            return;
        }
        let task = Task { lane, place: Place::Queued, body, attempts: 0, since: None };
        state.tasks.insert(key.clone(), task);
        state.lane(lane).push_back(key);
        drop(state);
        self.changed.notify_one();
    }

    /// A run needs no work any more: it is marked, or gone.
    pub fn withdraw(&self, key: &RunKey) {
        let mut state = self.state();
        if state.tasks.get(key).is_some_and(|task| !matches!(task.place, Place::Working { .. })) {
            state.forget(key);
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
        let Some(task) = state.tasks.get_mut(key) else { return };
        task.attempts += 1;
        let again = task.place == (Place::Working { again: true });
        match next {
            Next::Done | Next::Idle if again => {
                // What was sent meanwhile may be older than what this attempt wrote: the run is read anew.
                (task.place, task.attempts) = (Place::Queued, 0);
                let (lane, old) = (task.lane, task.body.take());
                state.release(old);
                state.lane(lane).push_back(key.clone());
            }
            Next::Done => {
                state.forget(key);
                state.remember(key, now);
            }
            Next::Idle => state.forget(key),
            Next::After(delay) => {
                task.place = Place::Later;
                state.schedule(key, now + delay);
            }
            Next::Host(host) => {
                task.place = Place::Later;
                state.awaiting.entry(host).or_default().push(key.clone());
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

    /// Hosts that runs wait for.
    pub fn awaited_hosts(&self) -> Vec<String> {
        self.state()
            .awaiting
            .iter()
            .filter(|(_, keys)| !keys.is_empty())
            .map(|(host, _)| host.clone())
            .collect()
    }

    /// No job is handed out any more.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// Runs that are pending, by lane.
    pub fn depth(&self, lane: Lane) -> usize {
        self.state().tasks.values().filter(|task| task.lane == lane).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lane(&mut self, lane: Lane) -> &mut VecDeque<RunKey> {
        match lane {
            Lane::Fresh => &mut self.fresh,
            Lane::Backlog => &mut self.backlog,
        }
    }

    fn take(&mut self, now: Instant) -> Option<Job> {
        while let Some(key) = self.pop(now) {
            let Some(task) =
                self.tasks.get_mut(&key).filter(|task| !matches!(task.place, Place::Working { .. }))
            else {
                continue;
            };
            task.place = Place::Working { again: false };
            let since = *task.since.get_or_insert(now);
            let (lane, attempts, body) = (task.lane, task.attempts, task.body.take());
            self.body_bytes -= body.as_ref().map_or(0, Bytes::len);
            return Some(Job { key, body, attempts, since, lane });
        }
        None
    }

    fn pop(&mut self, now: Instant) -> Option<RunKey> {
        if let Some(key) = self.fresh.pop_front() {
            return Some(key);
        }
        match self.due.first_entry() {
            Some(first) if first.key().0 <= now => Some(first.remove()),
            _ => self.backlog.pop_front(),
        }
    }

    fn has_ready(&self, now: Instant) -> bool {
        !self.fresh.is_empty()
            || !self.backlog.is_empty()
            || self.due.keys().next().is_some_and(|(at, _)| *at <= now)
    }

    fn schedule(&mut self, key: &RunKey, at: Instant) {
        if self.tasks.contains_key(key) {
            self.sequence += 1;
            self.due.insert((at, self.sequence), key.clone());
        }
    }

    /// Queues keep the key of a forgotten task until it comes up; it is passed over then.
    fn forget(&mut self, key: &RunKey) {
        if let Some(task) = self.tasks.remove(key) {
            self.release(task.body);
        }
    }

    fn afford(&mut self, body: Option<Bytes>) -> Option<Bytes> {
        let body = body.filter(|body| self.body_bytes + body.len() <= BODY_BUDGET)?;
        self.body_bytes += body.len();
        Some(body)
    }

    fn release(&mut self, body: Option<Bytes>) {
        self.body_bytes -= body.map_or(0, |body| body.len());
    }

    fn remember(&mut self, key: &RunKey, now: Instant) {
        while self.recent.len() >= RECENT || self.recent.front().is_some_and(|(at, _)| now - *at > RECENT_FOR)
        {
            if let Some((_, old)) = self.recent.pop_front() {
                self.recent_keys.remove(&old);
            }
        }
        if self.recent_keys.insert(key.clone()) {
            self.recent.push_back((now, key.clone()));
        }
    }

    fn recently_finished(&self, key: &RunKey, now: Instant) -> bool {
        self.recent_keys.contains(key)
            && self
                .recent
                .iter()
                .any(|(at, recent)| recent == key && now.saturating_duration_since(*at) <= RECENT_FOR)
    }
}

#[cfg(test)]
mod tests;
