//! Who signs when there is no key: the port that yields identity tokens for Fulcio, and why one cannot be had
//! (credentials specification §9.1).
//!
//! # Guarantees
//!
//! - A token is asked for anew for each certificate; nothing here keeps one.
//! - What is there decides which source is used (`provider`); a source that fails is never replaced by another one,
//!   since that would sign in another name.
//! - Errors name the source and the token's issuer, subject, audience and expiry, and never the token.
//!
//! This file does no input or output; the sources in `identity/` do.

pub mod ambient;
pub mod file;
pub mod google;
pub mod job;
pub mod provider;
pub mod request;
pub mod selection;
pub mod spiffe;
pub mod stale;
pub mod token;

use std::path::PathBuf;

use async_trait::async_trait;

use crate::error::{About, Class, Diagnose};
use provider::Provider;
use token::{IdentityToken, TokenError};

/// The audience of every token for Fulcio.
pub const AUDIENCE: &str = "sigstore";

/// Yields identity tokens.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// The name under which `signers.x509.fulcio.provider` selects it.
    fn provider(&self) -> Provider;

    /// A token for `audience`, as it is now. Whoever uses it checks it first ([`IdentityToken::check`]).
    async fn token(&self, audience: &str) -> Result<IdentityToken, Error>;
}

/// Something that went wrong behind a source and explains itself.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no identity token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source answered with something that is no usable token.
    #[error("the identity token of provider {provider} cannot be used: {reason}")]
    Token {
        /// Which source.
        provider: Provider,
        /// What is wrong with it.
        reason: TokenError,
    },
    /// The token's file cannot be read.
    #[error("cannot read the identity token {}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The API server gives no token for a service account.
    #[error("cannot request an identity token for service account {account}: {reason}")]
    Request {
        /// `namespace/name`.
        account: String,
        /// What the API server said.
        reason: String,
        /// Whether it will pass by itself.
        temporary: bool,
    },
    /// Nobody speaks the Workload API where it should be.
    #[error("cannot reach the SPIFFE Workload API at {endpoint}{}", remark.map_or_else(String::new, |r| format!(": {r}")))]
    WorkloadApi {
        /// Where it was looked for.
        endpoint: String,
        /// What the place looks like, when that explains it.
        remark: Option<&'static str>,
        /// What the connection said.
        #[source]
        source: Cause,
    },
    /// The agent knows the workload by no registration entry.
    #[error("the SPIFFE Workload API at {endpoint} has no registration entry for this workload")]
    NotRegistered {
        /// Where it was asked.
        endpoint: String,
    },
    /// The setting of the endpoint is not one.
    #[error("SPIFFE_ENDPOINT_SOCKET {endpoint:?} is no path, unix: or tcp: address: {reason}")]
    Endpoint {
        /// As it was set.
        endpoint: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A variable of the environment cannot be used.
    #[error("provider {provider} cannot be asked: {variable} cannot be used: {reason}")]
    Variable {
        /// Which source.
        provider: Provider,
        /// Its variable.
        variable: &'static str,
        /// What is wrong, without its value.
        reason: &'static str,
    },
    /// The service behind a source gives no token.
    #[error("provider {provider} gives no identity token")]
    Service {
        /// Which source.
        provider: Provider,
        /// What time can do about it.
        class: Class,
        /// What to do.
        hint: Option<String>,
        /// What it said.
        #[source]
        source: Cause,
    },
    /// The configured source is none.
    #[error("signers.x509.fulcio.provider: {0}")]
    Provider(provider::UnknownProvider),
    /// No source at all.
    #[error("no provider of identity tokens is there: {looked}")]
    NoProvider {
        /// Each place that was looked at.
        looked: String,
    },
    /// The configured source has nothing to give here.
    #[error("provider {provider} is configured but not there: {reason}")]
    Absent {
        /// Which source.
        provider: Provider,
        /// What it would need.
        reason: &'static str,
    },
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        match self {
            // The kubelet and the agent renew what has expired, and bring back what is away.
            Self::Token { reason: TokenError::Expired { .. }, .. } | Self::WorkloadApi { .. } => {
                Class::Temporary
            }
            Self::File { source, .. } if source.kind() != std::io::ErrorKind::NotFound => Class::Temporary,
            Self::Request { temporary: true, .. } => Class::Temporary,
            Self::Service { class, .. } => *class,
            _ => Class::Misconfigured,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Token { .. } => "identity_token",
            Self::File { .. } => "identity_file",
            Self::Request { .. } => "identity_request",
            Self::WorkloadApi { .. } | Self::NotRegistered { .. } | Self::Endpoint { .. } => {
                "identity_spiffe"
            }
            Self::Service { .. } => "identity_service",
            Self::Provider(_) | Self::NoProvider { .. } | Self::Absent { .. } | Self::Variable { .. } => {
                "identity_provider"
            }
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Token { provider, reason } => return reason.hint(*provider),
            Self::File { file, .. } => format!(
                "mount a projected service account token with audience {AUDIENCE} at {}",
                file.display()
            ),
            Self::Request { account, temporary: false, .. } => {
                format!("allow create on serviceaccounts/token of {account}")
            }
            Self::NotRegistered { .. } => {
                "create a registration entry whose selectors match this pod (spire-server entry create)".to_owned()
            }
            Self::Endpoint { .. } => {
                "set it to a path such as /run/spire/sockets/agent.sock, or to its directory".to_owned()
            }
            Self::NoProvider { .. } => {
                "mount a projected service account token or the SPIFFE Workload API, or set signers.x509.fulcio.provider"
                    .to_owned()
            }
            Self::Service { hint, .. } => return hint.clone(),
            Self::Provider(_)
            | Self::WorkloadApi { .. }
            | Self::Request { .. }
            | Self::Absent { .. }
            | Self::Variable { .. } => return None,
        })
    }

    fn about(&self) -> Option<About> {
        match self {
            Self::File { file, .. } => Some(About { kind: "file", name: file.display().to_string() }),
            Self::Request { account, .. } => Some(About { kind: "ServiceAccount", name: account.clone() }),
            Self::WorkloadApi { endpoint, .. } => Some(About { kind: "file", name: endpoint.clone() }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_is_a_matter_of_settings_and_one_that_cannot_be_read_now_passes() {
        let error = |kind: std::io::ErrorKind| Error::File { file: "/t".into(), source: kind.into() };
        assert_eq!(error(std::io::ErrorKind::NotFound).class(), Class::Misconfigured);
        assert_eq!(error(std::io::ErrorKind::Interrupted).class(), Class::Temporary);
        assert_eq!(error(std::io::ErrorKind::NotFound).about().unwrap().to_string(), "file /t");
    }

    #[test]
    fn an_agent_that_is_away_passes_and_a_missing_entry_does_not() {
        let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let away = Error::WorkloadApi {
            endpoint: "/s".into(),
            remark: Some("socket replaced on the host: mount its directory"),
            source: source.into(),
        };
        assert_eq!(away.class(), Class::Temporary);
        assert_eq!(
            crate::error::chain(&away),
            "cannot reach the SPIFFE Workload API at /s: socket replaced on the host: mount its directory: connection refused"
        );
        let unknown = Error::NotRegistered { endpoint: "/s".into() };
        assert_eq!(unknown.class(), Class::Misconfigured);
        assert!(unknown.hint().unwrap().contains("registration entry"));
    }

    #[test]
    fn every_error_has_a_label_of_the_closed_set() {
        let errors = [
            Error::NoProvider { looked: String::new() },
            Error::Absent { provider: Provider::Google, reason: "" },
            Error::Endpoint { endpoint: "x".into(), reason: "y" },
            Error::Request { account: "n/a".into(), reason: "forbidden".into(), temporary: false },
        ];
        assert!(errors.iter().all(|error| error.label().starts_with("identity_")));
        assert!(errors.iter().all(|error| error.class() == Class::Misconfigured));
        assert!(errors[3].hint().unwrap().contains("serviceaccounts/token of n/a"));
    }
}
