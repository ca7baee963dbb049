//! Keeps the servers that signing needs in step with the settings: made anew when what they are made of changes, and
//! kept with what they know otherwise.

use std::sync::Arc;

use crate::client::registry::Registry;
use crate::config::{Config, Fulcio, Kms, Transparency};
use crate::credential::registry_config::RegistryConfig;
use crate::error::Diagnose as _;
use crate::identity::selection::Surroundings;
use crate::signature::Error;
use crate::signature::kms;
use crate::signature::services::Services;
use crate::signature::trusted_root::TrustedRoot;
use crate::signature::trusted_root::file::TrustFile;

/// The servers, or why they cannot be used.
pub(super) type Built = Result<Arc<Services>, Arc<Error>>;

/// What they are made of.
#[derive(PartialEq)]
struct Plan {
    fulcio: Fulcio,
    kms: Kms,
    transparency: Transparency,
    timestamps: Option<String>,
    registries: Arc<RegistryConfig>,
}

/// Makes them.
pub(super) struct Servers {
    identities: Surroundings,
    vault: kms::Surroundings,
    registry: Registry,
    trust: TrustFile,
    last: Option<(Plan, Option<Arc<TrustedRoot>>, Built)>,
}

impl Servers {
    pub(super) fn new(identities: Surroundings, vault: kms::Surroundings, registry: Registry) -> Self {
        Self { identities, vault, registry, trust: TrustFile::default(), last: None }
    }

    /// The servers of `config`; `None` when they are those of before.
    pub(super) async fn changed(
        &mut self,
        config: &Config,
        registries: &Arc<RegistryConfig>,
    ) -> Option<Built> {
        let plan = Plan {
            fulcio: config.signers.fulcio.clone(),
            kms: config.signers.kms.clone(),
            transparency: config.transparency.clone(),
            timestamps: config.timestamp_url.clone(),
            registries: Arc::clone(registries),
        };
        let root = match &config.signers.fulcio.trusted_root {
            None => Ok(None),
            Some(file) => self.trust.current(file).await.map(Some),
        };
        let trusted = root.as_ref().ok().cloned().flatten();
        if let Some((last, with, built)) = &self.last
            && *last == plan
            && same(with.as_ref(), trusted.as_ref())
            && (built.is_err() || root.is_ok())
        {
            return None;
        }
        let (clients, around) = (self.registry.clients(), (self.identities.clone(), &self.vault));
        let built = root
            .map_err(|error| Error::Service(Arc::new(error)))
            .and_then(|root| Services::of(config, registries, clients, around, root.as_ref()));
        let built = built.map(Arc::new).map_err(Arc::new);
        match &built {
            Ok(services) => services.warnings().for_each(|warning| tracing::warn!("{warning}")),
            Err(error) => tracing::error!(hint = error.hint(), "nothing can be signed: {error}"),
        }
        self.last = Some((plan, trusted, built.clone()));
        Some(built)
    }
}

fn same(one: Option<&Arc<TrustedRoot>>, other: Option<&Arc<TrustedRoot>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}
