//! An API server with more TaskRuns than a real one could hold here (kube-apiserver takes some 100 KiB for each): it makes
//! them while it lists and watches them, signed long ago and with everything that an object carries, and hands everything
//! else on to the real one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::Cluster;

/// Stands for the number of a run in its text.
const NUMBER: &str = "NUMBER";
/// A request to the real server has at most this.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// The server; it ends with the program that it is part of.
pub struct Streaming {
    /// How it is reached, with the credential of another kubeconfig.
    pub kubeconfig: PathBuf,
    told: Arc<Told>,
    _folder: TempDir,
}

#[derive(Default)]
struct Told {
    listed: AtomicBool,
    watched: AtomicBool,
}

struct Source {
    run: String,
    count: usize,
    told: Arc<Told>,
    real: reqwest::Client,
    url: String,
}

impl Streaming {
    /// `count` copies of `run` in `namespace`, in front of `cluster`.
    pub async fn start(
        cluster: &Cluster,
        kubeconfig: &Path,
        namespace: &str,
        run: &Value,
        count: usize,
    ) -> Self {
        let authority = reqwest::Certificate::from_pem(cluster.ca_pem().as_bytes()).unwrap();
        let real = reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build().unwrap();
        let (told, url) = (Arc::<Told>::default(), cluster.url().to_owned());
        let source = Source { run: numbered(run), count, told: Arc::clone(&told), real, url };
        let runs = format!("/apis/tekton.dev/v1/namespaces/{namespace}/taskruns");
        let router = Router::new().route(&runs, get(answer)).fallback(hand_on).with_state(Arc::new(source));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, at(kubeconfig, &address).to_string()).unwrap();
        Self { kubeconfig: path, told, _folder: folder }
    }

    /// Whether every run has been listed, and has come as an event.
    pub fn is_told(&self) -> bool {
        self.told.listed.load(Ordering::Relaxed) && self.told.watched.load(Ordering::Relaxed)
    }
}

/// A kubeconfig of a test, with another server.
fn at(kubeconfig: &Path, address: &str) -> Value {
    let mut kubeconfig: Value = serde_json::from_slice(&std::fs::read(kubeconfig).unwrap()).unwrap();
    kubeconfig["clusters"][0]["cluster"] = json!({"server": address});
    kubeconfig
}

/// The text of a run whose name, UID and version are to be filled in.
fn numbered(run: &Value) -> String {
    let mut run = run.clone();
    run["metadata"]["name"] = format!("old-{NUMBER}").into();
    run["metadata"]["uid"] = format!("00000000-0000-4000-8000-{NUMBER}").into();
    run["metadata"]["resourceVersion"] = NUMBER.into();
    run.to_string()
}

impl Source {
    fn run(&self, number: usize) -> String {
        self.run.replace(NUMBER, &format!("{:012}", number + 1))
    }
}

/// A page, or all runs as events.
async fn answer(State(source): State<Arc<Source>>, RawQuery(query): RawQuery) -> Response {
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    if query.get("watch").is_some_and(|watch| watch == "true") {
        return Response::new(events(source));
    }
    let number = |name: &str| query.get(name).and_then(|value| value.parse::<usize>().ok());
    let begin = number("continue").unwrap_or(0);
    let end = number("limit").map_or(source.count, |limit| source.count.min(begin + limit));
    source.told.listed.fetch_or(end == source.count, Ordering::Relaxed);
    let next = if end < source.count { end.to_string() } else { String::new() };
    let runs: Vec<String> = (begin..end).map(|number| source.run(number)).collect();
    let page = format!(
        r#"{{"apiVersion":"tekton.dev/v1","kind":"TaskRunList","metadata":{{"resourceVersion":"1","continue":"{next}"}},"items":[{}]}}"#,
        runs.join(",")
    );
    Response::new(Body::from(page))
}

/// Every run once, and then nothing more.
fn events(source: Arc<Source>) -> Body {
    let stream = futures::stream::unfold((source, 0), |(source, number)| async move {
        if number == source.count {
            source.told.watched.store(true, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
        let event = format!("{{\"type\":\"MODIFIED\",\"object\":{}}}\n", source.run(number));
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(event)), (source, number + 1)))
    });
    Body::from_stream(stream)
}

async fn hand_on(
    State(source): State<Arc<Source>>,
    request: Request,
) -> Result<Response, (StatusCode, String)> {
    let failed = |error: &dyn std::fmt::Display| (StatusCode::BAD_GATEWAY, error.to_string());
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let body = axum::body::to_bytes(body, MAX_BODY).await.map_err(|error| failed(&error))?;
    let mut headers = parts.headers;
    headers.remove("host");
    let asked =
        source.real.request(parts.method, format!("{}{path}", source.url)).headers(headers).body(body);
    let answered = asked.send().await.map_err(|error| failed(&error))?;
    let mut response = Response::builder().status(answered.status());
    if let Some(kind) = answered.headers().get("content-type") {
        response = response.header("content-type", kind);
    }
    response.body(Body::from_stream(answered.bytes_stream())).map_err(|error| failed(&error))
}
