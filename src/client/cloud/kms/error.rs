//! Why a key management service of a cloud did not do what it was asked, and what to do about it.

use std::time::Duration;

use super::{Asked, Vendor, aws, azure, google};
use crate::client::cloud;
use crate::client::cloud::said::is_throttling;
use crate::client::http::ForbiddenAddress;
use crate::error::{Class, Diagnose};

/// What a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Identity,
    Denied,
    NoKey,
    Disabled,
    Usage,
    Throttled,
    Unavailable,
    Other,
}

/// Why there is no answer. Holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// HTTP cannot be set up.
    #[error("cannot reach the key management service")]
    Setup(#[source] cloud::Error),
    /// The address is none that may be asked.
    #[error("the address of the key management service cannot be used")]
    Address(#[source] ForbiddenAddress),
    /// Nobody answers.
    #[error("cannot reach {asked}")]
    Away {
        /// What was asked.
        asked: Box<Asked>,
        /// What the connection said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answers, but not now.
    #[error("{} cannot {} now: {answer}", .asked.service(), .asked.what())]
    Unavailable {
        /// What was asked.
        asked: Box<Asked>,
        /// Status, code and message.
        answer: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It was asked too often.
    #[error("{} asks for patience to {}: {answer}", .asked.service(), .asked.what())]
    Throttled {
        /// What was asked.
        asked: Box<Asked>,
        /// Status, code and message.
        answer: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It does not know the agent by its keys or token.
    #[error("{} does not know who asks it to {}: {answer}", .asked.service(), .asked.what())]
    Identity {
        /// What was asked.
        asked: Box<Asked>,
        /// Status, code and message.
        answer: String,
    },
    /// The agent may not.
    #[error("{} does not let the agent {}: {answer}", .asked.service(), .asked.what())]
    Denied {
        /// What was asked.
        asked: Box<Asked>,
        /// Status, code and message.
        answer: String,
    },
    /// There is no such key.
    #[error("{} has no key {}: {answer}", .asked.service(), .asked.key)]
    NoKey {
        /// What was asked.
        asked: Box<Asked>,
        /// Status, code and message.
        answer: String,
    },
    /// The key is there and may not be used.
    #[error("{} cannot {}, which is not enabled: {answer}", .asked.service(), .asked.what())]
    Disabled {
        /// What was asked.
        asked: Box<Asked>,
        /// Status, code and message.
        answer: String,
    },
    /// The key is for something else.
    #[error("{} cannot {}, which is made for something else: {answer}", .asked.service(), .asked.what())]
    Usage {
        /// What was asked.
        asked: Box<Asked>,
        /// Status, code and message.
        answer: String,
    },
    /// The key signs nothing that others verify.
    #[error("key {} of {} is of kind {kind}, which signs nothing that can be verified", .asked.key, .asked.service())]
    Kind {
        /// What was asked.
        asked: Box<Asked>,
        /// Its kind.
        kind: String,
    },
    /// It does not want to, for another reason.
    #[error("{} refused to {}: {answer}", .asked.service(), .asked.what())]
    Refused {
        /// What was asked.
        asked: Box<Asked>,
        /// Status, code and message.
        answer: String,
    },
    /// The answer is none.
    #[error("what {} answered when asked to {} has no meaning here", .asked.service(), .asked.what())]
    Malformed {
        /// What was asked.
        asked: Box<Asked>,
    },
}

impl Vendor {
    /// What a refusal means: by the vendor's own words, else by its status.
    pub(super) fn meaning(self, status: u16, said: &str, content: &[u8]) -> Meaning {
        let own = match self {
            Self::Aws => aws::meaning(said),
            Self::Google => google::meaning(said),
            Self::Azure => azure::meaning(status, content),
        };
        own.unwrap_or(match status {
            429 => Meaning::Throttled,
            _ if is_throttling(said) => Meaning::Throttled,
            401 => Meaning::Identity,
            403 => Meaning::Denied,
            404 => Meaning::NoKey,
            408 | 500..=599 => Meaning::Unavailable,
            _ => Meaning::Other,
        })
    }
}

impl Error {
    pub(super) fn of(meaning: Meaning, asked: &Asked, answer: String, retry_after: Option<Duration>) -> Self {
        let asked = Box::new(asked.clone());
        match meaning {
            Meaning::Identity => Self::Identity { asked, answer },
            Meaning::Denied => Self::Denied { asked, answer },
            Meaning::NoKey => Self::NoKey { asked, answer },
            Meaning::Disabled => Self::Disabled { asked, answer },
            Meaning::Usage => Self::Usage { asked, answer },
            Meaning::Throttled => Self::Throttled { asked, answer, retry_after },
            Meaning::Unavailable => Self::Unavailable { asked, answer, retry_after },
            Meaning::Other => Self::Refused { asked, answer },
        }
    }
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        match self {
            Self::Away { .. } | Self::Unavailable { .. } | Self::Throttled { .. } => Class::Temporary,
            // None is for good: somebody can make the key, enable it, and grant the right.
            _ => Class::Misconfigured,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Address(_) => "kms_address",
            Self::Setup(_) | Self::Away { .. } => "kms_unreachable",
            Self::Unavailable { .. } => "kms_unavailable",
            Self::Throttled { .. } => "kms_throttled",
            Self::Identity { .. } => "kms_login",
            Self::Denied { .. } => "kms_denied",
            Self::NoKey { .. } => "kms_no_key",
            Self::Disabled { .. } | Self::Usage { .. } | Self::Kind { .. } => "kms_bad_key",
            Self::Refused { .. } => "kms_refused",
            Self::Malformed { .. } => "kms_malformed",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Identity { asked, .. } => asked.identity(),
            Self::Denied { asked, .. } => asked.permission(),
            Self::NoKey { asked, .. } => asked.making(),
            Self::Disabled { asked, .. } => asked.enabling(),
            Self::Usage { asked, .. } | Self::Kind { asked, .. } => asked.another(),
            Self::Throttled { .. } => "ask for a higher quota of requests, or lower signing.concurrency",
            Self::Malformed { asked } => return Some(format!("see that {} is the service", asked.host)),
            _ => return None,
        };
        Some(hint.to_owned())
    }

    fn host_away(&self) -> Option<&str> {
        if let Self::Away { asked, .. } = self { Some(&asked.origin) } else { None }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } | Self::Throttled { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
