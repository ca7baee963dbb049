//! Why there is no trust root of a TUF mirror, and what to do about it.

use std::path::PathBuf;

use super::super::TrustedRootError;
use super::Source;
use crate::client::tuf::MirrorAddressError;
use crate::error::{About, Class, Diagnose};
use crate::signature::signing_config::SigningConfigError;

/// Why there is no trust root, though a mirror of one is configured.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The setting is no address.
    #[error(transparent)]
    Address(MirrorAddressError),
    /// The first root cannot be read.
    #[error("cannot read the first root of the TUF mirror, {}", file.display())]
    Root {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The mirror has no root to begin with, and nobody has named one.
    #[error("the TUF mirror {mirror} has neither root.json nor 1.root.json")]
    NoRoot {
        /// Its address.
        mirror: String,
    },
    /// It cannot be reached, or not read.
    #[error("cannot read the trust root from the TUF mirror {mirror}")]
    Away {
        /// Its address.
        mirror: String,
        /// What the connection said.
        #[source]
        source: sigstore_tuf::Error,
    },
    /// It serves what does not hold.
    #[error("the TUF mirror {mirror} serves a trust root that does not hold")]
    Unproven {
        /// Its address.
        mirror: String,
        /// Which check failed.
        #[source]
        source: sigstore_tuf::Error,
    },
    /// It serves something that is no trust root.
    #[error("{target} of the TUF mirror {mirror} is no trust root")]
    Unusable {
        /// What was read.
        target: String,
        /// Its address.
        mirror: String,
        /// What is wrong with it.
        #[source]
        source: Box<TrustedRootError>,
    },
    /// The services that it lists cannot sign.
    #[error("the SigningConfig of the TUF mirror {mirror} cannot be used")]
    Services {
        /// Its address.
        mirror: String,
        /// What is wrong with them.
        #[source]
        source: SigningConfigError,
    },
    /// It has not answered yet.
    #[error("the TUF mirror {mirror} has not answered yet")]
    Silent {
        /// Its address.
        mirror: String,
    },
}

impl MirrorError {
    /// What verification says, told apart from a mirror that is away.
    pub(super) fn tuf(source: &Source, error: sigstore_tuf::Error) -> Self {
        let mirror = source.name().to_owned();
        match error {
            sigstore_tuf::Error::Transport { .. } | sigstore_tuf::Error::Io { .. } => {
                Self::Away { mirror, source: error }
            }
            error => Self::Unproven { mirror, source: error },
        }
    }

    pub(super) fn silent(source: &Source) -> Self {
        Self::Silent { mirror: source.name().to_owned() }
    }
}

impl Diagnose for MirrorError {
    fn class(&self) -> Class {
        match self {
            // What is served is mended by whoever keeps the mirror; nobody has to touch anything here.
            Self::Away { .. } | Self::Silent { .. } | Self::Unproven { .. } => Class::Temporary,
            Self::Address(_)
            | Self::Root { .. }
            | Self::NoRoot { .. }
            | Self::Unusable { .. }
            | Self::Services { .. } => Class::Misconfigured,
        }
    }

    fn label(&self) -> &'static str {
        if matches!(self, Self::Services { .. }) { "signing_config" } else { "trusted_root" }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Address(_) | Self::NoRoot { .. } => {
                "signers.x509.tuf.mirror.url, or spec.remote.mirror of a TrustRoot, must name the folder of a TUF \
                 repository"
                    .to_owned()
            }
            Self::Root { .. } => {
                "signers.x509.tuf.root must name the root.json that trust begins with".to_owned()
            }
            Self::Away { .. } | Self::Silent { .. } => {
                "see that the mirror can be reached; it is asked again by itself".to_owned()
            }
            Self::Unproven { source: sigstore_tuf::Error::Expired { .. }, .. } => {
                "whoever keeps the mirror has to renew it; see that the clock is right".to_owned()
            }
            Self::Unproven { source: sigstore_tuf::Error::TargetNotFound(target), .. }
            | Self::Unusable { target, .. } => format!("the repository needs a target {target}"),
            Self::Services { .. } => {
                "whoever keeps the mirror mends it; or transparency.signing-config names a file, or keys name the services"
                    .to_owned()
            }
            Self::Unproven { .. } => {
                "see that signers.x509.tuf.root, or the root in the TrustRoot, is a root of this mirror and that nobody \
                 has tampered with it"
                    .to_owned()
            }
        })
    }

    fn about(&self) -> Option<About> {
        match self {
            Self::Root { file, .. } => Some(About { kind: "file", name: file.display().to_string() }),
            _ => None,
        }
    }
}
