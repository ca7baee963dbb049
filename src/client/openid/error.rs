//! Why nobody is logged in, and what to do about it.

use url::Url;

use super::granted::Problem;
use crate::client::http::SetupError;
use crate::error::{Class, Diagnose};

/// Why there are no tokens. Holds none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// HTTP cannot be set up.
    #[error("cannot reach the provider of logins")]
    Setup(#[source] SetupError),
    /// No secret goes there.
    #[error("{address:?} cannot be used for a login: {why}")]
    Address {
        /// Where.
        address: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nobody answers, or not in time.
    #[error("cannot reach {host} to log in")]
    Away {
        /// Whom.
        host: String,
        /// What the connection said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answers, but not now.
    #[error("{host} cannot log anybody in now: {answer}")]
    Unavailable {
        /// Who.
        host: String,
        /// What it said.
        answer: String,
    },
    /// Its answer means nothing here.
    #[error("{host} does not answer as an OpenID Connect provider")]
    Unexpected {
        /// Who.
        host: String,
    },
    /// Somebody else's discovery document.
    #[error("{asked} says that it is issuer {told:?}")]
    OtherIssuer {
        /// Who was asked.
        asked: String,
        /// Who answered.
        told: String,
    },
    /// It says no.
    #[error("{host} refused the login: {answer}")]
    Refused {
        /// Who.
        host: String,
        /// The word of the protocol for it.
        code: String,
        /// What it said.
        answer: String,
    },
    /// It knows no device flow.
    #[error("{issuer} has no login without a browser")]
    NoDevice {
        /// Who.
        issuer: String,
    },
    /// The token is not one to be used.
    #[error("the identity token of {issuer} is not used: {problem}")]
    Token {
        /// Who.
        issuer: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The system gives no random numbers.
    #[error("no random numbers are to be had")]
    NoRandom,
}

impl Error {
    pub(super) fn away(address: &Url, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Away { host: host(address), source: Box::new(source) }
    }

    pub(super) fn of_status(address: &Url, status: http::StatusCode, answer: &str) -> Self {
        let host = host(address);
        if status.is_server_error() || status == http::StatusCode::TOO_MANY_REQUESTS {
            let answer = format!("{} {answer}", status.as_u16());
            return Self::Unavailable { host, answer };
        }
        Self::Unexpected { host }
    }

    /// Whether a refresh token has come to its end, so that a person has to log in again.
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "invalid_grant" || code == "invalid_request")
    }
}

pub(super) fn host(address: &Url) -> String {
    let name = address.host_str().unwrap_or_default();
    address.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        match self {
            Self::Away { .. } | Self::Unavailable { .. } => Class::Temporary,
            _ => Class::Misconfigured,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Setup(_) | Self::Away { .. } | Self::Unavailable { .. } => "login_unreachable",
            Self::Refused { .. } => "login_refused",
            _ => "login_invalid",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Refused { code, .. } if code == "invalid_client" || code == "unauthorized_client" => {
                "see that --client-id is a public client of this issuer".to_owned()
            }
            Self::Refused { code, .. } if code == "expired_token" => "log in again, and sooner".to_owned(),
            Self::NoDevice { .. } => "log in where there is a browser, without --headless".to_owned(),
            Self::OtherIssuer { told, .. } => format!("give --issuer {told:?}, if that is who you mean"),
            Self::Unexpected { .. } => "see that --issuer is an OpenID Connect issuer".to_owned(),
            Self::Token { problem: Problem::Ended, .. } => "see that the clocks agree".to_owned(),
            _ => return None,
        })
    }
}
