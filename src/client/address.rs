//! Which addresses a name that a tenant or a server chose may lead to (credentials specification §5.1).
//!
//! A run's result may name any host as its registry, and a registry may name any host as its token service. Without
//! this, either could make Hallmark talk to the metadata service of a cloud or to something that only listens for
//! its own machine. Pure; whoever resolves names asks here about each address before connecting.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far an address reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressClass {
    /// The internet.
    Public,
    /// Somebody's own network.
    Private,
    /// This machine.
    Loopback,
    /// Link-local and cloud metadata: nobody's registry, ever.
    Forbidden,
}

impl AddressClass {
    /// The class of an address; IPv4 inside IPv6 counts as what it is.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => embedded_v4(address).map_or_else(|| Self::of_v6(address), Self::of_v4),
        }
    }

    /// Whether a registry at an address of class `self` may send its clients to a token service of class `realm`.
    pub fn may_name(self, realm: Self) -> bool {
        match realm {
            Self::Public => true,
            Self::Private | Self::Loopback => self == realm,
            Self::Forbidden => false,
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [first, second, ..] = address.octets();
        if address.is_link_local() {
            Self::Forbidden
        } else if address.is_loopback() || first == 0 {
            // 0.0.0.0 connects to this machine.
            Self::Loopback
        } else if address.is_private() || (first == 100 && (64..128).contains(&second)) {
            Self::Private
        } else {
            Self::Public
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if address.is_unicast_link_local() || address == AWS_METADATA {
            Self::Forbidden
        } else if address.is_loopback() || address.is_unspecified() {
            Self::Loopback
        } else if address.is_unique_local() {
            Self::Private
        } else {
            Self::Public
        }
    }
}

/// The IPv4 address inside `::ffff:0:0/96` or the NAT64 prefix `64:ff9b::/96`.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
}

/// `fd00:ec2::254`, which looks like any unique local address.
const AWS_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_addresses() {
        for (class, addresses) in [
            (
                AddressClass::Public,
                &["93.184.216.34", "100.128.0.1", "2606:2800::1", "::ffff:93.184.216.34"][..],
            ),
            (AddressClass::Private, &["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1"]),
            (AddressClass::Loopback, &["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"]),
            (
                AddressClass::Forbidden,
                &[
                    "169.254.169.254",
                    "fe80::1",
                    "fd00:ec2::254",
                    "::ffff:169.254.169.254",
                    "64:ff9b::a9fe:a9fe",
                ],
            ),
        ] {
            for address in addresses {
                assert_eq!(AddressClass::of(address.parse().unwrap()), class, "{address}");
            }
        }
    }

    #[test]
    fn an_inner_token_service_needs_a_registry_of_the_same_reach() {
        use AddressClass::{Forbidden, Loopback, Private, Public};
        for (registry, realm, may) in [
            (Public, Public, true),
            (Private, Public, true),
            (Private, Private, true),
            (Loopback, Loopback, true),
            (Public, Private, false),
            (Public, Loopback, false),
            (Private, Loopback, false),
            (Loopback, Private, false),
            (Forbidden, Forbidden, false),
            (Public, Forbidden, false),
        ] {
            assert_eq!(registry.may_name(realm), may, "{registry:?} names {realm:?}");
        }
    }
}
