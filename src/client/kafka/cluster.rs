//! The brokers of a cluster: a connection to each that is used, and who of them leads which partition of the topic.
//!
//! # Guarantees
//!
//! - One connection a broker, kept and shared by all runs; one that breaks is made anew for the next request.
//! - One circuit a broker: one that is away is told to everybody at once, and asked again by one at a time.
//! - Every step has a time-out: connecting and logging in together, and each answer.
//! - Many who find the leader of before gone ask for the new one once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::address::Address;
use super::code::Code;
use super::connection::Connection;
use super::error::{Error, Problem, Said};
use super::request::{Metadata, Request};
use super::security::Security;
use crate::client::http::{Circuits, Service};

/// Connecting, TLS and the login together.
const OPENING: Duration = Duration::from_secs(5);
/// A request and its answer.
const ANSWER: Duration = Duration::from_secs(10);

/// A cluster, as one topic's producer sees it.
pub(super) struct Cluster {
    topic: String,
    bootstrap: Vec<Address>,
    security: Security,
    circuits: Circuits,
    slots: Mutex<HashMap<Address, Slot>>,
    layout: tokio::sync::Mutex<Option<Arc<Layout>>>,
}

type Slot = Arc<tokio::sync::Mutex<Line>>;

/// What leads to one broker.
#[derive(Default)]
struct Line {
    /// Whoever has taken it out and is gone has closed it.
    connection: Option<Connection>,
    /// When somebody waited in vain: who has stood behind that one need not do the same.
    silent: Option<Instant>,
}

/// Who leads which partition.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    brokers: BTreeMap<i32, Address>,
    leaders: BTreeMap<i32, i32>,
}

impl Layout {
    pub(super) fn partitions(&self) -> usize {
        self.leaders.len()
    }

    pub(super) fn leader(&self, partition: i32) -> Option<&Address> {
        self.brokers.get(self.leaders.get(&partition)?)
    }
}

impl Cluster {
    pub(super) fn new(
        topic: String,
        bootstrap: Vec<Address>,
        security: Security,
        circuits: Circuits,
    ) -> Self {
        let (slots, layout) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { topic, bootstrap, security, circuits, slots, layout }
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// The brokers of the setting.
    pub(super) fn bootstrap(&self) -> String {
        self.bootstrap.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// Who leads which partition, as it was said last; said anew when that is what `stale` is.
    pub(super) async fn layout(&self, stale: Option<&Arc<Layout>>) -> Result<Arc<Layout>, Error> {
        let mut known = self.layout.lock().await;
        let before = known.as_ref().filter(|known| stale.is_none_or(|stale| !Arc::ptr_eq(known, stale)));
        if let Some(layout) = before {
            return Ok(Arc::clone(layout));
        }
        let asked = self.ask_anybody(&Metadata(&self.topic), stale.map(AsRef::as_ref)).await?;
        let (brokers, partitions) = (asked.brokers, asked.partitions);
        if let Some(code) = Code::of(asked.code) {
            return Err(self.error(self.bootstrap(), Problem::Code(Said { code, words: String::new() })));
        }
        let brokers = brokers.into_iter().filter_map(|(number, host, port)| {
            Some((number, Address { host, port: u16::try_from(port).ok()? }))
        });
        let layout =
            Arc::new(Layout { brokers: brokers.collect(), leaders: partitions.into_iter().collect() });
        self.forget_others(&layout);
        *known = Some(Arc::clone(&layout));
        Ok(layout)
    }

    /// The answer of the first broker that gives one, of those that are known and those of the setting.
    pub(super) async fn ask_anybody<R: Request>(
        &self,
        request: &R,
        layout: Option<&Layout>,
    ) -> Result<R::Answer, Error> {
        let mut tried: Vec<&Address> = Vec::new();
        let mut worst: Option<Error> = None;
        let known = layout.into_iter().flat_map(|layout| layout.brokers.values());
        for address in self.bootstrap.iter().chain(known) {
            if tried.contains(&address) {
                continue;
            }
            tried.push(address);
            match self.call(address, request).await {
                Ok(answer) => return Ok(answer),
                // What somebody can mend tells more than that another one is away.
                Err(error) if worst.as_ref().is_none_or(|worst| worst.problem.is_silence()) => {
                    worst = Some(error);
                }
                Err(_) => {}
            }
        }
        let away = self.bootstrap.first().map(|address| address.origin().into());
        let nobody = || self.error(self.bootstrap(), Problem::Silent("there is no broker".into()));
        Err(match worst.unwrap_or_else(nobody) {
            error if error.problem.is_silence() => Error { broker: self.bootstrap().into(), away, ..error },
            error => error,
        })
    }

    /// Asks one broker.
    pub(super) async fn call<R: Request>(&self, at: &Address, request: &R) -> Result<R::Answer, Error> {
        let entered = self.circuits.enter(Service::Store, &at.origin(), Instant::now());
        let passage = entered.map_err(|silent| self.error(at.to_string(), Problem::Silent(silent.into())))?;
        match self.exchange(at, request).await {
            Ok(answer) => {
                passage.answered();
                Ok(answer)
            }
            Err(problem) => {
                if problem.is_silence() {
                    passage.failed();
                }
                Err(self.error(at.to_string(), problem))
            }
        }
    }

    async fn exchange<R: Request>(&self, at: &Address, request: &R) -> Result<R::Answer, Problem> {
        let (slot, since) = (Arc::clone(self.slots().entry(at.clone()).or_default()), Instant::now());
        let mut line = slot.lock().await;
        if line.silent.is_some_and(|silent| silent >= since) {
            return Err(Problem::Silent("it answered nobody meanwhile".into()));
        }
        // Taken out meanwhile: an exchange that is given up must not leave half an answer to the next one.
        let kept = line.connection.take().filter(|connection| connection.is_fresh(Instant::now()));
        match self.exchange_over(kept, at, request).await {
            Ok((answer, connection)) => {
                line.connection = Some(connection);
                Ok(answer)
            }
            Err(problem) => {
                line.silent = problem.is_silence().then(Instant::now);
                Err(problem)
            }
        }
    }

    async fn exchange_over<R: Request>(
        &self,
        kept: Option<Connection>,
        at: &Address,
        request: &R,
    ) -> Result<(R::Answer, Connection), Problem> {
        let opening = async || {
            let opened = timeout(OPENING, Connection::open(at, &self.security)).await;
            opened.map_err(|elapsed| Problem::Silent(elapsed.into()))?
        };
        let mut connection = match kept {
            Some(connection) => connection,
            None => opening().await?,
        };
        let answer = timeout(ANSWER, connection.exchange(request)).await.map_err(Problem::Late)??;
        Ok((answer, connection))
    }

    /// Brokers come and go, by other names each time where they are pods.
    fn forget_others(&self, layout: &Layout) {
        let is_known =
            |address: &Address| layout.brokers.values().chain(&self.bootstrap).any(|known| known == address);
        self.slots().retain(|address, _| is_known(address));
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<Address, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn error(&self, broker: String, problem: Problem) -> Error {
        Error { topic: self.topic.as_str().into(), broker: broker.into(), away: None, problem }
    }
}
