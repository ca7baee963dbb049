//! Which source of identity tokens is used: names, order and decision, without looking anywhere
//! (credentials specification §9.1).
//!
//! Guarantees: the names of Chains are the names; the order is [`ORDER`] and nothing else; the first source that is
//! *there* is taken, whether or not it will succeed, so that an agent that is away never changes who signs.

use std::fmt;
use std::str::FromStr;

use super::Error;

/// A source of identity tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// `SIGSTORE_ID_TOKEN`.
    Environment,
    /// The SPIFFE Workload API.
    Spiffe,
    /// The projected service account token at its usual place.
    Filesystem,
    /// A token in the file that `signers.x509.identity.token.file` names.
    CustomPath,
    /// A token of the agent's own service account, asked of the API server.
    Kubernetes,
    /// A job of GitHub Actions.
    Github,
    /// A job of Buildkite.
    Buildkite,
    /// The metadata server of Google Cloud.
    Google,
    /// A service account of Google Cloud that may be impersonated.
    GoogleImpersonate,
}

/// What is tried when no provider is configured. Whoever mounts the Workload API wants that identity, whatever
/// token is mounted beside it; a request to the API server is made only by whoever asks for it.
pub const ORDER: [Provider; 6] = [
    Provider::Environment,
    Provider::Spiffe,
    Provider::Filesystem,
    Provider::Github,
    Provider::Buildkite,
    Provider::Google,
];

/// Whether a source is there, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It is; the text says where.
    There(String),
    /// It is not, for this reason.
    Absent(&'static str),
}

/// The source that is used, with the reasons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Which one.
    pub provider: Provider,
    /// What it reads, and why not the others: one line for the log.
    pub reason: String,
}

/// Takes the provider that the configuration names, else the first that is there. `named_file` says that the
/// configuration names a token file, which names the provider too, as in Chains.
pub fn choose(
    configured: Option<Provider>,
    named_file: bool,
    presence: impl Fn(Provider) -> Presence,
) -> Result<Choice, Error> {
    let configured = match configured {
        Some(Provider::Filesystem) | None if named_file => Some(Provider::CustomPath),
        configured => configured,
    };
    if let Some(provider) = configured {
        return match presence(provider) {
            Presence::There(place) => Ok(Choice { provider, reason: format!("{place}; it is configured") }),
            Presence::Absent(reason) => Err(Error::Absent { provider, reason }),
        };
    }
    let mut looked = Vec::new();
    for provider in ORDER {
        match presence(provider) {
            Presence::There(place) => {
                let before =
                    if looked.is_empty() { String::new() } else { format!("; {}", looked.join("; ")) };
                return Ok(Choice { provider, reason: format!("{place}{before}") });
            }
            Presence::Absent(reason) => looked.push(format!("not {provider}: {reason}")),
        }
    }
    Err(Error::NoProvider { looked: looked.join("; ") })
}

impl Provider {
    const ALL: [(&'static str, Self); 12] = [
        ("envvar", Self::Environment),
        ("spiffe", Self::Spiffe),
        ("filesystem", Self::Filesystem),
        ("filesystem-custom-path", Self::CustomPath),
        ("kubernetes", Self::Kubernetes),
        ("github-actions", Self::Github),
        ("buildkite-agent", Self::Buildkite),
        ("google-workload-identity", Self::Google),
        ("google-impersonate", Self::GoogleImpersonate),
        // The documentation of Chains uses these, its code refuses them.
        ("github", Self::Github),
        ("buildkite", Self::Buildkite),
        ("google", Self::Google),
    ];

    /// As the configuration writes it.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, provider)| *provider == self).map_or("", |(name, _)| name)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that no provider has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no provider of identity tokens; known: {known}", known = known())]
pub struct UnknownProvider(String);

fn known() -> String {
    Provider::ALL.map(|(name, _)| name).join(", ")
}

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, UnknownProvider> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, provider)| *provider).ok_or_else(|| UnknownProvider(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among(there: &[Provider]) -> impl Fn(Provider) -> Presence {
        move |provider| {
            if there.contains(&provider) {
                Presence::There(format!("place of {provider}"))
            } else {
                Presence::Absent("nothing is there")
            }
        }
    }

    fn chosen(configured: Option<Provider>, named_file: bool, there: &[Provider]) -> Option<Provider> {
        choose(configured, named_file, among(there)).ok().map(|choice| choice.provider)
    }

    #[test]
    fn whoever_mounts_both_a_token_and_the_workload_api_gets_the_spiffe_identity() {
        let choice = choose(None, false, among(&[Provider::Filesystem, Provider::Spiffe])).unwrap();
        assert_eq!(choice.provider, Provider::Spiffe);
        assert_eq!(choice.reason, "place of spiffe; not envvar: nothing is there");
    }

    #[test]
    fn the_first_that_is_there_is_taken_in_the_documented_order() {
        for start in 0..ORDER.len() {
            assert_eq!(chosen(None, false, &ORDER[start..]), Some(ORDER[start]));
        }
        assert_eq!(chosen(None, false, &[Provider::Kubernetes]), None, "only on request");
    }

    #[test]
    fn a_configured_provider_is_the_only_one_that_counts() {
        assert_eq!(chosen(Some(Provider::Filesystem), false, &ORDER), Some(Provider::Filesystem));
        let error = choose(Some(Provider::Spiffe), false, among(&[Provider::Filesystem])).unwrap_err();
        assert_eq!(error.to_string(), "provider spiffe is configured but not there: nothing is there");
    }

    #[test]
    fn a_configured_file_names_the_provider_unless_another_one_is_named() {
        let there = [Provider::CustomPath, Provider::Spiffe, Provider::Environment];
        assert_eq!(chosen(None, true, &there), Some(Provider::CustomPath));
        assert_eq!(chosen(Some(Provider::Filesystem), true, &there), Some(Provider::CustomPath));
        assert_eq!(chosen(Some(Provider::CustomPath), true, &there), Some(Provider::CustomPath));
        assert_eq!(chosen(Some(Provider::Spiffe), true, &there), Some(Provider::Spiffe));
    }

    #[test]
    fn nothing_at_all_is_an_error_that_names_each_place() {
        let error = choose(None, false, among(&[])).unwrap_err().to_string();
        assert!(ORDER.iter().all(|provider| error.contains(&format!("not {provider}: "))), "{error}");
    }

    #[test]
    fn names_are_those_of_chains_and_aliases_are_understood() {
        for (name, provider) in Provider::ALL {
            assert_eq!(name.parse(), Ok(provider));
        }
        assert_eq!("google".parse::<Provider>().unwrap().as_str(), "google-workload-identity");
        assert_eq!("github".parse::<Provider>().unwrap().to_string(), "github-actions");
        let error = "Spiffe".parse::<Provider>().unwrap_err().to_string();
        assert!(
            error.starts_with("\"Spiffe\" is no provider") && error.contains("buildkite-agent"),
            "{error}"
        );
    }
}
