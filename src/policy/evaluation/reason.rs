//! Why an authority is not satisfied, told so that a person can act on it. The codes are words of closed sets.

use std::fmt;
use std::sync::Arc;

use super::Checked;
use crate::artifact::image::MalformedReference;
use crate::error::{Class, Diagnose, chain};
use crate::policy::check::Flaw;
use crate::policy::finding::Finding;
use crate::policy::trust::NoRoot;

/// Why nothing could be checked.
#[derive(Debug, Clone)]
pub enum Obstacle {
    /// The registry did not show what it has.
    Registry(Arc<dyn Diagnose + Send + Sync>),
    /// A Secret with credentials that the policy names is in none of the namespaces where it may be.
    NoPullSecret {
        /// Its place in `signaturePullSecrets`.
        index: usize,
        /// Its name.
        name: String,
        /// Where it was looked for.
        namespaces: Vec<String>,
    },
    /// A Secret that the policy names is not at hand.
    NoSecret {
        /// Its name.
        name: String,
    },
    /// A Secret that holds something else.
    SecretContent {
        /// Its name.
        name: String,
        /// What it should hold.
        wanted: &'static str,
    },
    /// Nobody said whose certificates count.
    NoTrustRoot(String),
    /// There is no `TrustRoot` of this name.
    NoNamedRoot(String),
    /// The `TrustRoot` of this name cannot be used.
    NamedRoot(String, NoRoot),
    /// `source.oci` makes no name of a repository for this image.
    Source(MalformedReference),
    /// Something that this program does not do.
    NotInThisBuild(String),
    /// The policy has mistakes.
    Unusable(Vec<Finding>),
    /// It took longer than the API server waits.
    OutOfTime,
}

/// Why an authority is not satisfied.
#[derive(Debug, Clone)]
pub enum Reason {
    /// There is no signature at all.
    NoSignatures,
    /// There are signatures, and none is what it should be.
    NoneVerifies(Vec<Checked>),
    /// An attestation is missing.
    NoAttestation {
        /// What the policy calls it.
        name: String,
        /// Its type.
        predicate_type: String,
        /// What there is, and what is wrong with it.
        found: Vec<Checked>,
    },
    /// Its author said so.
    Static(Option<String>),
    /// Something stood in the way.
    Obstacle(Obstacle),
}

impl Reason {
    pub(super) fn is_undecided(&self) -> bool {
        match self {
            Self::NoSignatures | Self::Static(_) => false,
            Self::NoneVerifies(found) | Self::NoAttestation { found, .. } => {
                found.iter().any(Checked::is_undecided)
            }
            Self::Obstacle(obstacle) => ![AUTHORISATION, NOT_FOUND].contains(&obstacle.code()),
        }
    }

    /// The reason without what is wrong with each signature, for whoever lists them.
    pub fn headline(&self) -> String {
        match self {
            Self::NoneVerifies(found) if found.len() > 1 => {
                format!("none of {} signatures verifies", found.len())
            }
            Self::NoneVerifies(_) => "the signature does not count".to_owned(),
            Self::NoAttestation { predicate_type, found, .. } if !found.is_empty() => {
                format!("no verified attestation of type {predicate_type}")
            }
            _ => self.to_string(),
        }
    }

    /// A word of a closed set.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSignatures => "NoSignatures",
            Self::NoneVerifies(found) => match found.as_slice() {
                [one] => one.result.as_ref().err().map_or("NotVerified", Flaw::code),
                _ => "NotVerified",
            },
            Self::NoAttestation { .. } => "NoAttestation",
            Self::Static(_) => "StaticFail",
            Self::Obstacle(obstacle) => obstacle.code(),
        }
    }
}

/// The registry knows whom it asks, and shows nothing.
const AUTHORISATION: &str = "RegistryAuthFailed";
/// There is no such image, as far as anybody may see.
const NOT_FOUND: &str = "ImageNotFound";

impl Obstacle {
    /// A word of a closed set.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Registry(error) if error.label() == "registry_denied" => AUTHORISATION,
            Self::Registry(error) if error.class() == Class::Absent => NOT_FOUND,
            Self::Registry(error) if error.class() == Class::Temporary => "RegistryUnavailable",
            Self::Registry(_) => "RegistryFailed",
            Self::NoPullSecret { .. } | Self::NoSecret { .. } => "SecretNotFound",
            Self::SecretContent { .. } => "SecretInvalid",
            Self::NoTrustRoot(_) | Self::NoNamedRoot(_) => "NoTrustRoot",
            Self::NamedRoot(_, NoRoot::Repository(error)) if error.class() == Class::Temporary => {
                "TrustRootUnavailable"
            }
            Self::NamedRoot(..) => "TrustRootUnusable",
            Self::Source(_) => "SourceInvalid",
            Self::NotInThisBuild(_) => "NotInThisBuild",
            Self::Unusable(_) => "PolicyUnusable",
            Self::OutOfTime => "OutOfTime",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(error) | Self::NamedRoot(_, NoRoot::Repository(error)) => error.hint(),
            Self::NoTrustRoot(_) => Some("name whom to trust with --trusted-root or --ca-roots".to_owned()),
            Self::NoNamedRoot(name) => {
                Some(format!("put TrustRoot {name} into the cluster, or into the file of the policy"))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSignatures => f.write_str("no signatures found"),
            Self::NoneVerifies(found) => {
                if found.len() > 1 {
                    write!(f, "none of {} signatures verifies: ", found.len())?;
                }
                flaws(found, f)
            }
            Self::NoAttestation { name, predicate_type, found } => {
                f.write_str("no verified attestation")?;
                // On the command line both are the same.
                if name != predicate_type {
                    write!(f, " {name}")?;
                }
                write!(f, " of type {predicate_type}")?;
                if found.is_empty() {
                    return f.write_str(": no attestations found");
                }
                write!(f, " among {}: ", counted(found.len(), "attestation"))?;
                flaws(found, f)
            }
            Self::Static(Some(message)) => write!(f, "the policy refuses every image: {message}"),
            Self::Static(None) => f.write_str("the policy refuses every image"),
            Self::Obstacle(obstacle) => write!(f, "{obstacle}"),
        }
    }
}

/// Each flaw once, however many signatures have it.
fn flaws(found: &[Checked], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut told: Vec<String> = Vec::new();
    for one in found {
        let text = match &one.result {
            Err(flaw) => flaw.to_string(),
            Ok(verified) => match &verified.statement {
                Some(statement) => format!("one has type {}", statement.predicate_type),
                None => continue,
            },
        };
        if !told.contains(&text) {
            told.push(text);
        }
    }
    told.truncate(MOST_TOLD);
    f.write_str(&told.join("; "))
}

const MOST_TOLD: usize = 5;

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(error) => f.write_str(&chain(&**error)),
            Self::NoPullSecret { index, name, namespaces } => {
                write!(f, "signaturePullSecrets[{index}] {name:?} not found in {}", namespaces.join(" or "))
            }
            Self::NoSecret { name } => write!(f, "the Secret {name:?} is not at hand"),
            Self::SecretContent { name, wanted } => write!(f, "the Secret {name:?} does not hold {wanted}"),
            Self::NoTrustRoot(of) => write!(f, "there is no trust root for {of}"),
            Self::NoNamedRoot(name) => write!(f, "there is no TrustRoot {name:?}"),
            Self::NamedRoot(name, NoRoot::Mistakes(findings)) => {
                let told: Vec<String> = findings.iter().take(5).map(ToString::to_string).collect();
                write!(f, "TrustRoot {name:?} cannot be used: {}", told.join("; "))
            }
            Self::NamedRoot(name, NoRoot::Repository(error)) => {
                write!(f, "TrustRoot {name:?} cannot be used: {}", chain(&**error))
            }
            Self::Source(error) => write!(f, "source.oci names no repository for this image: {error}"),
            Self::NotInThisBuild(what) => write!(f, "{what} is not supported in this build"),
            Self::Unusable(findings) => {
                let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
                write!(f, "the policy cannot be used: {}", told.join("; "))
            }
            Self::OutOfTime => f.write_str("it could not be decided in time: a registry does not answer"),
        }
    }
}
