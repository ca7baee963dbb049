//! The settings that a process gets from its environment and that have no option of their own: proxies, and the files
//! of docker and podman.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::credential::files::docker::Surroundings;
use crate::credential::registry_config::Proxies;
use crate::identity;

/// The proxies of the process, as most programs read them. What is no proxy is passed over with a warning.
pub(super) fn proxies() -> Proxies {
    proxies_of(&variable)
}

/// Where docker and podman keep their files.
pub(super) fn surroundings() -> Surroundings {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let path = |name: &str| set(name).map(PathBuf::from);
    Surroundings {
        docker_auth_config: set("DOCKER_AUTH_CONFIG").map(Zeroizing::new),
        docker_config: path("DOCKER_CONFIG"),
        home: path("HOME"),
        registry_auth_file: path("REGISTRY_AUTH_FILE"),
        runtime_directory: path("XDG_RUNTIME_DIR"),
        config_directory: path("XDG_CONFIG_HOME"),
        uid: std::fs::metadata("/proc/self").ok().map(|own| own.uid()),
    }
}

/// Where identity tokens may come from.
pub(super) fn identities() -> identity::selection::Surroundings {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    identity::selection::Surroundings {
        token: set("SIGSTORE_ID_TOKEN").map(Zeroizing::new),
        spiffe_endpoint: set("SPIFFE_ENDPOINT_SOCKET"),
        in_github: set("ACTIONS_ID_TOKEN_REQUEST_URL").is_some(),
        in_buildkite: set("BUILDKITE_AGENT_ACCESS_TOKEN").is_some(),
        account: None,
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads them")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn proxies_of(variable: &dyn Fn(&str) -> Option<String>) -> Proxies {
    let either = |name: &str| variable(name).or_else(|| variable(&name.to_lowercase())).unwrap_or_default();
    let mut proxies = Proxies::none();
    for (name, set) in [
        ("HTTP_PROXY", Proxies::set_http as fn(&mut Proxies, &str) -> _),
        ("HTTPS_PROXY", Proxies::set_https),
    ] {
        if let Err(malformed) = set(&mut proxies, &either(name)) {
            tracing::warn!("{name} is not used: {malformed}");
        }
    }
    proxies.set_bypass(&either("NO_PROXY"));
    proxies
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn proxy(variables: &[(&str, &str)], url: &str) -> Option<String> {
        let read = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        proxies_of(&read).of(&Url::parse(url).unwrap()).map(Url::to_string)
    }

    #[test]
    fn both_spellings_count_and_rubbish_does_not() {
        let url = "https://registry.test/";
        assert_eq!(proxy(&[("HTTPS_PROXY", "p:1")], url).as_deref(), Some("http://p:1/"));
        assert_eq!(proxy(&[("https_proxy", "p:1")], url).as_deref(), Some("http://p:1/"));
        assert_eq!(proxy(&[("https_proxy", "p:1"), ("no_proxy", ".test")], url), None);
        assert_eq!(proxy(&[("HTTPS_PROXY", "socks5://p")], url), None);
        assert_eq!(proxy(&[("http_proxy", "p:1")], "http://registry.test/").as_deref(), Some("http://p:1/"));
        assert_eq!(proxy(&[], url), None);
    }
}
