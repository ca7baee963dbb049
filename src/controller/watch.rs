//! Watching runs without keeping them: each event is decoded into the few fields that a decision needs, and only
//! what is pending goes on.
//!
//! # Flow
//!
//! A list of one object gives the version to watch from; the watch starts at once, and beside it the backlog is
//! listed in small pages. New completions are therefore seen immediately, however many runs exist.
//!
//! A label selector is not pushed into these requests: a run that is held and loses its label must be let go, and a
//! TaskRun without the label may be the one that its PipelineRun waits for.
//!
//! # Guarantees
//!
//! No event between the first list and a lost watch goes unseen: when the API server no longer has the version
//! that the watch stood at, both start again, and the listing finds what the watch missed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::io::{AsyncBufRead, AsyncBufReadExt as _};
use jiff::Timestamp;
use kube::Client;
use kube::api::{ListParams, WatchParams};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::queue::Lane;
use super::runs::said;
use super::settings::Followed;
use super::sight::Sight;
use crate::config::Config;
use crate::error::chain;
use crate::tekton::Kind;
use crate::tekton::head::RunHead;

/// A page is in memory as a whole, so it has fewer objects where they are large: about so many bytes, and at most so many
/// objects, with fewer in the first one, when nobody knows yet how large they are.
const PAGE_BYTES: usize = 1024 * 1024;
const PAGE: usize = 100;
const FIRST_PAGE: u32 = 20;
/// An object in etcd has at most 1.5 MiB; a longer line is no event.
const MAX_EVENT: usize = 8 * 1024 * 1024;
const WATCH_SECONDS: u32 = 290;
/// While this many runs of the backlog are pending, no further page is read.
const BACKLOG: usize = 10_000;

/// Watches one kind of run in one namespace, or in all.
pub(super) struct Watch {
    pub client: Client,
    pub kind: Kind,
    pub namespace: Option<String>,
    pub sight: Sight,
}

/// Why a watch ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum WatchError {
    #[error("{}", said(.0))]
    Api(kube::Error),
    #[error("the connection broke")]
    Connection(#[from] std::io::Error),
    #[error("an event is larger than {MAX_EVENT} bytes")]
    TooLarge,
    #[error("the API server sent an event that cannot be read")]
    Malformed(#[from] serde_json::Error),
    #[error("the request cannot be built")]
    Request(#[from] kube::core::request::Error),
    #[error("the API server no longer has the version that was watched")]
    Expired,
}

impl From<kube::Error> for WatchError {
    fn from(error: kube::Error) -> Self {
        Self::Api(error)
    }
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Page {
    metadata: PageMetadata,
    #[serde(default)]
    items: Vec<RunHead>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PageMetadata {
    resource_version: String,
    #[serde(rename = "continue")]
    next: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Failure {
    code: u16,
}

impl Watch {
    /// Watches until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut pause = Duration::from_millis(100);
        loop {
            let started = Instant::now();
            let error = tokio::select! {
                () = stop.cancelled() => return,
                Err(error) = self.once() => error,
            };
            if started.elapsed() > Duration::from_mins(1) || matches!(error, WatchError::Expired) {
                pause = Duration::from_millis(100);
            }
            tracing::warn!(kind = self.kind.plural(), error = %chain(&error), "watching again in {pause:?}");
            tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(pause) => {} }
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    async fn once(&self) -> Result<std::convert::Infallible, WatchError> {
        let (first, _) = self.page(&ListParams::default().limit(1)).await?;
        tokio::select! {
            ended = self.follow(first.metadata.resource_version) => ended,
            ended = self.list_whenever_needed() => ended,
        }
    }

    /// Lists once, and again whenever the replicas that share the work change, since runs of one that is gone are
    /// this one's now, and whenever other runs are selected.
    async fn list_whenever_needed(&self) -> Result<std::convert::Infallible, WatchError> {
        let (mut roster, mut settings) = (self.sight.roster.clone(), self.sight.settings.clone());
        loop {
            roster.borrow_and_update();
            let listed_for = settings.current();
            self.list().await?;
            self.sight.all_listed(self.kind, self.namespace.as_ref());
            tokio::select! {
                changed = roster.changed() => if changed.is_err() {
                    std::future::pending::<()>().await;
                },
                () = select_others(&mut settings, &listed_for.config) => {}
            }
        }
    }

    /// Follows events from a version on, over as many connections as it takes.
    async fn follow(&self, mut version: String) -> Result<std::convert::Infallible, WatchError> {
        self.sight.watching(self.kind);
        loop {
            let params = WatchParams::default().timeout(WATCH_SECONDS);
            let request = self.paths().watch(&params, &version)?;
            let mut events = Box::pin(self.client.request_stream(request).await?);
            while let Some(line) = line(&mut events).await? {
                self.event(&line, &mut version)?;
            }
        }
    }

    fn event(&self, line: &[u8], version: &mut String) -> Result<(), WatchError> {
        let event: Event<'_> = serde_json::from_slice(line)?;
        if event.kind == "ERROR" {
            let failure: Failure = serde_json::from_str(event.object.get())?;
            tracing::debug!(code = failure.code, "the API server ended the watch");
            return Err(WatchError::Expired);
        }
        let head: RunHead = serde_json::from_str(event.object.get())?;
        head.resource_version().clone_into(version);
        match event.kind {
            "DELETED" => self.sight.gone(self.kind, &head),
            "ADDED" | "MODIFIED" => {
                let body = || Bytes::copy_from_slice(event.object.get().as_bytes());
                self.sight.seen(self.kind, &head, Lane::Fresh, body, Timestamp::now());
            }
            _ => {}
        }
        Ok(())
    }

    /// Lists what was there before, page by page, and keeps only the keys of what is pending.
    async fn list(&self) -> Result<(), WatchError> {
        let mut params = ListParams::default().limit(FIRST_PAGE).match_any();
        loop {
            while self.sight.backlog() >= BACKLOG {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            // A list of one version would keep the API server from compacting; pages of "now" are enough, since
            // the watch sees every change.
            params.resource_version = None;
            params.version_match = None;
            let (page, bytes) = match self.page(&params).await {
                Err(WatchError::Api(kube::Error::Api(status))) if status.code == 410 => {
                    params.continue_token = None;
                    continue;
                }
                page => page?,
            };
            for head in &page.items {
                self.sight.listed(self.kind, head, Timestamp::now());
            }
            params.limit = Some(objects_a_page(page.items.len(), bytes));
            match page.metadata.next.filter(|next| !next.is_empty()) {
                Some(next) => params.continue_token = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// A page, and how large it was.
    async fn page(&self, params: &ListParams) -> Result<(Page, usize), WatchError> {
        let text = self.client.request_text(self.paths().list(params)?).await?;
        Ok((serde_json::from_str(&text)?, text.len()))
    }

    fn paths(&self) -> kube::core::Request {
        kube::core::Request::new(super::runs::path(self.kind, self.namespace.as_deref()))
    }
}

/// For the page after one of so many `objects` and `bytes`.
fn objects_a_page(objects: usize, bytes: usize) -> u32 {
    let fitting = objects.max(1) * PAGE_BYTES / bytes.max(1);
    u32::try_from(fitting.clamp(1, PAGE)).unwrap_or(FIRST_PAGE)
}

/// Waits until the configuration selects other runs than `last` did.
async fn select_others(settings: &mut Followed, last: &Config) {
    let selects = |config: &Config| (config.selection.clone(), config.managed_by.clone());
    while selects(&settings.current().config) == selects(last) {
        settings.changed().await;
    }
}

/// One line of a stream, without its end; `None` when the stream has ended.
async fn line(stream: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Vec<u8>>, WatchError> {
    let mut line = Vec::new();
    loop {
        let chunk = stream.fill_buf().await?;
        if chunk.is_empty() {
            return Ok((!line.is_empty()).then_some(line));
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(chunk.len(), |end| end + 1);
        if line.len() + taken > MAX_EVENT {
            return Err(WatchError::TooLarge);
        }
        line.extend_from_slice(chunk.get(..end.unwrap_or(taken)).unwrap_or_default());
        stream.consume_unpin(taken);
        if end.is_some() && !line.is_empty() {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_fewer_objects_where_they_are_large() {
        for (objects, size, expected) in
            [(20, 10 * 1024, 100), (20, 50 * 1024, 20), (2, 1024 * 1024, 1), (1, 1536 * 1024, 1)]
        {
            assert_eq!(objects_a_page(objects, objects * size), expected, "{size}");
        }
        assert_eq!(objects_a_page(0, 300), 100, "an empty page says nothing about the next");
    }
}
