//! The words of a report: what was to be done, with what kind of credential, and how it went
//! (credentials specification §1.7).
//!
//! They are part of the JSON that people build on; must not be renamed.

use std::fmt;

use serde::Serialize;

use super::{Candidate, Credential, Source};

/// What is to be done in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Read.
    Pull,
    /// Write.
    Push,
}

/// How it went with one candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The registry accepted it for the operation.
    Used,
    /// Known to the registry, but not allowed to (403).
    Denied,
    /// Not accepted (401).
    Rejected,
    /// Its time is over: by its own word, and then it is not sent, or by the registry's.
    Expired,
    /// Left out on purpose; the code says why.
    Skipped,
    /// Something else went wrong; the code says what.
    Error,
    /// Another one was enough.
    NotTried,
}

/// What kind of credential it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Name and password.
    Basic,
    /// OAuth 2 refresh token.
    IdentityToken,
    /// Ready-made bearer.
    RegistryToken,
    /// From a credential helper.
    Helper,
    /// From a cloud.
    Cloud,
    /// From a token exchange.
    Sts,
    /// None.
    Anonymous,
}

impl Kind {
    /// The kind of a candidate: for ambient sources where it came from, otherwise what it is.
    pub fn of(candidate: &Candidate) -> Self {
        match (&candidate.provenance.source, &*candidate.credential) {
            (Source::ControllerHelper(_), _) => Self::Helper,
            (Source::ControllerSts(_), _) => Self::Sts,
            (Source::ControllerCloud(_) | Source::ServiceAccountCloud, _) => Self::Cloud,
            (_, Credential::Anonymous) => Self::Anonymous,
            (_, Credential::Basic(_)) => Self::Basic,
            (_, Credential::IdentityToken { .. }) => Self::IdentityToken,
            (_, Credential::RegistryToken(_)) => Self::RegistryToken,
            (_, Credential::ToFetch(_)) => Self::Helper,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_a_word_of_the_specification() {
        let outcomes = [
            Outcome::Used,
            Outcome::Denied,
            Outcome::Rejected,
            Outcome::Expired,
            Outcome::Skipped,
            Outcome::Error,
            Outcome::NotTried,
        ];
        let words: Vec<String> = outcomes.iter().map(ToString::to_string).collect();
        assert_eq!(words, ["used", "denied", "rejected", "expired", "skipped", "error", "not-tried"]);
    }

    #[test]
    fn every_kind_is_a_word_of_the_specification() {
        let kinds = [
            Kind::Basic,
            Kind::IdentityToken,
            Kind::RegistryToken,
            Kind::Helper,
            Kind::Cloud,
            Kind::Sts,
            Kind::Anonymous,
        ];
        let words: Vec<String> = kinds.iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            ["basic", "identity-token", "registry-token", "helper", "cloud", "sts", "anonymous"]
        );
    }

    #[test]
    fn operations_are_those_of_a_registry() {
        assert_eq!([Operation::Pull.to_string(), Operation::Push.to_string()], ["pull", "push"]);
    }
}
