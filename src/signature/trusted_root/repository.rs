//! A TUF repository whose first root somebody has given: what a `TrustRoot` of policies names in place of keys. Pure; the
//! repository is followed by [`super::mirror`].

use std::sync::Arc;

use super::archive::Archive;

/// The target that is the trust root, unless somebody says otherwise.
pub const TARGET: &str = "trusted_root.json";

/// Where the targets are, unless somebody says otherwise.
pub const TARGETS: &str = "targets";

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// The root that trust begins with.
    pub root: Vec<u8>,
    /// The target that is the trust root.
    pub target: String,
    /// Where it is.
    pub place: Place,
}

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Served over HTTP.
    Mirror {
        /// Its address.
        address: String,
        /// The folder of its targets.
        targets: String,
    },
    /// At hand, whole.
    Archive(Arc<Archive>),
}

impl Place {
    /// For messages.
    pub fn name(&self) -> &str {
        match self {
            Self::Mirror { address, .. } => address,
            Self::Archive(_) => "in spec.repository.mirrorFS",
        }
    }
}
