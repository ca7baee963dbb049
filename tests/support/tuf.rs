//! A TUF repository, made by the reference implementation in Python and served over HTTP: what a mirror of a trust root
//! is, with its faults.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::binary::installed;
use super::process::run;

/// A repository and its server.
pub struct TufRepository {
    /// Where it is served.
    pub url: String,
    asked: Arc<AtomicUsize>,
    folder: TempDir,
    _server: JoinSet<()>,
}

impl TufRepository {
    /// Serves one that has nothing yet.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let served = folder.path().join("served");
        std::fs::create_dir(&served).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let routes = Router::new().fallback(move |request: Request| {
            counter.fetch_add(1, Ordering::Relaxed);
            let file = served.join(request.uri().path().trim_start_matches('/'));
            async move { std::fs::read(file).map_err(|_| StatusCode::NOT_FOUND) }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, asked, folder, _server: tasks }
    }

    /// How many files it was asked for.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Publishes `root` as the target `trusted_root.json` in this version of the repository.
    pub async fn publish(&self, root: &Path, version: u32) {
        self.publish_so(root, &json!({ "version": version })).await;
    }

    /// The same, with more of what `tuf_repository.py` takes: faults among it.
    pub async fn publish_so(&self, root: &Path, wish: &Value) {
        let mut wish = wish.clone();
        wish["target"] = json!(root);
        let mut command = Command::new(python());
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/tuf_repository.py"));
        command.arg(self.served()).arg(self.folder.path().join("keys")).arg(wish.to_string());
        run(command).await.succeeded();
    }

    /// The whole repository in a `tar.gz`, as policies carry one that no network leads to.
    pub async fn archive(&self) -> Vec<u8> {
        let file = self.folder.path().join("repository.tar.gz");
        let mut command = Command::new("tar");
        command
            .arg("-czf")
            .arg(&file)
            .arg("-C")
            .arg(self.served())
            .arg("--transform=s,^\\.,repository,")
            .arg(".");
        run(command).await.succeeded();
        std::fs::read(file).unwrap()
    }

    /// Its first root, as an operator would be given it.
    pub fn first_root(&self) -> PathBuf {
        self.served().join("1.root.json")
    }

    /// The folder that is served.
    pub fn served(&self) -> PathBuf {
        self.folder.path().join("served")
    }
}

/// The Python of `hack/install tuf`.
fn python() -> PathBuf {
    installed("tuf/bin/python")
}
