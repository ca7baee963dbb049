//! Why Vault or `OpenBao` did not do what it was asked, and what to do about it.

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use super::KeyName;
use crate::client::http::SetupError;
use crate::error::{Class, Diagnose};

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A token for a JWT.
    Login {
        /// Where the method is mounted.
        path: String,
        /// In which role.
        role: String,
    },
    /// A longer life for the token.
    Renew,
    /// How long the token lives.
    LookUp,
    /// The public half of a key.
    Read(KeyName),
    /// A signature.
    Sign(KeyName),
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Login { path, role } => write!(f, "log in at auth/{path} in role {role}"),
            Self::Renew => f.write_str("renew its token"),
            Self::LookUp => f.write_str("look up its token"),
            Self::Read(KeyName { mount, name }) => write!(f, "read key {name} of {mount}"),
            Self::Sign(KeyName { mount, name }) => write!(f, "sign with key {name} of {mount}"),
        }
    }
}

/// Why there is no answer. Holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The setting is no address; it may hold a password, so it is not repeated.
    #[error("the address of Vault cannot be used: {reason}")]
    Address {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// HTTP cannot be set up.
    #[error("cannot reach Vault")]
    Setup(#[source] SetupError),
    /// Nobody answers.
    #[error("cannot reach Vault at {server}")]
    Away {
        /// Where.
        server: String,
        /// The same as runs wait for it.
        origin: String,
        /// What the connection said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It has been started and not been unsealed.
    #[error("Vault at {server} is sealed")]
    Sealed {
        /// Where.
        server: String,
    },
    /// It answers, but not now.
    #[error("Vault at {server} cannot {operation} now: {answer}")]
    Unavailable {
        /// Where.
        server: String,
        /// What was asked.
        operation: Operation,
        /// What it said.
        answer: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It was asked too often.
    #[error("Vault at {server} asks for patience to {operation}: {answer}")]
    Throttled {
        /// Where.
        server: String,
        /// What was asked.
        operation: Operation,
        /// What it said.
        answer: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The token may not, or is none any more.
    #[error("Vault at {server} does not let this token {operation}: {answer}")]
    Denied {
        /// Where.
        server: String,
        /// What was asked.
        operation: Operation,
        /// What it said.
        answer: String,
    },
    /// It gives no token for this JWT.
    #[error("Vault at {server} does not let the agent {operation}: {answer}")]
    Login {
        /// Where.
        server: String,
        /// What was asked.
        operation: Operation,
        /// What it said.
        answer: String,
    },
    /// There is no such key.
    #[error("Vault at {server} has no key {} in {}", .key.name, .key.mount)]
    NoKey {
        /// Where.
        server: String,
        /// Which.
        key: KeyName,
    },
    /// Nothing is mounted there.
    #[error("Vault at {server} cannot {operation}: {answer}")]
    NoMount {
        /// Where.
        server: String,
        /// What was asked.
        operation: Operation,
        /// What it said.
        answer: String,
    },
    /// The key signs nothing that others verify.
    #[error("key {key} of Vault at {server} is of type {kind}, which signs nothing that can be verified")]
    Kind {
        /// Where.
        server: String,
        /// Which.
        key: String,
        /// Its kind.
        kind: String,
    },
    /// It does not want to, for another reason.
    #[error("Vault at {server} refused to {operation}: {answer}")]
    Refused {
        /// Where.
        server: String,
        /// What was asked.
        operation: Operation,
        /// What it said.
        answer: String,
    },
    /// The answer is none.
    #[error("what Vault at {server} answered when asked to {operation} has no meaning here")]
    Malformed {
        /// Where.
        server: String,
        /// What was asked.
        operation: Operation,
    },
}

/// What a status means.
pub(super) fn of(
    status: StatusCode,
    said: &str,
    retry_after: Option<Duration>,
    server: String,
    operation: &Operation,
) -> Error {
    let answer = format!("{} {said}", status.as_u16()).trim_end().to_owned();
    let operation = operation.clone();
    let is_of_login = matches!(operation, Operation::Login { .. });
    match (status.as_u16(), operation) {
        (503, _) if said.contains("sealed") => Error::Sealed { server },
        (429, operation) => Error::Throttled { server, operation, answer, retry_after },
        // A standby without a leader, a cluster that fails over.
        (408 | 412 | 472 | 473 | 500..=599, operation) => {
            Error::Unavailable { server, operation, answer, retry_after }
        }
        (404, operation) if said.contains("no handler for route") => {
            Error::NoMount { server, operation, answer }
        }
        (404, Operation::Read(key) | Operation::Sign(key)) => Error::NoKey { server, key },
        (400, Operation::Sign(key)) if said.contains("key not found") => Error::NoKey { server, key },
        (400..=403, operation) if is_of_login => Error::Login { server, operation, answer },
        (401 | 403, operation) => Error::Denied { server, operation, answer },
        (_, operation) => Error::Refused { server, operation, answer },
    }
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        match self {
            Self::Away { .. } | Self::Sealed { .. } | Self::Unavailable { .. } | Self::Throttled { .. } => {
                Class::Temporary
            }
            // None is for good: somebody can create the key and write the policy.
            _ => Class::Misconfigured,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Address { .. } => "kms_address",
            Self::Setup(_) | Self::Away { .. } => "kms_unreachable",
            Self::Sealed { .. } | Self::Unavailable { .. } => "kms_unavailable",
            Self::Throttled { .. } => "kms_throttled",
            Self::Denied { .. } => "kms_denied",
            Self::Login { .. } => "kms_login",
            Self::NoKey { .. } | Self::NoMount { .. } => "kms_no_key",
            Self::Kind { .. } => "kms_bad_key",
            Self::Refused { .. } => "kms_refused",
            Self::Malformed { .. } => "kms_malformed",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Address { .. } => "set signers.kms.auth.address, or the variable VAULT_ADDR".to_owned(),
            Self::Sealed { .. } => "unseal it: vault operator unseal".to_owned(),
            Self::Throttled { .. } => {
                "raise its rate limit quota (vault read sys/quotas/config), or lower signing.concurrency".to_owned()
            }
            Self::Denied { operation: Operation::Read(key) | Operation::Sign(key), .. } => {
                let KeyName { mount, name } = key;
                format!(
                    "see that the token has not expired, and that its policy allows \"read\" on {mount}/keys/{name} and \
                     \"update\" on {mount}/sign/{name}/*"
                )
            }
            Self::Denied { .. } => "see that the token has not expired or been revoked".to_owned(),
            Self::Login { operation: Operation::Login { path, role }, .. } => format!(
                "see that auth/{path}/role/{role} exists and is bound to the agent's service account and audience, and \
                 that signers.kms.auth.oidc.path and .role name it"
            ),
            Self::NoKey { key: KeyName { mount, name }, .. } => {
                format!("create it: vault write -f {mount}/keys/{name} type=ecdsa-p256")
            }
            Self::NoMount { operation: Operation::Login { path, .. }, .. } => {
                format!("enable it: vault auth enable -path={path} jwt; or set signers.kms.auth.oidc.path")
            }
            Self::NoMount { .. } => {
                "enable it: vault secrets enable transit; or set TRANSIT_SECRET_ENGINE_PATH to where it is mounted"
                    .to_owned()
            }
            Self::Kind { .. } => {
                "use a key of type ecdsa-p256, ecdsa-p384, ecdsa-p521, ed25519, rsa-2048, rsa-3072 or rsa-4096"
                    .to_owned()
            }
            Self::Malformed { server, .. } => format!("see that {server} is the address of Vault or OpenBao"),
            _ => return None,
        })
    }

    fn host_away(&self) -> Option<&str> {
        if let Self::Away { origin, .. } = self { Some(origin) } else { None }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } | Self::Throttled { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
