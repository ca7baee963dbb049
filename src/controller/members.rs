//! Which replica works on which run: by rendezvous hashing of the run over the replicas that are alive, so that
//! each takes a fair part, adding one helps at once, and losing one moves only the runs that it had. Pure.

use std::collections::BTreeSet;

use crate::artifact::digest::Digest;

/// The replicas that are alive, this one among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Members {
    own: String,
    alive: BTreeSet<String>,
}

impl Members {
    /// This replica and the others.
    pub(super) fn new(own: &str, others: impl IntoIterator<Item = String>) -> Self {
        let mut alive: BTreeSet<String> = others.into_iter().collect();
        alive.insert(own.to_owned());
        Self { own: own.to_owned(), alive }
    }

    /// How many replicas share the work.
    pub(super) fn count(&self) -> usize {
        self.alive.len()
    }

    /// Whether the run with this uid is this replica's.
    pub(super) fn owns(&self, uid: &str) -> bool {
        self.alive.len() == 1 || self.alive.iter().max_by_key(|member| score(member, uid)) == Some(&self.own)
    }
}

/// Every replica computes the same number, whatever it is built for.
fn score(member: &str, uid: &str) -> [u8; 8] {
    let digest = Digest::of(format!("{member}\n{uid}").as_bytes());
    let mut score = [0; 8];
    for (to, from) in score.iter_mut().zip(digest.as_bytes()) {
        *to = *from;
    }
    score
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(names: &[&str]) -> Vec<Members> {
        names.iter().map(|own| Members::new(own, names.iter().map(|name| (*name).to_owned()))).collect()
    }

    fn uids() -> Vec<String> {
        (0..4000).map(|number| format!("uid-{number}")).collect()
    }

    #[test]
    fn every_run_has_exactly_one_owner() {
        let replicas = replicas(&["a", "b", "c", "d"]);
        for uid in uids() {
            assert_eq!(replicas.iter().filter(|members| members.owns(&uid)).count(), 1, "{uid}");
        }
    }

    #[test]
    fn each_replica_takes_a_fair_part() {
        for members in replicas(&["a", "b", "c", "d"]) {
            let part = uids().iter().filter(|uid| members.owns(uid)).count();
            assert!((900..1100).contains(&part), "{part} of 4000");
        }
    }

    #[test]
    fn losing_a_replica_moves_only_its_own_runs() {
        let (before, after) = (replicas(&["a", "b", "c"]), replicas(&["a", "b"]));
        for uid in uids() {
            if before[0].owns(&uid) {
                assert!(after[0].owns(&uid), "{uid} stays with a");
            }
        }
    }

    #[test]
    fn a_single_replica_owns_everything() {
        let alone = Members::new("a", []);
        assert!(uids().iter().all(|uid| alone.owns(uid)));
        assert_eq!(alone.count(), 1);
    }
}
