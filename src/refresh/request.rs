//! What the annotations of a Secret ask for (credentials specification §6.2). Pure.
//!
//! Whoever may write the Secret may write them: every text is bounded, and none says where a token is sent; that is
//! in the operator's hands alone.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::artifact::digest::Digest;
use crate::client::exchange::provider::{DEFAULT, Provider};
use crate::config::duration;
use crate::credential::Key;

/// What all annotations begin with.
pub const PREFIX: &str = "pull-secret-updater.chainguard.dev/";
const LONGEST_IDENTITY: usize = 512;
const LONGEST_OTHER: usize = 1024;
const MOST_REGISTRIES: usize = 32;

/// A Secret wants a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The identity to assume; opaque.
    pub identity: String,
    /// The provider, by its name.
    pub provider: String,
    /// The registries, where they are others than those of the provider.
    pub registries: Option<Vec<String>>,
    /// The audience, where it is another than the first registry.
    pub audience: Option<String>,
    /// Rights.
    pub scope: Option<String>,
    /// The role of AWS, where the provider says none.
    pub role_arn: Option<String>,
    /// How long before its end a token is replaced.
    pub buffer: Option<SignedDuration>,
    /// The service account in the Secret's namespace whose token is exchanged.
    pub account: Option<String>,
    /// Content that is no docker config may be replaced.
    pub overwrite: bool,
}

/// An annotation that cannot be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// Longer than anything that has a meaning.
    #[error("annotation {0} is too long")]
    TooLong(&'static str),
    /// No list of registries.
    #[error("annotation registries is no list of registry hosts, separated by commas")]
    Registries,
    /// No duration.
    #[error("annotation buffer is no duration such as \"10m\"")]
    Buffer,
}

impl Request {
    /// Reads the annotations; nothing when they ask for nothing.
    pub fn of(annotations: &BTreeMap<String, String>) -> Result<Option<Self>, Mistake> {
        let read = |name: &'static str| {
            let value = annotations.get(&format!("{PREFIX}{name}")).map(|value| value.trim());
            let value = value.filter(|value| !value.is_empty());
            let longest = if name == "identity" { LONGEST_IDENTITY } else { LONGEST_OTHER };
            match value {
                Some(value) if value.chars().count() > longest => Err(Mistake::TooLong(name)),
                value => Ok(value.map(str::to_owned)),
            }
        };
        let Some(identity) = read("identity")? else { return Ok(None) };
        let buffer = read("buffer")?.map(|text| {
            let parsed = duration::parse(&text).and_then(|buffer| SignedDuration::try_from(buffer).ok());
            parsed.ok_or(Mistake::Buffer)
        });
        Ok(Some(Self {
            identity,
            provider: read("provider")?.unwrap_or_else(|| DEFAULT.to_owned()),
            registries: read("registries")?.map(|text| registries(&text)).transpose()?,
            audience: read("audience")?,
            scope: read("scope")?,
            role_arn: read("role-arn")?,
            buffer: buffer.transpose()?,
            account: read("service-account")?,
            overwrite: read("overwrite")?.as_deref() == Some("true"),
        }))
    }

    /// The registries that the token is written for.
    pub fn registries<'a>(&'a self, provider: &'a Provider) -> &'a [String] {
        self.registries.as_ref().unwrap_or(&provider.registries)
    }

    /// Whom the token is asked for.
    pub fn audience<'a>(&'a self, provider: &'a Provider) -> &'a str {
        let first = || self.registries(provider).first().map_or("", String::as_str);
        self.audience.as_deref().or(provider.audience.as_deref()).unwrap_or_else(first)
    }

    /// Rights that are asked for.
    pub fn scope<'a>(&'a self, provider: &'a Provider) -> Option<&'a str> {
        self.scope.as_deref().or(provider.scope.as_deref())
    }

    /// What tells this request from others that would need another token. Says nothing about what is asked.
    pub fn fingerprint(&self) -> String {
        let registries = self.registries.as_ref().map(|names| names.join(","));
        let parts = [
            Some(self.identity.as_str()),
            Some(self.provider.as_str()),
            registries.as_deref(),
            self.audience.as_deref(),
            self.scope.as_deref(),
            self.account.as_deref(),
        ];
        let mut text: Vec<String> = parts.iter().map(|part| format!("{part:?}")).collect();
        // Only where there is one, so that the tokens of other Secrets stay good.
        text.extend(self.role_arn.as_ref().map(|role| format!("role {role:?}")));
        short_hash(text.join("\n").as_bytes())
    }
}

/// The first eight digits of SHA-256: tells a change, and nothing else.
pub fn short_hash(content: &[u8]) -> String {
    let digest = Digest::of(content);
    hex::encode(digest.as_bytes().iter().take(4).copied().collect::<Vec<u8>>())
}

fn registries(text: &str) -> Result<Vec<String>, Mistake> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let names: Vec<String> = names.map(str::to_ascii_lowercase).collect();
    let sound = |name: &String| Key::parse(name).is_ok() && !name.contains(['*', '?', '[', '/', '@']);
    if names.is_empty() || names.len() > MOST_REGISTRIES || !names.iter().all(sound) {
        return Err(Mistake::Registries);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::exchange::provider::Providers;

    fn read(annotations: &[(&str, &str)]) -> Result<Option<Request>, Mistake> {
        let pair = |(name, value): &(&str, &str)| (format!("{PREFIX}{name}"), (*value).to_owned());
        Request::of(&annotations.iter().map(pair).collect())
    }

    fn request(annotations: &[(&str, &str)]) -> Request {
        read(annotations).unwrap().unwrap()
    }

    #[test]
    fn an_identity_alone_is_the_exchange_of_chainguard_for_its_registry() {
        let request = request(&[("identity", " org/uid ")]);
        let providers = Providers::default();
        let provider = providers.named(&request.provider).unwrap();
        assert_eq!(request.identity, "org/uid");
        assert_eq!(
            (request.registries(provider), request.audience(provider)),
            (&["cgr.dev".to_owned()][..], "cgr.dev")
        );
    }

    #[test]
    fn no_identity_asks_for_nothing() {
        for annotations in [&[][..], &[("identity", "")], &[("identity", " \t")], &[("buffer", "nonsense")]] {
            assert_eq!(read(annotations), Ok(None), "{annotations:?}");
        }
    }

    #[test]
    fn every_other_annotation_is_read() {
        let request = request(&[
            ("identity", "u"),
            ("provider", "sts"),
            ("registries", "a.example, B.example:5000"),
            ("audience", "x"),
            ("scope", "pull"),
            ("buffer", "1m30s"),
            ("service-account", "robot"),
            ("overwrite", "true"),
        ]);
        assert_eq!(
            request.registries.as_deref(),
            Some(&["a.example".to_owned(), "b.example:5000".to_owned()][..])
        );
        assert_eq!(request.buffer, Some(SignedDuration::from_secs(90)));
        assert_eq!((request.provider.as_str(), request.account.as_deref()), ("sts", Some("robot")));
        assert!(request.overwrite);
    }

    #[test]
    fn annotations_that_cannot_be_meant_are_told_by_name() {
        let with = |name: &str, value: &str| read(&[("identity", "u"), (name, value)]).unwrap_err();
        assert_eq!(read(&[("identity", &"x".repeat(513))]).unwrap_err(), Mistake::TooLong("identity"));
        assert!(read(&[("identity", &"x".repeat(512))]).unwrap().is_some());
        assert_eq!(with("buffer", "-3m"), Mistake::Buffer);
        for registries in [",", "*", "a b", "https://r/x", &"r.example,".repeat(33)] {
            assert_eq!(with("registries", registries), Mistake::Registries, "{registries}");
        }
    }

    #[test]
    fn a_request_is_another_when_it_needs_another_token() {
        let base = request(&[("identity", "u")]).fingerprint();
        for other in
            [("identity", "v"), ("provider", "p"), ("registries", "r"), ("audience", "a"), ("scope", "s")]
        {
            let identity = if other.0 == "identity" { vec![other] } else { vec![("identity", "u"), other] };
            assert_ne!(request(&identity).fingerprint(), base, "{other:?}");
        }
        assert_eq!(
            request(&[("identity", "u"), ("buffer", "1m")]).fingerprint(),
            base,
            "the token is the same"
        );
        assert_eq!(base.len(), 8);
    }
}
