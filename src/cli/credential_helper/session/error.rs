//! Why there is no token for a person's tool, and what to do about it.

use std::path::{Path, PathBuf};

use crate::client::{exchange, openid};
use crate::error::{Class, Diagnose};
use crate::identity;
use crate::identity::provider::UnknownProvider;
use crate::refresh::sources::SourceError;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum SessionError {
    /// Nowhere to keep anything.
    #[error("neither HOME nor XDG_CONFIG_HOME and XDG_CACHE_HOME are set")]
    Homeless,
    /// A file cannot be used.
    #[error("cannot use {}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file of ours that is not as we write it.
    #[error("{} cannot be read as JSON", file.display())]
    Malformed {
        /// Which.
        file: PathBuf,
    },
    /// The providers.
    #[error(transparent)]
    Providers(#[from] SourceError),
    /// The identity token.
    #[error("no identity token for {audience}")]
    Identity {
        /// Whom it would be for.
        audience: String,
        /// Why.
        #[source]
        source: identity::Error,
    },
    /// The token service.
    #[error(transparent)]
    Exchange(#[from] exchange::Error),
    /// A source of identity tokens that nobody knows.
    #[error("--identity-provider: {0}")]
    IdentityProvider(#[from] UnknownProvider),
    /// Nobody is logged in.
    #[error("nobody is logged in at {issuer}")]
    NotLoggedIn {
        /// Where.
        issuer: String,
    },
    /// A login that was there once.
    #[error("the login at {issuer} has ended")]
    LoginEnded {
        /// Where.
        issuer: String,
        /// What the issuer said, if it was asked.
        #[source]
        source: Option<openid::Error>,
    },
    /// The provider of logins.
    #[error(transparent)]
    Login(#[from] openid::Error),
}

pub(in crate::cli) fn file_error(file: &Path) -> impl Fn(std::io::Error) -> SessionError + use<> {
    let file = file.to_owned();
    move |source| SessionError::File { file: file.clone(), source }
}

impl Diagnose for SessionError {
    fn class(&self) -> Class {
        match self {
            Self::Identity { source, .. } => source.class(),
            Self::Exchange(error) => error.class(),
            Self::Login(error) => error.class(),
            _ => Class::Misconfigured,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Identity { source, .. } => source.label(),
            Self::Exchange(exchange::Error::Denied { .. } | exchange::Error::NotAllowed { .. }) => {
                "registry_denied"
            }
            Self::Exchange(error) => error.label(),
            Self::Login(error) => error.label(),
            Self::NotLoggedIn { .. } | Self::LoginEnded { .. } => "login_ended",
            _ => "settings",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Identity { audience, .. } => Some(format!(
                "give a token for audience {audience}: a file by HALLMARK_IDENTITY_TOKEN or --identity-token, or \
                 SIGSTORE_ID_TOKEN"
            )),
            Self::Exchange(error) => error.hint(),
            Self::Login(error) => error.hint(),
            Self::NotLoggedIn { .. } | Self::LoginEnded { .. } => {
                Some("log in: hallmark auth login, or with --headless where there is no browser".to_owned())
            }
            _ => None,
        }
    }
}
