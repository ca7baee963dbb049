//! Why there is no authorization, in the outcome codes of the credentials specification (§1.4, §12).
//!
//! Texts from servers are cut and scrubbed before they come here; no variant holds a secret.

use std::time::Duration;

use crate::client::http::{SetupError, Silent, is_away};
use crate::credential::Outcome;
use crate::error::{Class, Diagnose};

/// A token exchange that came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The credential was not accepted.
    #[error("{host} does not accept the credential: {answer}")]
    Rejected401 {
        /// Who said so.
        host: String,
        /// Status and text of the answer.
        answer: String,
    },
    /// The credential is known, but has no right to this.
    #[error("{host} denies the credential what was asked for: {answer}")]
    Denied403 {
        /// Who said so.
        host: String,
        /// Status and text of the answer.
        answer: String,
    },
    /// The credential has passed its own expiry and was not sent.
    #[error("the registry token for {registry} expired at {at}")]
    Expired {
        /// The registry it was meant for.
        registry: String,
        /// When.
        at: jiff::Timestamp,
    },
    /// Too many requests.
    #[error("token service {host} asks to slow down: {answer}")]
    RateLimited {
        /// Who said so.
        host: String,
        /// Status and text of the answer.
        answer: String,
        /// The delay that it asked for.
        retry_after: Option<Duration>,
        /// Whether it was asked without a credential.
        anonymous: bool,
    },
    /// The token service answered that it cannot serve.
    #[error("token service {host} is unavailable: {answer}")]
    Unavailable {
        /// Which one.
        host: String,
        /// Status and text of the answer.
        answer: String,
        /// The delay that it asked for.
        retry_after: Option<Duration>,
    },
    /// The token service was not reached.
    #[error("token service {host} was not reached")]
    Unreachable {
        /// Which one.
        host: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// The token service answers nobody; it was not asked.
    #[error("token service {host} does not answer")]
    Silent {
        /// Which one.
        host: String,
        /// Why it was not asked.
        source: Silent,
    },
    /// The token service was reached, but TLS failed.
    #[error("no trustworthy connection to token service {host}")]
    Transport {
        /// Which one.
        host: String,
        /// What happened.
        source: reqwest::Error,
    },
    /// No client can be built for the token service.
    #[error("cannot prepare a connection to token service {host}")]
    Setup {
        /// Which one.
        host: String,
        /// Why.
        source: SetupError,
    },
    /// An answer that is about neither the credential nor the right.
    #[error("token service {host} does not understand the request: {answer}")]
    Unexpected {
        /// Who said so.
        host: String,
        /// Status and text of the answer.
        answer: String,
    },
    /// The token service must not be talked to; nothing was sent.
    #[error("registry {registry} names a token service that must not be used: {realm:?} {reason}")]
    UnsafeRealm {
        /// The registry.
        registry: String,
        /// The URL, without userinfo and query.
        realm: String,
        /// Why not.
        reason: &'static str,
    },
    /// A 401 that does not say what is wanted, and nothing to try.
    #[error("registry {registry} asks for authentication without saying how, and there is no credential")]
    NoChallenge {
        /// The registry.
        registry: String,
    },
    /// The credential holds characters that no header can carry.
    #[error("the credential for {registry} holds characters that cannot be sent")]
    NotSendable {
        /// The registry.
        registry: String,
    },
    /// JSON without a token.
    #[error("token service {host} answered without a token")]
    NoTokenInResponse {
        /// Which one.
        host: String,
    },
    /// Something that is no token response.
    #[error("token service {host} answered {problem}")]
    MalformedTokenResponse {
        /// Which one.
        host: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl TokenError {
    /// The outcome code of §12.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rejected401 { .. } => "Rejected401",
            Self::Denied403 { .. } => "Denied403",
            Self::Expired { .. } => "expired",
            Self::RateLimited { .. } => "RateLimited",
            Self::Unavailable { .. } | Self::Unreachable { .. } | Self::Silent { .. } => "Unavailable",
            Self::Transport { .. } | Self::Setup { .. } => "Transport",
            Self::Unexpected { .. } => "UnexpectedStatus",
            Self::UnsafeRealm { .. } => "UnsafeRealm",
            Self::NoChallenge { .. } => "NoChallenge",
            Self::NotSendable { .. } => "skipped",
            Self::NoTokenInResponse { .. } => "NoTokenInResponse",
            Self::MalformedTokenResponse { .. } => "MalformedTokenResponse",
        }
    }

    /// The outcome in the report of §1.7.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Rejected401 { .. } => Outcome::Rejected,
            Self::Denied403 { .. } => Outcome::Denied,
            Self::Expired { .. } => Outcome::Expired,
            Self::NotSendable { .. } => Outcome::Skipped,
            _ => Outcome::Error,
        }
    }

    /// Whether the token service was not reached, or did not answer in time.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable { source, .. } if is_away(source))
    }

    /// Whether another credential may do better (§1.4); otherwise the fault lies with the host.
    pub fn is_about_the_credential(&self) -> bool {
        self.outcome() != Outcome::Error
    }
}

impl Diagnose for TokenError {
    fn class(&self) -> Class {
        match self {
            Self::RateLimited { .. }
            | Self::Unavailable { .. }
            | Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::NoTokenInResponse { .. }
            | Self::MalformedTokenResponse { .. } => Class::Temporary,
            Self::Rejected401 { .. }
            | Self::Denied403 { .. }
            | Self::Expired { .. }
            | Self::Transport { .. }
            | Self::Setup { .. }
            | Self::Unexpected { .. }
            | Self::UnsafeRealm { .. }
            | Self::NoChallenge { .. }
            | Self::NotSendable { .. } => Class::Misconfigured,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Rejected401 { .. } => "registry_rejected",
            Self::Denied403 { .. } => "registry_denied",
            Self::Expired { .. } => "registry_token_expired",
            Self::RateLimited { .. } => "registry_rate_limited",
            Self::Unavailable { .. } | Self::Unreachable { .. } | Self::Silent { .. } => {
                "registry_unavailable"
            }
            Self::Transport { .. } | Self::Setup { .. } => "registry_transport",
            Self::Unexpected { .. } => "registry_unexpected_status",
            Self::UnsafeRealm { .. } => "registry_unsafe_realm",
            Self::NoChallenge { .. } => "registry_no_challenge",
            Self::NotSendable { .. } => "registry_credential_not_sendable",
            Self::NoTokenInResponse { .. } => "registry_no_token",
            Self::MalformedTokenResponse { .. } => "registry_malformed_token",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Rejected401 { .. } => "renew the user name and password or token in the secret".to_owned(),
            Self::Denied403 { .. } => "give the account the right to this repository".to_owned(),
            Self::Expired { .. } => {
                "a registrytoken is never refreshed: write a new one into the secret".to_owned()
            }
            Self::RateLimited { anonymous: true, .. } => "authenticate to raise the limit".to_owned(),
            Self::Transport { host, .. } => {
                format!(
                    "if {host} has a certificate of your own CA, set `ca-certs` for it in the registry configuration"
                )
            }
            Self::UnsafeRealm { .. } => {
                "correct the realm in the registry's token authentication: https, and no inner address"
                    .to_owned()
            }
            Self::NoChallenge { registry } => {
                format!("attach a secret for {registry} to the service account of the run")
            }
            Self::NotSendable { .. } => {
                "write the token or password into the secret without line breaks".to_owned()
            }
            _ => return None,
        })
    }

    fn host_away(&self) -> Option<&str> {
        match self {
            Self::Unavailable { host, .. } | Self::Unreachable { host, .. } | Self::Silent { host, .. } => {
                Some(host)
            }
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> String {
        "auth.example.com".into()
    }

    fn answer() -> String {
        "418 teapot".into()
    }

    /// One of each variant that can be made without a connection; the other two are in the tests of the exchange.
    fn every_error() -> Vec<TokenError> {
        vec![
            TokenError::Rejected401 { host: host(), answer: answer() },
            TokenError::Denied403 { host: host(), answer: answer() },
            TokenError::Expired { registry: host(), at: jiff::Timestamp::UNIX_EPOCH },
            TokenError::NotSendable { registry: host() },
            TokenError::RateLimited { host: host(), answer: answer(), retry_after: None, anonymous: false },
            TokenError::Unavailable {
                host: host(),
                answer: answer(),
                retry_after: Some(Duration::from_secs(3)),
            },
            TokenError::Unexpected { host: host(), answer: answer() },
            TokenError::UnsafeRealm { registry: host(), realm: "http://x/".into(), reason: "is not https" },
            TokenError::NoChallenge { registry: host() },
            TokenError::NoTokenInResponse { host: host() },
            TokenError::MalformedTokenResponse { host: host(), problem: "with rubbish" },
        ]
    }

    #[test]
    fn the_codes_are_those_of_the_specification() {
        let codes: Vec<&str> = every_error().iter().map(TokenError::code).collect();
        assert_eq!(
            codes,
            [
                "Rejected401",
                "Denied403",
                "expired",
                "skipped",
                "RateLimited",
                "Unavailable",
                "UnexpectedStatus",
                "UnsafeRealm",
                "NoChallenge",
                "NoTokenInResponse",
                "MalformedTokenResponse",
            ]
        );
    }

    #[test]
    fn only_the_first_four_are_about_the_credential() {
        let about: Vec<bool> = every_error().iter().map(TokenError::is_about_the_credential).collect();
        assert_eq!(about, [true, true, true, true, false, false, false, false, false, false, false]);
    }

    #[test]
    fn each_kind_of_failure_has_a_label_of_its_own() {
        let mut labels: Vec<&str> = every_error().iter().map(Diagnose::label).collect();
        assert!(labels.iter().all(|label| label.starts_with("registry_")), "{labels:?}");
        let count = labels.len();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), count);
    }

    #[test]
    fn every_message_names_the_host_and_every_misconfiguration_but_one_has_a_hint() {
        for error in every_error() {
            assert!(error.to_string().contains(&host()), "{error}");
            let unexplained = matches!(error, TokenError::Unexpected { .. });
            let misconfigured = error.class() == Class::Misconfigured;
            assert_eq!(error.hint().is_some(), misconfigured && !unexplained, "{error}");
        }
    }

    #[test]
    fn a_host_is_away_only_when_it_says_so_itself() {
        for error in every_error() {
            let away = matches!(error, TokenError::Unavailable { .. });
            assert_eq!((error.host_away().is_some(), error.retry_after().is_some()), (away, away), "{error}");
        }
    }
}
