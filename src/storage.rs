//! Where signatures are kept: the port, and the receipt.
//!
//! A store is asked first what is missing at a place and then given exactly that, so that nothing is signed,
//! logged or written twice: *already there* means the same payload bytes **and** a signature over them that
//! verifies now, made by the signatory in question. Anything else at that place is left alone.
//!
//! Stores live for one attempt on one run; what they may share between runs lies in `client`.

mod access;
mod archivista;
mod docdb;
mod grafeas;
mod kafka;
mod object;
pub mod oci;
pub mod remembered;
pub mod remote;
pub mod tekton;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::artifact::image::{Image, Repository};
use crate::error::{About, Class, Diagnose, chain};
use crate::payload::Payload;
use crate::signature::Signed;
use crate::signature::log::Logged;
use crate::signature::signatory::Signatory;

/// Keeps signatures, and knows which it has.
#[async_trait]
pub trait Store: Send + Sync {
    /// The name under which `chains-config` selects it.
    fn name(&self) -> &'static str;

    /// Every place where this store keeps a signature over `payload`; none when there is nothing to attach
    /// it to.
    fn places(&self, payload: &Payload) -> Vec<Place>;

    /// Those of `signatories` without a verifying signature over `payload` at `place`.
    async fn missing(
        &self,
        place: &Place,
        payload: &Payload,
        signatories: &[Signatory],
    ) -> Result<Vec<Signatory>, Error>;

    /// Adds signatures beside what is there, and returns once they are known to be there.
    async fn add(&self, place: &Place, signed: &[Arc<Signed>]) -> Result<Stored, Error>;
}

/// Tells which manifests an image index lists.
#[async_trait]
pub trait Index: Send + Sync {
    /// Those that stand for a platform, in the order of the index; none when `image` is no index.
    async fn children(&self, image: &Image) -> Result<Vec<Image>, Error>;
}

/// One place in a store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A tag beside an image.
    Tag {
        /// The image that is signed or attested.
        subject: Image,
        /// Where its signatures are pushed to: its own repository unless `storage.oci.repository` says otherwise.
        repository: Repository,
        /// `sha256-<hex>.sig` or `.att`.
        tag: String,
    },
    /// A manifest of its own that refers to an image.
    Referrer {
        /// The image that is signed or attested.
        subject: Image,
        /// Where it is pushed to, as for a tag.
        repository: Repository,
    },
    /// The annotations of the run itself, under this short key.
    Annotations(String),
    /// Objects in a bucket, or a document in a collection.
    Objects {
        /// The bucket or collection, as `gs://name`.
        bucket: String,
        /// What their names have in common; each has an ending of its own.
        name: String,
        /// Whether others may have a right to this name too: then theirs stay.
        shared: bool,
    },
    /// What a service keeps about a thing, under a name of its own making.
    Record {
        /// The service, and where in it.
        service: String,
        /// What it is about.
        about: String,
        /// What an earlier attempt was told that it is called, with what it is about.
        named: Option<String>,
    },
}

impl Place {
    /// The name of a place that holds one signature, whether others may have a right to it, and the first of `all`, which
    /// signs there.
    fn single<'a, T>(&'a self, all: &'a [T]) -> Option<(&'a str, bool, &'a T)> {
        let Self::Objects { name, shared, .. } = self else { return None };
        all.first().map(|first| (name.as_str(), *shared, first))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag { repository, tag, .. } => write!(f, "{repository}:{tag}"),
            Self::Referrer { repository, subject } => write!(f, "{repository}, bundle of {}", subject.digest),
            Self::Annotations(key) => write!(f, "annotation signature-{key}"),
            Self::Objects { bucket, name, .. } => write!(f, "{bucket}/{name}"),
            Self::Record { named: Some(named), .. } => f.write_str(named),
            Self::Record { service, about, .. } => write!(f, "{service}, about {about}"),
        }
    }
}

/// The receipt for what is in place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// Annotations that the run must get for this to be true (store `tekton` only).
    pub annotations: BTreeMap<String, String>,
    /// The credential that the registry accepted, as a person would name it.
    pub credential: Option<String>,
    /// Those that it refused before, each with the reason.
    pub refused: Vec<String>,
    /// Where the log entries of what was added can be looked at.
    pub logged: Vec<Logged>,
    /// Where it is, by the name that the service gave it.
    pub named: Option<String>,
}

impl Stored {
    /// With the log entries of what was added.
    fn of(signed: &[Arc<Signed>]) -> Self {
        let logged = signed.iter().flat_map(|signed| signed.logged.clone());
        Self { logged: logged.collect(), ..Self::default() }
    }
}

/// Why something is not in place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server behind the store said no, or nothing.
    #[error("{}", chain(.0.as_ref()))]
    Backend(Box<dyn Diagnose + Send + Sync>),
    /// Nobody lets the process into the store.
    #[error("cannot reach {place}: {}", chain(.source.as_ref()))]
    NoAccess {
        /// What was to be read or written.
        place: String,
        /// Why not.
        source: Arc<dyn Diagnose + Send + Sync>,
    },
    /// Other writers kept replacing the tag.
    #[error("cannot store at {place}: other writers replaced it {times} times in a row")]
    Contended {
        /// The tag.
        place: Box<Place>,
        /// How often ours was found missing after it had been written.
        times: usize,
    },
    /// What is there is no list of signatures.
    #[error("cannot add to {place}: what is there is not an image manifest ({reason})")]
    Foreign {
        /// The tag.
        place: Box<Place>,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An image index that is not what it should be.
    #[error("cannot sign the manifests that {image} lists: {reason}")]
    Index {
        /// The index.
        image: Box<Image>,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Kubernetes takes 256 KiB of annotations on one object.
    #[error("annotations of the run would take {size} bytes, Kubernetes allows {limit}")]
    AnnotationsTooLarge {
        /// With ours.
        size: usize,
        /// Without which the API server refuses the object.
        limit: usize,
        /// The configuration key that sends it there.
        key: &'static str,
    },
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        match self {
            Self::Backend(error) => error.class(),
            Self::NoAccess { source, .. } => source.class(),
            Self::Contended { .. } => Class::Temporary,
            Self::Foreign { .. } => Class::Misconfigured,
            Self::Index { .. } | Self::AnnotationsTooLarge { .. } => Class::Permanent,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Backend(error) => error.label(),
            Self::NoAccess { source, .. } => source.label(),
            Self::Contended { .. } => "contended",
            Self::Foreign { .. } => "foreign_tag",
            Self::Index { .. } => "image_index",
            Self::AnnotationsTooLarge { .. } => "annotations_too_large",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Backend(error) => error.hint(),
            Self::NoAccess { source, .. } => source.hint(),
            Self::Contended { .. } => None,
            Self::Foreign { place, .. } => Some(format!("delete {place} or move it to another tag")),
            Self::Index { .. } => {
                Some("push an index that lists its images, or unset artifacts.oci.index-children".to_owned())
            }
            Self::AnnotationsTooLarge { key, .. } => {
                Some(format!("store it in the registry: set {key} to \"oci\""))
            }
        }
    }

    fn about(&self) -> Option<About> {
        match self {
            Self::Backend(error) => error.about(),
            _ => None,
        }
    }

    fn host_away(&self) -> Option<&str> {
        match self {
            Self::Backend(error) => error.host_away(),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Backend(error) => error.retry_after(),
            Self::NoAccess { source, .. } => source.retry_after(),
            _ => None,
        }
    }
}
