//! Runs that were finished a moment ago: a late event of one of them is no new work. Bounded in number and time.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::tekton::head::RunKey;

const MOST: usize = 4096;
/// For so long.
pub const FOR: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Recent {
    order: VecDeque<(Instant, Arc<RunKey>)>,
    keys: HashSet<Arc<RunKey>>,
}

impl Recent {
    pub(super) fn add(&mut self, key: &Arc<RunKey>, now: Instant) {
        while self.order.len() >= MOST || self.order.front().is_some_and(|(at, _)| now - *at > FOR) {
            if let Some((_, old)) = self.order.pop_front() {
                self.keys.remove(&old);
            }
        }
        if self.keys.insert(Arc::clone(key)) {
            self.order.push_back((now, Arc::clone(key)));
        }
    }

    pub(super) fn has(&self, key: &RunKey, now: Instant) -> bool {
        let lately = |at: Instant| now.saturating_duration_since(at) <= FOR;
        self.keys.contains(key) && self.order.iter().any(|(at, recent)| **recent == *key && lately(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tekton::Kind;

    fn key(number: usize) -> RunKey {
        let (namespace, name) = ("ci".to_owned(), number.to_string());
        RunKey { kind: Kind::TaskRun, namespace, uid: name.clone(), name }
    }

    #[test]
    fn the_oldest_are_forgotten_first_and_all_after_a_while() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        (0..=MOST).for_each(|number| recent.add(&Arc::new(key(number)), now));
        assert!(!recent.has(&key(0), now) && recent.has(&key(1), now) && recent.has(&key(MOST), now));
        assert_eq!((recent.order.len(), recent.keys.len()), (MOST, MOST));
        assert!(!recent.has(&key(1), now + FOR + Duration::from_secs(1)));
    }
}
