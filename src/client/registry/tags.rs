//! One lock per tag, so that two runs of this process which add to the same tag never overwrite each other.
//! Other processes are met by looking again after the write (`storage::oci`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Mutex as AsyncMutex;

use crate::artifact::image::Repository;

/// Locks that somebody holds or waits for; others are forgotten.
#[derive(Default)]
pub(super) struct TagLocks(Mutex<HashMap<Tag, TagLock>>);

type Tag = (Repository, String);

/// The lock of one tag. It guards the number of writes that this process has made since somebody first held it:
/// whoever read the tag before another write must read it again.
pub type TagLock = Arc<AsyncMutex<u64>>;

impl TagLocks {
    pub(super) fn of(&self, repository: &Repository, tag: &str) -> TagLock {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.len() >= 1024 {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Arc::clone(locks.entry((repository.clone(), tag.to_owned())).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_tag_has_one_lock_while_somebody_holds_it() {
        let locks = TagLocks::default();
        let repository = Repository::parse("localhost:5000/app").unwrap();
        let held = locks.of(&repository, "sha256-1.sig");
        assert!(Arc::ptr_eq(&held, &locks.of(&repository, "sha256-1.sig")));
        assert!(!Arc::ptr_eq(&held, &locks.of(&repository, "sha256-1.att")));
    }

    #[test]
    fn locks_that_nobody_holds_are_forgotten_and_held_ones_are_not() {
        let locks = TagLocks::default();
        let repository = Repository::parse("localhost:5000/app").unwrap();
        let held = locks.of(&repository, "held");
        for number in 0..5000 {
            locks.of(&repository, &number.to_string());
        }
        assert!(locks.0.lock().unwrap().len() <= 1024);
        assert!(Arc::ptr_eq(&held, &locks.of(&repository, "held")));
    }
}
