//! What `hallmark sign` signs with: a key from a file, a key of a key management service, or certificates of Fulcio for
//! the identity of whoever calls.
//!
//! Guarantees: a key that is named signs, and nothing else; without one the configuration or one of the identity
//! options must ask for keyless signing, so that a forgotten `--key` never signs in another name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use clap::Args;
use jiff::Timestamp;

use crate::cli::environment;
use crate::client::http::Clients;
use crate::client::registry::Registry;
use crate::config::{Config, Fulcio, Kms, Signers};
use crate::controller::settings::key_directory;
use crate::credential::registry_config::RegistryConfig;
use crate::signature::key::keyring::KeyRing;
use crate::signature::log::Log;
use crate::signature::services::Services;
use crate::signature::services::sources::Sources;
use crate::signature::{Error, Signers as Named};
use crate::storage::remote::Remotes;

/// The options.
#[derive(Debug, Args)]
pub(super) struct MaterialOptions {
    /// The signing key: an unencrypted PKCS#8 PEM, a cosign.key, a directory with the files of the Secret
    /// `signing-secrets`, or a key of a key management service: `hashivault://NAME`, `awskms://…`, `gcpkms://…`,
    /// `azurekms://…`.
    #[arg(long, value_name = "FILE|URI")]
    key: Option<PathBuf>,

    /// Password of a cosign.key.
    #[arg(long, env = "COSIGN_PASSWORD", hide_env_values = true, hide = true)]
    password: Option<String>,

    /// Sign without a key: with certificates of this Fulcio.
    #[arg(long, value_name = "URL", conflicts_with = "key")]
    fulcio_url: Option<String>,

    /// Sign without a key: in the name that the identity token in this file speaks for.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    identity_token: Option<PathBuf>,

    /// Sign without a key: with the identity token of this provider, by the name that signers.x509.fulcio.provider has
    /// for it.
    #[arg(long, value_name = "NAME", conflicts_with = "key")]
    identity_provider: Option<String>,
}

/// What signs and records.
pub(in crate::cli) struct Material {
    keys: Result<KeyRing, Arc<Error>>,
    services: Services,
    remotes: OnceLock<Remotes>,
    by: By,
}

/// Who signs what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The key that was named, whatever the configuration says.
    Key,
    /// The same with a key of a key management service.
    Service,
    /// Whoever the configuration says.
    Configuration,
}

impl Material {
    /// These keys, and whatever servers `config` names beside them.
    pub(in crate::cli) async fn of_keys(
        keys: KeyRing,
        config: &Config,
        registries: &RegistryConfig,
    ) -> Result<Self, Error> {
        let signers = Signers {
            fulcio: Fulcio { enabled: false, ..config.signers.fulcio.clone() },
            ..config.signers.clone()
        };
        let config = Config { signers, ..config.clone() };
        Ok(Self {
            keys: Ok(keys),
            services: services(&config, registries).await?,
            remotes: OnceLock::new(),
            by: By::Key,
        })
    }

    /// What signs one run.
    pub(super) fn signers(&self) -> Named {
        let Named { x509, kms } = self.services.signers(&self.keys);
        match self.by {
            By::Key => Named { kms: x509.clone(), x509 },
            By::Service => Named { x509: kms.clone(), kms },
            By::Configuration => Named { x509, kms },
        }
    }

    /// The stores that are servers of their own: the same for all runs.
    pub(super) fn remotes(
        &self,
        config: &Config,
        registries: &Arc<RegistryConfig>,
        registry: &Registry,
    ) -> &Remotes {
        self.remotes.get_or_init(|| Remotes::of(config, registries, registry, &environment::stores()))
    }

    /// What records the signatures of a run with these annotations.
    pub(super) fn logs(&self, annotations: &BTreeMap<String, String>) -> Vec<Arc<dyn Log>> {
        self.services.logs(annotations)
    }
}

/// Why there is nothing to sign with.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoMaterial {
    /// Nothing was asked for.
    #[error(
        "nothing to sign with: name a key by --key, or sign without one by --identity-token, --identity-provider, --fulcio-url or a ConfigMap with signers.x509.fulcio.enabled or a signer \"kms\""
    )]
    Unnamed,
    /// It cannot be used.
    #[error(transparent)]
    Unusable(#[from] Error),
}

impl MaterialOptions {
    /// What these options and the configuration ask for.
    pub(super) async fn material(
        &self,
        config: &Config,
        registries: &RegistryConfig,
    ) -> Result<Material, NoMaterial> {
        if let Some(key) = &self.key {
            if let Some(key) = of_a_service(key) {
                return Ok(of_service(key, config, registries).await?);
            }
            let keys = keyring(key, self.password.as_deref())?;
            return Ok(Material::of_keys(keys, config, registries).await?);
        }
        let named =
            self.fulcio_url.is_some() || self.identity_token.is_some() || self.identity_provider.is_some();
        if !named && !config.signers.fulcio.enabled {
            if !config.uses_kms() {
                return Err(NoMaterial::Unnamed);
            }
            return Ok(Material {
                keys: Err(no_key()),
                services: services(config, registries).await?,
                remotes: OnceLock::new(),
                by: By::Configuration,
            });
        }
        let settings = &config.signers.fulcio;
        let fulcio = Fulcio {
            enabled: true,
            address: self.fulcio_url.clone().unwrap_or_else(|| settings.address.clone()),
            provider: self.identity_provider.clone().or_else(|| settings.provider.clone()),
            token_file: self.identity_token.clone().or_else(|| settings.token_file.clone()),
            ..settings.clone()
        };
        let config = Config { signers: Signers { fulcio, ..config.signers.clone() }, ..config.clone() };
        let services = services(&config, registries).await?;
        services.warnings().for_each(|warning| eprintln!("warning: {warning}"));
        // Nobody looks at keys: the identity signs.
        Ok(Material { keys: Err(no_key()), services, remotes: OnceLock::new(), by: By::Configuration })
    }
}

/// A key of a key management service, which signs everything.
async fn of_service(key: &str, config: &Config, registries: &RegistryConfig) -> Result<Material, Error> {
    let kms = Kms { key: Some(key.to_owned()), ..config.signers.kms.clone() };
    let config = Config { signers: Signers { kms, ..config.signers.clone() }, ..config.clone() };
    let services = services(&config, registries).await?;
    if let Err(error) = services.kms() {
        return Err(Error::Service(error));
    }
    Ok(Material { keys: Err(no_key()), services, remotes: OnceLock::new(), by: By::Service })
}

fn no_key() -> Arc<Error> {
    Arc::new(Error::NoKey { place: "no place".to_owned() })
}

async fn services(config: &Config, registries: &RegistryConfig) -> Result<Services, Error> {
    let clients = Clients::default();
    let mut sources = Sources::new(environment::trust_cache());
    let found = sources.current(config, registries, &clients, Timestamp::now()).await?;
    let vault = environment::kms();
    Services::of(config, registries, &clients, (environment::identities(None), &vault), &found)
}

/// The URI, where `--key` names a key of a service and no file.
pub(in crate::cli) fn of_a_service(key: &Path) -> Option<&str> {
    key.to_str().filter(|key| key.contains("://") || key.starts_with("pkcs11:"))
}

/// A single file is taken as the Secret's file of its kind, told by its content.
pub(in crate::cli) fn keyring(path: &Path, password: Option<&str>) -> Result<KeyRing, Error> {
    let place = path.display().to_string();
    let unreadable = |source| Error::KeyFile { file: place.clone(), source };
    if path.is_dir() {
        return KeyRing::import(&place, &key_directory(path).map_err(unreadable)?);
    }
    let content = std::fs::read(path).map_err(unreadable)?;
    let encrypted = String::from_utf8_lossy(&content).contains("-----BEGIN ENCRYPTED");
    let mut files = BTreeMap::from([(if encrypted { "cosign.key" } else { "x509.pem" }.to_owned(), content)]);
    let beside = path.with_file_name("cosign.password");
    let password = password.map(|text| text.as_bytes().to_vec()).or_else(|| std::fs::read(beside).ok());
    files.extend(password.map(|password| ("cosign.password".to_owned(), password)));
    KeyRing::import(&place, &files)
}
