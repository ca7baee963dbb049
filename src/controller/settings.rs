//! The configuration and the keys that are in force now: one value, replaced as a whole, so that one attempt sees
//! one version.
//!
//! A ConfigMap that does not parse, and keys that cannot be imported, leave the last good ones in force and are
//! reported. Before there has been a good configuration nothing is signed.

mod clouds;
mod keys;
pub(super) mod notice;
mod policy_keys;
mod process;
mod registries;
mod servers;
mod stores;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Event};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::clouds::CloudIdentities;
use self::clouds::Clouds;
use self::keys::KeyFiles;
pub use self::keys::{KeySource, key_directory};
use self::policy_keys::{Keys, PolicyKeys};
pub use self::process::Process;
use self::registries::{DockerFiles, RegistryFile, refusal};
use self::servers::{Built, Servers};
use self::stores::Stores;
use super::runs::said;
use crate::client::registry::Registry;
use crate::config::{Config, KeyChoice};
use crate::credential::agent::Lent;
use crate::credential::files::FileError;
use crate::credential::registry_config::RegistryConfig;
use crate::signature::key::keyring::KeyRing;
use crate::signature::log::Log;
use crate::signature::{self, Signers};
use crate::storage::remote::Remotes;
use crate::telemetry::metrics::Metrics;

/// How often ConfigMap, Secret or directory are looked at: a change is in force within this time.
const EVERY: Duration = Duration::from_secs(2);

/// What is in force.
#[derive(Clone)]
pub struct Settings {
    /// The configuration.
    pub config: Arc<Config>,
    /// The keys, or why there are none.
    keys: Result<KeyRing, Arc<signature::Error>>,
    /// The keys that `signing.key-policy` names.
    policy_keys: Arc<Keys>,
    /// The servers that signing needs.
    servers: Built,
    /// The stores that are servers of their own.
    pub stores: Arc<Remotes>,
    /// The registry configuration file.
    pub registries: Arc<RegistryConfig>,
    /// The credentials of docker and podman files.
    pub files: Arc<Lent>,
    /// Identities in clouds.
    pub clouds: CloudIdentities,
    /// Counts changes.
    pub generation: i64,
}

impl Settings {
    /// What signs one run of a namespace.
    pub fn signers(&self, namespace: &str) -> Signers {
        let servers = match &self.servers {
            Ok(servers) => servers,
            Err(error) => return Signers::none(error),
        };
        let unread = |name: &str| signature::Error::NoKey { place: name.to_owned() };
        match self.config.signing.key_policy.of(namespace) {
            KeyChoice::Default => servers.signers(&self.keys),
            KeyChoice::Refuse => Signers::none(&Arc::new(signature::Error::NamespaceRefused {
                namespace: namespace.to_owned(),
            })),
            KeyChoice::Secret(name) => match self.policy_keys.get(name) {
                Some(keys) => servers.signers(keys),
                None => servers.signers(&Err(Arc::new(unread(name)))),
            },
        }
    }

    /// What records the signatures of a run with these annotations.
    pub fn logs(&self, annotations: &BTreeMap<String, String>) -> Vec<Arc<dyn Log>> {
        self.servers.as_ref().map(|servers| servers.logs(annotations)).unwrap_or_default()
    }

    fn with(mut self, change: Change) -> Self {
        let Change { config, keys, policy_keys, servers, stores, registries, files, clouds } = change;
        self.config = config.unwrap_or(self.config);
        self.registries = registries.unwrap_or(self.registries);
        self.files = files.map_or(self.files, Arc::new);
        self.clouds = clouds.unwrap_or(self.clouds);
        self.servers = servers.unwrap_or(self.servers);
        self.stores = stores.unwrap_or(self.stores);
        self.policy_keys = policy_keys.map_or(self.policy_keys, Arc::new);
        match keys {
            // Keys that cannot be imported do not replace keys that can.
            Some(Err(_)) if self.keys.is_ok() => {}
            Some(keys) => self.keys = keys,
            None => {}
        }
        self.generation += 1;
        self
    }
}

/// What is new; a file with mistakes is nothing new.
struct Change {
    config: Option<Arc<Config>>,
    keys: Option<Result<KeyRing, Arc<signature::Error>>>,
    policy_keys: Option<Keys>,
    servers: Option<Built>,
    stores: Option<Arc<Remotes>>,
    registries: Option<Arc<RegistryConfig>>,
    files: Option<Lent>,
    clouds: Option<CloudIdentities>,
}

impl Change {
    fn is_none(&self) -> bool {
        let kept = self.config.is_none() && self.keys.is_none() && self.servers.is_none();
        kept && self.policy_keys.is_none()
            && self.stores.is_none()
            && self.registries.is_none()
            && self.files.is_none()
            && self.clouds.is_none()
    }
}

/// The current settings, for readers.
#[derive(Clone)]
pub struct Followed(watch::Receiver<Arc<Settings>>);

impl Followed {
    /// What is in force now.
    pub fn current(&self) -> Arc<Settings> {
        Arc::clone(&self.0.borrow())
    }

    /// Waits until something else is in force; for ever when nothing follows any more.
    pub async fn changed(&mut self) -> Arc<Settings> {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        Arc::clone(&self.0.borrow_and_update())
    }
}

/// Follows ConfigMap and keys.
pub struct Follower {
    client: Client,
    namespace: String,
    config_map: String,
    keys: KeyFiles,
    policy_keys: PolicyKeys,
    registries: RegistryFile,
    docker: DockerFiles,
    clouds: Clouds,
    servers: Servers,
    stores: Stores,
    config_seen: Option<Arc<BTreeMap<String, String>>>,
}

impl Follower {
    /// Follows `config_map` in `namespace`, the keys, and the registry configuration file that the ConfigMap names.
    /// `registry` has the clients with which Fulcio is reached.
    pub fn new(
        client: Client,
        namespace: &str,
        config_map: &str,
        process: Process,
        registry: Registry,
    ) -> Self {
        let Process { keys, proxies, surroundings, clouds, exchanges, vault, stores, .. } = process;
        let (identities, trust_cache) = (process.identities, process.trust_cache);
        Self {
            keys: KeyFiles::new(client.clone(), keys),
            policy_keys: PolicyKeys::new(client.clone(), namespace),
            stores: Stores::new(stores, registry.clone()),
            clouds: Clouds::new(client.clone(), clouds, &exchanges, registry.clone()),
            client,
            namespace: namespace.to_owned(),
            config_map: config_map.to_owned(),
            registries: RegistryFile::new(proxies),
            docker: DockerFiles::new(surroundings),
            servers: Servers::new(identities, vault, registry, trust_cache),
            config_seen: None,
        }
    }

    /// Waits for the first good configuration, registries included; `None` when `stop` came first.
    pub async fn first(&mut self, stop: &CancellationToken) -> Option<Settings> {
        let mut config = None;
        loop {
            config = self.changed_config().await.or(config);
            let file = config.as_ref().map(|config: &Config| config.registry.config_file.clone());
            if let (Some(found), Some(file)) = (&config, file)
                && let Some(Ok(registries)) = self.registries.changed(file.as_deref()).await
            {
                let (config, registries) = (Arc::new(found.clone()), Arc::new(registries));
                let keys =
                    self.keys.changed(&config).await.unwrap_or_else(|| Err(Arc::new(self.keys.none())));
                let servers = self.servers.changed(&config, &registries).await;
                let servers = servers.unwrap_or_else(|| Err(Arc::new(self.keys.none())));
                let stores = self.stores.changed(&config, &registries).unwrap_or_default();
                let files = Arc::new(self.docker.changed().await.unwrap_or_default());
                let clouds = self.clouds.first(&config, &registries);
                let policy_keys = Arc::new(self.policy_keys.changed(&config).await.unwrap_or_default());
                return Some(Settings {
                    config,
                    keys,
                    policy_keys,
                    servers,
                    stores,
                    registries,
                    files,
                    clouds,
                    generation: 1,
                });
            }
            tokio::select! { () = stop.cancelled() => return None, () = tokio::time::sleep(EVERY) => {} }
        }
    }

    /// Publishes changes until `stop`.
    pub fn follow(
        mut self,
        first: Settings,
        stop: CancellationToken,
        metrics: Arc<Metrics>,
    ) -> (Followed, impl Future<Output = ()>) {
        let (sender, receiver) = watch::channel(Arc::new(first));
        let task = async move {
            loop {
                metrics.settings_generation.set(sender.borrow().generation);
                tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(EVERY) => {} }
                let last = Arc::clone(&sender.borrow());
                let change = self.change(&last).await;
                if !change.is_none() {
                    let settings = Settings::clone(&sender.borrow()).with(change);
                    tracing::info!(generation = settings.generation, "new settings are in force");
                    sender.send_replace(Arc::new(settings));
                }
            }
        };
        (Followed(receiver), task)
    }

    async fn change(&mut self, last: &Settings) -> Change {
        let config = self.changed_config().await.map(Arc::new);
        let current = config.as_ref().unwrap_or(&last.config);
        let registries = match self.registries.changed(current.registry.config_file.as_deref()).await {
            Some(Err(error)) => {
                self.announce(&error).await;
                None
            }
            read => read.and_then(Result::ok).map(Arc::new),
        };
        let keys = self.keys.changed(current).await;
        let policy_keys = self.policy_keys.changed(current).await;
        let in_force = registries.as_ref().unwrap_or(&last.registries);
        let clouds = self.clouds.changed(current, in_force);
        let servers = self.servers.changed(current, in_force).await;
        let stores = self.stores.changed(current, in_force);
        let files = self.docker.changed().await;
        Change { config, keys, policy_keys, servers, stores, registries, files, clouds }
    }

    async fn announce(&self, error: &FileError) {
        self.publish(refusal(&self.namespace, &self.config_map, error, Timestamp::now())).await;
    }

    async fn publish(&self, event: Event) {
        let events = Api::<Event>::namespaced(self.client.clone(), &self.namespace);
        match events.create(&PostParams::default(), &event).await {
            Ok(_) => {}
            // Another replica has told it.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => tracing::warn!(error = said(&error), "cannot publish an Event"),
        }
    }

    /// The configuration, if the ConfigMap changed and is good.
    async fn changed_config(&mut self) -> Option<Config> {
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), &self.namespace);
        let mut map = match api.get_opt(&self.config_map).await {
            Ok(Some(map)) => map,
            Ok(None) => return self.config_missing(),
            Err(error) => {
                tracing::warn!(
                    error = said(&error),
                    "cannot read ConfigMap {}/{}",
                    self.namespace,
                    self.config_map
                );
                return None;
            }
        };
        let entries = map.data.take().unwrap_or_default();
        if self.config_seen.as_deref() == Some(&entries) {
            return None;
        }
        let parsed = Config::parse(&entries);
        self.config_seen = Some(Arc::new(entries));
        if let Some(notice) = notice::notice(&parsed) {
            self.publish(notice.event(&map, Timestamp::now())).await;
        }
        for warning in &parsed.warnings {
            tracing::warn!(key = %warning.key, "ConfigMap {}/{}: {warning}", self.namespace, self.config_map);
        }
        match parsed.config {
            Ok(config) => Some(config),
            Err(findings) => {
                for finding in findings {
                    tracing::error!(key = %finding.key, "ConfigMap {}/{} is refused: {finding}", self.namespace, self.config_map);
                }
                None
            }
        }
    }

    fn config_missing(&mut self) -> Option<Config> {
        if self.config_seen.take().is_some() {
            tracing::error!(
                "ConfigMap {}/{} is gone; its last values stay in force",
                self.namespace,
                self.config_map
            );
        } else {
            tracing::warn!(
                "waiting for ConfigMap {}/{}: create it, empty for the defaults",
                self.namespace,
                self.config_map
            );
        }
        None
    }
}
