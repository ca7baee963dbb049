//! Why an exchange gave no registry token, and what to do about it (credentials specification §6.7).

use std::time::Duration;

use super::granted::Problem;
use crate::client::http::SetupError;
use crate::error::{Class, Diagnose};
use crate::identity::token::UnverifiedClaims;

/// Why there is no registry token. Holds claims of the identity token and neither token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// HTTP cannot be set up.
    #[error("cannot reach the token service")]
    Setup(#[source] SetupError),
    /// Nobody answers, or not in time.
    #[error("cannot reach the token service at {host}")]
    Away {
        /// Whom.
        host: String,
        /// What the connection said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answers, but not now.
    #[error("the token service at {host} gave no token: {answer}")]
    Unavailable {
        /// Who.
        host: String,
        /// What it said.
        answer: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It was asked too often.
    #[error("the token service at {host} asks for patience: {answer}")]
    Throttled {
        /// Who.
        host: String,
        /// What it said.
        answer: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It does not accept the identity token for this identity.
    #[error("the token service at {host} denied the exchange of the identity token ({claims}): {answer}")]
    Denied {
        /// Who.
        host: String,
        /// What it said.
        answer: String,
        /// Whose token.
        claims: Box<UnverifiedClaims>,
    },
    /// It knows no such identity.
    #[error("the token service at {host} knows no identity {identity:?}: {answer}")]
    IdentityNotFound {
        /// Who.
        host: String,
        /// What it said.
        answer: String,
        /// The identity that was asked for.
        identity: String,
    },
    /// A cloud has several services, and is not asked here.
    #[error("provider {provider} is one of a cloud, which cannot be used here")]
    OfCloud {
        /// Its name.
        provider: String,
    },
    /// Its API is closed to us.
    #[error("{host} does not allow it: {answer}")]
    NotAllowed {
        /// Who.
        host: String,
        /// What it said.
        answer: String,
    },
    /// It answers nothing that has a meaning here.
    #[error("the token service at {host} answered {answer}")]
    Unexpected {
        /// Who.
        host: String,
        /// What it said.
        answer: String,
    },
    /// The token is not one to be used.
    #[error("the answer of the token service at {host} is not used: {problem}")]
    Invalid {
        /// Who.
        host: String,
        /// What is wrong with it.
        problem: Problem,
    },
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        match self {
            Self::Away { .. } | Self::Unavailable { .. } | Self::Throttled { .. } => Class::Temporary,
            _ => Class::Misconfigured,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Setup(_) | Self::Away { .. } => "exchange_unreachable",
            Self::Unavailable { .. } => "exchange_unavailable",
            Self::Throttled { .. } => "exchange_throttled",
            Self::Denied { .. } | Self::NotAllowed { .. } => "exchange_denied",
            Self::IdentityNotFound { .. } => "exchange_identity",
            Self::OfCloud { .. } => "exchange_kind",
            Self::Unexpected { .. } | Self::Invalid { .. } => "exchange_invalid",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Denied { .. } => {
                Some("see that the identity is registered for this issuer, subject and audience".to_owned())
            }
            Self::NotAllowed { .. } => Some("see that the identity has a role which allows this".to_owned()),
            Self::IdentityNotFound { .. } => {
                Some("see that the identity exists; it is given by its UID".to_owned())
            }
            Self::Invalid { problem, .. } => problem.hint().map(str::to_owned),
            Self::OfCloud { .. } => Some(
                "providers of kinds ecr, gcp and acr serve pull secrets and runs; for a person's tools use the \
                 credential helper of the cloud"
                    .to_owned(),
            ),
            Self::Unexpected { .. } => {
                Some("see that the address of the provider is a token service".to_owned())
            }
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } | Self::Throttled { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
