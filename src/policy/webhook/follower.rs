//! Follows what admissions are decided by: policies, the Secrets of their keys, ConfigMaps and trust roots, those in TUF
//! repositories too.
//!
//! # Flow
//!
//! Watches of metadata wake the follower; it then reads everything that counts, and makes a new snapshot only if
//! something is other than before. Files and ConfigMaps are looked at every few seconds.
//!
//! # Guarantees
//!
//! While the API server is away, or a setting has a mistake, the last good snapshot stays. Before the first one nothing
//! is admitted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{ApiResource, DynamicObject, ListParams, WatchParams};
use kube::core::{GroupVersionKind, WatchEvent};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::snapshot::{Held, Snapshot, key_secrets, no_match};
use super::verdicts::Verdicts;
use crate::client::kubernetes::said;
use crate::config::{Config, Finding};
use crate::credential::registry_config::RegistryConfig;
use crate::error::chain;
use crate::policy::Rules;
use crate::policy::repositories::Repositories;
use crate::policy::trust::{NamedRoot, NoRoot, Trust};
use crate::policy::trust_root::{self, TrustRootObject};
use crate::signature::trusted_root::TrustedRoot;
use crate::signature::trusted_root::file::TrustFile;

const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Changes that come together are one.
const TOGETHER: Duration = Duration::from_millis(50);
const PAUSE: Duration = Duration::from_secs(1);
const WATCH_SECONDS: u32 = 290;
const PAGE: u32 = 200;
const CONTROLLERS_MAP: &str = "config-policy-controller";

/// Version, kind and plural name.
type Kind = (&'static str, &'static str, &'static str);
const POLICIES: Kind = ("v1beta1", "ClusterImagePolicy", "clusterimagepolicies");
const TRUST_ROOTS: Kind = ("v1alpha1", "TrustRoot", trust_root::PLURAL);

/// The snapshot of this moment; nothing before the first.
pub(super) type Current = watch::Receiver<Option<Arc<Snapshot>>>;

/// Where everything lies.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    /// The agent's namespace.
    pub(super) namespace: String,
    /// The ConfigMap with the settings.
    pub(super) config_map: String,
    /// `trusted_root.json`.
    pub(super) trusted_root: Option<PathBuf>,
    /// Authorities and proxies by host, for TUF repositories.
    pub(super) registries: Arc<RegistryConfig>,
}

/// Follows them.
pub(super) struct Follower {
    client: Client,
    sources: Sources,
    trust: TrustFile,
    objects: Objects,
    repositories: Repositories,
    last: Option<Inputs>,
    sender: watch::Sender<Option<Arc<Snapshot>>>,
}

/// The `TrustRoot` objects; read anew only when they change.
#[derive(Default)]
struct Objects {
    documents: Vec<Value>,
    read: Vec<TrustRootObject>,
}

/// Everything that was read; a snapshot is a function of it.
#[derive(PartialEq)]
struct Inputs {
    policies: Vec<Value>,
    roots: Roots,
    secrets: BTreeMap<String, Vec<String>>,
    own: BTreeMap<String, String>,
    controllers: BTreeMap<String, String>,
    root: Root,
}

/// Compared by identity: the file's own reader makes a new one when something changed.
#[derive(Clone, Default)]
struct Root(Option<Arc<TrustedRoot>>);

/// By the name of their object; compared by identity as well.
#[derive(Clone, Default)]
struct Roots(BTreeMap<String, NamedRoot>);

/// Why nothing new is known.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("cannot read {what}: {}", said(.error))]
    Api { what: &'static str, error: kube::Error },
    #[error("{map} has mistakes: {}", Told(.findings))]
    Settings { map: String, findings: Vec<Finding> },
}

struct Told<'a>(&'a [Finding]);

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|finding| write!(f, "{finding}; "))
    }
}

impl PartialEq for Root {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_ref().map(Arc::as_ptr) == other.0.as_ref().map(Arc::as_ptr)
    }
}

impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        let is_same = |one: &NamedRoot, other: &NamedRoot| match (one, other) {
            (Ok(one), Ok(other)) => Arc::ptr_eq(one, other),
            (Err(NoRoot::Mistakes(one)), Err(NoRoot::Mistakes(other))) => one == other,
            (Err(NoRoot::Repository(one)), Err(NoRoot::Repository(other))) => {
                std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
            }
            _ => false,
        };
        self.0.len() == other.0.len()
            && self.0.iter().all(|(name, one)| other.0.get(name).is_some_and(|other| is_same(one, other)))
    }
}

impl Follower {
    /// Nothing is known yet.
    pub(super) fn new(client: Client, sources: Sources) -> (Self, Current) {
        let (sender, current) = watch::channel(None);
        let (trust, objects, repositories) = Default::default();
        (Self { client, sources, trust, objects, repositories, last: None, sender }, current)
    }

    /// Follows for ever.
    pub(super) async fn run(mut self) {
        let changed = Notify::new();
        let policies = self.objects(POLICIES);
        let roots = self.objects(TRUST_ROOTS);
        let secrets = Api::<Secret>::namespaced(self.client.clone(), &self.sources.namespace);
        let reading = async {
            loop {
                if let Err(error) = self.look().await {
                    tracing::error!("the policies of before stay in force: {}", chain(&error));
                }
                tokio::select! {
                    () = changed.notified() => tokio::time::sleep(TOGETHER).await,
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                }
            }
        };
        tokio::join!(
            reading,
            wake(policies, "policies", &changed),
            wake(roots, "TrustRoots", &changed),
            wake(secrets, "Secrets", &changed)
        );
    }

    async fn look(&mut self) -> Result<(), FollowError> {
        let inputs = self.inputs().await?;
        if self.last.as_ref() == Some(&inputs) {
            return Ok(());
        }
        let mut snapshot = snapshot(&inputs, &self.sources)?;
        if let (Some(last), Some(before)) = (&self.last, &*self.sender.borrow()) {
            let unchanged = inputs.unchanged_since(last, &snapshot);
            snapshot.verdicts = before.verdicts.of_policies(&unchanged);
        }
        tracing::info!(policies = snapshot.policies.len(), "other policies or settings are in force");
        for held in &snapshot.policies {
            if let Err(broken) = &held.policy {
                let reason = crate::policy::evaluation::Reason::Obstacle(broken.obstacle());
                tracing::error!(policy = held.name, "{reason}");
            }
        }
        self.last = Some(inputs);
        self.sender.send_replace(Some(Arc::new(snapshot)));
        Ok(())
    }

    async fn inputs(&mut self) -> Result<Inputs, FollowError> {
        let failed = |what| move |error| FollowError::Api { what, error };
        let root = match &self.sources.trusted_root {
            None => Root::default(),
            Some(file) => match self.trust.current(file).await {
                Ok(root) => Root(Some(root)),
                Err(error) => {
                    tracing::error!("nobody without a key is trusted: {}", chain(&error));
                    Root::default()
                }
            },
        };
        let (own, controllers) =
            (self.map(&self.sources.config_map).await?, self.map(CONTROLLERS_MAP).await?);
        let policies = list(&self.objects(POLICIES)).await.map_err(failed("ClusterImagePolicies"))?;
        let roots = match list(&self.objects(TRUST_ROOTS)).await {
            // Installed before this kind was known: no policy can name one then.
            Err(kube::Error::Api(status)) if status.is_not_found() => Vec::new(),
            listed => listed.map_err(failed("TrustRoots"))?,
        };
        if roots != self.objects.documents {
            self.objects =
                Objects { read: roots.iter().map(TrustRootObject::read).collect(), documents: roots };
        }
        let (read, registries) = (self.objects.read.iter().cloned(), &self.sources.registries);
        let roots = Roots(self.repositories.roots(read, registries).await);
        let secrets = BTreeMap::new();
        let mut inputs = Inputs { policies, roots, secrets, own, controllers, root };
        let secrets = Api::<Secret>::namespaced(self.client.clone(), &self.sources.namespace);
        for name in key_secrets(snapshot(&inputs, &self.sources)?.policies.iter()) {
            let found = secrets.get_opt(&name).await.map_err(failed("the Secret of a key"))?;
            let texts = found
                .and_then(|secret| secret.data)
                .map(|data| data.into_values().filter_map(|value| String::from_utf8(value.0).ok()).collect());
            inputs.secrets.extend(texts.map(|texts| (name, texts)));
        }
        Ok(inputs)
    }

    async fn map(&self, name: &str) -> Result<BTreeMap<String, String>, FollowError> {
        let maps = Api::<ConfigMap>::namespaced(self.client.clone(), &self.sources.namespace);
        let found = maps.get_opt(name).await;
        let found = found.map_err(|error| FollowError::Api { what: "the settings", error })?;
        Ok(found.and_then(|map| map.data).unwrap_or_default())
    }

    fn objects(&self, (version, kind, plural): Kind) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("policy.sigstore.dev", version, kind);
        Api::all_with(self.client.clone(), &ApiResource::from_gvk_with_plural(&kind, plural))
    }
}

/// Every object, page by page.
async fn list(api: &Api<DynamicObject>) -> Result<Vec<Value>, kube::Error> {
    let (mut found, mut params) = (Vec::new(), ListParams::default().limit(PAGE));
    loop {
        let page = api.list(&params).await?;
        found.extend(page.items.iter().filter_map(|object| serde_json::to_value(object).ok()));
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => params.continue_token = Some(next),
            None => return Ok(found),
        }
    }
}

impl Inputs {
    /// The policies for which nothing is other than in `last`: what was verified under them still holds.
    fn unchanged_since(&self, last: &Self, snapshot: &Snapshot) -> BTreeSet<String> {
        let shared = |one: &Self| (one.own.clone(), one.controllers.clone(), one.root.clone());
        // Which parts of which TrustRoots a policy takes is not followed: they change seldom.
        if shared(self) != shared(last) || self.roots != last.roots {
            return BTreeSet::new();
        }
        let same_secrets = |held: &Held| {
            let named = key_secrets(std::iter::once(held));
            named.iter().all(|name| self.secrets.get(name) == last.secrets.get(name))
        };
        // The snapshot has its policies in the order of their documents.
        let held = snapshot.policies.iter().zip(&self.policies);
        let same = held.filter(|(held, document)| last.policies.contains(document) && same_secrets(held));
        same.map(|(held, _)| held.name.clone()).collect()
    }
}

fn snapshot(inputs: &Inputs, sources: &Sources) -> Result<Snapshot, FollowError> {
    let config = Config::parse(&inputs.own).config;
    let map = || sources.config_map.clone();
    let config = config.map_err(|findings| FollowError::Settings { map: map(), findings })?;
    let rules = rules(&config, &sources.namespace);
    let (root, secrets) = (inputs.root.0.clone(), inputs.secrets.clone());
    let trust = Trust { root, roots: inputs.roots.0.clone(), secrets, ..Trust::default() };
    Ok(Snapshot {
        policies: inputs.policies.iter().map(|document| Held::read(document, &rules)).collect(),
        trust,
        no_match: no_match(&config, &inputs.own, &inputs.controllers),
        config,
        verdicts: Verdicts::default(),
    })
}

/// How policies are read here.
pub(super) fn rules(config: &Config, namespace: &str) -> Rules {
    let controller_namespace = Some(namespace.to_owned());
    Rules { anchor_regexes: config.policy.anchor_regexes, controller_namespace }
}

/// Wakes the follower whenever something of `api` changes. A watch from version 0 begins with what is there, which wakes
/// it once, and so misses nothing.
async fn wake<K>(api: Api<K>, what: &str, changed: &Notify)
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    loop {
        let params = WatchParams::default().timeout(WATCH_SECONDS);
        match api.watch_metadata(&params, "0").await {
            Ok(events) => {
                let mut events = events.boxed();
                while let Some(Ok(event)) = events.next().await {
                    if !matches!(event, WatchEvent::Bookmark(_) | WatchEvent::Error(_)) {
                        changed.notify_one();
                    }
                }
            }
            Err(error) => tracing::warn!("cannot watch {what}: {}", chain(&error)),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
