//! The option `--registry-config`, the same for every command that meets registries.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;

use super::environment;
use crate::client::cloud::Web;
use crate::client::registry::Registry;
use crate::config::Config;
use crate::credential::agent::Lent;
use crate::credential::cloud;
use crate::credential::files::{FileError, sound_registry_config};
use crate::credential::registry_config::RegistryConfig;

/// Who this process is in clouds, as sources of credentials.
pub(super) fn clouds(registry: &Registry, registries: &Arc<RegistryConfig>, config: &Config) -> Arc<Lent> {
    let web = Web::new(registry.clone(), Arc::clone(registries));
    Arc::new(cloud::lent(&environment::clouds(), &web, config.registry.aws_role_arn.as_deref()))
}

/// Where registries are configured.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct RegistryOptions {
    /// Registry configuration in TOML: credentials, authorities and proxies. It must exist.
    #[arg(long, value_name = "FILE")]
    registry_config: Option<PathBuf>,
}

impl RegistryOptions {
    /// The configuration, with warnings on standard error; without a file the proxies of the environment.
    pub(super) fn read(&self) -> Result<Arc<RegistryConfig>, FileError> {
        let proxies = environment::proxies();
        let Some(file) = &self.registry_config else {
            return Ok(Arc::new(RegistryConfig::of_environment(proxies)));
        };
        // A file that a person names is there; only the agent's default may be missing.
        if let Err(source) = std::fs::metadata(file) {
            return Err(FileError::Unreadable { file: file.clone(), source });
        }
        let warn = |finding: &_| eprintln!("warning: {}: {finding}", file.display());
        Ok(Arc::new(sound_registry_config(file, &proxies, Timestamp::now(), warn)?))
    }
}
