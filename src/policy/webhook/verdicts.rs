//! What was verified of late: only passes, only of digests, only for who asks with the same credentials.
//!
//! # Guarantees
//!
//! - A pass serves nobody else: the key has the namespace, the service account and the pull secrets by which the image
//!   was looked at, beside policy and digest. It serves for a minute, as the content of a Secret does.
//! - The memory is bounded, in number and size: of a pass is kept that it is one, not the statements that showed it. What
//!   cannot be remembered is verified again.
//!
//! A failure is never remembered: whoever mends it is believed at once.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::subject::Subject;
use crate::policy::evaluation::{Answer, AuthorityVerdict, PolicyVerdict};
use crate::policy::reference::{Reference, Version};

const FRESH: Duration = Duration::from_mins(1);
const CAPACITY: usize = 4096;

/// Passes by what they depend on.
#[derive(Debug, Default)]
pub(super) struct Verdicts(Mutex<HashMap<Key, (Instant, PolicyVerdict)>>);

/// What a pass depends on, within one snapshot or from one to the next where the policy stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    policy: String,
    image: String,
    namespace: String,
    account: String,
    pull_secrets: Vec<String>,
}

impl Key {
    /// Nothing for a tag, which may be something else a moment later.
    pub(super) fn of(policy: &str, image: &Reference, subject: &Subject) -> Option<Self> {
        matches!(image.version(), Version::Digest(_)).then(|| Self {
            policy: policy.to_owned(),
            image: image.canonical(),
            namespace: subject.namespace.clone(),
            account: subject.account.clone(),
            pull_secrets: subject.pull_secrets.clone(),
        })
    }
}

impl Verdicts {
    /// The pass of this key, if it is fresh at `now`.
    pub(super) fn pass(&self, key: &Key, now: Instant) -> Option<PolicyVerdict> {
        let verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        verdicts.get(key).filter(|(at, _)| is_fresh(*at, now)).map(|(_, verdict)| verdict.clone())
    }

    /// What is remembered of these policies, for another snapshot in which they stand unchanged.
    pub(super) fn of_policies(&self, names: &BTreeSet<String>) -> Self {
        let verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = verdicts.iter().filter(|(key, _)| names.contains(&key.policy));
        Self(Mutex::new(kept.map(|(key, held)| (key.clone(), held.clone())).collect()))
    }

    /// Remembers a pass.
    pub(super) fn remember(&self, key: Key, verdict: &PolicyVerdict, now: Instant) {
        let mut verdicts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if verdicts.len() >= CAPACITY {
            verdicts.retain(|_, (at, _)| is_fresh(*at, now));
        }
        if verdicts.len() < CAPACITY {
            verdicts.insert(key, (now, bare(verdict)));
        }
    }
}

/// The pass without what it was seen by: a statement may have megabytes.
fn bare(verdict: &PolicyVerdict) -> PolicyVerdict {
    let satisfied = |one: &&AuthorityVerdict| matches!(one.answer, Answer::Satisfied(_));
    let authorities = verdict.authorities.iter().filter(satisfied).map(|one| AuthorityVerdict {
        authority: one.authority.clone(),
        answer: Answer::Satisfied(Vec::new()),
    });
    PolicyVerdict { policy: verdict.policy.clone(), mode: verdict.mode, authorities: authorities.collect() }
}

fn is_fresh(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < FRESH
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Mode;
    use crate::policy::check::Flaw;
    use crate::policy::evaluation::{Checked, Reason, Standing};
    use crate::policy::material::{Manifest, Place};

    fn subject(namespace: &str, account: &str, secrets: &[&str]) -> Subject {
        Subject {
            namespace: namespace.into(),
            resource: super::super::review::Resource::default(),
            labels: std::collections::BTreeMap::new(),
            account: account.into(),
            pull_secrets: secrets.iter().map(|name| (*name).to_owned()).collect(),
            images: Vec::new(),
        }
    }

    fn image(hex: char) -> Reference {
        format!("a.test/app@sha256:{}", hex.to_string().repeat(64)).parse().unwrap()
    }

    fn pass() -> PolicyVerdict {
        PolicyVerdict { policy: "p".into(), mode: Mode::Enforce, authorities: Vec::new() }
    }

    #[test]
    fn a_pass_serves_the_same_question_for_a_minute_and_no_other() {
        let (verdicts, now) = (Verdicts::default(), Instant::now());
        let key = |policy: &str, hex, subject: &Subject| Key::of(policy, &image(hex), subject).unwrap();
        let own = subject("team-a", "web", &["regcred"]);
        verdicts.remember(key("p", 'a', &own), &pass(), now);
        assert!(verdicts.pass(&key("p", 'a', &own), now + Duration::from_secs(59)).is_some());
        assert!(verdicts.pass(&key("p", 'a', &own), now + FRESH).is_none());
        for other in [
            key("q", 'a', &own),
            key("p", 'b', &own),
            key("p", 'a', &subject("team-b", "web", &["regcred"])),
            key("p", 'a', &subject("team-a", "other", &["regcred"])),
            key("p", 'a', &subject("team-a", "web", &[])),
        ] {
            assert!(verdicts.pass(&other, now).is_none(), "{other:?}");
        }
    }

    #[test]
    fn another_snapshot_takes_over_what_was_verified_under_policies_that_did_not_change() {
        let (verdicts, now) = (Verdicts::default(), Instant::now());
        let key = |policy: &str| Key::of(policy, &image('a'), &subject("team-a", "web", &[])).unwrap();
        verdicts.remember(key("same"), &pass(), now);
        verdicts.remember(key("changed"), &pass(), now);
        let next = verdicts.of_policies(&BTreeSet::from(["same".to_owned()]));
        assert!(next.pass(&key("same"), now + Duration::from_secs(59)).is_some());
        assert!(
            next.pass(&key("same"), now + FRESH).is_none(),
            "its minute goes on from when it was verified"
        );
        assert!(next.pass(&key("changed"), now).is_none());
    }

    #[test]
    fn of_a_pass_is_kept_that_it_is_one_and_nothing_else() {
        let authority = |name: &str, answer| AuthorityVerdict { authority: name.to_owned(), answer };
        let repository = crate::artifact::image::Repository::parse("a.test/app").unwrap();
        let place = Place { repository, manifest: Manifest::Tag("sha256-1.att".into()), layer: 1 };
        let found = Checked { place, result: Err(Flaw::NoCertificate) };
        let authorities = vec![
            authority("first", Answer::Refused(Reason::NoneVerifies(vec![found.clone()]))),
            authority("second", Answer::Satisfied(vec![found])),
        ];
        let verdict = PolicyVerdict { authorities, ..pass() };
        let (verdicts, now) = (Verdicts::default(), Instant::now());
        let key = Key::of("p", &image('a'), &subject("team-a", "web", &[])).unwrap();
        verdicts.remember(key.clone(), &verdict, now);
        let kept = verdicts.pass(&key, now).unwrap();
        assert_eq!(kept.standing(), Standing::Satisfied);
        assert_eq!((kept.authorities.len(), kept.authorities[0].authority.as_str()), (1, "second"));
        assert!(matches!(&kept.authorities[0].answer, Answer::Satisfied(found) if found.is_empty()));
    }

    #[test]
    fn a_tag_is_never_remembered() {
        assert_eq!(Key::of("p", &"a.test/app:v1".parse().unwrap(), &subject("a", "b", &[])), None);
    }

    #[test]
    fn the_memory_is_bounded_and_makes_room_for_what_is_fresh() {
        let (verdicts, now) = (Verdicts::default(), Instant::now());
        let own = subject("team-a", "web", &[]);
        let key = |number: usize| Key::of(&number.to_string(), &image('a'), &own).unwrap();
        for number in 0..=CAPACITY {
            verdicts.remember(key(number), &pass(), now);
        }
        assert_eq!(verdicts.0.lock().unwrap().len(), CAPACITY);
        verdicts.remember(key(CAPACITY), &pass(), now + FRESH);
        assert_eq!(verdicts.0.lock().unwrap().len(), 1);
    }
}
