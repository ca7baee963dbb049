//! OCI registries: the transport that every signature goes through, with the trial of credentials.
//!
//! # Why not the client of `oci-client`
//!
//! Its types of manifests and errors are used here. Its transport is not: it keeps one credential per registry
//! host, so that one tenant's password is offered for another tenant's repository, it swallows the token
//! server's reason, it does not authenticate again after a 401, and a push by digest to a registry without a
//! `Location` header panics (credentials specification §11, T1 to T8; tried with 0.18.0).
//!
//! # Guarantees
//!
//! - A credential is offered only to its registry and that registry's token service, for the target that it
//!   matched, and what one candidate obtained is never used for another, nor for another namespace.
//! - Only the registry's answer to the real operation decides whether a candidate serves (§1.4); what it refused is
//!   remembered for five minutes, so that many runs with one wrong password lock nobody out.
//! - Every request has a time-out, every answer a limit; a redirect to another host carries no credential.

mod content;
mod error;
mod host;
mod probe;
mod referrers;
mod refusals;
mod round;
mod route;
mod session;
mod settling;
mod tags;
mod tokens;
mod transport;
mod trial;

use std::sync::Arc;
use std::time::Instant;

use futures::future::select_ok;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::client::http::{Clients, Service, Transport};
use crate::credential::registry_config::RegistryConfig;

pub use content::{Pushed, StoredManifest};
pub use error::Error;
pub use probe::Probe;
pub use referrers::Referrer;
pub use session::{KeychainFuture, Session};
pub use tags::TagLock;

use host::Hosts;
use refusals::Refusals;
use route::Routes;
use settling::Settling;
use tags::TagLocks;
use tokens::Tokens;
use transport::Wire;

/// What all sessions of the process share: connections, what is known of each host, tokens and refusals under the key
/// of the candidate and namespace that met them, one lock per tag, and who waits for what was written to settle.
#[derive(Clone)]
pub struct Registry(Arc<Shared>);

struct Shared {
    clients: Clients,
    hosts: Hosts,
    tokens: Tokens,
    refusals: Refusals,
    tags: TagLocks,
    settling: Settling,
}

impl Registry {
    /// Without any connection yet. Fails when the machine's authorities cannot be read.
    pub fn new() -> Result<Self, Error> {
        let clients = Clients::default();
        clients.of(&Transport::default())?;
        Ok(Self(Arc::new(Shared {
            clients,
            hosts: Hosts::default(),
            tokens: Tokens::default(),
            refusals: Refusals::default(),
            tags: TagLocks::default(),
            settling: Settling::default(),
        })))
    }

    /// The clients of the process, for servers beside registries.
    pub fn clients(&self) -> &Clients {
        &self.0.clients
    }

    /// How many attempts only wait until what they wrote has stood for a while.
    pub fn settling(&self) -> watch::Receiver<usize> {
        self.0.settling.count()
    }

    /// Asks whether a host answers at all, whatever it answers: a registry or its token service by name, any other
    /// server by the URL of its root, and one that speaks no HTTP by `tcp://` and its hosts.
    pub async fn answers(&self, host: &str, insecure: bool, config: &Arc<RegistryConfig>) -> bool {
        if host.contains("://") {
            return self.server_answers(host, config).await;
        }
        let routes = Routes::new(Arc::clone(config), insecure);
        let wire = Wire { clients: &self.0.clients, routes: &routes, guarded: false };
        self.0.hosts.host(host, routes.home(host)).look(wire).await.is_ok()
    }

    async fn server_answers(&self, origin: &str, config: &RegistryConfig) -> bool {
        let Ok(client) = self.0.clients.of(&Transport::to(origin, config)) else { return false };
        let passage = self.0.clients.circuits().probe(Service::Registry, origin, Instant::now());
        let answers = match origin.strip_prefix("tcp://") {
            // One of a database's hosts that takes a connection is enough.
            Some(hosts) => {
                select_ok(hosts.split(',').map(|host| Box::pin(TcpStream::connect(host)))).await.is_ok()
            }
            None => client.get(origin).send().await.is_ok(),
        };
        if answers {
            passage.answered();
        } else {
            passage.failed();
        }
        answers
    }
}

#[cfg(test)]
mod tests;
