//! What the process knows of a registry host: https or http, how it challenges, whether it takes a blob in one
//! request. Learnt once, corrected by what the host answers later.
//!
//! Where plain http is allowed at all, it is asked after https has failed or been silent for two seconds, and not raced
//! from 300 ms on, as credentials specification §5.1 permits: https wins a race whenever it answers, so a race would end
//! no sooner than this, and it would send plain text to each such registry whose TLS takes longer than 300 ms. It is
//! learnt once for a host, so what it costs is two seconds at the first use of one whose port 443 is dropped.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::time::timeout;
use url::Url;

use super::error::Error;
use super::transport::{Request, Wire, is_away, silent};
use crate::client::challenge::Challenge;
use crate::client::http::{Passage, Service, Transport, cause};
use crate::credential::registry_config::Trust;

/// How long https may take to answer before plain http, where that is allowed, is believed.
const HTTPS_FIRST: Duration = Duration::from_secs(2);

/// More hosts than this are not remembered: tenants choose their names.
const CAPACITY: usize = 1024;

/// The hosts that this process has spoken to.
#[derive(Default)]
pub(super) struct Hosts(Mutex<HashMap<(String, Transport), Arc<Host>>>);

impl Hosts {
    /// A host that is reached in another way is another host: what is tolerated there must not leak into checked
    /// connections.
    pub(super) fn host(&self, name: &str, transport: Transport) -> Arc<Host> {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= CAPACITY {
            hosts.retain(|_, host| Arc::strong_count(host) > 1);
        }
        let host = hosts.entry((name.to_owned(), transport.clone())).or_insert_with(|| {
            Arc::new(Host {
                name: name.to_owned(),
                transport,
                known: Mutex::default(),
                asking: tokio::sync::Mutex::default(),
                takes_one_request: AtomicBool::new(true),
            })
        });
        Arc::clone(host)
    }
}

pub(super) struct Host {
    pub(super) name: String,
    transport: Transport,
    known: Mutex<Option<Known>>,
    /// One asks, the others wait.
    asking: tokio::sync::Mutex<()>,
    takes_one_request: AtomicBool,
}

#[derive(Clone)]
pub(super) struct Known {
    /// `https://host/` or `http://host/`.
    pub base: Url,
    /// The address that answered, which says what kind of network the registry is in.
    pub address: Option<IpAddr>,
    /// Whether it has asked for authentication.
    pub asked: bool,
    /// How it wants to be authenticated, without scopes; empty while it has not asked.
    pub challenges: Vec<Challenge>,
}

impl Host {
    /// What is known; asks the host when that is nothing.
    pub(super) async fn known(&self, wire: Wire<'_>) -> Result<Known, Error> {
        if let Some(known) = self.remembered().clone() {
            return Ok(known);
        }
        let entered = wire.clients.circuits().enter(Service::Registry, &self.name, Instant::now());
        let passage =
            entered.map_err(|_| silent(format!("reach registry {}", self.name), self.name.clone()))?;
        let _asking = self.asking.lock().await;
        if let Some(known) = self.remembered().clone() {
            return Ok(known);
        }
        self.learn(wire, passage).await
    }

    /// Asks the host anew, whatever is known and whether or not it is away: for probes.
    pub(super) async fn look(&self, wire: Wire<'_>) -> Result<(), Error> {
        let passage = wire.clients.circuits().probe(Service::Registry, &self.name, Instant::now());
        self.learn(wire, passage).await.map(|_| ())
    }

    async fn learn(&self, wire: Wire<'_>, passage: Passage) -> Result<Known, Error> {
        match self.ask(Wire { guarded: false, ..wire }).await {
            Ok(known) => {
                passage.answered();
                Ok(self.remembered().get_or_insert(known).clone())
            }
            Err(error) => {
                if is_away(&error) {
                    passage.failed();
                }
                Err(error)
            }
        }
    }

    fn remembered(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over the challenges of a later 401.
    pub(super) fn challenged(&self, challenges: &[Challenge]) {
        let challenges: Vec<_> = challenges.iter().cloned().map(Challenge::without_scope).collect();
        if let Some(known) = self.remembered().as_mut().filter(|_| !challenges.is_empty()) {
            (known.asked, known.challenges) = (true, challenges);
        }
    }

    /// Whether to try the single-request upload of the distribution specification.
    pub(super) fn takes_one_request(&self) -> bool {
        self.takes_one_request.load(Ordering::Relaxed)
    }

    /// Remembers that the host wants POST and PUT.
    pub(super) fn wants_two_requests(&self) {
        self.takes_one_request.store(false, Ordering::Relaxed);
    }

    /// Whether nothing is checked there.
    pub(super) fn is_insecure(&self) -> bool {
        self.transport.trust == Trust::Insecure
    }

    async fn ask(&self, wire: Wire<'_>) -> Result<Known, Error> {
        let https = self.ping(wire, "https");
        if !self.may_be_plain() {
            return https.await;
        }
        match timeout(HTTPS_FIRST, https).await {
            // A certificate that is not trusted is an answer: falling back would undo the check.
            Ok(Err(error)) if !speaks_no_tls(&error) => Err(error),
            Ok(Ok(known)) => Ok(known),
            Ok(Err(_)) | Err(_) => self.ping(wire, "http").await,
        }
    }

    /// Authorities in the registry configuration, even none, are a demand for TLS.
    fn may_be_plain(&self) -> bool {
        match self.transport.trust {
            Trust::Insecure => true,
            Trust::Only(_) => false,
            Trust::System => may_be_plain(&self.name),
        }
    }

    async fn ping(&self, wire: Wire<'_>, scheme: &str) -> Result<Known, Error> {
        let base =
            Url::parse(&format!("{scheme}://{}/", self.name)).map_err(|_| self.malformed("no host name"))?;
        let url = base.join("v2/").map_err(|_| self.malformed("no host name"))?;
        let action = format!("reach registry {}", self.name);
        // The address of a proxy says nothing about the registry.
        let direct = self.transport.proxy(&url).is_none();
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        let request = Request { action, method: Method::GET, home: base.clone(), url, headers, body };
        let response = wire.send(&request, None).await?;
        // A server that wants TLS says 400 to plain text; it was merely not up when https was tried.
        if scheme == "http" && response.status() == StatusCode::BAD_REQUEST {
            let (action, host, status) = (request.action, self.name.clone(), Some(response.status()));
            return Err(Error::Unavailable { action, host, status, source: None });
        }
        let asked = response.status() == StatusCode::UNAUTHORIZED;
        let challenges = if asked { Challenge::parse_all(response.headers()) } else { Vec::new() };
        let challenges = challenges.into_iter().map(Challenge::without_scope).collect();
        let address = response.remote_addr().filter(|_| direct).map(|address| address.ip());
        Ok(Known { base, address, asked, challenges })
    }

    fn malformed(&self, reason: &'static str) -> Error {
        Error::Malformed { action: format!("reach registry {}", self.name), host: self.name.clone(), reason }
    }
}

/// Nobody there, or a server that answered in plain text where TLS was expected.
fn speaks_no_tls(error: &Error) -> bool {
    matches!(error, Error::Unavailable { status: None, .. })
        || matches!(cause(error), Some(rustls::Error::InvalidMessage(_)))
}

/// Hosts for which plain http is a known practice (credentials specification §0): loopback, private addresses
/// and `*.localhost`.
pub(super) fn may_be_plain(host: &str) -> bool {
    let name = name_of(host);
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_private(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

/// Hosts to which a credential may go over plain http without an explicit setting: only this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = name_of(host);
    name.parse::<IpAddr>()
        .map_or_else(|_| name == "localhost" || name.ends_with(".localhost"), |a| a.is_loopback())
}

fn name_of(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    host.split(':').next().unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_thinkable_only_for_local_and_private_hosts() {
        for host in [
            "localhost",
            "localhost:5000",
            "a.localhost",
            "127.0.0.1:1",
            "10.1.2.3",
            "192.168.1.1:5000",
            "[::1]:5000",
        ] {
            assert!(may_be_plain(host), "{host}");
        }
        for host in ["gcr.io", "8.8.8.8", "notlocalhost", "localhost.example.com", "[2001:db8::1]:5000"] {
            assert!(!may_be_plain(host), "{host}");
        }
    }

    #[test]
    fn credentials_go_over_plain_http_to_this_machine_only() {
        assert!(is_loopback("127.0.0.1:5000") && is_loopback("localhost") && is_loopback("[::1]:5000"));
        assert!(!is_loopback("10.1.2.3:5000") && !is_loopback("registry.corp"));
    }
}
