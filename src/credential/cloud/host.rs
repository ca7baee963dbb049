//! Which registries belong to which cloud (credentials specification §1.6). Pure.
//!
//! A tenant names the registry, so the whole name has to fit: no port, nothing before, nothing behind, and nothing that
//! could lead a request of ours to another host.

/// A registry of AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ecr {
    /// One of an account.
    Private {
        /// The account: twelve digits.
        account: String,
        /// The region.
        region: String,
        /// Whether it is an endpoint of FIPS 140.
        fips: bool,
    },
    /// `public.ecr.aws`.
    Public,
}

impl Ecr {
    /// The registry of this name.
    pub(super) fn parse(registry: &str) -> Option<Self> {
        if registry == "public.ecr.aws" {
            return Some(Self::Public);
        }
        let (account, rest) = registry.split_once('.')?;
        let (rest, fips) = if let Some(rest) = either(rest, ["dkr.ecr-fips.", "dkr-ecr-fips."]) {
            (rest, true)
        } else {
            (either(rest, ["dkr.ecr.", "dkr-ecr."])?, false)
        };
        let (region, domain) = rest.split_once('.')?;
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let sound = is_account && is_label(region) && AWS.contains(&domain);
        sound.then(|| Self::Private { account: account.to_owned(), region: region.to_owned(), fips })
    }
}

/// Whether it is a registry of Google.
pub(super) fn is_google(registry: &str) -> bool {
    registry == "gcr.io" || is_below(registry, ".gcr.io") || is_below(registry, ".pkg.dev")
}

/// Whether it is a registry of Azure.
pub(super) fn is_azure(registry: &str) -> bool {
    AZURE.iter().any(|(domain, _)| is_below(registry, domain))
}

/// Entra ID of the cloud that a registry of Azure is in.
pub(super) fn azure_authority(registry: &str) -> &'static str {
    let (_, public) = AZURE[0];
    AZURE.iter().find(|(domain, _)| is_below(registry, domain)).map_or(public, |(_, authority)| authority)
}

/// The domain of the API of a region of AWS.
pub(super) fn aws_domain(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else if region.starts_with("eusc-") {
        "amazonaws.eu"
    } else {
        "amazonaws.com"
    }
}

/// Whether `text` is one label of a name of a host, in lower case.
pub(super) fn is_label(text: &str) -> bool {
    let is_of_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(is_of_label)
}

/// Whether `registry` is a name below `domain`, which begins with a dot.
fn is_below(registry: &str, domain: &str) -> bool {
    registry.strip_suffix(domain).is_some_and(|labels| labels.split('.').all(is_label))
}

fn either<'a>(text: &'a str, prefixes: [&str; 2]) -> Option<&'a str> {
    prefixes.iter().find_map(|prefix| text.strip_prefix(prefix))
}

const AZURE: [(&str, &str); 3] = [
    (".azurecr.io", "https://login.microsoftonline.com"),
    (".azurecr.cn", "https://login.chinacloudapi.cn"),
    (".azurecr.us", "https://login.microsoftonline.us"),
];
const AWS: [&str; 5] =
    ["amazonaws.com", "amazonaws.com.cn", "amazonaws.eu", "on.aws", "on.amazonwebservices.com.cn"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registries_of_aws_are_known_with_account_and_region() {
        for (name, in_region, is_fips) in [
            ("123456789012.dkr.ecr.us-east-1.amazonaws.com", "us-east-1", false),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", true),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", false),
            ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", false),
            ("123456789012.dkr-ecr.eu-west-1.on.aws", "eu-west-1", false),
            ("123456789012.dkr-ecr-fips.us-east-2.on.aws", "us-east-2", true),
            ("123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", "cn-north-1", false),
        ] {
            let expected =
                Ecr::Private { account: "123456789012".into(), region: in_region.into(), fips: is_fips };
            assert_eq!(Ecr::parse(name), Some(expected), "{name}");
        }
        assert_eq!(Ecr::parse("public.ecr.aws"), Some(Ecr::Public));
    }

    #[test]
    fn a_name_that_only_looks_like_a_registry_of_aws_is_none() {
        for name in [
            "12345678901.dkr.ecr.us-east-1.amazonaws.com",
            "1234567890123.dkr.ecr.us-east-1.amazonaws.com",
            "12345678901x.dkr.ecr.us-east-1.amazonaws.com",
            "x.123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.test",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com:443",
            "123456789012.dkr.ecr.us-east-1.evil.amazonaws.com",
            "123456789012.dkr.ecr..amazonaws.com",
            "123456789012.dkr.ecr.evil@x.amazonaws.com",
            "123456789012.ecr.us-east-1.amazonaws.com",
            "123456789012.dkr.ecr.us-east-1.on.awsx",
            "public.ecr.aws:443",
            "evil.public.ecr.aws",
            "registry.test",
            "",
        ] {
            assert_eq!(Ecr::parse(name), None, "{name}");
        }
    }

    #[test]
    fn the_registries_of_google_are_known_by_their_whole_names() {
        for name in ["gcr.io", "eu.gcr.io", "europe-west1-docker.pkg.dev"] {
            assert!(is_google(name), "{name}");
        }
        for name in
            ["pkg.dev", ".gcr.io", "gcr.io:443", "gcr.io.evil.test", "xgcr.io", "x_y.pkg.dev", "a.pkg.dev:1"]
        {
            assert!(!is_google(name), "{name}");
        }
    }

    #[test]
    fn the_registries_of_azure_are_known_with_entra_id_of_their_cloud() {
        for (name, authority) in [
            ("team.azurecr.io", "https://login.microsoftonline.com"),
            ("team.eastus.geo.azurecr.io", "https://login.microsoftonline.com"),
            ("team.azurecr.cn", "https://login.chinacloudapi.cn"),
            ("team.azurecr.us", "https://login.microsoftonline.us"),
        ] {
            assert!(is_azure(name), "{name}");
            assert_eq!(azure_authority(name), authority, "{name}");
        }
        for name in [
            "azurecr.io",
            ".azurecr.io",
            "team.azurecr.io:443",
            "team.azurecr.io.evil.test",
            "teamazurecr.io",
            "x@y.azurecr.io",
        ] {
            assert!(!is_azure(name), "{name}");
        }
    }

    #[test]
    fn the_api_of_a_region_is_in_the_domain_of_its_partition() {
        assert_eq!(aws_domain("us-east-1"), "amazonaws.com");
        assert_eq!(aws_domain("cn-north-1"), "amazonaws.com.cn");
        assert_eq!(aws_domain("eusc-de-east-1"), "amazonaws.eu");
    }
}
