//! Kafka, as far as storing needs it: messages into one topic, by the wire protocol (Chains specification §6.7).
//!
//! # Flow
//!
//! Any broker says who leads the partitions of the topic; the key of a message decides its partition; its leader is asked
//! to keep it and answers when every replica in sync has it. A leader that is gone is looked for anew.
//!
//! # Guarantees
//!
//! - What is sent again is stored once: brokers know a batch by the producer's number and its own. That holds too for who
//!   comes back later with the same message, after it was left open whether it had been stored ([`Producer::send`]).
//! - Everything has a time-out; answers are bounded, in tries as in bytes.
//!
//! # Caveats
//!
//! What is left open, and what is stored and not yet written down elsewhere, is known to this process alone: when it ends
//! just then, its successor sends such a message again.
//!
//! By hand and not by `kafka-protocol`: see Cargo.toml.

mod address;
mod cluster;
mod code;
mod connection;
mod error;
mod login;
mod memory;
mod record;
mod request;
mod scram;
mod security;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

pub use error::{Error, Problem};
pub use record::Record;

use address::Address;
use cluster::{Cluster, Layout};
use code::Code;
use error::Said;
use memory::{Known, Memory, Ticket};
use record::{Identity, batch, partition};
use request::{InitProducerId, Produce};
use security::Security;

use super::http::Clients;
use super::store;
use crate::config::KafkaStorage;
use crate::credential::registry_config::RegistryConfig;

/// For one message, whatever happens.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a leader waits for the other replicas, in milliseconds.
const REPLICAS: i32 = 8000;
const TRIES: u32 = 6;
/// Before the second try; it doubles.
const PAUSE: Duration = Duration::from_millis(100);
const BROKERS: &str = "storage.pubsub.kafka.bootstrap.servers";

/// Puts messages into one topic.
pub struct Producer {
    cluster: Cluster,
    /// By partition, by what its next batch is known: one batch after the other.
    lanes: Mutex<HashMap<i32, Lane>>,
    memory: Memory,
}

type Lane = Arc<tokio::sync::Mutex<Option<Identity>>>;

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// The partition.
    pub partition: i32,
    /// Its number there; unknown where the broker only said that it has it.
    pub offset: Option<i64>,
}

impl Producer {
    /// For `topic`, at the brokers of `settings`.
    pub fn new(
        topic: &str,
        settings: &KafkaStorage,
        clients: &Clients,
        registries: &RegistryConfig,
    ) -> Result<Self, store::Error> {
        let servers = settings.bootstrap_servers.as_deref().and_then(Address::list);
        let refused = store::Error::Address { key: BROKERS, reason: "it is no list of host:port" };
        let security = Security::of(settings, clients, registries);
        if security.tls.is_none() && security.login.as_ref().is_some_and(login::Login::shows_password) {
            tracing::warn!(
                "the password for Kafka is sent without TLS: set storage.pubsub.kafka.tls, or use SCRAM"
            );
        }
        let circuits = clients.circuits().clone();
        let cluster = Cluster::new(topic.to_owned(), servers.ok_or(refused)?, security, circuits);
        Ok(Self { cluster, lanes: Mutex::default(), memory: Memory::default() })
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        self.cluster.topic()
    }

    /// The brokers of the configuration.
    pub fn brokers(&self) -> String {
        self.cluster.bootstrap()
    }

    /// Asks who leads the partitions of the topic, and sends nothing.
    pub async fn look(&self) -> Result<(), Error> {
        let asked = tokio::time::timeout(PATIENCE, self.layout()).await;
        asked
            .unwrap_or_else(|elapsed| Err(self.cluster.error(self.brokers(), Problem::Late(elapsed))))
            .map(|_| ())
    }

    /// Stores `records`, all or none, in the partition of the first one's key. `name` is the same each time that the same
    /// is to be stored; `now` is in milliseconds since 1970.
    pub async fn send(&self, name: &str, records: &[Record], now: i64) -> Result<Placed, Error> {
        let sent = tokio::time::timeout(PATIENCE, self.send_at_leisure(name, records, now)).await;
        sent.unwrap_or_else(|elapsed| Err(self.cluster.error(self.brokers(), Problem::Late(elapsed))))
    }

    async fn send_at_leisure(&self, name: &str, records: &[Record], now: i64) -> Result<Placed, Error> {
        if let Some(Known::Stored(placed)) = self.memory.of(name) {
            return Ok(placed);
        }
        let mut layout = self.layout().await?;
        let mut turn = self.turn(name, records, &layout).await?;
        for renewed in [false, true] {
            let ticket = turn.ticket;
            self.memory.keep(name, Known::Open(ticket));
            let batch = batch(records, ticket.identity, now);
            match self.offer(&mut layout, ticket.partition, &batch).await {
                Ok(placed) => {
                    self.memory.keep(name, Known::Stored(placed));
                    turn.leave(ticket.identity.after(records.len()));
                    return Ok(placed);
                }
                Err(refusal) if refusal.is_forgotten && !renewed => {
                    turn.ticket.identity = self.identity(&layout).await?;
                }
                Err(refusal) => {
                    if !refusal.leaves_open {
                        self.memory.forget(name);
                        turn.leave(ticket.identity);
                    }
                    return Err(refusal.error);
                }
            }
        }
        Err(self.cluster.error(self.brokers(), Problem::Malformed("Produce")))
    }

    /// By what the batch is known. The same as before where it was left open whether that is stored, else the next one of
    /// its partition.
    async fn turn(&self, name: &str, records: &[Record], layout: &Layout) -> Result<Turn, Error> {
        if let Some(Known::Open(ticket)) = self.memory.of(name) {
            return Ok(Turn { ticket, lane: None });
        }
        let key = records.first().map(|record| record.key.as_slice()).unwrap_or_default();
        let number = i32::try_from(partition(key, layout.partitions())).unwrap_or_default();
        let lane = {
            let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(lanes.entry(number).or_default())
        };
        let mut lane = lane.lock_owned().await;
        // Taken out: whoever is given up in the middle leaves none, and the next one gets a new number.
        let identity = match lane.take() {
            Some(identity) => identity,
            None => self.identity(layout).await?,
        };
        Ok(Turn { ticket: Ticket { partition: number, identity }, lane: Some(lane) })
    }

    async fn layout(&self) -> Result<Arc<Layout>, Error> {
        let mut tries = Tries::NONE;
        loop {
            let asked = self.cluster.layout(None).await;
            let Err(error) = &asked else { return asked };
            if !tries.again(&error.problem).await {
                return asked;
            }
        }
    }

    async fn identity(&self, layout: &Layout) -> Result<Identity, Error> {
        let mut tries = Tries::NONE;
        loop {
            let asked = self.new_identity(layout).await;
            let Err(error) = &asked else { return asked };
            if !tries.again(&error.problem).await {
                return asked;
            }
        }
    }

    /// A new number for a producer; nobody's where brokers give none.
    async fn new_identity(&self, layout: &Layout) -> Result<Identity, Error> {
        let (code, producer, epoch) = match self.cluster.ask_anybody(&InitProducerId, Some(layout)).await {
            Ok(answer) => answer,
            Err(Error { problem: Problem::Version(_), .. }) => return Ok(Identity::NONE),
            Err(error) => return Err(error),
        };
        match Code::of(code) {
            None => Ok(Identity { producer, epoch, sequence: 0 }),
            Some(Code::CLUSTER_DENIED) => {
                tracing::debug!(
                    "brokers give no producer id: a message that is sent again may be there twice"
                );
                Ok(Identity::NONE)
            }
            Some(code) => {
                Err(self.cluster.error(self.brokers(), Problem::Code(Said { code, words: String::new() })))
            }
        }
    }

    /// Offers a batch to the leader, and to the next leader where that one is gone.
    async fn offer(&self, layout: &mut Arc<Layout>, partition: i32, batch: &[u8]) -> Result<Placed, Refusal> {
        let request = Produce { topic: self.topic(), partition, batch, patience: REPLICAS };
        let (mut leaves_open, mut pause) = (false, PAUSE);
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match layout.leader(partition) {
                None => self.said(self.brokers(), Code::NO_LEADER, ""),
                Some(leader) => match self.cluster.call(leader, &request).await {
                    Err(error) => error,
                    Ok(kept) => match Code::of(kept.code) {
                        None => return Ok(Placed { partition, offset: Some(kept.offset) }),
                        Some(Code::DUPLICATE) => return Ok(Placed { partition, offset: None }),
                        Some(code) => self.said(leader.to_string(), code, &kept.said),
                    },
                },
            };
            leaves_open |= error.problem.leaves_open();
            let code = if let Problem::Code(said) = &error.problem { Some(said.code) } else { None };
            let is_forgotten = code.is_some_and(Code::is_forgotten);
            let goes_on = error.problem.passes() || code == Some(Code::UNKNOWN_TOPIC);
            if is_forgotten || !goes_on || tries >= TRIES {
                return Err(Refusal { error, leaves_open, is_forgotten });
            }
            tracing::debug!(partition, tries, "offered again: {error}");
            tokio::time::sleep(pause).await;
            pause *= 2;
            match self.cluster.layout(Some(layout)).await {
                Ok(anew) => *layout = anew,
                Err(error) => return Err(Refusal { error, leaves_open, is_forgotten: false }),
            }
        }
    }

    fn said(&self, broker: String, code: Code, words: &str) -> Error {
        let words = super::answer::shown(words.as_bytes(), &crate::credential::Credential::Anonymous);
        self.cluster.error(broker, Problem::Code(Said { code, words }))
    }
}

/// How often brokers are asked again what they cannot say yet: who leads a new topic, or the number of a producer right
/// after their start.
struct Tries {
    made: u32,
    pause: Duration,
}

impl Tries {
    const NONE: Self = Self { made: 0, pause: PAUSE };

    /// Waits a little, unless it was tried often enough or never will be better.
    async fn again(&mut self, problem: &Problem) -> bool {
        self.made += 1;
        let passes = match problem {
            Problem::Code(said) => said.code.passes(),
            // A connection that was kept, to a broker that was started anew.
            Problem::Broken(_) => true,
            _ => false,
        };
        if !passes || self.made >= TRIES {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause *= 2;
        true
    }
}

/// The right to send the next batch of a partition, or one of before again.
struct Turn {
    ticket: Ticket,
    lane: Option<OwnedMutexGuard<Option<Identity>>>,
}

impl Turn {
    /// Whoever is next goes on with `identity`.
    fn leave(&mut self, identity: Identity) {
        if let Some(lane) = &mut self.lane {
            **lane = Some(identity);
        }
    }
}

/// Why a batch was not taken.
struct Refusal {
    error: Error,
    /// It may be stored all the same.
    leaves_open: bool,
    /// It has to be offered by another number.
    is_forgotten: bool,
}
