//! Keeps the servers that signing needs in step with the settings: made anew when what they are made of changes, and
//! kept with what they know otherwise.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::client::cloud::Web;
use crate::client::registry::Registry;
use crate::config::{Config, Fulcio, Kms, Transparency};
use crate::credential::registry_config::RegistryConfig;
use crate::error::Diagnose as _;
use crate::identity::selection::Surroundings;
use crate::signature::Error;
use crate::signature::kms;
use crate::signature::services::Services;
use crate::signature::services::sources::{Found, Sources};
use crate::signature::signing_config::SigningConfig;
use crate::signature::trusted_root::TrustedRoot;

/// The servers, or why they cannot be used.
pub(super) type Built = Result<Arc<Services>, Arc<Error>>;

/// What they are made of.
#[derive(PartialEq)]
struct Plan {
    fulcio: Fulcio,
    kms: Kms,
    transparency: Transparency,
    timestamps: Option<String>,
    chosen: Option<SigningConfig>,
    registries: Arc<RegistryConfig>,
}

/// Makes them.
pub(super) struct Servers {
    identities: Surroundings,
    vault: kms::Surroundings,
    registry: Registry,
    sources: Sources,
    last: Option<(Plan, Option<Arc<TrustedRoot>>, Built)>,
}

impl Servers {
    pub(super) fn new(
        identities: Surroundings,
        vault: kms::Surroundings,
        registry: Registry,
        trust_cache: Option<PathBuf>,
    ) -> Self {
        Self { identities, vault, registry, sources: Sources::new(trust_cache), last: None }
    }

    /// The servers of `config`; `None` when they are those of before.
    pub(super) async fn changed(
        &mut self,
        config: &Config,
        registries: &Arc<RegistryConfig>,
    ) -> Option<Built> {
        let clients = self.registry.clients();
        let found = self.sources.current(config, registries, clients, Timestamp::now()).await;
        let Found { root, chosen } = found.as_ref().ok().cloned().unwrap_or_default();
        let plan = Plan {
            fulcio: config.signers.fulcio.clone(),
            kms: config.signers.kms.clone(),
            transparency: config.transparency.clone(),
            timestamps: config.timestamp_url.clone(),
            chosen,
            registries: Arc::clone(registries),
        };
        if let Some((last, with, built)) = &self.last
            && *last == plan
            && same(with.as_ref(), root.as_ref())
            && (built.is_err() || found.is_ok())
        {
            return None;
        }
        // Jobs and machines are asked as the registry configuration file says, as every other server is.
        let web = Web::new(self.registry.clone(), Arc::clone(registries));
        let identities = Surroundings { web: Some(web), ..self.identities.clone() };
        let around = (identities, &self.vault);
        let built = found.and_then(|found| Services::of(config, registries, clients, around, &found));
        let built = built.map(Arc::new).map_err(Arc::new);
        match &built {
            Ok(services) => services.warnings().for_each(|warning| tracing::warn!("{warning}")),
            Err(error) => tracing::error!(hint = error.hint(), "nothing can be signed: {error}"),
        }
        self.last = Some((plan, root, built.clone()));
        Some(built)
    }
}

fn same(one: Option<&Arc<TrustedRoot>>, other: Option<&Arc<TrustedRoot>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}
