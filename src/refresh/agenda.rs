//! Which Secrets there are to look at, and when. Pure; it knows names, times and failures, and never a content.
//!
//! Guarantees: a Secret is worked on by one worker at a time; what happens to it meanwhile makes it due again.

use std::collections::HashMap;

use jiff::Timestamp;

use super::failing::State;

/// A Secret by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// What comes after a Secret was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is of no concern any more.
    Forget,
    /// It is to be looked at then, and whenever it changes.
    At(Timestamp),
}

/// What is to be looked at.
#[derive(Default)]
pub struct Agenda {
    entries: HashMap<Name, Entry>,
}

struct Entry {
    due: Timestamp,
    at_work: bool,
    /// With the worker while it is at work.
    state: State,
}

impl Agenda {
    /// A Secret was seen to be there, or to have changed.
    pub fn seen(&mut self, name: Name, now: Timestamp) {
        let entry = self.entries.entry(name);
        let entry = entry.or_insert_with(|| Entry { due: now, at_work: false, state: State::default() });
        entry.due = entry.due.min(now);
    }

    /// The next one that is due; it is at work from now on.
    pub fn take(&mut self, now: Timestamp) -> Option<(Name, State)> {
        let due = self.entries.iter_mut().filter(|(_, entry)| !entry.at_work && entry.due <= now);
        let (name, entry) = due.min_by_key(|(_, entry)| entry.due)?;
        entry.at_work = true;
        entry.due = Timestamp::MAX;
        Some((name.clone(), std::mem::take(&mut entry.state)))
    }

    /// The work is done.
    pub fn finished(&mut self, name: &Name, state: State, next: Next) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        entry.at_work = false;
        entry.state = state;
        match next {
            Next::At(at) => entry.due = entry.due.min(at),
            // Seen again meanwhile: then it may concern us again.
            Next::Forget if entry.due == Timestamp::MAX => {
                self.entries.remove(name);
            }
            Next::Forget => {}
        }
    }

    /// The identity token is another one: whatever waits for that need not wait any longer.
    pub fn token_changed(&mut self, now: Timestamp) {
        for entry in self.entries.values_mut().filter(|entry| entry.state.waits_for_token()) {
            entry.state.may_try_now(now);
            entry.due = entry.due.min(now);
        }
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.entries.values().filter(|entry| !entry.at_work).map(|entry| entry.due).min()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        Name { namespace: "ns".into(), name: name.into() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_one_that_waits_longest_comes_first_and_each_is_taken_once() {
        let mut agenda = Agenda::default();
        agenda.seen(name("b"), at(2));
        agenda.seen(name("a"), at(1));
        agenda.seen(name("a"), at(3));
        assert_eq!(agenda.next(), Some(at(1)));
        assert_eq!(agenda.take(at(5)).unwrap().0, name("a"));
        assert_eq!(agenda.take(at(5)).unwrap().0, name("b"));
        assert!(agenda.take(at(5)).is_none());
        assert_eq!(agenda.next(), None, "nobody waits for what is at work");
    }

    #[test]
    fn what_changes_while_it_is_at_work_is_due_again_afterwards() {
        let mut agenda = Agenda::default();
        agenda.seen(name("a"), at(1));
        agenda.take(at(1)).unwrap();
        agenda.seen(name("a"), at(2));
        assert!(agenda.take(at(2)).is_none());
        agenda.finished(&name("a"), State::default(), Next::Forget);
        assert_eq!(agenda.next(), Some(at(2)), "it was seen again");
        agenda.take(at(2)).unwrap();
        agenda.finished(&name("a"), State::default(), Next::At(at(9)));
        assert_eq!(agenda.next(), Some(at(9)));
    }

    #[test]
    fn what_is_of_no_concern_is_forgotten() {
        let mut agenda = Agenda::default();
        agenda.seen(name("a"), at(1));
        agenda.take(at(1)).unwrap();
        agenda.finished(&name("a"), State::default(), Next::Forget);
        assert_eq!(agenda.count(), 0);
    }
}
