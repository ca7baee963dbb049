//! The configuration and the keys that are in force now: one value, replaced as a whole, so that one attempt sees
//! one version.
//!
//! A ConfigMap that does not parse, and keys that cannot be imported, leave the last good ones in force and are
//! reported. Before there has been a good configuration nothing is signed.

mod registries;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Secret};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::registries::{DockerFiles, RegistryFile, refusal};
use super::runs::said;
use crate::config::Config;
use crate::credential::agent::Files;
use crate::credential::files::FileError;
use crate::credential::files::docker::Surroundings;
use crate::credential::registry_config::{Proxies, RegistryConfig};
use crate::error::Diagnose as _;
use crate::signature;
use crate::signature::key::keyring::KeyRing;
use crate::telemetry::metrics::Metrics;

/// How often ConfigMap, Secret or directory are looked at: a change is in force within this time.
const EVERY: Duration = Duration::from_secs(2);
/// Key files are small; a larger one is not read.
const MAX_KEY_FILE: u64 = 64 * 1024;

/// What is in force.
#[derive(Clone)]
pub struct Settings {
    /// The configuration.
    pub config: Arc<Config>,
    /// The keys, or why there are none.
    pub keys: Result<KeyRing, Arc<signature::Error>>,
    /// The registry configuration file.
    pub registries: Arc<RegistryConfig>,
    /// The credentials of docker and podman files.
    pub files: Arc<Files>,
    /// Counts changes.
    pub generation: i64,
}

impl Settings {
    fn with(mut self, change: Change) -> Self {
        let Change { config, keys, registries, files } = change;
        self.config = config.map_or(self.config, Arc::new);
        self.registries = registries.map_or(self.registries, Arc::new);
        self.files = files.map_or(self.files, Arc::new);
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
    config: Option<Config>,
    keys: Option<Result<KeyRing, Arc<signature::Error>>>,
    registries: Option<RegistryConfig>,
    files: Option<Files>,
}

impl Change {
    fn is_none(&self) -> bool {
        self.config.is_none() && self.keys.is_none() && self.registries.is_none() && self.files.is_none()
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
}

/// Where keys come from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A directory into which the Secret is mounted.
    Directory(PathBuf),
    /// The Secret, through the API server.
    Secret {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

/// Follows ConfigMap and keys.
pub struct Follower {
    client: Client,
    namespace: String,
    config_map: String,
    keys: KeySource,
    registries: RegistryFile,
    docker: DockerFiles,
    config_seen: Option<Arc<BTreeMap<String, String>>>,
    files_seen: Option<BTreeMap<String, Vec<u8>>>,
}

impl Follower {
    /// Follows `config_map` in `namespace`, `keys`, and the registry configuration file that the ConfigMap names.
    /// `proxies` are those of the process, `surroundings` say where docker and podman files lie.
    pub fn new(
        client: Client,
        namespace: &str,
        config_map: &str,
        keys: KeySource,
        proxies: Proxies,
        surroundings: Surroundings,
    ) -> Self {
        let (namespace, config_map) = (namespace.to_owned(), config_map.to_owned());
        let (registries, docker) = (RegistryFile::new(proxies), DockerFiles::new(surroundings));
        Self { client, namespace, config_map, keys, registries, docker, config_seen: None, files_seen: None }
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
                let keys = self.changed_keys().await.unwrap_or_else(|| Err(Arc::new(self.no_key())));
                let files = Arc::new(self.docker.changed().await.unwrap_or_default());
                return Some(Settings { config, keys, registries, files, generation: 1 });
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
                let last = Arc::clone(&sender.borrow().config);
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

    async fn change(&mut self, last: &Config) -> Change {
        let config = self.changed_config().await;
        let file = config.as_ref().unwrap_or(last).registry.config_file.clone();
        let registries = match self.registries.changed(file.as_deref()).await {
            Some(Err(error)) => {
                self.announce(&error).await;
                None
            }
            read => read.and_then(Result::ok),
        };
        Change { config, keys: self.changed_keys().await, registries, files: self.docker.changed().await }
    }

    async fn announce(&self, error: &FileError) {
        let event = refusal(&self.namespace, &self.config_map, error, Timestamp::now());
        let events = Api::<Event>::namespaced(self.client.clone(), &self.namespace);
        if let Err(error) = events.create(&PostParams::default(), &event).await {
            tracing::warn!(error = said(&error), "cannot publish an Event");
        }
    }

    /// The configuration, if the ConfigMap changed and is good.
    async fn changed_config(&mut self) -> Option<Config> {
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), &self.namespace);
        let map = match api.get_opt(&self.config_map).await {
            Ok(Some(map)) => map.data.unwrap_or_default(),
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
        if self.config_seen.as_deref() == Some(&map) {
            return None;
        }
        let parsed = Config::parse(&map);
        self.config_seen = Some(Arc::new(map));
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

    /// The keys, if their files changed.
    async fn changed_keys(&mut self) -> Option<Result<KeyRing, Arc<signature::Error>>> {
        let files = match self.key_files().await {
            Ok(files) => files,
            Err(reason) => {
                tracing::warn!("cannot read keys: {reason}");
                return None;
            }
        };
        if self.files_seen.as_ref() == Some(&files) {
            return None;
        }
        self.files_seen = Some(files.clone());
        let place = self.place();
        let imported = tokio::task::spawn_blocking(move || KeyRing::import(&place, &files)).await;
        let keys = imported.unwrap_or_else(|_| Err(self.no_key())).map_err(Arc::new);
        if let Err(error) = &keys {
            tracing::error!(hint = error.hint(), "{error}");
        }
        Some(keys)
    }

    async fn key_files(&self) -> Result<BTreeMap<String, Vec<u8>>, String> {
        match &self.keys {
            KeySource::Directory(directory) => {
                let directory = directory.clone();
                let read = tokio::task::spawn_blocking(move || key_directory(&directory)).await;
                read.map_err(|error| error.to_string())?.map_err(|error| format!("{}: {error}", self.place()))
            }
            KeySource::Secret { namespace, name } => {
                let secret = Api::<Secret>::namespaced(self.client.clone(), namespace).get_opt(name).await;
                let secret = secret.map_err(|error| format!("{}: {}", self.place(), said(&error)))?;
                let data = secret.and_then(|secret| secret.data).unwrap_or_default();
                Ok(data.into_iter().map(|(name, content)| (name, content.0)).collect())
            }
        }
    }

    fn no_key(&self) -> signature::Error {
        signature::Error::NoKey { place: self.place() }
    }

    fn place(&self) -> String {
        match &self.keys {
            KeySource::Directory(directory) => directory.display().to_string(),
            KeySource::Secret { namespace, name } => format!("{namespace}/{name}"),
        }
    }
}

/// The files of a directory that are keys; those of a mounted Secret are links, and its `..data` is none of them.
pub fn key_directory(directory: &Path) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let metadata = std::fs::metadata(entry.path())?;
        let is_key = name.starts_with("x509") || name.starts_with("cosign.");
        if is_key && metadata.is_file() && metadata.len() <= MAX_KEY_FILE {
            files.insert(name, std::fs::read(entry.path())?);
        }
    }
    Ok(files)
}
