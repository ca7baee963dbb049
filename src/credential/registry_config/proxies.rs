//! Proxies, and the hosts that are reached without them (credentials specification §4.2, S1 and S9).
//!
//! Guarantees: what stands in a proxy's URL besides its host never prints. Must not read the environment: whoever
//! starts the process hands its values in.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

/// Which proxy a request takes.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    bypass: Vec<Bypass>,
}

/// A text that is no proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a proxy is written as http://host:port or https://host:port")]
pub struct MalformedProxy;

/// An item of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Bypass {
    Everything,
    Name(String),
    HostAndPort(String, u16),
    Subdomains(String),
    Network(IpAddr, u8),
}

impl Proxies {
    /// None at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Sets the proxy for plain http; an empty text takes it away.
    pub fn set_http(&mut self, text: &str) -> Result<(), MalformedProxy> {
        self.http = proxy(text)?;
        Ok(())
    }

    /// Sets the proxy for https; an empty text takes it away.
    pub fn set_https(&mut self, text: &str) -> Result<(), MalformedProxy> {
        self.https = proxy(text)?;
        Ok(())
    }

    /// Sets what is reached without a proxy: hosts, `.suffix`, `*`, networks, `host:port`, separated by commas.
    pub fn set_bypass(&mut self, text: &str) {
        self.bypass =
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Bypass::parse).collect();
    }

    /// The proxy for `url`, unless it is reached directly. This machine always is.
    pub fn of(&self, url: &Url) -> Option<&Url> {
        let proxy = if url.scheme() == "https" { self.https.as_ref() } else { self.http.as_ref() }?;
        let host = url.host()?;
        let direct = is_this_machine(&host)
            || self.bypass.iter().any(|bypass| bypass.covers(&host, url.port_or_known_default()));
        (!direct).then_some(proxy)
    }

    /// Every proxy there is.
    pub fn all(&self) -> impl Iterator<Item = &Url> {
        self.http.iter().chain(&self.https)
    }
}

impl Bypass {
    fn parse(item: &str) -> Self {
        let item = item.to_ascii_lowercase();
        let network = item
            .split_once('/')
            .and_then(|(address, length)| Some((address.parse().ok()?, length.parse().ok()?)));
        match (item.as_str(), network, item.trim_matches(['[', ']']).parse::<IpAddr>()) {
            ("*", ..) => Self::Everything,
            (_, Some((address, length)), _) => Self::Network(address, length),
            (_, _, Ok(address)) => Self::Network(address, bits(address)),
            (text, ..) => match text.strip_prefix('.') {
                Some(suffix) => Self::Subdomains(without_dot(suffix)),
                None => match text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)))
                {
                    Some((host, port)) => Self::HostAndPort(without_dot(host.trim_matches(['[', ']'])), port),
                    None => Self::Name(without_dot(text)),
                },
            },
        }
    }

    fn covers(&self, host: &Host<&str>, port: Option<u16>) -> bool {
        let name = name_of(host);
        match self {
            Self::Everything => true,
            Self::Name(known) => name == *known,
            Self::HostAndPort(known, of) => name == *known && port == Some(*of),
            Self::Subdomains(suffix) => {
                name.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.ends_with('.'))
            }
            Self::Network(network, length) => {
                address_of(host).is_some_and(|address| in_network(address, *network, *length))
            }
        }
    }
}

fn proxy(text: &str) -> Result<Option<Url>, MalformedProxy> {
    if text.is_empty() {
        return Ok(None);
    }
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&text).map_err(|_| MalformedProxy)?;
    let usable =
        matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty());
    if usable { Ok(Some(url)) } else { Err(MalformedProxy) }
}

fn is_this_machine(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(_) => name_of(host) == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

fn name_of(host: &Host<&str>) -> String {
    match host {
        Host::Domain(name) => without_dot(&name.to_ascii_lowercase()),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    }
}

fn address_of(host: &Host<&str>) -> Option<IpAddr> {
    match host {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some((*address).into()),
        Host::Ipv6(address) => Some((*address).into()),
    }
}

fn without_dot(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn in_network(address: IpAddr, network: IpAddr, length: u8) -> bool {
    let prefix =
        |value: u128| value.checked_shr(u32::from(bits(network).saturating_sub(length))).unwrap_or(0);
    let value = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    };
    address.is_ipv4() == network.is_ipv4() && prefix(value(address)) == prefix(value(network))
}

/// Hosts only: a proxy's URL may hold a password.
impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &Option<Url>| url.as_ref().and_then(|url| url.host_str().map(str::to_owned));
        let (http, https) = (shown(&self.http), shown(&self.https));
        f.debug_struct("Proxies")
            .field("http", &http)
            .field("https", &https)
            .field("bypass", &self.bypass)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(bypass: &str) -> Proxies {
        let mut proxies = Proxies::none();
        proxies.set_http("plain.corp:3128").unwrap();
        proxies.set_https("https://user:canary@secure.corp").unwrap();
        proxies.set_bypass(bypass);
        proxies
    }

    fn chosen(bypass: &str, url: &str) -> Option<String> {
        proxies(bypass).of(&Url::parse(url).unwrap()).and_then(|proxy| proxy.host_str().map(str::to_owned))
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        assert_eq!(chosen("", "http://registry.corp/").as_deref(), Some("plain.corp"));
        assert_eq!(chosen("", "https://registry.corp/").as_deref(), Some("secure.corp"));
        assert_eq!(Proxies::none().of(&Url::parse("https://registry.corp/").unwrap()), None);
    }

    #[test]
    fn every_kind_of_exception_covers_what_it_should() {
        for (bypass, url, direct) in [
            (".corp", "https://registry.corp/", true),
            (".corp", "https://a.b.CORP./", true),
            (".corp", "https://corp/", false),
            (".corp", "https://evilcorp/", false),
            ("registry.corp", "https://registry.corp:5000/", true),
            ("registry.corp", "https://a.registry.corp/", false),
            ("*", "https://anything.example/", true),
            ("10.0.0.0/8", "https://10.1.2.3/", true),
            ("10.0.0.0/8", "https://11.1.2.3/", false),
            ("10.0.0.0/8", "https://ten.example/", false),
            ("0.0.0.0/0", "https://8.8.8.8/", true),
            ("fd00::/8", "https://[fd12::1]/", true),
            ("fd00::/8", "https://10.0.0.1/", false),
            ("192.168.1.1", "https://192.168.1.1/", true),
            ("192.168.1.1", "https://192.168.1.2/", false),
            ("registry.corp:5000", "https://registry.corp:5000/", true),
            ("registry.corp:5000", "https://registry.corp/", false),
            ("registry.corp:443", "https://registry.corp/", true),
            (" a.example , .corp,", "https://x.corp/", true),
            ("", "https://registry.corp/", false),
        ] {
            assert_eq!(chosen(bypass, url).is_none(), direct, "{bypass} {url}");
        }
    }

    #[test]
    fn this_machine_is_always_reached_directly() {
        for url in ["http://localhost:5000/", "http://127.0.0.1:5000/", "https://[::1]/"] {
            assert_eq!(chosen("", url), None, "{url}");
        }
    }

    #[test]
    fn what_is_no_http_proxy_is_refused_and_an_empty_text_is_none() {
        for text in ["socks5://proxy", "http://", "ftp://proxy", "http://[broken"] {
            assert_eq!(Proxies::none().set_https(text), Err(MalformedProxy), "{text}");
        }
        let mut proxies = proxies("");
        proxies.set_https("").unwrap();
        assert_eq!(proxies.of(&Url::parse("https://registry.corp/").unwrap()), None);
    }

    #[test]
    fn the_password_of_a_proxy_does_not_print() {
        assert!(!format!("{:?}", proxies("")).contains("canary"));
    }
}
