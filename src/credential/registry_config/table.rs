//! One table of the file, with everything decided (credentials specification §4.2, S2 to S5).

use std::fmt;
use std::sync::Arc;

use super::authorities::Trust;
use super::name::Name;
use crate::credential::Credential;

/// What counts for the registries of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub(super) name: Name,
    pub(super) written: String,
    /// Whose certificates its connections take.
    pub trust: Trust,
    /// The credential, if the table has one: a candidate beside those of the run.
    pub credential: Option<Arc<Credential>>,
}

impl Table {
    /// The name as it stands in the file.
    pub fn as_written(&self) -> &str {
        &self.written
    }

    /// Whether this is `.`, which says nothing about any registry in particular.
    pub fn is_catch_all(&self) -> bool {
        self.name.is_catch_all()
    }
}

/// The name.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}
