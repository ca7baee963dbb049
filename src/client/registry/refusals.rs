//! What registries refused of late, across attempts and runs (credentials specification §1.4).
//!
//! A password that was not accepted is not shown again for five minutes, since many registries lock an account after
//! a few wrong ones; a credential that is valid but lacks the right is tried after all others. Both are forgotten
//! when the registry accepts the credential after all, and a changed Secret is another credential.
//!
//! Guarantees: what one namespace learns is not used for another; memory is bounded. Pure: time is an argument.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::credential::{Candidate, Credential, Outcome, Provenance, Target};

const REMEMBERED: Duration = Duration::from_mins(5);
/// More refusals than this are not remembered.
const CAPACITY: usize = 4096;

/// What to do with a candidate that was refused of late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caution {
    /// Nothing: it was not refused.
    None,
    /// It may not do this: after all others.
    Last,
    /// It is not accepted: not at all.
    Skip,
}

/// Place and version of a candidate within its namespace, the credential itself, and what it was refused for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Refused {
    namespace: String,
    candidate: Provenance,
    credential: Arc<Credential>,
    target: Target,
}

/// See the module.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<Refused, (Instant, Caution)>>);

impl Refusals {
    /// What is remembered of a candidate.
    pub(super) fn caution(
        &self,
        namespace: &str,
        candidate: &Candidate,
        target: &Target,
        now: Instant,
    ) -> Caution {
        let known = self.known();
        let found = known.get(&Refused::of(namespace, candidate, target));
        let recent = found.filter(|(at, _)| now.duration_since(*at) < REMEMBERED);
        recent.map_or(Caution::None, |(_, caution)| *caution)
    }

    /// The registry refused a candidate. Anonymous access locks nobody out.
    pub(super) fn refused(
        &self,
        namespace: &str,
        candidate: &Candidate,
        target: &Target,
        outcome: Outcome,
        now: Instant,
    ) {
        let caution = match outcome {
            Outcome::Rejected => Caution::Skip,
            Outcome::Denied => Caution::Last,
            _ => return,
        };
        if *candidate.credential == Credential::Anonymous {
            return;
        }
        let mut known = self.known();
        if known.len() >= CAPACITY {
            known.retain(|_, (at, _)| now.duration_since(*at) < REMEMBERED);
        }
        if known.len() < CAPACITY {
            known.insert(Refused::of(namespace, candidate, target), (now, caution));
        }
    }

    /// The registry accepted a candidate.
    pub(super) fn accepted(&self, namespace: &str, candidate: &Candidate, target: &Target) {
        let mut known = self.known();
        if !known.is_empty() {
            known.remove(&Refused::of(namespace, candidate, target));
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Refused, (Instant, Caution)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refused {
    fn of(namespace: &str, candidate: &Candidate, target: &Target) -> Self {
        Self {
            namespace: namespace.to_owned(),
            candidate: candidate.provenance.clone(),
            credential: Arc::clone(&candidate.credential),
            target: target.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::image::Repository;
    use crate::credential::{Location, Login, Operation, SecretRef, Source};

    fn candidate(version: &str, password: &str) -> Candidate {
        let secret = SecretRef {
            namespace: "ci".into(),
            name: "push".into(),
            uid: "u".into(),
            resource_version: version.into(),
        };
        Candidate {
            provenance: Provenance {
                source: Source::ServiceAccountSecrets,
                location: Location::Secret(secret),
                entry: "registry.test".into(),
            },
            also_from: Vec::new(),
            credential: Arc::new(Credential::Basic(Login {
                username: "u".into(),
                password: password.into(),
            })),
        }
    }

    fn target(repository: &str, operation: Operation) -> Target {
        Target { repository: Repository::parse(repository).unwrap(), operation }
    }

    #[test]
    fn a_refusal_counts_for_five_minutes_for_its_target_namespace_and_version_alone() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let (one, push) = (candidate("1", "p"), target("registry.test/app", Operation::Push));
        refusals.refused("ci", &one, &push, Outcome::Rejected, now);
        let caution = |namespace: &str, candidate: &Candidate, target: &Target, after: u64| {
            refusals.caution(namespace, candidate, target, now + Duration::from_secs(after))
        };
        assert_eq!(caution("ci", &one, &push, 299), Caution::Skip);
        assert_eq!(caution("ci", &one, &push, 300), Caution::None, "five minutes have passed");
        assert_eq!(caution("other", &one, &push, 0), Caution::None, "another tenant");
        assert_eq!(caution("ci", &candidate("2", "p"), &push, 0), Caution::None, "the Secret was changed");
        assert_eq!(caution("ci", &candidate("1", "q"), &push, 0), Caution::None, "a file was changed");
        for other in [
            target("registry.test/app", Operation::Pull),
            target("registry.test/other", Operation::Push),
            target("elsewhere.test/app", Operation::Push),
        ] {
            assert_eq!(caution("ci", &one, &other, 0), Caution::None, "{other:?}");
        }
    }

    #[test]
    fn a_lack_of_rights_is_no_wrong_password_and_acceptance_wipes_both() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let (one, push) = (candidate("1", "p"), target("registry.test/app", Operation::Push));
        refusals.refused("ci", &one, &push, Outcome::Denied, now);
        assert_eq!(refusals.caution("ci", &one, &push, now), Caution::Last);
        refusals.accepted("ci", &one, &push);
        assert_eq!(refusals.caution("ci", &one, &push, now), Caution::None);
        for harmless in [Outcome::Error, Outcome::Skipped, Outcome::Expired, Outcome::NotTried] {
            refusals.refused("ci", &one, &push, harmless, now);
            assert_eq!(refusals.caution("ci", &one, &push, now), Caution::None, "{harmless}");
        }
    }

    #[test]
    fn memory_is_bounded_and_old_refusals_make_room() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let push = target("registry.test/app", Operation::Push);
        for number in 0..=CAPACITY {
            refusals.refused("ci", &candidate(&number.to_string(), "p"), &push, Outcome::Denied, now);
        }
        assert_eq!(refusals.known().len(), CAPACITY);
        refusals.refused("ci", &candidate("new", "p"), &push, Outcome::Denied, now + REMEMBERED);
        assert_eq!(refusals.known().len(), 1);
    }
}
