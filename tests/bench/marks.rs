//! When each run of a namespace was marked, seen by a watch of metadata.

use std::collections::HashMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use kube::api::{Api, DynamicObject, ListParams, PartialObjectMeta, WatchEvent, WatchParams};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const SIGNED: &str = "chains.tekton.dev/signed";

/// The marks that have been seen.
#[derive(Debug)]
pub struct Marks {
    seen: watch::Receiver<HashMap<String, Instant>>,
    task: JoinHandle<()>,
}

impl Marks {
    /// Watches from now on.
    pub async fn follow(runs: Api<DynamicObject>) -> Self {
        let listed = runs.list_metadata(&ListParams::default().limit(1)).await.unwrap();
        let version = listed.metadata.resource_version.unwrap();
        let (sender, seen) = watch::channel(HashMap::new());
        Self { seen, task: tokio::spawn(watch_marks(runs, version, sender)) }
    }

    /// When the last of `count` runs was marked.
    pub async fn last_of(&self, count: usize, limit: Duration) -> Instant {
        let marks = self.wait(&format!("{count} marks"), limit, |seen| seen.len() >= count).await;
        marks.values().copied().max().unwrap()
    }

    /// When the last of `count` runs was marked, or the last of all when they are fewer after `limit`.
    pub async fn at_most(&self, count: usize, limit: Duration) -> Instant {
        let mut seen = self.seen.clone();
        let _ = timeout(limit, seen.wait_for(|seen| seen.len() >= count)).await;
        self.all().values().copied().max().unwrap_or_else(Instant::now)
    }

    /// When each of those that are marked was.
    pub fn all(&self) -> HashMap<String, Instant> {
        self.seen.borrow().clone()
    }

    /// How many are marked.
    pub fn count(&self) -> usize {
        self.seen.borrow().len()
    }

    /// When a run was marked.
    pub async fn of(&self, name: &str, limit: Duration) -> Instant {
        self.wait(&format!("the mark of {name}"), limit, |seen| seen.contains_key(name)).await[name]
    }

    async fn wait(
        &self,
        what: &str,
        limit: Duration,
        enough: impl Fn(&HashMap<String, Instant>) -> bool,
    ) -> HashMap<String, Instant> {
        let mut seen = self.seen.clone();
        match timeout(limit, seen.wait_for(&enough)).await {
            Ok(marks) => marks.expect("the watch goes on").clone(),
            Err(elapsed) => {
                panic!("{what} did not come: {elapsed} ({limit:?}); marked: {}", self.seen.borrow().len())
            }
        }
    }
}

impl Drop for Marks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch_marks(
    runs: Api<DynamicObject>,
    mut version: String,
    seen: watch::Sender<HashMap<String, Instant>>,
) {
    loop {
        let parameters = WatchParams::default().timeout(290);
        let mut events = pin!(runs.watch_metadata(&parameters, &version).await.unwrap());
        while let Some(event) = events.try_next().await.unwrap() {
            match event {
                WatchEvent::Added(run) | WatchEvent::Modified(run) => {
                    note(&run, &seen);
                    version = run.metadata.resource_version.unwrap();
                }
                WatchEvent::Deleted(run) => version = run.metadata.resource_version.unwrap(),
                WatchEvent::Bookmark(bookmark) => version = bookmark.metadata.resource_version,
                WatchEvent::Error(status) => panic!("the watch of marks ended: {status:?}"),
            }
        }
    }
}

fn note(run: &PartialObjectMeta<DynamicObject>, seen: &watch::Sender<HashMap<String, Instant>>) {
    let now = Instant::now();
    let mark = run.metadata.annotations.as_ref().and_then(|all| all.get(SIGNED));
    let (Some(mark), Some(name)) = (mark, &run.metadata.name) else { return };
    assert_eq!(mark, "true", "{name} was not signed");
    seen.send_if_modified(|seen| {
        let new = !seen.contains_key(name);
        seen.entry(name.clone()).or_insert(now);
        new
    });
}
