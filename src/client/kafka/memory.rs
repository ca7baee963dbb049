//! What became of the batches of late: those that are stored, and those of which nobody knows, because an answer never
//! came. Who wants to store the same again is told where it is, or sends it by the same number, and the broker that has
//! it already says so.
//!
//! Guarantees: bounded, the oldest goes first; what is forgotten here, or with the process, may be stored twice.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Placed;
use super::record::Identity;
use crate::artifact::digest::Digest;

/// Runs that are tried again within a burst are among these.
const CAPACITY: usize = 1024;

/// Where a batch belongs, and by what it is known there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) partition: i32,
    pub(super) identity: Identity,
}

/// What is known of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Open(Ticket),
    Stored(Placed),
}

/// By what batches are called.
#[derive(Default)]
pub(super) struct Memory(Mutex<State>);

#[derive(Default)]
struct State {
    known: HashMap<[u8; 32], Known>,
    /// The oldest first.
    order: VecDeque<[u8; 32]>,
}

impl Memory {
    pub(super) fn of(&self, name: &str) -> Option<Known> {
        self.state().known.get(Digest::of(name.as_bytes()).as_bytes()).copied()
    }

    pub(super) fn keep(&self, name: &str, known: Known) {
        // Nobody's number is known nowhere.
        if matches!(known, Known::Open(Ticket { identity: Identity::NONE, .. })) {
            return;
        }
        let name = *Digest::of(name.as_bytes()).as_bytes();
        let mut state = self.state();
        if state.known.insert(name, known).is_some() {
            return;
        }
        state.order.push_back(name);
        if state.order.len() > CAPACITY
            && let Some(oldest) = state.order.pop_front()
        {
            state.known.remove(&oldest);
        }
    }

    pub(super) fn forget(&self, name: &str) {
        let name = *Digest::of(name.as_bytes()).as_bytes();
        let mut state = self.state();
        if state.known.remove(&name).is_some() {
            state.order.retain(|one| *one != name);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_and_what_is_nobodys_is_not() {
        let memory = Memory::default();
        let open = |producer| {
            Known::Open(Ticket { partition: 0, identity: Identity { producer, epoch: 0, sequence: 0 } })
        };
        for number in 0..CAPACITY + 10 {
            memory.keep(&number.to_string(), open(1));
        }
        assert_eq!((memory.of("9"), memory.of("10")), (None, Some(open(1))));
        let stored = Known::Stored(Placed { partition: 2, offset: Some(17) });
        memory.keep("10", stored);
        assert_eq!((memory.of("10"), memory.state().order.len()), (Some(stored), CAPACITY));
        memory.forget("10");
        memory.forget("never");
        memory.keep("nobody", Known::Open(Ticket { partition: 0, identity: Identity::NONE }));
        assert_eq!((memory.of("10"), memory.of("nobody")), (None, None));
        let state = memory.state();
        assert_eq!(state.order.len(), state.known.len());
    }
}
