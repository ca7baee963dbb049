//! How a host is reached, as a value: whom to trust, through which proxy, and into which networks.
//! Two requests with equal transports share connections; no others do.

use std::sync::Arc;

use url::Url;

use crate::client::address::AddressClass;
use crate::credential::registry_config::{Proxies, RegistryConfig, Trust};

/// How a host is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Transport {
    /// Whom to trust.
    pub trust: Trust,
    proxies: Arc<Proxies>,
    /// By the name of each proxy that speaks TLS, whom to trust there.
    pub(super) proxy_trust: Arc<[(String, Trust)]>,
    /// Where the one who named the host was reached: nobody may send us deeper into a network than he is himself.
    pub(super) named_from: Option<AddressClass>,
}

impl Transport {
    /// With `trust`, and with the proxies of `config`; these are judged by the tables of their own names (S9).
    pub fn new(config: &RegistryConfig, trust: Trust) -> Self {
        let proxies = config.proxies();
        let speaking_tls = proxies.all().filter(|proxy| proxy.scheme() == "https");
        let proxy_trust = speaking_tls.filter_map(Url::host_str).map(|host| {
            let table = config.table_for(host).filter(|table| !table.is_catch_all());
            (host.to_owned(), table.map(|table| table.trust.clone()).unwrap_or_default())
        });
        Self {
            trust,
            proxy_trust: proxy_trust.collect(),
            proxies: Arc::new(proxies.clone()),
            named_from: None,
        }
    }

    /// To a server of the operator's own choice: judged by the table of its name, if there is one, as proxies are.
    pub fn to(address: &str, config: &RegistryConfig) -> Self {
        let url = Url::parse(address).ok();
        // Tables have no ports, and a service is who it is at whatever port.
        let name = url.as_ref().and_then(Url::host_str);
        let table = name.and_then(|name| config.table_for(name)).filter(|table| !table.is_catch_all());
        Self::new(config, table.map(|table| table.trust.clone()).unwrap_or_default())
    }

    /// The same, for a host that somebody at an address of class `from` named.
    pub fn named_from(mut self, from: AddressClass) -> Self {
        self.named_from = Some(from);
        self
    }

    /// Whether some requests may take a proxy.
    pub(super) fn has_proxy(&self) -> bool {
        self.proxies.all().next().is_some()
    }

    /// The proxy that a request takes.
    pub fn proxy(&self, url: &Url) -> Option<&Url> {
        self.proxies.of(url)
    }

    /// Names that the operator chose, not a server: they may resolve to any network.
    pub(super) fn proxy_names(&self) -> Arc<[String]> {
        self.proxies.all().filter_map(Url::host_str).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn config(text: &str) -> RegistryConfig {
        RegistryConfig::parse("f", text, &Proxies::none(), Timestamp::UNIX_EPOCH).config.unwrap()
    }

    #[test]
    fn a_proxy_is_judged_by_the_table_of_its_own_name_and_never_by_the_catch_all() {
        let proxy = "[extra-env]\nHTTPS_PROXY = \"https://proxy.corp:3128\"\n";
        let trust = |tables: &str| {
            let transport = Transport::new(&config(&format!("{proxy}{tables}")), Trust::Insecure);
            transport
                .proxy_trust
                .iter()
                .map(|(name, trust)| (name.clone(), trust.clone()))
                .collect::<Vec<_>>()
        };
        let named = |trust| vec![("proxy.corp".to_owned(), trust)];
        assert_eq!(trust(""), named(Trust::System));
        assert_eq!(trust("[registries.\".corp\"]\ninsecure-skip-verify = true"), named(Trust::Insecure));
        assert_eq!(trust("[registries.\".\"]\nca-certs = \"nobody\""), named(Trust::System));
    }

    #[test]
    fn equal_settings_are_equal_transports() {
        let file = config("[extra-env]\nHTTPS_PROXY = \"https://proxy.corp\"\n");
        let transport = || Transport::new(&file, Trust::System);
        assert_eq!(transport(), transport());
        assert_ne!(transport(), transport().named_from(AddressClass::Public));
        assert_ne!(transport(), Transport::new(&file, Trust::Insecure));
        assert_ne!(transport(), Transport::new(&RegistryConfig::default(), Trust::System));
    }
}
