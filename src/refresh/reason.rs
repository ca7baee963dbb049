//! The words by which the state of a Secret is told: in its status, in Events and in metrics (credentials
//! specification §6.7, §12). A closed set.

use std::fmt;

/// How a Secret stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Its token is good.
    Ready,
    /// The service refuses the identity token.
    ExchangeDenied,
    /// The service knows no such identity.
    IdentityNotFound,
    /// The service was asked too often.
    ExchangeThrottled,
    /// The service is away.
    ExchangeUnavailable,
    /// The service answers with nothing that can be used.
    ExchangeInvalid,
    /// There is no identity token to exchange.
    SubjectTokenUnavailable,
    /// The API server does not let us write the Secret.
    UpdateForbidden,
    /// The API server does not answer.
    ApiUnavailable,
    /// Its type is not that of docker configs, and types never change.
    WrongType,
    /// It must not be changed.
    Immutable,
    /// It holds something that is no docker config.
    MalformedExisting,
    /// An annotation cannot be meant.
    InvalidAnnotation,
    /// It names a provider that there is not.
    UnknownProvider,
    /// Its token has ended while no other could be had.
    Expired,
    /// Its token is written where the kubelet does not look.
    KubeletIncompatible,
}

impl Reason {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::ExchangeDenied => "ExchangeDenied",
            Self::IdentityNotFound => "IdentityNotFound",
            Self::ExchangeThrottled => "ExchangeThrottled",
            Self::ExchangeUnavailable => "ExchangeUnavailable",
            Self::ExchangeInvalid => "ExchangeInvalid",
            Self::SubjectTokenUnavailable => "SubjectTokenUnavailable",
            Self::UpdateForbidden => "UpdateForbidden",
            Self::ApiUnavailable => "ApiUnavailable",
            Self::WrongType => "WrongType",
            Self::Immutable => "Immutable",
            Self::MalformedExisting => "MalformedExisting",
            Self::InvalidAnnotation => "InvalidAnnotation",
            Self::UnknownProvider => "UnknownProvider",
            Self::Expired => "Expired",
            Self::KubeletIncompatible => "KubeletIncompatible",
        }
    }

    /// Whether another identity token may mend it at once.
    pub fn waits_for_token(self) -> bool {
        matches!(self, Self::ExchangeDenied | Self::SubjectTokenUnavailable)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
