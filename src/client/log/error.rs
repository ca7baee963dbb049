//! Why a signature was not recorded, and what to do about it.

use std::fmt;
use std::time::Duration;

use crate::client::http::SetupError;
use crate::error::{Class, Diagnose};
use crate::signature::public_key::Algorithm;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Which kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A transparency log.
    Rekor,
    /// A timestamp authority.
    Timestamp,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rekor => "Rekor",
            Self::Timestamp => "the timestamp authority",
        })
    }
}

impl Kind {
    /// The key of the configuration that names it.
    fn setting(self) -> &'static str {
        match self {
            Self::Rekor => "transparency.url",
            Self::Timestamp => "timestamp.url",
        }
    }
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The setting is no address.
    #[error("{} cannot be used: {reason}", .kind.setting())]
    Address {
        /// Whose.
        kind: Kind,
        /// What is wrong with it; the address itself may hold a password.
        reason: &'static str,
    },
    /// HTTP cannot be set up.
    #[error("cannot reach {kind}")]
    Setup {
        /// Whom.
        kind: Kind,
        /// Why.
        #[source]
        source: SetupError,
    },
    /// No request can be made that an answer could be told by.
    #[error("cannot ask for a timestamp: the system yields no randomness")]
    Randomness,
    /// Nobody answers.
    #[error("cannot reach {server}")]
    Away {
        /// Whom.
        server: String,
        /// The root of its address, by which it is probed.
        origin: String,
        /// What the connection said.
        #[source]
        source: Cause,
    },
    /// It answers, but not now.
    #[error("{server} did not record the signature: {answer}")]
    Unavailable {
        /// Who.
        server: String,
        /// What it said.
        answer: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It takes no such signature.
    #[error("{server} does not take the signature: {answer}")]
    Refused {
        /// Who.
        server: String,
        /// What it said.
        answer: String,
    },
    /// No log of its kind takes signatures by such keys.
    #[error("{server} takes no signatures by a key of type {algorithm}")]
    Algorithm {
        /// Who.
        server: String,
        /// The key's.
        algorithm: Algorithm,
    },
    /// A log of version 2 has this very signature already, and gives its proof once.
    #[error("{server} has this very signature already, and does not give its proof again")]
    Duplicate {
        /// Who.
        server: String,
    },
    /// Another server, or another version of it.
    #[error("there is no log at {address}: {server} answered {answer}")]
    Nobody {
        /// Who.
        server: String,
        /// Where.
        address: String,
        /// What is there.
        answer: String,
    },
    /// It answers nothing that has a meaning here.
    #[error("{server} answered {answer}")]
    Unexpected {
        /// Who.
        server: String,
        /// What it said.
        answer: String,
    },
    /// What it gave proves nothing.
    #[error("{server} gave a proof that does not hold")]
    Unproven {
        /// Who.
        server: String,
        /// What is wrong with it.
        #[source]
        reason: Cause,
    },
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        match self {
            // A log forgets after a while which signatures it has; and a new one by an elliptic curve is another.
            Self::Duplicate { .. } | Self::Away { .. } | Self::Unavailable { .. } | Self::Randomness => {
                Class::Temporary
            }
            // None is for good: what stands in front of a log answers strangely for a while, too.
            _ => Class::Misconfigured,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Address { .. } | Self::Nobody { .. } => "log_address",
            Self::Setup { .. } | Self::Away { .. } | Self::Randomness => "log_unreachable",
            Self::Unavailable { .. } => "log_unavailable",
            Self::Duplicate { .. } => "log_duplicate",
            Self::Refused { .. } | Self::Algorithm { .. } => "log_refused",
            Self::Unexpected { .. } => "log_unexpected",
            Self::Unproven { .. } => "log_unproven",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Address { kind, .. } => return Some(format!("set {}", kind.setting())),
            Self::Nobody { .. } => {
                "see that the address is that of a log, and of the version that is configured"
            }
            Self::Algorithm { .. } => {
                "sign with a key of type ECDSA P-256 or RSA (2048, 3072 or 4096 bits), or use a Rekor of version 1"
            }
            Self::Duplicate { .. } => {
                "signatures by RSA keys are the same each time; sign with a key of type ECDSA P-256"
            }
            Self::Unproven { .. } => {
                "see that the trust root (signers.x509.trusted-root) is that of this server, and that the clocks agree"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    fn host_away(&self) -> Option<&str> {
        match self {
            Self::Away { origin, .. } => Some(origin),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
