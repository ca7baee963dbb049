//! Names to addresses, less those that nobody's registry has (credentials specification §5.1).
//!
//! A tenant's run may name any host as its registry and a registry any host as its token service. The check is
//! on the addresses that are connected to, so that a name which resolves to the metadata service, or to another
//! address the second time it is asked, gains nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Name, Resolve, Resolving};
use url::{Host, Url};

use super::Transport;
use crate::client::address::AddressClass;

/// Resolves the names of one transport.
pub(super) struct Resolver {
    named_from: Option<AddressClass>,
    proxies: Arc<[String]>,
}

/// A host that must not be connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} leads to an inner address that must not be used")]
pub struct ForbiddenAddress {
    host: String,
}

/// Refuses a URL whose host is spelt as a link-local or metadata address: such a host is never resolved.
pub fn admit(url: &Url) -> Result<(), ForbiddenAddress> {
    let address: Option<IpAddr> = match url.host() {
        Some(Host::Ipv4(address)) => Some(address.into()),
        Some(Host::Ipv6(address)) => Some(address.into()),
        Some(Host::Domain(_)) | None => None,
    };
    match address.map(AddressClass::of) {
        Some(AddressClass::Forbidden) => {
            Err(ForbiddenAddress { host: url.host_str().unwrap_or_default().to_owned() })
        }
        _ => Ok(()),
    }
}

impl Resolver {
    pub(super) fn new(transport: &Transport) -> Self {
        Self { named_from: transport.named_from, proxies: transport.proxy_names() }
    }

    fn admits(&self, host: &str, address: IpAddr) -> bool {
        let class = AddressClass::of(address);
        if self.proxies.iter().any(|proxy| proxy == host) {
            return true;
        }
        self.named_from.map_or(class != AddressClass::Forbidden, |from| from.may_name(class))
    }

    fn admitted(&self, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, ForbiddenAddress> {
        let some = !found.is_empty();
        let admitted: Vec<_> = found.into_iter().filter(|address| self.admits(host, address.ip())).collect();
        if some && admitted.is_empty() {
            Err(ForbiddenAddress { host: host.to_owned() })
        } else {
            Ok(admitted)
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = Self { named_from: self.named_from, proxies: Arc::clone(&self.proxies) };
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let admitted = resolver.admitted(name.as_str(), found)?;
            Ok(Box::new(admitted.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::http::{Clients, cause};
    use crate::credential::registry_config::{Proxies, RegistryConfig, Trust};

    fn resolver(named_from: Option<AddressClass>) -> Resolver {
        Resolver { named_from, proxies: Arc::new(["proxy.corp".to_owned()]) }
    }

    fn admitted(named_from: Option<AddressClass>, host: &str, addresses: &[&str]) -> Option<usize> {
        let found = addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect();
        resolver(named_from).admitted(host, found).ok().map(|admitted| admitted.len())
    }

    #[test]
    fn metadata_addresses_are_dropped_from_every_answer() {
        assert_eq!(admitted(None, "evil.test", &["169.254.169.254"]), None);
        assert_eq!(admitted(None, "evil.test", &["fd00:ec2::254", "fe80::1"]), None);
        assert_eq!(admitted(None, "evil.test", &["169.254.169.254", "93.184.216.34"]), Some(1));
        assert_eq!(admitted(None, "inner.test", &["10.0.0.1", "127.0.0.1"]), Some(2));
        assert_eq!(admitted(None, "unknown.test", &[]), Some(0), "no address is not a forbidden one");
    }

    #[test]
    fn a_name_that_a_server_gave_leads_no_deeper_than_that_server() {
        for (from, address, may) in [
            (AddressClass::Public, "10.0.0.1", false),
            (AddressClass::Public, "127.0.0.1", false),
            (AddressClass::Public, "93.184.216.34", true),
            (AddressClass::Private, "10.0.0.1", true),
            (AddressClass::Private, "127.0.0.1", false),
            (AddressClass::Loopback, "127.0.0.1", true),
            (AddressClass::Loopback, "169.254.169.254", false),
        ] {
            assert_eq!(admitted(Some(from), "auth.test", &[address]).is_some(), may, "{from:?} {address}");
        }
    }

    #[test]
    fn a_proxy_is_the_operators_own_choice() {
        assert_eq!(admitted(Some(AddressClass::Public), "proxy.corp", &["10.0.0.1"]), Some(1));
    }

    #[test]
    fn a_url_that_spells_a_metadata_address_is_refused() {
        for url in [
            "http://169.254.169.254/v2/",
            "https://2852039166/",
            "http://[fd00:ec2::254]/",
            "http://[fe80::1]/",
        ] {
            assert!(admit(&Url::parse(url).unwrap()).is_err(), "{url}");
        }
        for url in ["http://127.0.0.1/", "https://10.0.0.1/", "https://registry.test/"] {
            assert!(admit(&Url::parse(url).unwrap()).is_ok(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_refused_name_is_told_apart_from_a_host_that_is_away() {
        let transport = Transport::new(&RegistryConfig::of_environment(Proxies::none()), Trust::Insecure);
        let client = Clients::default().of(&transport.clone().named_from(AddressClass::Public)).unwrap();
        let error = client.get("http://localhost:9/").send().await.unwrap_err();
        assert_eq!(cause(&error), Some(&ForbiddenAddress { host: "localhost".into() }));
        let client = Clients::default().of(&transport).unwrap();
        let error = client.get("http://localhost:9/").send().await.unwrap_err();
        assert_eq!(cause::<ForbiddenAddress>(&error), None);
    }
}
