//! The signing keys, followed: from the directory into which `signing-secrets` is mounted, or the Secret itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use crate::config::Config;
use crate::controller::runs::said;
use crate::error::Diagnose as _;
use crate::signature::Error;
use crate::signature::key::keyring::KeyRing;

/// Key files are small; a larger one is not read.
const MAX_KEY_FILE: u64 = 64 * 1024;

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

/// The keys as they were when they were last imported.
pub(super) struct KeyFiles {
    client: Client,
    source: KeySource,
    seen: Option<BTreeMap<String, Vec<u8>>>,
}

impl KeyFiles {
    pub(super) fn new(client: Client, source: KeySource) -> Self {
        Self { client, source, seen: None }
    }

    /// The keys, if their files changed. Keyless signing looks at none of them.
    pub(super) async fn changed(&mut self, config: &Config) -> Option<Result<KeyRing, Arc<Error>>> {
        if config.signers.fulcio.enabled {
            return None;
        }
        let files = match self.read().await {
            Ok(files) => files,
            Err(reason) => {
                tracing::warn!("cannot read keys: {reason}");
                return None;
            }
        };
        if self.seen.as_ref() == Some(&files) {
            return None;
        }
        self.seen = Some(files.clone());
        let place = self.place();
        let imported = tokio::task::spawn_blocking(move || KeyRing::import(&place, &files)).await;
        let keys = imported.unwrap_or_else(|_| Err(self.none())).map_err(Arc::new);
        if let Err(error) = &keys {
            tracing::error!(hint = error.hint(), "{error}");
        }
        Some(keys)
    }

    async fn read(&self) -> Result<BTreeMap<String, Vec<u8>>, String> {
        match &self.source {
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

    /// That there is no key where they come from.
    pub(super) fn none(&self) -> Error {
        Error::NoKey { place: self.place() }
    }

    fn place(&self) -> String {
        match &self.source {
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
