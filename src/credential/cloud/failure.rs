//! Why a cloud identity gave no credential: what is wrong here, or what the cloud said.

use std::path::PathBuf;

use crate::client::cloud;
use crate::credential::{Cloud, Location, Problem, ProblemCode, Source};
use crate::error::{Class, Diagnose, chain};
use crate::identity;

/// Why there is no credential.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nothing in the environment says who the process is, and no metadata service does.
    #[error("no identity for {registry} was found: {looked}")]
    NoIdentity {
        /// The registry.
        registry: String,
        /// Where it was looked for.
        looked: &'static str,
        /// What the metadata service said, or that there is none.
        #[source]
        source: Option<cloud::Error>,
    },
    /// A file that a variable names cannot be read.
    #[error("cannot read {file}, which {variable} names")]
    File {
        /// The variable.
        variable: &'static str,
        /// The file.
        file: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A variable, or the file that it names, cannot be used.
    #[error("{variable} cannot be used: {wrong}")]
    Unusable {
        /// The variable.
        variable: &'static str,
        /// What is wrong, without its value.
        wrong: &'static str,
    },
    /// All steps together take too long.
    #[error("no credential for {registry} within {seconds} s")]
    Patience {
        /// The registry.
        registry: String,
        /// The limit.
        seconds: u64,
    },
    /// There is no token of the service account to show.
    #[error("no token of the service account")]
    Token {
        /// Why.
        #[source]
        source: identity::Error,
    },
    /// The identity is of another cloud than the registry.
    #[error("{registry} is no registry of {cloud:?}")]
    OtherCloud {
        /// The registry.
        registry: String,
        /// The cloud of the identity.
        cloud: Cloud,
    },
    /// The cloud gave none.
    #[error(transparent)]
    Cloud(#[from] cloud::Error),
}

impl Failure {
    /// The word of the report.
    pub(super) fn code(&self) -> ProblemCode {
        match self {
            Self::Cloud(cloud::Error::Denied { .. }) => ProblemCode::CloudDenied,
            Self::Token { source } if source.class() != Class::Temporary => ProblemCode::CloudDenied,
            _ => ProblemCode::CloudUnavailable,
        }
    }

    /// As a problem of a source.
    pub(super) fn problem(&self, source: Source, location: Location) -> Problem {
        Problem { source, location, code: self.code(), detail: self.detail() }
    }

    /// The sentence of the report.
    pub(super) fn detail(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{}; {hint}", chain(self)),
            None => chain(self),
        }
    }
}

impl Diagnose for Failure {
    fn class(&self) -> Class {
        match self {
            Self::Cloud(error) => error.class(),
            Self::Patience { .. } => Class::Temporary,
            Self::Token { source } => source.class(),
            Self::NoIdentity { .. } | Self::File { .. } | Self::Unusable { .. } | Self::OtherCloud { .. } => {
                Class::Misconfigured
            }
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Cloud(error) => error.label(),
            Self::Patience { .. } => "cloud_unreachable",
            Self::Token { source } => source.label(),
            Self::NoIdentity { .. } | Self::File { .. } | Self::Unusable { .. } | Self::OtherCloud { .. } => {
                "cloud_identity"
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Cloud(error) => error.hint(),
            Self::Token { source } => source.hint(),
            Self::NoIdentity { .. } => Some(
                "bind an identity of the cloud to the agent's service account, or give a pull secret"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        if let Self::Cloud(error) = self { error.retry_after() } else { None }
    }
}
