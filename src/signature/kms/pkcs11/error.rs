//! Why a PKCS #11 module did not do what it was asked, and what to do about it.

use std::path::PathBuf;

use cryptoki::error::{Error as Module, RvError};

use crate::error::{About, Class, Diagnose};

/// Why there is no signature. Holds no secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot load the PKCS #11 module {}", module.display())]
    Load {
        module: PathBuf,
        #[source]
        source: Module,
    },
    #[error("module {} has no token that fits {key}; it has: {present}", module.display())]
    NoToken { key: String, module: PathBuf, present: String },
    #[error("cannot read {}, which pin-source names", file.display())]
    PinFile {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the token of {key} refuses the PIN")]
    Pin {
        key: String,
        #[source]
        source: Module,
    },
    #[error("the token of {key} refused this PIN before, and is not asked again with it")]
    PinRefused { key: String },
    #[error("the token has no private key {key}, or shows it only with a PIN")]
    NoKey { key: String },
    #[error("{key} fits several keys of the token")]
    Several { key: String },
    #[error("{key} is of kind {kind}, which signs nothing that can be verified")]
    Kind { key: String, kind: String },
    #[error("the module refused to {what} with {key}")]
    Refused {
        key: String,
        what: &'static str,
        #[source]
        source: Module,
    },
    #[error("the module did not answer for {key} within {seconds} s")]
    Hung { key: String, seconds: u64 },
}

impl Error {
    /// Whether other sessions may be taken.
    pub(super) fn is_of_session(&self) -> bool {
        let Self::Refused { source: Module::Pkcs11(code, _), .. } = self else { return false };
        matches!(
            code,
            RvError::SessionHandleInvalid
                | RvError::SessionClosed
                | RvError::UserNotLoggedIn
                | RvError::KeyHandleInvalid
                | RvError::ObjectHandleInvalid
                | RvError::DeviceError
                | RvError::DeviceRemoved
                | RvError::TokenNotPresent
        )
    }
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        match self {
            Self::Hung { .. } | Self::Refused { .. } => Class::Temporary,
            _ => Class::Misconfigured,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Load { .. } => "kms_unreachable",
            Self::PinFile { .. } | Self::Pin { .. } | Self::PinRefused { .. } => "kms_login",
            Self::NoToken { .. } | Self::NoKey { .. } | Self::Several { .. } => "kms_no_key",
            Self::Kind { .. } => "kms_bad_key",
            Self::Refused { .. } | Self::Hung { .. } => "kms_unavailable",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Load { .. } => "see that the file is in the image, and made for its C library",
            Self::NoToken { .. } => "see that token, serial and slot-id name one of them",
            Self::Pin { .. } | Self::PinRefused { .. } => {
                "put the user PIN of the token into the file of pin-source"
            }
            Self::NoKey { .. } => {
                "see that object and id are those of the private key, and that pin-source is set"
            }
            Self::Several { .. } => "name both object and id",
            Self::Kind { .. } => "use a key of P-256, P-384, P-521 or RSA with its public half in the token",
            Self::PinFile { .. } | Self::Refused { .. } | Self::Hung { .. } => return None,
        };
        Some(hint.to_owned())
    }

    fn about(&self) -> Option<About> {
        match self {
            Self::PinFile { file, .. } => Some(About { kind: "file", name: file.display().to_string() }),
            Self::Load { module, .. } => Some(About { kind: "file", name: module.display().to_string() }),
            _ => None,
        }
    }
}
