//! How the hosts of one session are reached: by the registry configuration that was in force when it began, and
//! the flag `storage.oci.repository.insecure` (credentials specification §4.2, S2, S3, S6).

use std::sync::Arc;

use url::Url;

use super::transport::host_of;
use crate::client::http::Transport;
use crate::credential::registry_config::{RegistryConfig, Table, Trust};

/// The ways to the hosts of one session.
#[derive(Clone, Default)]
pub(super) struct Routes {
    config: Arc<RegistryConfig>,
    insecure: bool,
}

impl Routes {
    /// `insecure` counts where no table has authorities of its own.
    pub(super) fn new(config: Arc<RegistryConfig>, insecure: bool) -> Self {
        Self { config, insecure }
    }

    /// The way to a registry, `host[:port]`.
    pub(super) fn home(&self, registry: &str) -> Transport {
        self.by(self.config.table_for(registry))
    }

    /// The way to `url`, where the registry `home` leads: the registry's own way unless the host has a table of its
    /// own name, or the file says nothing about it at all.
    pub(super) fn away(&self, url: &Url, home: &Url) -> Transport {
        let (host, home) = (host_of(url), host_of(home));
        match self.config.table_for(&host) {
            _ if host == home => self.home(&home),
            Some(table) if table.is_catch_all() => self.home(&home),
            table => self.by(table),
        }
    }

    fn by(&self, table: Option<&Table>) -> Transport {
        let trust = match table.map(|table| table.trust.clone()).unwrap_or_default() {
            Trust::System if self.insecure => Trust::Insecure,
            trust => trust,
        };
        Transport::new(&self.config, trust)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::credential::registry_config::Proxies;

    fn routes(text: &str, insecure: bool) -> Routes {
        let config =
            RegistryConfig::parse("f", text, &Proxies::none(), Timestamp::UNIX_EPOCH).config.unwrap();
        Routes::new(Arc::new(config), insecure)
    }

    fn away(routes: &Routes, url: &str) -> Trust {
        routes.away(&Url::parse(url).unwrap(), &Url::parse("https://registry.test/").unwrap()).trust
    }

    const OPEN: &str = "[registries.\"registry.test\"]\ninsecure-skip-verify = true\n";
    const NOBODY: &str = "ca-certs = \"nobody\"\n";

    fn trusts_nobody(trust: &Trust) -> bool {
        matches!(trust, Trust::Only(authorities) if authorities.certificates().is_empty())
    }

    #[test]
    fn the_flag_counts_where_no_table_has_authorities() {
        assert_eq!(routes("", false).home("registry.test").trust, Trust::System);
        assert_eq!(routes("", true).home("registry.test").trust, Trust::Insecure);
        assert_eq!(
            routes("[registries.\"registry.test\"]", true).home("registry.test").trust,
            Trust::Insecure
        );
        let forbidden = routes(&format!("[registries.\".\"]\n{NOBODY}"), true);
        assert!(trusts_nobody(&forbidden.home("registry.test").trust));
    }

    #[test]
    fn another_host_has_its_own_table_or_the_registrys_own_way_or_none() {
        let silent = routes(OPEN, false);
        assert_eq!(away(&silent, "https://auth.test/token"), Trust::System, "the file says nothing about it");
        assert_eq!(away(&silent, "https://registry.test/token"), Trust::Insecure, "the registry itself");
        let catch_all = routes(&format!("{OPEN}[registries.\".\"]\n{NOBODY}"), false);
        assert_eq!(away(&catch_all, "https://auth.test/token"), Trust::Insecure, "only . matches");
        let named = routes(&format!("{OPEN}[registries.\"auth.test\"]\n{NOBODY}"), false);
        assert!(trusts_nobody(&away(&named, "https://auth.test/token")), "a table of its own");
        assert_eq!(away(&named, "https://auth.test:8443/token"), Trust::System, "names have no ports");
    }
}
