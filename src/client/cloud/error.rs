//! Why a cloud gave nothing, and what to do about it (credentials specification §1.6).

use std::time::Duration;

use super::Attempt;
use crate::client::http::SetupError;
use crate::error::{Class, Diagnose};

/// Why a cloud gave nothing. Holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// HTTP cannot be set up.
    #[error("cannot reach the cloud")]
    Setup(#[source] SetupError),
    /// Nobody answers, or not in time.
    #[error("cannot reach {} at {} for {}", attempt.service, attempt.host, attempt.what)]
    Away {
        /// What was asked.
        attempt: Box<Attempt>,
        /// What the connection said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answers, but not now.
    #[error("{} at {} is not able to do {} now: {answer}", attempt.service, attempt.host, attempt.what)]
    Unavailable {
        /// What was asked.
        attempt: Box<Attempt>,
        /// Status, code and message.
        answer: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It was asked too often.
    #[error("{} at {} asks for patience with {}: {answer}", attempt.service, attempt.host, attempt.what)]
    Throttled {
        /// What was asked.
        attempt: Box<Attempt>,
        /// Status, code and message.
        answer: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It does not want to.
    #[error("{} at {} refused {}: {answer}", attempt.service, attempt.host, attempt.what)]
    Denied {
        /// What was asked.
        attempt: Box<Attempt>,
        /// Status, code and message.
        answer: String,
    },
    /// The answer is none.
    #[error("the answer of {} at {} to {} has no credential", attempt.service, attempt.host, attempt.what)]
    Malformed {
        /// What was asked.
        attempt: Box<Attempt>,
    },
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        match self {
            Self::Away { .. } | Self::Unavailable { .. } | Self::Throttled { .. } => Class::Temporary,
            Self::Setup(_) | Self::Denied { .. } | Self::Malformed { .. } => Class::Misconfigured,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Setup(_) | Self::Away { .. } => "cloud_unreachable",
            Self::Unavailable { .. } => "cloud_unavailable",
            Self::Throttled { .. } => "cloud_throttled",
            Self::Denied { .. } => "cloud_denied",
            Self::Malformed { .. } => "cloud_malformed",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Denied { attempt, .. } => Some(attempt.remedy.to_owned()),
            Self::Malformed { attempt } => {
                Some(format!("see that {} is the address of {}", attempt.host, attempt.service))
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
