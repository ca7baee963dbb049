//! Defects of a credential source: recorded, shown, never fatal (credentials specification §1.2 R5, §2.6, §12).
//!
//! A problem has a stable code, the place it was found at, and a sentence for people. The sentence names entries
//! and fields, never their values.

use std::fmt;

use serde::Serialize;
use serde::ser::SerializeMap;

use super::source::Source;

/// A Secret at one version of its content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretRef {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `metadata.uid`: one that was made anew under the same name is another Secret.
    pub uid: String,
    /// `metadata.resourceVersion`; a change of it makes refused credentials worth another try (§1.4).
    pub resource_version: String,
}

impl SecretRef {
    /// A Secret that is known by name alone.
    pub fn unread(namespace: &str, name: &str) -> Self {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Self { namespace, name, uid: String::new(), resource_version: String::new() }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            // A manifest need not say one.
            "" => f.write_str(&self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

/// Where within a source something was found or looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Location {
    /// A Secret.
    Secret(SecretRef),
    /// `namespace/name` of a service account.
    ServiceAccount(String),
    /// `namespace/name` of a pod.
    Pod(String),
    /// Path of a file, or the name of an environment variable.
    File(String),
    /// The source says it all: cloud, helper, anonymous.
    Ambient,
}

impl Location {
    /// Whether both are the same object, at whatever version.
    pub(super) fn is_same_object(&self, other: &Self) -> bool {
        self.field() == other.field()
    }

    /// The field of the report that names the place, with its value.
    pub(super) fn field(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Secret(secret) => Some(("secret", secret.to_string())),
            Self::ServiceAccount(name) => Some(("serviceAccount", name.clone())),
            Self::Pod(name) => Some(("pod", name.clone())),
            Self::File(path) => Some(("file", path.clone())),
            Self::Ambient => None,
        }
    }
}

/// Flattened into the object that holds it: `"secret": "ns/name"`, `"file": "/path"` and so on, or nothing.
impl Serialize for Location {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let field = self.field();
        let mut map = serializer.serialize_map(Some(usize::from(field.is_some())))?;
        if let Some((name, value)) = field {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

/// As in a sentence: `secret ci/push-rw`; empty for [`Location::Ambient`].
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(secret) => write!(f, "secret {secret}"),
            Self::ServiceAccount(name) => write!(f, "service account {name}"),
            Self::Pod(name) => write!(f, "pod {name}"),
            Self::File(path) => f.write_str(path),
            Self::Ambient => Ok(()),
        }
    }
}

/// A defect of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The source.
    pub source: Source,
    /// The place within the source.
    #[serde(flatten)]
    pub location: Location,
    /// What is wrong, as a stable word.
    pub code: ProblemCode,
    /// What is wrong, as a sentence without secret values.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        if self.location != Location::Ambient {
            write!(f, ", {}", self.location)?;
        }
        write!(f, ": {}: {}", self.code, self.detail)
    }
}

/// How much a problem matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Normal in some set-ups; explains why something was not used.
    Info,
    /// Somebody should mend it.
    Warning,
}

/// The stable words of §12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[expect(missing_docs, reason = "the words are the documentation; specification §2.6 and §12 list them")]
pub enum ProblemCode {
    SecretNotFound,
    SecretForbidden,
    ServiceAccountNotFound,
    PodGone,
    KeyMissing,
    MalformedJSON,
    MalformedEntry,
    MalformedAuth,
    InvalidKey,
    EmptyEntry,
    NoEntries,
    LegacyShape,
    DoubleEncoded,
    OpaqueType,
    UnsupportedType,
    TooLarge,
    CredsStoreInSecret,
    HelperInSecret,
    HelperNotFound,
    HelperFailed,
    HelperTimeout,
    HelperMalformedOutput,
    SuspiciousJSONKey,
    TrimmedNewline,
    BroadGlob,
    ConfigUnreadable,
    NotAllowed,
    CloudUnavailable,
    CloudDenied,
}

impl ProblemCode {
    /// Whether a credential that somebody meant to give may be missing because of it.
    pub fn hides_a_credential(self) -> bool {
        matches!(
            self,
            Self::SecretNotFound
                | Self::SecretForbidden
                | Self::ServiceAccountNotFound
                | Self::KeyMissing
                | Self::MalformedJSON
                | Self::MalformedEntry
                | Self::MalformedAuth
                | Self::InvalidKey
                | Self::TooLarge
                | Self::CredsStoreInSecret
                | Self::HelperInSecret
                | Self::ConfigUnreadable
        )
    }

    /// Information or warning (§2).
    pub fn severity(self) -> Severity {
        match self {
            Self::PodGone
            | Self::EmptyEntry
            | Self::NoEntries
            | Self::UnsupportedType
            | Self::TrimmedNewline
            | Self::NotAllowed => Severity::Info,
            _ => Severity::Warning,
        }
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(location: Location) -> Problem {
        Problem {
            source: Source::ServiceAccountSecrets,
            location,
            code: ProblemCode::MalformedJSON,
            detail: "line 1, column 2".into(),
        }
    }

    #[test]
    fn a_problem_serializes_the_place_as_a_field_of_its_own() {
        let secret = SecretRef {
            namespace: "ci".into(),
            name: "old".into(),
            uid: "u".into(),
            resource_version: "7".into(),
        };
        assert_eq!(
            serde_json::to_string(&problem(Location::Secret(secret))).unwrap(),
            r#"{"source":"serviceAccount.secrets","secret":"ci/old","code":"MalformedJSON","detail":"line 1, column 2"}"#
        );
        assert_eq!(
            serde_json::to_string(&problem(Location::Ambient)).unwrap(),
            r#"{"source":"serviceAccount.secrets","code":"MalformedJSON","detail":"line 1, column 2"}"#
        );
    }

    #[test]
    fn a_problem_reads_as_one_line() {
        assert_eq!(
            problem(Location::File("/home/u/.docker/config.json".into())).to_string(),
            "serviceAccount.secrets, /home/u/.docker/config.json: MalformedJSON: line 1, column 2"
        );
        assert_eq!(
            problem(Location::ServiceAccount("ci/release".into())).to_string(),
            "serviceAccount.secrets, service account ci/release: MalformedJSON: line 1, column 2"
        );
        assert_eq!(
            problem(Location::Ambient).to_string(),
            "serviceAccount.secrets: MalformedJSON: line 1, column 2"
        );
    }

    #[test]
    fn placeholders_and_pruned_pods_are_no_warnings() {
        assert_eq!(ProblemCode::NoEntries.severity(), Severity::Info);
        assert_eq!(ProblemCode::PodGone.severity(), Severity::Info);
        assert_eq!(ProblemCode::BroadGlob.severity(), Severity::Warning);
    }
}
