//! Why Fulcio gave no certificate, and what to do about it (credentials specification §9.4).

use std::time::Duration;

use crate::client::http::SetupError;
use crate::error::{Class, Diagnose};
use crate::identity::token::UnverifiedClaims;
use crate::signature::certificate::CertificateError;
use crate::signature::trusted_root::ChainError;
use crate::signature::verification::Refusal;

/// Why there is no certificate. Holds claims of the token and never the token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The setting is no address of a Fulcio.
    #[error("signers.x509.fulcio.address {address:?} cannot be used: {reason}")]
    Address {
        /// As it was set.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The token would be readable on its way.
    #[error("no identity token is sent to {address} over plain HTTP: it is outside the cluster")]
    PlainHttp {
        /// As it was set.
        address: String,
    },
    /// HTTP cannot be set up.
    #[error("cannot reach Fulcio")]
    Setup(#[source] SetupError),
    /// Nobody answers.
    #[error("cannot reach Fulcio at {host}")]
    Away {
        /// Whom.
        host: String,
        /// The root of its address, by which it is probed.
        origin: String,
        /// What the connection said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answers, but not now.
    #[error("Fulcio at {host} gave no certificate: {answer}")]
    Unavailable {
        /// Who.
        host: String,
        /// What it said.
        answer: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It does not accept the token, and never says why.
    #[error("Fulcio at {host} does not accept the identity token ({claims}): {answer}")]
    TokenRefused {
        /// Who.
        host: String,
        /// What it said.
        answer: String,
        /// Whose token.
        claims: Box<UnverifiedClaims>,
    },
    /// It says itself that it does not know who issued the token, which was therefore not sent.
    #[error(
        "Fulcio at {host} is not configured for the issuer of the identity token ({claims}); configured: {configured}"
    )]
    UnknownIssuer {
        /// Who.
        host: String,
        /// Whose token.
        claims: Box<UnverifiedClaims>,
        /// The issuers that it knows.
        configured: String,
    },
    /// It says itself that it wants another audience.
    #[error("Fulcio at {host} takes tokens of this issuer for audience {audience:?} only ({claims})")]
    OtherAudience {
        /// Who.
        host: String,
        /// Whose token.
        claims: Box<UnverifiedClaims>,
        /// The one that it wants.
        audience: String,
    },
    /// Another server.
    #[error("there is no Fulcio at {address}: {answer}")]
    NoFulcio {
        /// Where.
        address: String,
        /// What is there.
        answer: String,
    },
    /// It answers nothing that has a meaning here.
    #[error("Fulcio at {host} answered {answer}")]
    Unexpected {
        /// Who.
        host: String,
        /// What it said.
        answer: String,
    },
    /// It is not the certificate that was asked for.
    #[error("the certificate from Fulcio at {host} is not used: {reason}")]
    Certificate {
        /// From whom.
        host: String,
        /// What is wrong with it.
        reason: CertificateError,
    },
    /// Nobody who is believed vouches for the certificate.
    #[error("the certificate from Fulcio at {host} is not used: by the trust root, {reason}")]
    Untrusted {
        /// From whom.
        host: String,
        /// What is wrong with it.
        reason: Refusal,
    },
    /// It names authorities that are none.
    #[error("the authorities that Fulcio at {host} names cannot be used")]
    Root {
        /// Who.
        host: String,
        /// What is wrong with them.
        #[source]
        source: ChainError,
    },
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        match self {
            // A certificate of another time means that a clock is wrong; that is mended without us.
            Self::Away { .. }
            | Self::Unavailable { .. }
            | Self::Certificate { reason: CertificateError::NotNow { .. }, .. } => Class::Temporary,
            Self::Unexpected { .. } => Class::Permanent,
            _ => Class::Misconfigured,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Address { .. } | Self::PlainHttp { .. } => "fulcio_address",
            Self::Setup(_) | Self::Away { .. } => "fulcio_unreachable",
            Self::Unavailable { .. } => "fulcio_unavailable",
            Self::TokenRefused { .. } | Self::UnknownIssuer { .. } | Self::OtherAudience { .. } => {
                "fulcio_token_refused"
            }
            Self::NoFulcio { .. } | Self::Unexpected { .. } | Self::Root { .. } => "fulcio_unexpected",
            Self::Certificate { .. } | Self::Untrusted { .. } => "fulcio_certificate",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::PlainHttp { .. } => {
                Some("use https, or set signers.x509.fulcio.allow-http to \"true\"".to_owned())
            }
            Self::Address { .. } | Self::NoFulcio { .. } => {
                Some("set signers.x509.fulcio.address".to_owned())
            }
            Self::TokenRefused { claims, .. } => Some(format!(
                "see that Fulcio's oidc-issuers has {} with this audience as its client-id, and that it can reach that issuer",
                claims
                    .issuer
                    .as_deref()
                    .unwrap_or("the token's issuer")
                    .chars()
                    .take(200)
                    .collect::<String>()
            )),
            Self::UnknownIssuer { claims, .. } if claims.issuer.is_none() => {
                Some("a JWT-SVID names no issuer unless jwt_issuer is set in spire-server: set it".to_owned())
            }
            Self::UnknownIssuer { .. } => Some(
                "add the issuer to Fulcio's oidc-issuers, or choose another signers.x509.fulcio.provider"
                    .to_owned(),
            ),
            Self::OtherAudience { .. } => {
                Some("set client-id: sigstore for that issuer in Fulcio's oidc-issuers".to_owned())
            }
            Self::Untrusted { .. } => Some(
                "see that signers.x509.trusted-root has the authority and the certificate log of this Fulcio"
                    .to_owned(),
            ),
            Self::Certificate { reason: CertificateError::NotNow { .. }, .. } => {
                Some("see that the clocks agree".to_owned())
            }
            _ => None,
        }
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
