//! Where brokers are: `host:port`, as the setting has several and as brokers name each other.

use std::fmt;

/// A broker's listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Address {
    /// A name or an address, without brackets.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
}

impl Address {
    /// Each of a list between commas; `None` for a list that has one that is none, or that is empty.
    pub(super) fn list(text: &str) -> Option<Vec<Self>> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let list: Vec<_> = parts.map(Self::parse).collect::<Option<_>>()?;
        (!list.is_empty()).then_some(list)
    }

    /// `host:port`, `1.2.3.4:port` or `[2001:db8::1]:port`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port > 0)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_good = match bare {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
            }
        };
        is_good.then(|| Self { host: bare.unwrap_or(host).to_owned(), port })
    }

    /// By what its circuit is known.
    pub(super) fn origin(&self) -> String {
        format!("kafka://{self}")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Option<Vec<String>> {
        Address::list(text).map(|list| list.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn several_brokers_are_several_addresses() {
        let three = ["a.kafka:9092", "10.0.0.1:9093", "[2001:db8::1]:9094"].map(str::to_owned);
        assert_eq!(list(" a.kafka:9092,10.0.0.1:9093 , [2001:db8::1]:9094,"), Some(three.to_vec()));
        assert_eq!(list("my_broker-0.x:1"), Some(vec!["my_broker-0.x:1".to_owned()]));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            ",",
            "a",
            "a:",
            ":9092",
            "a:0",
            "a:65536",
            "a:9092,b",
            "http://a:9092",
            "2001:db8::1:9092",
            "[a]:1",
        ] {
            assert_eq!(list(text), None, "{text}");
        }
    }
}
