//! Service accounts that several runs name at the same time: of a burst of runs, one reading serves all that were
//! known when it began.
//!
//! # Guarantees
//!
//! - A run is served by a reading that began after the run was known to have ended, and at most [`SHARED`] ago: what
//!   its account named before that does not count, whoever read it.
//! - One reading of an account is under way at a time for all that it may serve. A failed one serves those that wait
//!   for it and nobody after them.
//! - What was read is kept no longer than until the next reading of any account.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client};

/// How long a reading may serve runs that were known when it began.
const SHARED: Duration = Duration::from_secs(1);

/// What the API server said; nothing when there is no such account.
pub(super) type Answer = Result<Option<Arc<ServiceAccount>>, Arc<kube::Error>>;

/// Readings of accounts, by namespace and name.
#[derive(Default)]
pub(super) struct Accounts(Mutex<HashMap<(String, String), Reading>>);

#[derive(Clone)]
struct Reading {
    began: Instant,
    answer: Shared<BoxFuture<'static, Answer>>,
}

impl Accounts {
    /// An account as it is after `known`.
    pub(super) async fn read(&self, client: &Client, namespace: &str, name: &str, known: Instant) -> Answer {
        self.reading(client, namespace, name, known).answer.await
    }

    fn reading(&self, client: &Client, namespace: &str, name: &str, known: Instant) -> Reading {
        let key = (namespace.to_owned(), name.to_owned());
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let failed = |reading: &Reading| reading.answer.peek().is_some_and(Result::is_err);
        readings.retain(|_, reading| now.duration_since(reading.began) < SHARED && !failed(reading));
        if let Some(reading) = readings.get(&key).filter(|reading| reading.began >= known) {
            return reading.clone();
        }
        let accounts = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
        let name = name.to_owned();
        let answer = async move { Ok(accounts.get_opt(&name).await?.map(Arc::new)) }.boxed().shared();
        let reading = Reading { began: now, answer };
        readings.insert(key, reading.clone());
        reading
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::extract::Request;
    use http::StatusCode;
    use serde_json::json;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    /// An API server that has every account and counts what it is asked, or refuses with `status`.
    struct Server {
        client: Client,
        asked: Arc<AtomicUsize>,
        _serving: JoinSet<()>,
    }

    impl Server {
        async fn start(status: StatusCode) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let asked = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&asked);
            let app = Router::new().fallback(move |request: Request| async move {
                let number = count.fetch_add(1, Ordering::Relaxed).to_string();
                let name = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
                let body = if status == StatusCode::OK {
                    json!({"apiVersion": "v1", "kind": "ServiceAccount",
                        "metadata": {"name": name, "resourceVersion": number}})
                } else {
                    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "message": "no",
                        "reason": "no", "code": status.as_u16()})
                };
                (status, body.to_string())
            });
            let mut serving = JoinSet::new();
            serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
            // Another test of this process may have installed it already.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let config = kube::Config::new(format!("http://{address}").parse().unwrap());
            Self { client: Client::try_from(config).unwrap(), asked, _serving: serving }
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    fn version(answer: Answer) -> String {
        answer.unwrap().unwrap().metadata.resource_version.clone().unwrap()
    }

    #[tokio::test]
    async fn runs_that_are_known_share_a_reading_and_later_ones_have_their_own() {
        let (server, accounts) = (Server::start(StatusCode::OK).await, Accounts::default());
        let known = Instant::now();
        let read = |namespace: &'static str, name: &'static str, known| {
            accounts.read(&server.client, namespace, name, known)
        };
        let burst = futures::future::join_all((0..16).map(|_| read("ci", "builder", known))).await;
        assert!(burst.into_iter().all(|answer| version(answer) == "0"));
        assert_eq!(version(read("ci", "other", known).await), "1");
        assert_eq!(version(read("cd", "builder", known).await), "2", "another tenant's");
        assert_eq!(
            version(read("ci", "builder", Instant::now()).await),
            "3",
            "it ended after the reading began"
        );
        assert_eq!(server.asked(), 4);
    }

    #[tokio::test]
    async fn a_reading_serves_for_a_second() {
        let (server, accounts) = (Server::start(StatusCode::OK).await, Accounts::default());
        let known = Instant::now().checked_sub(SHARED * 3).unwrap();
        for number in ["0", "1"] {
            assert_eq!(version(accounts.read(&server.client, "ci", "builder", known).await), number);
            let age = |reading: &mut Reading| reading.began = reading.began.checked_sub(SHARED).unwrap();
            accounts.0.lock().unwrap().values_mut().for_each(age);
        }
    }

    #[tokio::test]
    async fn a_failed_reading_serves_those_that_wait_for_it_and_nobody_after_them() {
        let server = Server::start(StatusCode::FORBIDDEN).await;
        let (accounts, known) = (Accounts::default(), Instant::now());
        for number in 1..=2 {
            let read = || accounts.read(&server.client, "ci", "builder", known);
            let (first, second) = tokio::join!(read(), read());
            assert!(first.is_err() && second.is_err());
            assert_eq!(server.asked(), number);
        }
    }
}
