//! What can go wrong with a registry, told so that a person can act on it without reading the source.
//!
//! Texts from the registry are cut and scrubbed before they come here; none of these errors holds a secret.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::artifact::image::Image;
use crate::client::http::{BodyError, ForbiddenAddress, SetupError};
use crate::client::token::TokenError;
use crate::credential::CredentialReport;
use crate::credential::report::Tried;
use crate::error::{About, Class, Diagnose};

/// A failed operation on a registry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP client cannot be built.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A host that nobody's registry is.
    #[error("cannot {action}: {source}")]
    Forbidden {
        /// What was attempted.
        action: String,
        /// The host.
        source: ForbiddenAddress,
    },
    /// No connection, no answer in time, or a 5xx.
    #[error("cannot {action}: {host} does not answer{}", Status(*.status))]
    Unavailable {
        /// What was attempted.
        action: String,
        /// The host that is away.
        host: String,
        /// What it answered, if it did.
        status: Option<StatusCode>,
        /// Why, below HTTP.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// A 429.
    #[error("cannot {action}: {host} asks to slow down")]
    Throttled {
        /// What was attempted.
        action: String,
        /// Who said so.
        host: String,
        /// For how long.
        after: Option<Duration>,
    },
    /// A connection whose other end cannot be trusted.
    #[error("cannot {action}: no trusted TLS connection to {host}")]
    Tls {
        /// What was attempted.
        action: String,
        /// The registry.
        host: String,
        /// What the TLS library says.
        #[source]
        source: reqwest::Error,
    },
    /// Every credential was refused, or there was none.
    #[error("cannot {action}: {}", Tried(.report))]
    Denied {
        /// What was attempted.
        action: String,
        /// Every candidate with its outcome.
        report: Box<CredentialReport>,
    },
    /// The token service of the registry does not answer.
    #[error("cannot {action}: {source}")]
    Token {
        /// What was attempted.
        action: String,
        /// What happened there.
        source: TokenError,
    },
    /// The credentials could not be read at all.
    #[error("cannot {action}: {source}")]
    Keychain {
        /// What was attempted.
        action: String,
        /// Why they could not be read.
        source: Arc<dyn Diagnose + Send + Sync>,
    },
    /// The image is in no registry, or hidden from every credential.
    #[error("image {image} does not exist in its registry, or no credential may see it")]
    NoImage {
        /// The image.
        image: Image,
    },
    /// A tag that points to nothing.
    #[error("{reference} does not exist in its registry, or no credential may see it")]
    Absent {
        /// The name of the image.
        reference: String,
    },
    /// Any other 4xx.
    #[error("cannot {action}: {host} answered {status}{}", Details(.code, .message))]
    Refused {
        /// What was attempted.
        action: String,
        /// Who refused.
        host: String,
        /// The HTTP status.
        status: StatusCode,
        /// The registry's error code, or empty.
        code: String,
        /// The registry's message, cut and scrubbed.
        message: String,
    },
    /// An answer that is no answer.
    #[error("cannot {action}: {host} sent an answer that cannot be used: {reason}")]
    Malformed {
        /// What was attempted.
        action: String,
        /// Who sent it.
        host: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An answer that does not end.
    #[error("cannot {action}: {source}")]
    Body {
        /// What was attempted.
        action: String,
        /// The host.
        host: String,
        /// What happened.
        source: BodyError,
    },
}

/// The key to set; only the catch-all table can name a host with a port or an address.
fn tls_hint(host: &str) -> String {
    let named = !host.contains([':', '[']) && host.parse::<std::net::IpAddr>().is_err();
    let table = if named { format!("{host}.") } else { ".".to_owned() };
    format!(
        "set registries.{table:?}.ca-certs in the registry configuration file to the CA of {host}, \
         or insecure-skip-verify if it has none"
    )
}

/// Registries have no common word for it: Amazon's answers 400 `TAG_INVALID`, Harbor 412, Azure's 405, others 409.
fn may_be_immutable(status: StatusCode, code: &str, message: &str) -> bool {
    const SAID: [StatusCode; 3] =
        [StatusCode::METHOD_NOT_ALLOWED, StatusCode::CONFLICT, StatusCode::PRECONDITION_FAILED];
    SAID.contains(&status) || code == "TAG_INVALID" || message.to_lowercase().contains("immutab")
}

struct Status(Option<StatusCode>);

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |status| write!(f, " ({status})"))
    }
}

struct Details<'a>(&'a str, &'a str);

impl fmt::Display for Details<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for text in [self.0, self.1].into_iter().filter(|text| !text.is_empty()) {
            write!(f, ", {text}")?;
        }
        Ok(())
    }
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        match self {
            Self::Unavailable { .. }
            | Self::Throttled { .. }
            | Self::Body { source: BodyError::Broken(_), .. } => Class::Temporary,
            Self::NoImage { .. } | Self::Absent { .. } => Class::Absent,
            Self::Forbidden { .. } => Class::Permanent,
            Self::Keychain { source, .. } => source.class(),
            Self::Token { source, .. } => source.class(),
            Self::Setup(_)
            | Self::Tls { .. }
            | Self::Denied { .. }
            | Self::Refused { .. }
            | Self::Malformed { .. }
            | Self::Body { .. } => Class::Misconfigured,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "registry_away",
            Self::Throttled { .. } => "registry_throttled",
            Self::Setup(_) | Self::Tls { .. } => "registry_tls",
            Self::Forbidden { .. } => "registry_forbidden",
            Self::Denied { .. } => "registry_denied",
            Self::Keychain { source, .. } => source.label(),
            Self::Token { source, .. } => source.label(),
            Self::NoImage { .. } | Self::Absent { .. } => "image_not_found",
            Self::Refused { .. } => "registry_refused",
            Self::Malformed { .. } | Self::Body { .. } => "registry_answer",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Denied { report, .. } => Some(report.hint()),
            Self::Tls { host, .. } => Some(tls_hint(host)),
            Self::Forbidden { .. } => Some(
                "no registry is at a link-local or metadata address: correct the name of the image"
                    .to_owned(),
            ),
            Self::NoImage { .. } => Some(
                "check that the task pushed it and that its results name the digest that was pushed"
                    .to_owned(),
            ),
            Self::Keychain { source, .. } => source.hint(),
            Self::Token { source, .. } => source.hint(),
            Self::Refused { status, code, message, .. } if may_be_immutable(*status, code, message) => {
                Some("the registry may keep tags immutable: exempt tags that begin with sha256-".to_owned())
            }
            _ => None,
        }
    }

    fn about(&self) -> Option<About> {
        match self {
            Self::Denied { report, .. } => report.about(),
            Self::Keychain { source, .. } => source.about(),
            _ => None,
        }
    }

    fn host_away(&self) -> Option<&str> {
        match self {
            Self::Unavailable { host, .. } | Self::Body { host, source: BodyError::Broken(_), .. } => {
                Some(host)
            }
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { after, .. } => *after,
            Self::Token { source, .. } => source.retry_after(),
            _ => None,
        }
    }
}
