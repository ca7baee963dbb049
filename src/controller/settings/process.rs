//! What the settings need beside the ConfigMap.

use std::path::PathBuf;

use super::KeySource;
use crate::controller::refresh::Files;
use crate::credential::cloud;
use crate::credential::files::docker::Surroundings;
use crate::credential::registry_config::Proxies;
use crate::identity;
use crate::signature::kms;
use crate::storage::remote;

/// What the process was started with and the ConfigMap does not say.
pub struct Process {
    /// Where the keys lie.
    pub keys: KeySource,
    /// The proxies of the process; the registry configuration file overrides them.
    pub proxies: Proxies,
    /// Where docker and podman keep their files.
    pub surroundings: Surroundings,
    /// Who the agent is in clouds.
    pub clouds: cloud::Surroundings,
    /// Where the files of a TUF mirror are kept unless the ConfigMap names a place (`TUF_ROOT`).
    pub trust_cache: Option<PathBuf>,
    /// Where its identity token and its token services are.
    pub exchanges: Files,
    /// Where identity tokens may come from.
    pub identities: identity::selection::Surroundings,
    /// What the environment says of Vault.
    pub vault: kms::Surroundings,
    /// What it says of stores.
    pub stores: remote::Surroundings,
}
