//! The runs that are not selected and were let go: once each, since a Chains that runs beside holds every run that it sees,
//! and would be answered without end.
//!
//! Guarantees: bounded; remembers nothing where all runs are selected, or nobody holds the others. A run that is forgotten
//! because there are too many is let go once more when it changes. A new listing lets go of all of them once.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

/// A uid takes about a hundred bytes.
const MOST: usize = 10_000;

/// See the module.
#[derive(Default)]
pub(super) struct LetGo(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    uids: HashSet<String>,
    /// The oldest first; it may name uids that were forgotten since.
    order: VecDeque<String>,
}

impl LetGo {
    /// Whether it has not been let go before; from now on it has.
    pub(super) fn is_first(&self, uid: &str) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.uids.insert(uid.to_owned()) {
            return false;
        }
        if seen.order.len() == MOST
            && let Some(oldest) = seen.order.pop_front()
        {
            seen.uids.remove(&oldest);
        }
        seen.order.push_back(uid.to_owned());
        true
    }

    /// It is selected again, and we hold it ourselves.
    pub(super) fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).uids.remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_let_go_once_until_we_hold_it_again() {
        let let_go = LetGo::default();
        assert!(let_go.is_first("a") && !let_go.is_first("a") && let_go.is_first("b"));
        let_go.forget("a");
        assert!(let_go.is_first("a") && !let_go.is_first("a") && !let_go.is_first("b"));
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let let_go = LetGo::default();
        (0..=MOST).for_each(|number| assert!(let_go.is_first(&number.to_string())));
        assert!(!let_go.is_first(&MOST.to_string()) && !let_go.is_first("1") && let_go.is_first("0"));
        let seen = let_go.0.lock().unwrap();
        assert_eq!((seen.uids.len(), seen.order.len()), (MOST, MOST));
    }
}
