//! What lies outside the configuration and decides with it which servers sign and whom they are believed by: the trust
//! root and the SigningConfig, each from a file or a TUF mirror.
//!
//! Guarantees: each is followed while it changes, and its last good value kept; what is configured and cannot be had
//! fails what is to be signed, and is never left out. A file is taken before a mirror.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use crate::client::http::Clients;
use crate::config::{Config, Fulcio, Transparency, Upload};
use crate::credential::registry_config::RegistryConfig;
use crate::error::Diagnose;
use crate::signature::Error;
use crate::signature::signing_config::file::{FileError, SigningConfigFile};
use crate::signature::signing_config::{SigningConfig, SigningConfigError};
use crate::signature::trusted_root::TrustedRoot;
use crate::signature::trusted_root::file::TrustFile;
use crate::signature::trusted_root::mirror::{MirrorError, Mirrored, Source, TrustMirror};

/// Follows them.
#[derive(Default)]
pub struct Sources {
    trust: TrustFile,
    mirror: TrustMirror,
    signing: SigningConfigFile,
    usual_cache: Option<PathBuf>,
}

/// As they are now.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The operator's own trust root.
    pub root: Option<Arc<TrustedRoot>>,
    /// The services of the SigningConfig.
    pub chosen: Option<SigningConfig>,
}

impl Sources {
    /// `usual_cache` is where the files of a mirror are kept unless the configuration names a place: `TUF_ROOT`.
    pub fn new(usual_cache: Option<PathBuf>) -> Self {
        Self { usual_cache, ..Self::default() }
    }

    /// What `config` asks for, as it is at `now`.
    pub async fn current(
        &mut self,
        config: &Config,
        registries: &RegistryConfig,
        clients: &Clients,
        now: Timestamp,
    ) -> Result<Found, Error> {
        let fulcio = &config.signers.fulcio;
        let mirrored = self.mirrored(config, registries, clients).await?;
        let root = match &fulcio.trusted_root {
            Some(file) => Some(self.trust.current(file).await.map_err(unusable)?),
            None => mirrored.as_ref().map(|mirrored| Arc::clone(&mirrored.root)),
        };
        let chosen = match (&config.transparency.signing_config, mirrored) {
            (Some(file), _) => Some(self.chosen(config, file, now).await.map_err(unusable)?),
            (None, Some(mirrored)) => listed(config, &mirrored, now).map_err(unusable)?,
            (None, None) => None,
        };
        Ok(Found { root, chosen })
    }

    /// What the mirror has, where anything of it is used.
    async fn mirrored(
        &mut self,
        config: &Config,
        registries: &RegistryConfig,
        clients: &Clients,
    ) -> Result<Option<Arc<Mirrored>>, Error> {
        let fulcio = &config.signers.fulcio;
        let for_root = fulcio.trusted_root.is_none()
            && (fulcio.enabled
                || config.transparency.upload != Upload::Off
                || config.timestamp_url.is_some());
        let for_services = fulcio.tuf_signing_config && config.transparency.signing_config.is_none();
        let source = Source::of(fulcio, registries, self.usual_cache.as_deref());
        match source.filter(|_| for_root || for_services) {
            Some(source) => {
                self.mirror.current(&source, clients).await.map(Some).map_err(|error| Error::Service(error))
            }
            None => Ok(None),
        }
    }

    async fn chosen(
        &mut self,
        config: &Config,
        file: &Path,
        now: Timestamp,
    ) -> Result<SigningConfig, FileError> {
        let chosen = self.signing.current(file, now).await?;
        whole(config, &chosen).map_err(|source| FileError::Unusable { file: file.to_owned(), source })?;
        Ok(chosen)
    }
}

/// The services that the mirror lists, where they are asked for.
fn listed(
    config: &Config,
    mirrored: &Mirrored,
    now: Timestamp,
) -> Result<Option<SigningConfig>, MirrorError> {
    let Some(chosen) = mirrored.services(now)? else { return Ok(None) };
    whole(config, &chosen).map_err(|source| mirrored.unusable(source))?;
    Ok(Some(chosen))
}

/// Nothing is sent to a public service that neither a SigningConfig nor the configuration has named.
fn whole(config: &Config, chosen: &SigningConfig) -> Result<(), SigningConfigError> {
    if chosen.fulcio.is_none() && config.signers.fulcio.enabled && !names_fulcio(config) {
        return Err(SigningConfigError::Missing { field: "caUrls", key: "signers.x509.fulcio.address" });
    }
    if chosen.logs.is_empty() && config.transparency.upload != Upload::Off && !names_log(config) {
        return Err(SigningConfigError::Missing { field: "rekorTlogUrls", key: "transparency.url" });
    }
    Ok(())
}

fn unusable(error: impl Diagnose + Send + Sync + 'static) -> Error {
    Error::Service(Arc::new(error))
}

/// Whether the configuration names a Fulcio: any but the default counts.
pub(super) fn names_fulcio(config: &Config) -> bool {
    config.signers.fulcio.address != Fulcio::default().address
}

/// The same of a log.
pub(super) fn names_log(config: &Config) -> bool {
    config.transparency.url != Transparency::default().url
}
