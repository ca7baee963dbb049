//! Keeps the agent's cloud identities in step with the settings: made anew when what they are made of changes, and kept
//! with what they were granted otherwise.

use std::sync::Arc;

use crate::client::cloud::Web;
use crate::client::registry::Registry;
use crate::config::Config;
use crate::credential::agent::Lent;
use crate::credential::cloud::{self, Surroundings};
use crate::credential::registry_config::RegistryConfig;

/// Makes them.
pub(super) struct Clouds {
    surroundings: Surroundings,
    registry: Registry,
    last: Option<(Option<String>, Arc<RegistryConfig>)>,
}

impl Clouds {
    pub(super) fn new(surroundings: Surroundings, registry: Registry) -> Self {
        Self { surroundings, registry, last: None }
    }

    /// The identities by `config`; `None` when they are those of before.
    pub(super) fn changed(&mut self, config: &Config, registries: &Arc<RegistryConfig>) -> Option<Arc<Lent>> {
        let made_of = (config.registry.aws_role_arn.clone(), Arc::clone(registries));
        if self.last.as_ref() == Some(&made_of) {
            return None;
        }
        let web = Web::new(self.registry.clone(), Arc::clone(registries));
        let clouds = cloud::lent(&self.surroundings, &web, made_of.0.as_deref());
        self.last = Some(made_of);
        Some(Arc::new(clouds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::registry_config::Proxies;

    #[test]
    fn identities_are_made_anew_for_another_role_or_other_registries_alone() {
        let mut clouds = Clouds::new(Surroundings::default(), Registry::new().unwrap());
        let registries = Arc::new(RegistryConfig::default());
        let mut config = Config::default();
        assert!(clouds.changed(&config, &registries).is_some());
        assert!(clouds.changed(&config, &registries).is_none());
        config.registry.aws_role_arn = Some("arn:aws:iam::123456789012:role/ecr".into());
        assert!(clouds.changed(&config, &registries).is_some());
        let mut proxies = Proxies::none();
        proxies.set_https("http://proxy.test").unwrap();
        let registries = Arc::new(RegistryConfig::of_environment(proxies));
        assert!(clouds.changed(&config, &registries).is_some());
        assert!(clouds.changed(&config, &registries).is_none());
    }
}
