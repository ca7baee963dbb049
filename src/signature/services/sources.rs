//! What lies outside the configuration and decides with it which servers sign and whom they are believed by: the trust
//! root, from a file or a TUF mirror, and the SigningConfig.
//!
//! Guarantees: each is followed while it changes, and its last good value kept; what is configured and cannot be had
//! fails what is to be signed, and is never left out. A file is taken before a mirror.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use crate::client::http::Clients;
use crate::config::{Config, Fulcio, Transparency, Upload};
use crate::credential::registry_config::RegistryConfig;
use crate::signature::Error;
use crate::signature::signing_config::file::{FileError, SigningConfigFile};
use crate::signature::signing_config::{SigningConfig, SigningConfigError};
use crate::signature::trusted_root::TrustedRoot;
use crate::signature::trusted_root::file::TrustFile;
use crate::signature::trusted_root::mirror::{Source, TrustMirror};

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
        let root = self.root(config, registries, clients).await?;
        let chosen = match &config.transparency.signing_config {
            Some(file) => {
                Some(self.chosen(config, file, now).await.map_err(|error| Error::Service(Arc::new(error)))?)
            }
            None => None,
        };
        Ok(Found { root, chosen })
    }

    async fn root(
        &mut self,
        config: &Config,
        registries: &RegistryConfig,
        clients: &Clients,
    ) -> Result<Option<Arc<TrustedRoot>>, Error> {
        let fulcio = &config.signers.fulcio;
        if let Some(file) = &fulcio.trusted_root {
            return self.trust.current(file).await.map(Some).map_err(|error| Error::Service(Arc::new(error)));
        }
        let needed =
            fulcio.enabled || config.transparency.upload != Upload::Off || config.timestamp_url.is_some();
        let source = Source::of(fulcio, registries, self.usual_cache.as_deref()).filter(|_| needed);
        match source {
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
        let missing = |field, key| {
            let source = SigningConfigError::Missing { field, key };
            Err(FileError::Unusable { file: file.to_owned(), source })
        };
        // Nothing is sent to a public service that neither of them has named.
        if chosen.fulcio.is_none() && config.signers.fulcio.enabled && !names_fulcio(config) {
            return missing("caUrls", "signers.x509.fulcio.address");
        }
        if chosen.logs.is_empty() && config.transparency.upload != Upload::Off && !names_log(config) {
            return missing("rekorTlogUrls", "transparency.url");
        }
        Ok(chosen)
    }
}

/// Whether the configuration names a Fulcio: any but the default counts.
pub(super) fn names_fulcio(config: &Config) -> bool {
    config.signers.fulcio.address != Fulcio::default().address
}

/// The same of a log.
pub(super) fn names_log(config: &Config) -> bool {
    config.transparency.url != Transparency::default().url
}
