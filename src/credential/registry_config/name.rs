//! The names of tables and how they match: whole DNS labels from the right (credentials specification §4.3).
//!
//! A plain name covers itself and its subdomains, a leading dot its subdomains alone, `.` everything. Only `.`
//! covers IP addresses and hosts with a port.

use std::net::{IpAddr, Ipv6Addr};

/// The name of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Name {
    labels: Vec<String>,
    subdomains_only: bool,
}

/// Why a text names no registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Defect {
    #[error("an empty name: write \".\" for every registry")]
    Empty,
    #[error("ports are not supported: give the registry a name of its own")]
    Port,
    #[error("addresses are not supported: give the registry a DNS name")]
    Address,
    #[error("wildcards are not supported: use a leading dot")]
    Wildcard,
    #[error("an empty label: at most one dot may lead")]
    EmptyLabel,
    #[error("only a DNS name may stand here, without scheme and path")]
    NoName,
}

/// A registry host, taken apart once to be compared with many names.
pub(super) struct Host(Option<Vec<String>>);

impl Name {
    /// Reads a key; case and a trailing dot make no difference.
    pub(super) fn parse(text: &str) -> Result<Self, Defect> {
        if text.is_empty() {
            return Err(Defect::Empty);
        }
        if text == "." {
            return Ok(Self { labels: Vec::new(), subdomains_only: true });
        }
        if let Some(defect) = defect_of(text) {
            return Err(defect);
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let (name, subdomains_only) =
            name.strip_prefix('.').map_or((name.as_str(), false), |rest| (rest, true));
        let labels: Vec<String> = name.split('.').map(str::to_owned).collect();
        if labels.iter().any(String::is_empty) {
            Err(Defect::EmptyLabel)
        } else {
            Ok(Self { labels, subdomains_only })
        }
    }

    pub(super) fn covers(&self, host: &Host) -> bool {
        match &host.0 {
            _ if self.is_catch_all() => true,
            None => false,
            Some(labels) => {
                labels.ends_with(&self.labels) && (!self.subdomains_only || labels.len() > self.labels.len())
            }
        }
    }

    /// The greater, the more specific: a leading dot counts as a label, but less than a real one.
    pub(super) fn specificity(&self) -> impl Ord + use<> {
        (self.labels.len() + usize::from(self.subdomains_only), !self.subdomains_only)
    }

    /// How many labels of a host the name fixes.
    pub(super) fn labels(&self) -> usize {
        self.labels.len()
    }

    pub(super) fn is_catch_all(&self) -> bool {
        self.labels.is_empty()
    }
}

impl Host {
    /// Takes `host[:port]` apart; 443 is the default port and counts as none.
    pub(super) fn of(host: &str) -> Self {
        let host = host.strip_suffix(":443").unwrap_or(host);
        let named = !host.contains([':', '[']) && host.parse::<IpAddr>().is_err();
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        Self(named.then(|| host.split('.').map(str::to_owned).collect()))
    }
}

fn defect_of(text: &str) -> Option<Defect> {
    let bare = text.trim_matches(['[', ']']);
    if text.parse::<IpAddr>().is_ok() || bare.parse::<Ipv6Addr>().is_ok() {
        return Some(Defect::Address);
    }
    if text.contains('*') {
        return Some(Defect::Wildcard);
    }
    let port = text.rsplit_once(':').map(|(_, port)| port);
    if port.is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())) {
        return Some(Defect::Port);
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (!text.bytes().all(legal)).then_some(Defect::NoName)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_can_match_nothing_says_what_to_write_instead() {
        for (text, defect) in [
            ("", Defect::Empty),
            ("registry.corp:5000", Defect::Port),
            ("127.0.0.1:8000", Defect::Port),
            ("127.0.0.1", Defect::Address),
            ("[::1]", Defect::Address),
            ("*.registry.corp.", Defect::Wildcard),
            ("..corp.", Defect::EmptyLabel),
            ("a..corp", Defect::EmptyLabel),
            ("corp..", Defect::EmptyLabel),
            ("https://registry.corp", Defect::NoName),
            ("registry.corp/team", Defect::NoName),
            ("registry corp", Defect::NoName),
        ] {
            assert_eq!(Name::parse(text), Err(defect), "{text:?}");
        }
    }

    #[test]
    fn spelling_makes_no_difference() {
        assert_eq!(Name::parse("GHCR.io."), Name::parse("ghcr.io"));
        assert_ne!(Name::parse(".ghcr.io"), Name::parse("ghcr.io"));
    }

    #[test]
    fn the_default_port_counts_as_none() {
        let name = Name::parse("registry.corp.").unwrap();
        assert!(name.covers(&Host::of("registry.corp:443")));
        assert!(!name.covers(&Host::of("registry.corp:80")));
    }
}
