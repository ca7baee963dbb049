//! A way to an HTTP server that counts what passes: services such as Fulcio do not say how often they were asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// More than a certificate, an entry or a timestamp ever has.
const LARGEST: usize = 4 * 1024 * 1024;

/// The way to one server.
pub struct Counted {
    /// Where it begins.
    pub url: String,
    passed: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Counted {
    /// To the server at `server`, a URL without a path.
    pub async fn before(server: &str) -> Self {
        let (server, client) = (server.to_owned(), reqwest::Client::builder().no_proxy().build().unwrap());
        let passed = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&passed);
        let routes = Router::new().fallback(move |request: Request| {
            counter.fetch_add(1, Ordering::Relaxed);
            handed_on(client.clone(), server.clone(), request)
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, passed, _tasks: tasks }
    }

    /// Requests so far.
    pub fn count(&self) -> usize {
        self.passed.load(Ordering::Relaxed)
    }
}

async fn handed_on(client: reqwest::Client, server: String, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let url = format!("{server}{}", head.uri.path_and_query().unwrap());
    let mut headers = head.headers;
    headers.remove(HOST);
    headers.remove(CONTENT_LENGTH);
    let body = to_bytes(body, LARGEST).await.unwrap();
    let answer = client.request(head.method, url).headers(headers).body(body).send().await.unwrap();
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers().iter().filter(|(name, _)| *name != TRANSFER_ENCODING) {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
}
