//! The option `--registry-config`, the same for every command that meets registries.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;

use super::environment;
use crate::client::cloud::Web;
use crate::client::registry::{self, Registry};
use crate::config::Config;
use crate::credential::agent::Lent;
use crate::credential::cloud;
use crate::credential::cloud::account::{Accounts, Defaults};
use crate::credential::cloud::federation::Federation;
use crate::credential::files::{FileError, sound_registry_config};
use crate::credential::registry_config::RegistryConfig;

/// Who this process is in clouds, as sources of credentials.
pub(super) fn clouds(registry: &Registry, registries: &Arc<RegistryConfig>, config: &Config) -> Arc<Lent> {
    let web = Web::new(registry.clone(), Arc::clone(registries));
    Arc::new(cloud::lent(&environment::clouds(), &web, config.registry.aws_role_arn.as_deref()))
}

/// The cloud identities of the cluster's service accounts, if `registry.run-identity` asks for them.
pub(super) fn accounts(
    client: &kube::Client,
    registry: &Registry,
    registries: &Arc<RegistryConfig>,
    config: &Config,
) -> Option<Accounts> {
    let surroundings = environment::clouds();
    let web = Web::new(registry.clone(), Arc::clone(registries));
    let defaults = Defaults {
        google_provider: config.registry.gcp_provider.clone(),
        azure_tenant: surroundings.azure.tenant_id.clone(),
    };
    let wanted = config.registry.run_identity;
    wanted.then(|| Accounts::new(client.clone(), Federation::new(&surroundings, &web), defaults))
}

/// The clouds, for those who show a token.
pub(super) fn federation(registries: &Arc<RegistryConfig>) -> Result<Federation, registry::Error> {
    let web = Web::new(Registry::new()?, Arc::clone(registries));
    Ok(Federation::new(&environment::clouds(), &web))
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
