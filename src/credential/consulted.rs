//! What a keychain was read from: objects of the cluster at the version they had, so that a run which waits for a
//! credential can be taken up again when one of them changes (credentials specification §1.8). Names and versions
//! only, never content.

use std::fmt;

/// A Secret or a service account, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Object {
    /// Which of the two.
    pub kind: ObjectKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The kinds of objects that credentials are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A Secret.
    Secret,
    /// A service account.
    ServiceAccount,
}

/// An object as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Consulted {
    /// Which object.
    pub object: Object,
    /// `metadata.resourceVersion`; nothing when it was not there or could not be read.
    pub version: Option<String>,
}

impl Consulted {
    /// A Secret.
    pub fn secret(namespace: &str, name: &str, version: Option<String>) -> Self {
        Self::of(ObjectKind::Secret, namespace, name, version)
    }

    /// A service account.
    pub fn service_account(namespace: &str, name: &str, version: Option<String>) -> Self {
        Self::of(ObjectKind::ServiceAccount, namespace, name, version)
    }

    fn of(kind: ObjectKind, namespace: &str, name: &str, version: Option<String>) -> Self {
        Self { object: Object { kind, namespace: namespace.to_owned(), name: name.to_owned() }, version }
    }
}

/// `Secret ci/push`.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ObjectKind::Secret => "Secret",
            ObjectKind::ServiceAccount => "ServiceAccount",
        };
        write!(f, "{kind} {}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_as_people_name_it() {
        assert_eq!(Consulted::secret("ci", "push", None).object.to_string(), "Secret ci/push");
        let account = Consulted::service_account("ci", "builder", Some("7".into()));
        assert_eq!(account.object.to_string(), "ServiceAccount ci/builder");
    }
}
