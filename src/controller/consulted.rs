//! Secrets and service accounts that waiting runs consulted: when one of them changes, the runs are taken up again
//! (credentials specification §1.8).
//!
//! # Flow
//!
//! An attempt that failed notes what its keychain was read from, with versions. [`follow`] looks at the metadata of
//! just these objects, by name; a version that differs from the noted one wakes the runs that noted it. The next
//! attempt of a run replaces what it noted.
//!
//! # Guarantees
//!
//! - Only `get` on objects that a run itself named; no list, no watch, no content of a Secret.
//! - Nothing is looked at while nothing waits. An object that many runs consulted is looked at once for all.
//! - At most [`AT_ONCE`] looks a second, each object at most every [`EVERY`]; up to some 250 objects each of them is
//!   seen within fifteen seconds of its change, more objects take their turns.
//! - Memory is bounded: what does not fit is not noted, and such a run comes back by its back-off.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::core::PartialObjectMeta;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use super::queue::{Next, Queue};
use super::runs::said;
use crate::credential::consulted::{Consulted, Object, ObjectKind};
use crate::error::{Class, Diagnose as _};
use crate::flow::outcome::Outcome;
use crate::tekton::head::RunKey;

/// How often one object is looked at.
const EVERY: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_secs(1);
/// Looks in one tick.
const AT_ONCE: usize = 25;
/// Looks that are under way at the same time.
const IN_FLIGHT: usize = 5;
const TIMEOUT: Duration = Duration::from_secs(5);
/// Woken runs follow one another within this time.
const SPREAD: Duration = Duration::from_secs(1);
/// How long after its end a run that was given up may be taken up again.
const GIVEN_UP_FOR: Duration = Duration::from_hours(24);
/// Runs that are remembered, and objects.
const MOST_RUNS: usize = 10_000;
const MOST_OBJECTS: usize = 2_000;

/// See the module.
#[derive(Default)]
pub(super) struct Consultations(Mutex<State>);

#[derive(Default)]
struct State {
    runs: HashMap<RunKey, Noted>,
    objects: HashMap<Object, Watched>,
}

struct Noted {
    objects: Vec<Object>,
    /// A run that was given up is remembered until then.
    until: Option<Instant>,
}

#[derive(Default)]
struct Watched {
    looked: Option<Instant>,
    /// The version that each run has seen.
    runs: HashMap<RunKey, Option<String>>,
}

impl Consultations {
    /// After an attempt: remembers a run that waits, or one that was given up, `until` then, and no other.
    pub(super) fn note(&self, key: &RunKey, consulted: &[Consulted], next: &Next, until: Option<Instant>) {
        self.forget(key);
        let until = match next {
            Next::After(_) => None,
            Next::Done if until.is_some() => until,
            _ => return,
        };
        let mut state = self.state();
        let new = consulted.iter().filter(|one| !state.objects.contains_key(&one.object)).count();
        if state.runs.len() >= MOST_RUNS || state.objects.len() + new > MOST_OBJECTS {
            return;
        }
        for Consulted { object, version } in consulted {
            let watched = state.objects.entry(object.clone()).or_default();
            watched.runs.insert(key.clone(), version.clone());
        }
        let objects: Vec<Object> = consulted.iter().map(|one| one.object.clone()).collect();
        if !objects.is_empty() {
            state.runs.insert(key.clone(), Noted { objects, until });
        }
    }

    /// A run is worked on again.
    pub(super) fn forget(&self, key: &RunKey) {
        self.state().forget(key);
    }

    /// What to look at now: whatever was not looked at for the longest time first.
    fn due(&self, now: Instant) -> Vec<Object> {
        let mut state = self.state();
        state.expire(now);
        let is_due = |watched: &Watched| watched.looked.is_none_or(|at| now.duration_since(at) >= EVERY);
        let mut due: Vec<(Option<Instant>, Object)> = state
            .objects
            .iter()
            .filter(|(_, watched)| is_due(watched))
            .map(|(object, watched)| (watched.looked, object.clone()))
            .collect();
        due.sort_unstable();
        due.truncate(AT_ONCE);
        let due: Vec<Object> = due.into_iter().map(|(_, object)| object).collect();
        for object in &due {
            state.objects.entry(object.clone()).and_modify(|watched| watched.looked = Some(now));
        }
        due
    }

    /// The runs that saw another version than this one. They are named again with each look until they have noted
    /// what they see, so that none is missed that was just being worked on.
    fn changed(&self, object: &Object, version: Option<&str>) -> Vec<RunKey> {
        let state = self.state();
        let Some(watched) = state.objects.get(object) else { return Vec::new() };
        let differs = |seen: &Option<String>| seen.as_deref() != version;
        watched.runs.iter().filter(|(_, seen)| differs(seen)).map(|(key, _)| key.clone()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, key: &RunKey) {
        for object in self.runs.remove(key).map(|noted| noted.objects).unwrap_or_default() {
            if let Some(watched) = self.objects.get_mut(&object) {
                watched.runs.remove(key);
                if watched.runs.is_empty() {
                    self.objects.remove(&object);
                }
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        let expired = |noted: &Noted| noted.until.is_some_and(|until| until <= now);
        let keys: Vec<RunKey> =
            self.runs.iter().filter(|(_, noted)| expired(noted)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.forget(&key);
        }
    }
}

/// Until when a run that is given up may be taken up again: 24 hours from its end, if anything that it failed for can
/// be mended at all.
pub(super) fn remembered_until(outcome: &Outcome, completed: Option<Timestamp>) -> Option<Instant> {
    let curable = outcome.failures().any(|failure| failure.class() != Class::Permanent);
    let since = completed.map_or(SignedDuration::ZERO, |at| Timestamp::now().duration_since(at));
    let left = GIVEN_UP_FOR.checked_sub(since.unsigned_abs())?;
    curable.then(|| Instant::now() + left)
}

/// Looks until `stop`.
pub(super) async fn follow(
    consultations: Arc<Consultations>,
    queue: Arc<Queue>,
    client: Client,
    stop: CancellationToken,
) {
    loop {
        tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(TICK) => {} }
        let due = consultations.due(Instant::now());
        let looks = due.into_iter().map(|object| look(&client, object));
        let looks: Vec<_> = stream::iter(looks).buffer_unordered(IN_FLIGHT).collect().await;
        let mut woken: HashSet<RunKey> = HashSet::new();
        for (object, version) in looks.into_iter().flatten() {
            let runs = consultations.changed(&object, version.as_deref());
            if !runs.is_empty() {
                tracing::info!(
                    runs = runs.len(),
                    "{object} has changed; runs that consulted it are tried again"
                );
            }
            woken.extend(runs);
        }
        if !woken.is_empty() {
            queue.wake(&woken, || SPREAD.mul_f64(super::chance()), Instant::now());
        }
    }
}

/// The version of an object now; nothing at all when the API server does not say.
async fn look(client: &Client, object: Object) -> Option<(Object, Option<String>)> {
    let read = async {
        match object.kind {
            ObjectKind::Secret => {
                let api = Api::<Secret>::namespaced(client.clone(), &object.namespace);
                api.get_metadata_opt(&object.name).await.map(version)
            }
            ObjectKind::ServiceAccount => {
                let api = Api::<ServiceAccount>::namespaced(client.clone(), &object.namespace);
                api.get_metadata_opt(&object.name).await.map(version)
            }
        }
    };
    let version = match tokio::time::timeout(TIMEOUT, read).await.ok()? {
        // What may not be read counts as absent for the keychain too.
        Err(kube::Error::Api(status)) if status.code == 403 => None,
        Err(error) => {
            tracing::debug!(error = said(&error), "cannot look at {object}");
            return None;
        }
        Ok(version) => version,
    };
    Some((object, version))
}

fn version<K>(found: Option<PartialObjectMeta<K>>) -> Option<String> {
    found.and_then(|found| found.metadata.resource_version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tekton::Kind;

    const LATER: Next = Next::After(Duration::from_mins(1));

    fn key(name: &str) -> RunKey {
        RunKey { kind: Kind::TaskRun, namespace: "ci".into(), name: name.into(), uid: format!("uid-{name}") }
    }

    fn secret(name: &str, version: &str) -> Consulted {
        Consulted::secret("ci", name, Some(version.to_owned()).filter(|version| !version.is_empty()))
    }

    #[test]
    fn a_run_is_woken_by_a_change_a_creation_and_a_deletion_and_by_nothing_else() {
        let consultations = Consultations::default();
        let all = [secret("push", "7"), secret("missing", "")];
        consultations.note(&key("a"), &all, &LATER, None);
        let changed = |name: usize, version| consultations.changed(&all[name].object, version);
        assert_eq!(changed(0, Some("7")), []);
        assert_eq!(changed(1, None), []);
        assert_eq!(changed(0, Some("8")), [key("a")]);
        assert_eq!(changed(0, None), [key("a")], "deleted");
        assert_eq!(changed(1, Some("9")), [key("a")], "created");
        assert_eq!(consultations.changed(&secret("other", "1").object, Some("2")), []);
    }

    #[test]
    fn nothing_is_looked_at_while_nothing_waits_and_what_is_shared_is_looked_at_once() {
        let (consultations, now) = (Consultations::default(), Instant::now());
        assert_eq!(consultations.due(now), []);
        for name in ["a", "b", "c"] {
            consultations.note(&key(name), &[secret("push", "7")], &LATER, None);
        }
        assert_eq!(consultations.due(now), [secret("push", "7").object]);
        assert_eq!(consultations.due(now + TICK), [], "not before its time");
        assert_eq!(consultations.due(now + EVERY).len(), 1);
        for name in ["a", "b", "c"] {
            consultations.forget(&key(name));
        }
        assert_eq!(consultations.due(now + EVERY * 2), []);
        assert!(consultations.state().objects.is_empty());
    }

    #[test]
    fn many_objects_take_turns_within_the_rate() {
        let (consultations, now) = (Consultations::default(), Instant::now());
        let all: Vec<Consulted> = (0..AT_ONCE * 10).map(|n| secret(&format!("s{n}"), "1")).collect();
        consultations.note(&key("a"), &all, &LATER, None);
        let mut seen = HashSet::new();
        for tick in 0..10 {
            let due = consultations.due(now + TICK * tick);
            assert!(due.len() <= AT_ONCE);
            seen.extend(due);
        }
        assert_eq!(seen.len(), all.len(), "each within ten seconds");
    }

    #[test]
    fn only_runs_that_wait_by_themselves_or_were_given_up_are_remembered() {
        let (consultations, now) = (Consultations::default(), Instant::now());
        let one = [secret("push", "7")];
        let until = Some(now + Duration::from_mins(1));
        consultations.note(&key("away"), &one, &Next::Host("r".into(), Duration::MAX), until);
        consultations.note(&key("signed"), &one, &Next::Done, None);
        consultations.note(&key("idle"), &one, &Next::Idle, until);
        assert_eq!(consultations.due(now), []);
        consultations.note(&key("failed"), &one, &Next::Done, until);
        assert_eq!(consultations.changed(&one[0].object, None), [key("failed")]);
        assert_eq!(consultations.due(now + Duration::from_secs(61)), [], "it ended too long ago");
        assert!(consultations.state().runs.is_empty());
    }

    #[test]
    fn a_later_attempt_replaces_what_an_earlier_one_noted() {
        let consultations = Consultations::default();
        consultations.note(&key("a"), &[secret("old", "1")], &LATER, None);
        consultations.note(&key("a"), &[secret("new", "1")], &LATER, None);
        assert_eq!(consultations.due(Instant::now()), [secret("new", "1").object]);
        assert_eq!(consultations.changed(&secret("new", "1").object, Some("1")), []);
        consultations.note(&key("a"), &[secret("new", "1")], &Next::Done, None);
        assert!(consultations.state().objects.is_empty(), "it is signed");
    }

    #[test]
    fn what_does_not_fit_is_not_noted() {
        let consultations = Consultations::default();
        for n in 0..MOST_OBJECTS + 5 {
            consultations.note(&key(&n.to_string()), &[secret(&n.to_string(), "1")], &LATER, None);
        }
        let state = consultations.state();
        assert_eq!((state.runs.len(), state.objects.len()), (MOST_OBJECTS, MOST_OBJECTS));
    }
}
