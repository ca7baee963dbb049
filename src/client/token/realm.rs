//! Where a credential may be sent (credentials specification §5.1, realm safety).
//!
//! The realm is a URL in a header of a server that a tenant may have chosen, so each one, and each redirect of it,
//! is judged before anything is sent. Names are judged here by their spelling only; the addresses that they resolve
//! to are judged with [`AddressClass`] where the connection is made.

use std::net::IpAddr;

use url::{Host, Url};

use super::TokenError;
use crate::client::address::AddressClass;

/// What is allowed for one registry.
pub(super) struct Fence<'a> {
    registry: &'a str,
    origin: Option<Url>,
    plain_http: bool,
    class: AddressClass,
}

impl<'a> Fence<'a> {
    /// `address`, when known, is where the registry was reached; otherwise its spelling decides.
    pub(super) fn around(registry: &'a str, plain_http: bool, address: Option<IpAddr>) -> Self {
        let scheme = if plain_http { "http" } else { "https" };
        let origin = Url::parse(&format!("{scheme}://{registry}/")).ok();
        let spelled = origin.as_ref().map_or(AddressClass::Public, class_of);
        Self { registry, origin, plain_http, class: address.map_or(spelled, AddressClass::of) }
    }

    /// How far the registry itself reaches.
    pub(super) fn class(&self) -> AddressClass {
        self.class
    }

    /// The realm as a URL that may be asked, less its userinfo, which would be sent as a credential.
    pub(super) fn admit(&self, realm: &str) -> Result<Url, TokenError> {
        let url = Url::parse(realm).map_err(|_| self.refuse("(not shown)", "is no URL"))?;
        self.admit_url(url)
    }

    /// The target of a redirect from `from`.
    pub(super) fn admit_redirect(&self, from: &Url, location: &str) -> Result<Url, TokenError> {
        let url = from.join(location).map_err(|_| self.refuse("(not shown)", "is no URL"))?;
        self.admit_url(url)
    }

    /// Whether `url` has the host and port of `realm` or of the registry: nobody else sees a credential.
    pub(super) fn is_entitled(&self, url: &Url, realm: &Url) -> bool {
        same_host(url, realm) || self.origin.as_ref().is_some_and(|origin| same_host(url, origin))
    }

    pub(super) fn refuse(&self, realm: &str, reason: &'static str) -> TokenError {
        TokenError::UnsafeRealm { registry: self.registry.to_owned(), realm: realm.to_owned(), reason }
    }

    fn admit_url(&self, mut url: Url) -> Result<Url, TokenError> {
        let allowed = match url.scheme() {
            "https" => true,
            "http" => self.plain_http,
            _ => false,
        };
        if !allowed {
            return Err(self.refuse(&shown(&url), "is not https"));
        }
        if !self.class.may_name(class_of(&url)) {
            return Err(
                self.refuse(&shown(&url), "is an inner address that the registry itself does not have")
            );
        }
        if url.set_username("").and_then(|()| url.set_password(None)).is_err() {
            return Err(self.refuse(&shown(&url), "has no host"));
        }
        url.set_fragment(None);
        Ok(url)
    }
}

/// Host and port for messages.
pub(super) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Scheme, host and path: what may stand in an error.
fn shown(url: &Url) -> String {
    format!("{}://{}{}", url.scheme(), host_of(url), url.path())
}

fn same_host(left: &Url, right: &Url) -> bool {
    left.scheme() == right.scheme()
        && left.host() == right.host()
        && left.port_or_known_default() == right.port_or_known_default()
}

/// The class that the spelling of a host gives away.
fn class_of(url: &Url) -> AddressClass {
    match url.host() {
        Some(Host::Ipv4(address)) => AddressClass::of(address.into()),
        Some(Host::Ipv6(address)) => AddressClass::of(address.into()),
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            let local = name == "localhost" || name.ends_with(".localhost");
            if local { AddressClass::Loopback } else { AddressClass::Public }
        }
        None => AddressClass::Public,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(registry: &str, plain_http: bool, realm: &str) -> bool {
        match Fence::around(registry, plain_http, None).admit(realm) {
            Ok(_) => true,
            Err(TokenError::UnsafeRealm { .. }) => false,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_realm_must_be_https_unless_the_registry_is_http() {
        assert!(admitted("reg.example.com", false, "https://auth.example.com/token"));
        assert!(!admitted("reg.example.com", false, "http://auth.example.com/token"));
        assert!(admitted("reg.example.com", true, "http://auth.example.com/token"));
        assert!(admitted("reg.example.com", true, "https://auth.example.com/token"));
        for realm in
            ["", "token", "/token", "ftp://auth.example.com/", "file:///etc/passwd", "data:,x", "https://"]
        {
            assert!(!admitted("reg.example.com", true, realm), "{realm}");
        }
    }

    #[test]
    fn inner_addresses_are_refused_however_they_are_written() {
        for realm in [
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0.0.0.0/",
            "https://10.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[fd12::1]/",
            "https://localhost/",
            "https://a.LOCALHOST./",
        ] {
            assert!(!admitted("reg.example.com", false, realm), "{realm}");
        }
    }

    #[test]
    fn a_registry_of_the_same_reach_may_name_them() {
        assert!(admitted("127.0.0.1:5000", true, "http://127.0.0.1:5001/token"));
        assert!(admitted("localhost:5000", true, "http://[::1]:5001/token"));
        assert!(admitted("10.0.0.1", false, "https://10.0.0.2/token"));
        assert!(!admitted("10.0.0.1", false, "https://127.0.0.1/token"));
        let reached = Some("10.2.3.4".parse().unwrap());
        assert!(Fence::around("reg.example.com", false, reached).admit("https://10.0.0.1/token").is_ok());
    }

    #[test]
    fn metadata_addresses_are_refused_to_everybody() {
        for (registry, realm) in [
            ("reg.example.com", "http://169.254.169.254/latest"),
            ("169.254.169.254", "http://169.254.169.254/latest"),
            ("[fd00:ec2::254]", "http://[fd00:ec2::254]/latest"),
            ("10.0.0.1", "http://[fe80::1]/"),
        ] {
            assert!(!admitted(registry, true, realm), "{registry} {realm}");
        }
    }

    #[test]
    fn credentials_in_the_realm_are_dropped_and_never_shown() {
        let fence = Fence::around("reg.example.com", false, None);
        let url = fence.admit("https://user:canary@auth.example.com/token?a=b#c").unwrap();
        assert_eq!(url.as_str(), "https://auth.example.com/token?a=b");
        for realm in ["http://user:canary@auth.example.com/token?canary", "https://user:canary@[broken"] {
            let error = fence.admit(realm).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn only_the_realm_and_the_registry_are_entitled_to_credentials() {
        let fence = Fence::around("reg.example.com", false, None);
        let realm = fence.admit("https://auth.example.com/token").unwrap();
        for (url, entitled) in [
            ("https://auth.example.com/other", true),
            ("https://auth.example.com:443/other", true),
            ("https://reg.example.com/token", true),
            ("https://auth.example.com:444/token", false),
            ("https://evil.auth.example.com/token", false),
            ("https://example.com/token", false),
        ] {
            assert_eq!(fence.is_entitled(&Url::parse(url).unwrap(), &realm), entitled, "{url}");
        }
    }
}
