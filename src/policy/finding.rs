//! What is wrong, or doubtful, with a policy: one value for each mistake, with the path of the field
//! (credentials specification §8.1).

use std::fmt;

use serde::Serialize;

use crate::artifact::image::MalformedReference;

/// A problem with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The path of the field, as in `spec.authorities[0].key`.
    pub path: String,
    /// What is wrong there.
    pub problem: Problem,
}

/// What can be wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A field that must be there.
    #[error("missing")]
    Missing,
    /// Another type than the field has.
    #[error("must be {0}")]
    Type(&'static str),
    /// A field that the API does not have: a typing error must not weaken a policy.
    #[error("unknown field")]
    Unknown,
    /// A field that this program does not do; it is never passed over.
    #[error("UnsupportedField: {0}")]
    Unsupported(&'static str),
    /// A word outside the set.
    #[error("{found:?} is not one of {allowed}")]
    NotOneOf {
        /// What was written.
        found: String,
        /// What may be.
        allowed: &'static str,
    },
    /// Not exactly one of several fields.
    #[error("exactly one of {0} must be set")]
    ExactlyOne(&'static str),
    /// A field that another one excludes.
    #[error("cannot be set together with {0}")]
    Excluded(&'static str),
    /// A list that must hold something.
    #[error("at least one is required")]
    Empty,
    /// More than one source.
    #[error("only single source is supported")]
    SingleSource,
    /// A variable of an example.
    #[error("replace the placeholder in {0:?} by your own value")]
    Placeholder(String),
    /// Characters that no glob has.
    #[error(
        "{0:?} is no glob: use letters, digits, \"-_:/.@\", * for a run without slash and ** for any run"
    )]
    Glob(String),
    /// An expression that does not compile.
    #[error("regex is invalid: {0}")]
    Regex(String),
    /// No repository.
    #[error(transparent)]
    Repository(#[from] MalformedReference),
    /// `$image` that is not a segment, or twice.
    #[error("$image may stand once, as a whole segment of the path")]
    ImageVariable,
    /// A pattern where a name must be.
    #[error("must name a repository, not a pattern")]
    Pattern,
    /// Not a public key, or not certificates.
    #[error("must be {0}")]
    Pem(&'static str),
    /// Secrets of other namespaces.
    #[error("must be the namespace of the controller, {0}")]
    OtherNamespace(String),
    /// Two authorities with one name.
    #[error("{0:?} is the name of another authority too")]
    Duplicate(String),
    /// A doubt: `^…$` is missing.
    #[error("UnanchoredRegex: it matches anywhere in the text; write ^ and $ around it")]
    Unanchored,
    /// A doubt: everybody.
    #[error("MatchesEverything: everybody matches")]
    MatchesEverything,
    /// A doubt: no digest and no tag is matched.
    #[error("GlobWithoutTag: it matches no tag and no digest; write it with a * behind")]
    GlobWithoutTag,
    /// A doubt: no digest is matched.
    #[error("TagOnlyGlob: an image with a digest has no tag; use bar* or bar@*")]
    TagOnlyGlob,
}

/// Everything that was noticed while a policy was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// Each makes the policy unusable.
    pub errors: Vec<Finding>,
    /// What its author may not have meant.
    pub warnings: Vec<Finding>,
}

impl Notes {
    /// Notes a mistake.
    pub(super) fn error(&mut self, path: &str, problem: impl Into<Problem>) {
        self.errors.push(Finding { path: path.to_owned(), problem: problem.into() });
    }

    /// Notes a doubt.
    pub(super) fn warn(&mut self, path: &str, problem: Problem) {
        self.warnings.push(Finding { path: path.to_owned(), problem });
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)
    }
}

impl Serialize for Finding {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
