//! An OCI registry in memory, on a loopback port that the system chooses, for `hallmark demo`: it demands a
//! Bearer token for everything, as registries in earnest do, so that the demo shows which credential was
//! refused and which one pushed.
//!
//! Guarantees: distribution-spec 1.1 for what a signing client needs (blobs, monolithic and chunked uploads,
//! manifests by tag and digest, tag lists, referrers); digests are verified; a token never grants more than
//! its user has; bodies, uploads, tokens, content and the request log are bounded, and reading is timed.
//! It listens on 127.0.0.1 only, keeps nothing when it stops, and is no registry to run in earnest.

mod answer;
mod content;
mod endpoint;
mod route;
mod token;

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Requests that [`EmbeddedRegistry::log`] remembers; older ones are forgotten.
const LOGGED_REQUESTS: usize = 10_000;
/// Characters of a path that are remembered.
const LOGGED_PATH: usize = 512;
/// How long [`EmbeddedRegistry::stop`] waits for requests that are under way.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// What a user may do, in every repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Read only.
    Pull,
    /// Read and write.
    Push,
}

/// Somebody who may ask for tokens. Its password never prints.
#[derive(Clone)]
pub struct User {
    name: String,
    password: String,
    right: Right,
}

impl User {
    /// A user with its password and right; a name holds no `:`, since Basic authentication ends it there.
    pub fn new(name: impl Into<String>, password: impl Into<String>, right: Right) -> Self {
        Self { name: name.into(), password: password.into(), right }
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("right", &self.right).finish_non_exhaustive()
    }
}

/// One request as it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `PUT`, ….
    pub method: String,
    /// Path with its query (which holds the scope that a token was asked for), cut at 512 characters.
    pub path: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// Who asked, when the request proved it.
    pub user: Option<String>,
}

/// The registry, listening from [`EmbeddedRegistry::start`] until [`EmbeddedRegistry::stop`] or its drop.
#[derive(Debug)]
pub struct EmbeddedRegistry {
    address: SocketAddr,
    log: Arc<RequestLog>,
    stopping: oneshot::Sender<()>,
    server: JoinSet<io::Result<()>>,
}

impl EmbeddedRegistry {
    /// Listens on a free port of 127.0.0.1 and answers `users`.
    pub async fn start(users: Vec<User>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let log = Arc::new(RequestLog::default());
        let router = endpoint::router(address, users, Arc::clone(&log));
        let (stopping, stopped) = oneshot::channel();
        let mut server = JoinSet::new();
        server.spawn(async move {
            // A dropped sender means the same as a message: stop.
            axum::serve(listener, router).with_graceful_shutdown(async { drop(stopped.await) }).await
        });
        Ok(Self { address, log, stopping, server })
    }

    /// Where it listens; images are named `ADDRESS/repository`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was asked and by whom, oldest first: the last 10,000 requests.
    pub fn log(&self) -> Vec<Request> {
        self.log.requests()
    }

    /// Takes no new connection, lets requests that are under way finish for 2 s, then ends.
    pub async fn stop(mut self) {
        // The receiver is gone only when the server has already ended.
        let _ = self.stopping.send(());
        let finished = tokio::time::timeout(STOP_GRACE, self.server.join_next()).await;
        if finished.is_err() {
            self.server.shutdown().await;
        }
    }
}

/// The bounded memory behind [`EmbeddedRegistry::log`].
#[derive(Debug, Default)]
struct RequestLog(Mutex<VecDeque<Request>>);

impl RequestLog {
    fn record(&self, method: &str, path: &str, status: u16, user: Option<String>) {
        let path = path.chars().take(LOGGED_PATH).collect();
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() == LOGGED_REQUESTS {
            requests.pop_front();
        }
        requests.push_back(Request { method: method.to_owned(), path, status, user });
    }

    fn requests(&self) -> Vec<Request> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
