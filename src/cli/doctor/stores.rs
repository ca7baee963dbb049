//! Whether the stores that are servers of their own can be reached and read. The agent's own identity opens them, and files
//! of its pod may have their passwords, so only its pod can tell.

use std::sync::Arc;

use super::Visit;
use super::finding::{Finding, Findings};
use crate::cli::environment;
use crate::client::registry::Registry;
use crate::config::{Config, Storage};
use crate::credential::registry_config::RegistryConfig;
use crate::error::Diagnose as _;
use crate::storage::remote::{Look, Remotes, Sight};

const CHECK: &str = "stores";

/// Looks at each store that the configuration asks for; what it lacks to be one has been told.
pub(super) async fn check(
    visit: &Visit<'_>,
    config: &Config,
    registries: &Arc<RegistryConfig>,
    findings: &mut Findings,
) {
    let near = [Storage::Oci, Storage::Tekton];
    let names: Vec<&str> =
        config.stores().iter().filter(|store| !near.contains(store)).map(|store| store.as_str()).collect();
    if names.is_empty() {
        return;
    }
    if !visit.inside {
        let found = format!("{} can be reached in the agent's name only", names.join(", "));
        return findings.add(Finding::unchecked(CHECK, found).remedy("run doctor in the controller's pod"));
    }
    let registry = match Registry::new() {
        Ok(registry) => registry,
        Err(error) => return findings.add(Finding::of(CHECK, &error)),
    };
    let stores = Remotes::of(config, registries, &registry, &environment::stores());
    for look in stores.look().await {
        findings.add(told(&look));
    }
}

fn told(look: &Look) -> Finding {
    let (store, place) = (look.store, &look.place);
    match &look.sight {
        Sight::Readable => Finding::ok(CHECK, format!("{store}: {place} answers and may be read")),
        Sight::Closed(error) => {
            let remedy = error.hint().unwrap_or_else(|| "grant reading too".to_owned());
            Finding::warning(CHECK, format!("{store}: {error}")).remedy(remedy)
        }
        Sight::Failed(error) => Finding::of(CHECK, error).about(store),
    }
}
