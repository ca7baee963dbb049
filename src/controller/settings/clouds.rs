//! Keeps the identities in clouds in step with the settings, the agent's own and those of the runs' service accounts: made
//! anew when what they are made of changes, and kept with what they were granted otherwise.

use std::sync::Arc;

use kube::Client;

use super::super::refresh::Files;
use crate::client::cloud::Web;
use crate::client::registry::Registry;
use crate::config::Config;
use crate::credential::agent::Lent;
use crate::credential::cloud::account::{Accounts, Defaults};
use crate::credential::cloud::federation::Federation;
use crate::credential::cloud::{self, Surroundings};
use crate::credential::exchange;
use crate::credential::registry_config::RegistryConfig;
use crate::refresh::sources::Sources;

/// Makes them.
pub(super) struct Clouds {
    client: Client,
    surroundings: Surroundings,
    registry: Registry,
    exchanges: Sources,
    last: Option<(crate::config::Registry, Arc<RegistryConfig>)>,
}

/// Who has an identity in clouds.
#[derive(Clone)]
pub struct CloudIdentities {
    /// The agent itself, in clouds and at token services.
    pub agent: Arc<Lent>,
    /// The service accounts of runs; with `registry.run-identity` alone.
    pub accounts: Option<Accounts>,
    /// The clouds, for those who show a token.
    pub federation: Federation,
}

impl Clouds {
    pub(super) fn new(
        client: Client,
        surroundings: Surroundings,
        exchanges: &Files,
        registry: Registry,
    ) -> Self {
        let exchanges = Sources::unread(&exchanges.providers, &exchanges.token);
        Self { client, surroundings, registry, exchanges, last: None }
    }

    /// The identities by `config`.
    pub(super) fn first(&mut self, config: &Config, registries: &Arc<RegistryConfig>) -> CloudIdentities {
        self.exchanges.providers_changed();
        self.made(config, registries)
    }

    fn made(&mut self, config: &Config, registries: &Arc<RegistryConfig>) -> CloudIdentities {
        let settings = &config.registry;
        let web = Web::new(self.registry.clone(), Arc::clone(registries));
        let mut agent = cloud::lent(&self.surroundings, &web, settings.aws_role_arn.as_deref());
        let (providers, token_file) = (self.exchanges.providers(), self.exchanges.token_file());
        agent.fetchers.extend(exchange::sources(&providers, token_file, registries));
        let federation = Federation::new(&self.surroundings, &web);
        let accounts = settings.run_identity.then(|| {
            let defaults = Defaults {
                google_provider: settings.gcp_provider.clone(),
                azure_tenant: self.surroundings.azure.tenant_id.clone(),
            };
            Accounts::new(self.client.clone(), federation.clone(), defaults)
        });
        self.last = Some((settings.clone(), Arc::clone(registries)));
        CloudIdentities { agent: Arc::new(agent), accounts, federation }
    }

    /// The same, if they are others than before.
    pub(super) fn changed(
        &mut self,
        config: &Config,
        registries: &Arc<RegistryConfig>,
    ) -> Option<CloudIdentities> {
        let exchanges_changed = self.exchanges.providers_changed();
        let last = self.last.as_ref();
        let same = last.is_some_and(|(settings, last)| *settings == config.registry && last == registries);
        (exchanges_changed || !same).then(|| self.made(config, registries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::registry_config::Proxies;

    #[tokio::test]
    async fn identities_are_made_anew_for_another_role_or_other_registries_alone() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::try_from(kube::Config::new("http://127.0.0.1:9".parse().unwrap())).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let files = Files { token: folder.path().join("token"), providers: folder.path().join("providers") };
        let mut clouds = Clouds::new(client, Surroundings::default(), &files, Registry::new().unwrap());
        let registries = Arc::new(RegistryConfig::default());
        let mut config = Config::default();
        assert!(clouds.changed(&config, &registries).unwrap().accounts.is_none(), "off unless asked for");
        assert!(clouds.changed(&config, &registries).is_none());
        config.registry.aws_role_arn = Some("arn:aws:iam::123456789012:role/ecr".into());
        assert!(clouds.changed(&config, &registries).is_some());
        config.registry.run_identity = true;
        assert!(clouds.changed(&config, &registries).unwrap().accounts.is_some());
        let mut proxies = Proxies::none();
        proxies.set_https("http://proxy.test").unwrap();
        let registries = Arc::new(RegistryConfig::of_environment(proxies));
        let before = clouds.changed(&config, &registries).unwrap().agent.fetchers.len();
        assert!(clouds.changed(&config, &registries).is_none());
        let provider = "[providers.chainguard]\nkind = \"chainguard\"\nagent-identity = \"org/agent\"\n";
        std::fs::write(&files.providers, provider).unwrap();
        assert_eq!(clouds.changed(&config, &registries).unwrap().agent.fetchers.len(), before + 1);
        assert!(clouds.changed(&config, &registries).is_none());
    }
}
