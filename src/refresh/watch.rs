//! Watching Secrets by their metadata alone: what they hold never comes this way (credentials specification §6.5).
//!
//! A watch of one name over all namespaces is authorised by a rule with that name in `resourceNames`, because the
//! selector `metadata.name=…` names it. Nothing is kept here: what concerns the updater is handed on by name.

use std::convert::Infallible;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, WatchParams};
use kube::core::{ObjectMeta, WatchEvent};
use kube::{Api, Client};
use tokio::sync::mpsc::Sender;

use super::agenda::Name;
use super::held::concerns;
use crate::client::kubernetes::said;
use crate::error::chain;

const PAGE: u32 = 500;
const WATCH_SECONDS: u32 = 290;
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A watch over all namespaces.
pub(super) struct Watch {
    secrets: Api<Secret>,
    /// The one name; all when there is none.
    name: Option<String>,
    seen: Sender<Name>,
}

/// Why a watch ended.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error("{}", said(.0))]
    Api(kube::Error),
    #[error("the API server no longer has the version that was watched")]
    Expired,
    #[error("nobody listens")]
    Closed,
}

impl From<kube::Error> for WatchError {
    fn from(error: kube::Error) -> Self {
        Self::Api(error)
    }
}

impl Watch {
    /// Of the Secrets of this name, or of all.
    pub(super) fn new(client: Client, name: Option<String>, seen: Sender<Name>) -> Self {
        Self { secrets: Api::all(client), name, seen }
    }

    /// Watches for ever; `listed` is called after each complete list.
    pub(super) async fn run(self, listed: impl Fn()) {
        let mut pause = Duration::from_millis(200);
        loop {
            let started = Timestamp::now();
            let Err(error) = self.once(&listed).await;
            match &error {
                WatchError::Closed => return,
                WatchError::Expired => pause = Duration::from_millis(200),
                WatchError::Api(kube::Error::Api(status)) if status.code == 403 => {
                    let name = self.name.as_deref().unwrap_or("*");
                    tracing::error!(
                        "may not watch Secrets named {name}: grant get, list, watch and patch on that name \
                         to the updater's service account by a ClusterRole; looking again in {LONGEST_PAUSE:?}"
                    );
                    pause = LONGEST_PAUSE;
                }
                WatchError::Api(_) => tracing::warn!(error = %chain(&error), "watching again in {pause:?}"),
            }
            if Timestamp::now().duration_since(started).as_secs() > 60 {
                pause = Duration::from_millis(200);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn once(&self, listed: &impl Fn()) -> Result<Infallible, WatchError> {
        let mut version = self.list().await?;
        listed();
        loop {
            let selector = self.selector();
            let mut params = WatchParams::default().timeout(WATCH_SECONDS);
            if let Some(selector) = &selector {
                params = params.fields(selector);
            }
            let mut events = self.secrets.watch_metadata(&params, &version).await?.boxed();
            while let Some(event) = events.next().await {
                match event? {
                    WatchEvent::Added(secret)
                    | WatchEvent::Modified(secret)
                    | WatchEvent::Deleted(secret) => {
                        if let Some(newer) = &secret.metadata.resource_version {
                            newer.clone_into(&mut version);
                        }
                        self.hand_on(secret.metadata).await?;
                    }
                    WatchEvent::Bookmark(bookmark) => version = bookmark.metadata.resource_version,
                    WatchEvent::Error(_) => return Err(WatchError::Expired),
                }
            }
        }
    }

    /// Everything that is there; answers the version to watch from.
    async fn list(&self) -> Result<String, WatchError> {
        let mut params = ListParams::default().limit(PAGE);
        if let Some(selector) = self.selector() {
            params = params.fields(&selector);
        }
        loop {
            let page = self.secrets.list_metadata(&params).await?;
            for secret in page.items {
                self.hand_on(secret.metadata).await?;
            }
            match page.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => params.continue_token = Some(next),
                None => return Ok(page.metadata.resource_version.unwrap_or_default()),
            }
        }
    }

    async fn hand_on(&self, metadata: ObjectMeta) -> Result<(), WatchError> {
        let concerned = metadata.annotations.as_ref().is_some_and(concerns);
        let (Some(namespace), Some(name), true) = (metadata.namespace, metadata.name, concerned) else {
            return Ok(());
        };
        self.seen.send(Name { namespace, name }).await.map_err(|_| WatchError::Closed)
    }

    fn selector(&self) -> Option<String> {
        self.name.as_ref().map(|name| format!("metadata.name={name}"))
    }
}
