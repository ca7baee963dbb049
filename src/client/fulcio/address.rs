//! Where a Fulcio is, if an identity token may be sent there (credentials specification §9.3).

use url::{Host, Url};

use super::Error;
use crate::client::http::admit;

/// The base of every request, with a slash at its end.
pub(super) fn base(address: &str, allow_http: bool) -> Result<Url, Error> {
    let refused = |reason| Error::Address { address: address.to_owned(), reason };
    let mut url = Url::parse(address).map_err(|_| refused("it is no URL"))?;
    admit(&url).map_err(|_| refused("it leads to an inner address that must not be used"))?;
    match url.scheme() {
        "https" => {}
        "http" if allow_http || is_inside(&url) => {}
        "http" => return Err(Error::PlainHttp { address: address.to_owned() }),
        _ => return Err(refused("it is neither https nor http")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Address {
            address: "(with a password)".to_owned(),
            reason: "it carries a password",
        });
    }
    let path = format!("{}/", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.set_query(None);
    Ok(url)
}

/// Whether plain HTTP stays in the cluster or on this machine (§9.3).
fn is_inside(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
            let parents = labels.get(1..).unwrap_or_default();
            parents.is_empty() || parents.contains(&"svc") || parents.last() == Some(&"localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Class, Diagnose as _};

    #[test]
    fn a_token_goes_over_plain_http_only_inside_the_cluster_or_where_that_is_allowed() {
        for inside in [
            "http://fulcio.fulcio-system.svc",
            "http://fulcio.fulcio-system.svc.cluster.local:8080/",
            "http://fulcio.ns.svc.corp.internal",
            "http://fulcio",
            "http://localhost:5555",
            "http://127.0.0.1:5555",
            "http://[::1]:5555",
            "https://fulcio.sigstore.dev",
        ] {
            let url = base(inside, false).unwrap();
            assert!(url.path().ends_with('/'), "{url}");
        }
        for outside in ["http://fulcio.sigstore.dev", "http://10.0.0.1", "http://svc.example.test"] {
            let error = base(outside, false).unwrap_err();
            assert!(matches!(error, Error::PlainHttp { .. }), "{outside}: {error}");
            assert!(error.hint().unwrap().contains("signers.x509.fulcio.allow-http"));
            base(outside, true).unwrap();
        }
    }

    #[test]
    fn what_is_no_address_of_a_fulcio_is_refused() {
        for address in
            ["fulcio", "ftp://fulcio", "https://169.254.169.254", "https://user:canary@fulcio.test"]
        {
            let error = base(address, true).unwrap_err();
            assert_eq!((error.class(), error.label()), (Class::Misconfigured, "fulcio_address"), "{address}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
}
