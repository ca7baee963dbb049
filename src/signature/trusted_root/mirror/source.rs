//! Which repository is followed, and what is wanted of it.

use std::path::{Path, PathBuf};

use sigstore_tuf::transport::FetchFuture;

use super::MirrorError;
use crate::client::http::{Clients, Transport};
use crate::client::tuf::Mirror;
use crate::config;
use crate::credential::registry_config::RegistryConfig;
use crate::signature::trusted_root::archive::Archive;
use crate::signature::trusted_root::repository::{Place, Repository, TARGET, TARGETS};

/// What a mirror's root is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub(super) place: Place,
    transport: Transport,
    pub(super) first: First,
    pub(super) cache: Option<PathBuf>,
    /// The target that is the trust root.
    pub(super) target: String,
    /// Whether the services that sign are wanted too.
    pub(super) signing_config: bool,
}

/// The root that trust begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum First {
    /// The operator's own.
    File(PathBuf),
    /// Somebody gave it.
    Given(Vec<u8>),
    /// Nobody has: that of earlier, else the one that the mirror shows.
    Shown,
}

/// The repository itself.
#[derive(Debug, Clone)]
pub(super) enum Remote {
    Mirror(Mirror),
    Archive(std::sync::Arc<Archive>),
}

impl Source {
    /// The mirror of `settings`, if one is asked for: its address is another one than the default, its first root is
    /// named, or its SigningConfig is wanted. `usual_cache` is where it is kept unless the settings name a place.
    pub fn of(
        settings: &config::Fulcio,
        registries: &RegistryConfig,
        usual_cache: Option<&Path>,
    ) -> Option<Self> {
        let address = settings.tuf_mirror_url.clone();
        let is_default = address == config::Fulcio::default().tuf_mirror_url;
        let wanted = settings.tuf_root.is_some() || settings.tuf_signing_config || !is_default;
        wanted.then(|| Self {
            transport: Transport::to(&address, registries),
            first: settings.tuf_root.clone().map_or(First::Shown, First::File),
            cache: settings.tuf_cache.clone().or_else(|| usual_cache.map(Path::to_owned)),
            place: Place::Mirror { address, targets: TARGETS.to_owned() },
            target: TARGET.to_owned(),
            signing_config: settings.tuf_signing_config,
        })
    }

    /// The repository that a `TrustRoot` names; it is kept in memory alone.
    pub fn of_repository(repository: Repository, registries: &RegistryConfig) -> Self {
        let Repository { root, target, place } = repository;
        let transport = Transport::to(place.name(), registries);
        Self { place, transport, first: First::Given(root), cache: None, target, signing_config: false }
    }

    /// For messages.
    pub(super) fn name(&self) -> &str {
        self.place.name()
    }

    pub(super) fn remote(&self, clients: &Clients) -> Result<Remote, MirrorError> {
        match &self.place {
            Place::Mirror { address, targets } => {
                let mirror = Mirror::new(clients, &self.transport, address).map_err(MirrorError::Address)?;
                Ok(Remote::Mirror(mirror.with_targets(targets)))
            }
            Place::Archive(archive) => Ok(Remote::Archive(std::sync::Arc::clone(archive))),
        }
    }
}

impl sigstore_tuf::Repository for Remote {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        match self {
            Self::Mirror(mirror) => mirror.fetch_metadata(name, max_length),
            Self::Archive(archive) => archive.fetch_metadata(name, max_length),
        }
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        match self {
            Self::Mirror(mirror) => mirror.fetch_target(path, max_length),
            Self::Archive(archive) => archive.fetch_target(path, max_length),
        }
    }
}
