//! One circuit for each host: whoever wants to ask a host that does not answer is told so at once, and one request at
//! a time finds out whether it is back.
//!
//! # Flow
//!
//! Whoever sends a request [enters](Circuits::enter) and tells how it went. A host that cannot be reached, or that
//! lets a request wait until its time is over, breaks the circuit: nobody enters but one probe after a pause that
//! doubles up to [`LONGEST`]. A host that takes connections and answers nothing is noticed before that, by how many
//! wait for it and for how long. Any answer closes the circuit.
//!
//! # Guarantees
//!
//! - A request that is under way is never cut off: a slow answer is an answer.
//! - A host that answers, whatever it answers, refuses nobody.
//! - Memory is bounded; a host beyond [`CAPACITY`] that tenants name has no circuit.
//!
//! # Caveats
//!
//! Answers of a host that is slow but alive may come late enough for others to be told that it is silent. They come
//! back as soon as a probe is answered, and none is lost.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::cause::cause;
use super::resolver::ForbiddenAddress;

/// Pause after the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// A probe comes at least this often, if anybody wants to enter.
const LONGEST: Duration = Duration::from_secs(10);
/// So many that wait in vain are enough to doubt a host soon.
const MANY: usize = 8;
const MANY_WAIT: Duration = Duration::from_secs(2);
/// One that waits in vain is enough to doubt it after this time.
const ONE_WAITS: Duration = Duration::from_secs(10);
/// Who waits for longer than this, while the host answers nobody, is held up.
const HELD_UP: Duration = Duration::from_millis(500);
const CAPACITY: usize = 1024;

/// The circuits of a process.
#[derive(Clone, Default)]
pub struct Circuits(Arc<Shared>);

/// What a host is asked as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Images and signatures.
    Registry,
    /// Tokens for a registry.
    Token,
    /// Certificates.
    Fulcio,
    /// Entries of a transparency log.
    Log,
    /// Signed times.
    Timestamp,
    /// Signatures by keys that stay there.
    Kms,
    /// Signatures, anywhere but in registries.
    Store,
}

/// Hears of every request that was answered or failed, and how long it took.
pub type Observer = Box<dyn Fn(Service, &str, Duration) + Send + Sync>;

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    observer: OnceLock<Observer>,
}

impl fmt::Debug for Circuits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Circuits").field(&*self.state()).finish()
    }
}

#[derive(Debug, Default)]
struct State {
    hosts: HashMap<String, Circuit>,
    number: u64,
}

/// What is known of one host.
#[derive(Debug, Default)]
struct Circuit {
    /// When each request that is under way began.
    waiting: BTreeMap<u64, Instant>,
    answered: Option<Instant>,
    broken: Option<Broken>,
}

#[derive(Debug)]
struct Broken {
    until: Instant,
    pause: Duration,
    probe: Option<u64>,
}

/// The host does not answer; nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it answered nobody a moment ago; one request at a time asks it again")]
pub struct Silent;

/// A request under way. Dropped without a word, it says nothing about the host.
#[derive(Debug)]
#[must_use]
pub struct Passage {
    circuits: Circuits,
    service: Service,
    host: String,
    number: u64,
    since: Instant,
}

impl Circuits {
    /// Before a request to `host`.
    pub fn enter(&self, service: Service, host: &str, now: Instant) -> Result<Passage, Silent> {
        let mut state = self.state();
        let number = state.next(host);
        if let Some(circuit) = state.hosts.get_mut(host) {
            if !circuit.admits(number, now) {
                return Err(Silent);
            }
            circuit.waiting.insert(number, now);
        }
        drop(state);
        Ok(self.passage(service, host, number, now))
    }

    /// Before a request that is to find out whether `host` is back: always admitted.
    pub fn probe(&self, service: Service, host: &str, now: Instant) -> Passage {
        let mut state = self.state();
        let number = state.next(host);
        if let Some(circuit) = state.hosts.get_mut(host) {
            circuit.waiting.insert(number, now);
            if let Some(broken) = &mut circuit.broken {
                broken.probe = Some(number);
            }
        }
        drop(state);
        self.passage(service, host, number, now)
    }

    fn passage(&self, service: Service, host: &str, number: u64, since: Instant) -> Passage {
        Passage { circuits: self.clone(), service, host: host.to_owned(), number, since }
    }

    /// From now on `observer` hears of every request; the first one that is set stays.
    pub fn observe(&self, observer: Observer) {
        let _ = self.0.observer.set(observer);
    }

    /// How many requests are held up by hosts that answer nobody: every one at a host that admits no more, and at most
    /// `others` at hosts that still may have them join it.
    pub fn held_up(&self, now: Instant, others: usize) -> usize {
        let state = self.state();
        let held_up = |circuit: &&Circuit| circuit.silence(now).is_some_and(|silence| silence >= HELD_UP);
        let (closed, open): (Vec<_>, Vec<_>) =
            state.hosts.values().filter(held_up).partition(|circuit| circuit.is_closed(now));
        let waiting =
            |circuits: Vec<&Circuit>| circuits.iter().map(|circuit| circuit.waiting.len()).sum::<usize>();
        waiting(closed) + waiting(open).min(others)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The number of the next request; makes a circuit for `host` while there is room.
    fn next(&mut self, host: &str) -> u64 {
        self.number += 1;
        if !self.hosts.contains_key(host) {
            if self.hosts.len() >= CAPACITY {
                self.hosts.retain(|_, circuit| circuit.broken.is_some() || !circuit.waiting.is_empty());
            }
            if self.hosts.len() < CAPACITY {
                self.hosts.insert(host.to_owned(), Circuit::default());
            }
        }
        self.number
    }
}

impl Circuit {
    fn admits(&mut self, number: u64, now: Instant) -> bool {
        match &mut self.broken {
            Some(broken) => {
                let probes = broken.probe.is_none() && broken.until <= now;
                if probes {
                    broken.probe = Some(number);
                }
                probes
            }
            None => !self.is_closed(now),
        }
    }

    /// Whether nobody is let in but who asks whether it is back.
    fn is_closed(&self, now: Instant) -> bool {
        let limit = if self.waiting.len() >= MANY { MANY_WAIT } else { ONE_WAITS };
        self.broken.is_some() || self.silence(now).is_some_and(|silence| silence >= limit)
    }

    /// For how long somebody has waited and nobody was answered.
    fn silence(&self, now: Instant) -> Option<Duration> {
        let (_, oldest) = self.waiting.first_key_value()?;
        let since = self.answered.map_or(*oldest, |answered| answered.max(*oldest));
        Some(now.saturating_duration_since(since))
    }

    fn failed(&mut self, number: u64, now: Instant) {
        let pause = match &self.broken {
            None => FIRST,
            Some(broken) if broken.probe == Some(number) => (broken.pause * 2).min(LONGEST),
            // What began before it broke tells nothing new.
            Some(_) => return,
        };
        self.broken = Some(Broken { until: now + pause, pause, probe: None });
    }
}

impl Passage {
    /// The host answered, whatever it said.
    pub fn answered(self) {
        self.observe();
        self.end(|circuit, _| (circuit.broken, circuit.answered) = (None, Some(Instant::now())));
    }

    /// The host was not reached, or did not answer in time.
    pub fn failed(self) {
        self.observe();
        self.end(|circuit, number| circuit.failed(number, Instant::now()));
    }

    fn observe(&self) {
        if let Some(observer) = self.circuits.0.observer.get() {
            observer(self.service, &self.host, self.since.elapsed());
        }
    }

    /// Tells how a request went. A connection that was refused by its check, or that broke off, was answered in its way
    /// and says nothing.
    pub fn told(
        self,
        sent: Result<reqwest::Response, reqwest::Error>,
    ) -> Result<reqwest::Response, reqwest::Error> {
        match &sent {
            Ok(_) => self.answered(),
            Err(error) if is_away(error) => self.failed(),
            Err(_) => {}
        }
        sent
    }

    fn end(&self, tell: impl FnOnce(&mut Circuit, u64)) {
        let mut state = self.circuits.state();
        if let Some(circuit) = state.hosts.get_mut(&self.host) {
            tell(circuit, self.number);
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let number = self.number;
        self.end(|circuit, _| {
            circuit.waiting.remove(&number);
            if let Some(broken) = circuit.broken.as_mut().filter(|broken| broken.probe == Some(number)) {
                broken.probe = None;
            }
        });
    }
}

/// Nobody was there, or nobody answered in time; a server that is not trusted was there.
pub fn is_away(error: &reqwest::Error) -> bool {
    let refused = cause::<rustls::Error>(error).is_some() || cause::<ForbiddenAddress>(error).is_some();
    (error.is_connect() || error.is_timeout()) && !refused
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "registry.test";

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_host_that_cannot_be_reached_is_asked_by_one_at_a_time_after_growing_pauses() {
        let (circuits, start) = (Circuits::default(), Instant::now());
        circuits.enter(Service::Registry, HOST, start).unwrap().failed();
        assert!(circuits.enter(Service::Registry, HOST, start).is_err(), "the pause is not over");
        assert!(circuits.enter(Service::Registry, "other.test", start).is_ok(), "another host");
        let probe = circuits.enter(Service::Registry, HOST, after(start, 2)).unwrap();
        assert!(circuits.enter(Service::Registry, HOST, after(start, 60)).is_err(), "one probe at a time");
        probe.failed();
        assert!(circuits.enter(Service::Registry, HOST, after(start, 1)).is_err(), "the pause has doubled");
        for _ in 0..8 {
            circuits.enter(Service::Registry, HOST, after(start, 60)).unwrap().failed();
        }
        assert!(
            circuits.enter(Service::Registry, HOST, after(start, 11)).is_ok(),
            "never longer than ten seconds"
        );
    }

    #[test]
    fn any_answer_closes_the_circuit() {
        let (circuits, start) = (Circuits::default(), Instant::now());
        let slow = circuits.enter(Service::Registry, HOST, start).unwrap();
        circuits.enter(Service::Registry, HOST, start).unwrap().failed();
        assert!(circuits.enter(Service::Registry, HOST, start).is_err());
        slow.answered();
        assert!(circuits.enter(Service::Registry, HOST, start).is_ok());
    }

    #[test]
    fn a_probe_that_is_given_up_leaves_its_place_to_the_next() {
        let (circuits, start) = (Circuits::default(), Instant::now());
        circuits.enter(Service::Registry, HOST, start).unwrap().failed();
        drop(circuits.enter(Service::Registry, HOST, after(start, 2)).unwrap());
        assert!(circuits.enter(Service::Registry, HOST, after(start, 2)).is_ok());
    }

    #[test]
    fn many_that_wait_in_vain_for_two_seconds_let_nobody_else_in() {
        let (circuits, start) = (Circuits::default(), Instant::now());
        let waiting: Vec<_> =
            (0..MANY).map(|_| circuits.enter(Service::Registry, HOST, start).unwrap()).collect();
        assert!(circuits.enter(Service::Registry, HOST, after(start, 1)).is_ok(), "a host may take a second");
        assert!(circuits.enter(Service::Registry, HOST, after(start, 3)).is_err());
        drop(circuits.probe(Service::Registry, HOST, after(start, 3)));
        drop(waiting);
        assert!(circuits.enter(Service::Registry, HOST, after(start, 3)).is_ok(), "nobody waits any more");
    }

    #[test]
    fn one_slow_request_keeps_nobody_out_for_a_while_and_neither_do_many_that_are_answered() {
        let (circuits, start) = (Circuits::default(), Instant::now());
        let _slow = circuits.enter(Service::Registry, HOST, start).unwrap();
        assert!(circuits.enter(Service::Registry, HOST, after(start, 9)).is_ok());
        assert!(circuits.enter(Service::Registry, HOST, after(start, 11)).is_err());
        let busy = Circuits::default();
        let _many: Vec<_> = (0..MANY).map(|_| busy.enter(Service::Registry, HOST, start).unwrap()).collect();
        busy.enter(Service::Registry, HOST, start).unwrap().answered();
        assert!(busy.enter(Service::Registry, HOST, Instant::now() + MANY_WAIT / 2).is_ok());
    }

    #[test]
    fn those_that_wait_for_a_silent_host_are_held_up_and_no_others() {
        let (circuits, start) = (Circuits::default(), Instant::now());
        let _silent: Vec<_> =
            (0..3).map(|_| circuits.enter(Service::Registry, HOST, start).unwrap()).collect();
        let _young = circuits.enter(Service::Registry, "other.test", after(start, 1)).unwrap();
        assert_eq!((circuits.held_up(start, 9), circuits.held_up(after(start, 1), 9)), (0, 3));
    }

    #[test]
    fn however_many_wait_for_a_host_that_admits_no_more_they_leave_room_for_others() {
        let (circuits, start) = (Circuits::default(), Instant::now());
        let _silent: Vec<_> =
            (0..20).map(|_| circuits.enter(Service::Registry, HOST, start).unwrap()).collect();
        assert_eq!(circuits.held_up(after(start, 1), 12), 12, "more may still join them");
        assert!(circuits.enter(Service::Registry, HOST, after(start, 2)).is_err());
        assert_eq!(circuits.held_up(after(start, 2), 12), 20);
    }

    #[test]
    fn hosts_are_forgotten_when_there_are_too_many_and_those_that_are_away_are_not() {
        let (circuits, now) = (Circuits::default(), Instant::now());
        circuits.enter(Service::Registry, HOST, now).unwrap().failed();
        for number in 0..CAPACITY * 2 {
            circuits.enter(Service::Registry, &format!("host-{number}"), now).unwrap().answered();
        }
        assert!(circuits.state().hosts.len() <= CAPACITY);
        assert!(circuits.enter(Service::Registry, HOST, now).is_err());
    }

    #[test]
    fn whoever_observes_hears_of_every_request_that_was_answered_or_failed() {
        let (circuits, now) = (Circuits::default(), Instant::now());
        let heard: Arc<Mutex<Vec<(Service, String)>>> = Arc::default();
        let ear = Arc::clone(&heard);
        let observer = move |service, host: &str, _| ear.lock().unwrap().push((service, host.to_owned()));
        circuits.observe(Box::new(observer));
        circuits.enter(Service::Token, HOST, now).unwrap().answered();
        drop(circuits.enter(Service::Log, HOST, now).unwrap());
        circuits.enter(Service::Fulcio, HOST, now).unwrap().failed();
        let host = || HOST.to_owned();
        assert_eq!(*heard.lock().unwrap(), [(Service::Token, host()), (Service::Fulcio, host())]);
    }
}
