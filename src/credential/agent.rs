//! The agent's own credentials, and the runs that may use them (credentials specification §1.2, R7).
//!
//! A tenant names any image as the result of a run. Were the agent's authority lent to whatever a run names, a
//! tenant could have signatures written where only the operator may write; the operator therefore decides who
//! may borrow it, and a run that may not is told so.

mod glob;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::registry_config::RegistryConfig;
use super::{Entry, Fetcher, Location, Problem, ProblemCode, Source};
use crate::artifact::image::Repository;
use crate::config::{AllowedPair, ControllerCredentials, Registry};

/// What the agent has to lend, and to whom.
#[derive(Debug, Clone, Default)]
pub struct Agent {
    /// The registry configuration file.
    pub config: Arc<RegistryConfig>,
    /// What the agent's own service account names.
    pub account: Arc<Lent>,
    /// What was read from docker and podman files.
    pub files: Arc<Lent>,
    /// Its own identity in clouds.
    pub clouds: Arc<Lent>,
    /// Who may borrow.
    pub permission: Permission,
}

/// Credentials of one kind of place.
#[derive(Debug, Default)]
pub struct Lent {
    /// In the order of the places.
    pub entries: Vec<Entry>,
    /// Who is asked when their turn comes, after the entries.
    pub fetchers: Vec<Fetcher>,
    /// What was wrong with them.
    pub problems: Vec<Problem>,
    /// Every place that was found.
    pub looked_at: Vec<(Source, Location)>,
}

/// Which repositories the agent's credentials serve, for one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Permission {
    /// All.
    #[default]
    Always,
    /// None.
    Never,
    /// Those of the pairs whose namespace fits.
    Listed {
        /// The namespace of the run.
        namespace: String,
        /// `registry.controller-credentials.allow`.
        pairs: BTreeSet<AllowedPair>,
    },
}

impl Permission {
    /// The decision of the operator for a run in `namespace`.
    pub fn of(settings: &Registry, namespace: &str) -> Self {
        match settings.controller_credentials {
            ControllerCredentials::Always => Self::Always,
            ControllerCredentials::Never => Self::Never,
            ControllerCredentials::Allowlist => {
                Self::Listed { namespace: namespace.to_owned(), pairs: settings.allow.clone() }
            }
        }
    }

    fn covers(&self, repository: &Repository) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Listed { namespace, pairs } => pairs.iter().any(|pair| {
                glob::matches(&pair.namespace, namespace)
                    && glob::matches(&pair.repository, &repository.to_string())
            }),
        }
    }
}

impl Agent {
    /// What is lent for `repository`.
    pub(super) fn entries(&self, repository: &Repository) -> Vec<Entry> {
        if self.permission.covers(repository) { self.owned(repository) } else { Vec::new() }
    }

    /// What would serve `repository` and is not lent, as problems that say so.
    pub(super) fn withheld(&self, repository: &Repository) -> Vec<Problem> {
        if self.permission.covers(repository) {
            return Vec::new();
        }
        let sought = super::matching::Sought::of(repository);
        let matching =
            self.owned(repository).into_iter().filter(|entry| entry.key.matches(&sought).is_some());
        let withheld = matching.map(|entry| Problem {
            source: entry.source,
            location: entry.location,
            code: ProblemCode::NotAllowed,
            detail: format!("entry \"{}\" is skipped: {}", entry.key, self.permission.remedy()),
        });
        withheld.collect()
    }

    /// What lies in places that were read, less the registry configuration.
    pub(super) fn lent(&self) -> impl Iterator<Item = &Lent> {
        [&*self.account, &*self.files, &*self.clouds].into_iter()
    }

    fn owned(&self, repository: &Repository) -> Vec<Entry> {
        let read = self.lent().flat_map(|lent| lent.entries.iter().cloned());
        let fetchers = self.lent().flat_map(|lent| &lent.fetchers);
        let to_fetch = fetchers.filter_map(|fetcher| fetcher.entry(repository));
        self.config.entry_for(repository).into_iter().chain(read).chain(to_fetch).collect()
    }
}

impl Permission {
    fn remedy(&self) -> &'static str {
        match self {
            Self::Listed { .. } => {
                "registry.controller-credentials.allow lists no pair of this namespace and repository"
            }
            _ => "registry.controller-credentials is never",
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::registry_config::Proxies;
    use super::super::{CredentialReport, Keychain, Operation, report::Target};
    use super::*;

    const FILE: &str = "[registries.\"registry.test.\"]\nusername = \"agent\"\npassword = \"canary\"\n";

    fn keychain(permission: Permission) -> Keychain {
        let config = RegistryConfig::parse("/etc/r.toml", FILE, &Proxies::none(), Timestamp::UNIX_EPOCH)
            .config
            .unwrap();
        Keychain {
            agent: Agent { config: Arc::new(config), permission, ..Agent::default() },
            ..Keychain::default()
        }
    }

    fn listed(namespace: &str, repository: &str) -> Permission {
        let pair = AllowedPair { namespace: namespace.into(), repository: repository.into() };
        Permission::Listed { namespace: "team-a".into(), pairs: [pair].into() }
    }

    fn report(keychain: &Keychain, repository: &str) -> String {
        let target =
            Target { repository: Repository::parse(repository).unwrap(), operation: Operation::Push };
        CredentialReport::new(keychain, &target, &keychain.candidates(&target.repository)).to_string()
    }

    fn serves(permission: Permission) -> bool {
        let repository = Repository::parse("registry.test/team/app").unwrap();
        keychain(permission).candidates(&repository).len() == 2
    }

    #[test]
    fn the_operator_decides_who_may_borrow() {
        assert!(serves(Permission::Always));
        assert!(!serves(Permission::Never));
        assert!(serves(listed("team-*", "registry.test/**")));
        assert!(serves(listed("team-a", "registry.test/team/*")));
        assert!(!serves(listed("team-*", "registry.test/*")), "a single star ends at a slash");
        assert!(!serves(listed("team-b", "registry.test/**")));
        assert!(!serves(Permission::Listed { namespace: "team-a".into(), pairs: BTreeSet::new() }));
    }

    #[test]
    fn the_settings_become_the_permission_of_a_namespace() {
        let mut settings = crate::config::Config::default().registry;
        assert_eq!(Permission::of(&settings, "ci"), Permission::Always);
        settings.controller_credentials = ControllerCredentials::Never;
        assert_eq!(Permission::of(&settings, "ci"), Permission::Never);
        settings.controller_credentials = ControllerCredentials::Allowlist;
        assert_eq!(
            Permission::of(&settings, "ci"),
            Permission::Listed { namespace: "ci".into(), pairs: BTreeSet::new() }
        );
    }

    #[test]
    fn a_run_that_may_not_borrow_is_told_so() {
        let text = report(&keychain(Permission::Never), "registry.test/app");
        assert!(
            text.contains(
                "controller.registryConfig, /etc/r.toml: NotAllowed: entry \"registry.test.\" is skipped"
            ),
            "{text}"
        );
        assert!(!report(&keychain(Permission::Never), "other.test/app").contains("NotAllowed"));
        assert!(!report(&keychain(Permission::Always), "registry.test/app").contains("NotAllowed"));
    }

    #[test]
    fn the_credential_of_a_table_is_named_with_its_file_and_table() {
        let text = report(&keychain(Permission::Always), "registry.test/app");
        assert!(
            text.contains("1. controller.registryConfig /etc/r.toml (registry.test.), basic: not-tried"),
            "{text}"
        );
        let text = report(&keychain(Permission::Always), "other.test/app");
        assert!(
            text.contains("looked at controller.registryConfig: /etc/r.toml has entries [registry.test.]"),
            "{text}"
        );
    }
}
