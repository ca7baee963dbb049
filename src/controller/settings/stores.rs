//! Keeps the stores that are servers of their own in step with the settings: made anew when what they are made of changes,
//! and kept with their identities otherwise.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::client::registry::Registry;
use crate::config::{Config, Kms, Storage, StorageSettings};
use crate::credential::registry_config::RegistryConfig;
use crate::error::Diagnose as _;
use crate::storage::remote::{Remotes, Surroundings};

/// What they are made of.
#[derive(PartialEq)]
struct Plan {
    stores: BTreeSet<Storage>,
    settings: StorageSettings,
    kms: Kms,
    registries: Arc<RegistryConfig>,
}

/// Makes them.
pub(super) struct Stores {
    surroundings: Surroundings,
    registry: Registry,
    last: Option<Plan>,
}

impl Stores {
    pub(super) fn new(surroundings: Surroundings, registry: Registry) -> Self {
        Self { surroundings, registry, last: None }
    }

    /// The stores of `config`; `None` when they are those of before.
    pub(super) fn changed(
        &mut self,
        config: &Config,
        registries: &Arc<RegistryConfig>,
    ) -> Option<Arc<Remotes>> {
        let plan = Plan {
            stores: config.stores(),
            settings: config.storage.clone(),
            kms: config.signers.kms.clone(),
            registries: Arc::clone(registries),
        };
        if self.last.as_ref() == Some(&plan) {
            return None;
        }
        let made = Remotes::of(config, registries, &self.registry, &self.surroundings);
        for (store, error) in made.failures() {
            tracing::error!(store, hint = error.hint(), "nothing can be stored there: {error}");
        }
        self.last = Some(plan);
        Some(Arc::new(made))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_made_anew_for_other_settings_alone_and_a_broken_one_hides_no_other() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut stores = Stores::new(Surroundings::default(), Registry::new().unwrap());
        let registries = Arc::new(RegistryConfig::default());
        let mut config = Config::default();
        assert!(stores.changed(&config, &registries).is_some());
        assert!(stores.changed(&config, &registries).is_none());
        config.taskrun.storage = [Storage::Gcs, Storage::Archivista].into();
        config.storage.gcs.bucket = Some("b".to_owned());
        config.storage.archivista_url = Some("ftp://archivista.test".to_owned());
        let made = stores.changed(&config, &registries).unwrap();
        assert_eq!(made.failures().map(|(store, _)| store).collect::<Vec<_>>(), ["archivista"]);
        let run = crate::artifact::RunArtifact {
            kind: crate::tekton::Kind::TaskRun,
            namespace: "ci".to_owned(),
            name: "build".to_owned(),
            uid: "u".to_owned(),
        };
        let names: Vec<_> = made
            .of_run(&run, &std::collections::BTreeMap::default())
            .iter()
            .map(|store| store.name())
            .collect();
        assert_eq!(names, ["gcs", "archivista"]);
        config.signing.concurrency = 3;
        assert!(stores.changed(&config, &registries).is_none());
    }
}
