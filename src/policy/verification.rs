//! Looks at a registry for what policies ask about an image, and says what it found (credentials specification §8.6).
//!
//! # Flow
//!
//! The image's tag is resolved to a digest once. For each authority of each policy: find the repository that has the
//! signatures, read what lies there (once for all authorities), check each against the authority, evaluate.
//!
//! # Guarantees
//!
//! - A policy whose authorities are all static contacts no registry.
//! - What is read is bounded: manifests, layers and their number.
//! - Whatever goes wrong with a registry is told as an obstacle of the authorities that needed it.

mod beside;
pub mod layers;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::authority::{Authority, Demand, Format, Signed};

use super::evaluation::{
    Answer, AuthorityVerdict, Checked, Looked, Obstacle, PolicyVerdict, Verdict, answer,
};
use super::glob::Glob;
use super::material::{Found, Kind};
use super::reference::{Reference, Version};
use super::trust::Trust;
use super::{ClusterImagePolicy, check};
use crate::artifact::digest::Digest;
use crate::artifact::image::{Image, Repository};
use crate::client::registry::{Error, Session};
use crate::config::NoMatch;

pub use beside::{Attached, Beside};

/// Verifies images with the credentials of one session.
pub struct Verifier<'v> {
    /// How registries are reached.
    pub session: &'v Session,
    /// Whom to trust where policies do not say it.
    pub trust: &'v Trust,
    /// When this is.
    pub now: Timestamp,
}

/// Where to look, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Shelf {
    repository: Repository,
    prefix: String,
    kind: Kind,
    format: Option<Format>,
}

/// What is known of one image so far.
struct Subject<'s> {
    reference: &'s Reference,
    image: Option<Result<Image, Arc<Error>>>,
    shelves: HashMap<Shelf, Result<Vec<Found>, Arc<Error>>>,
}

/// What policies say about an image.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What it resolved to; nothing where no authority wanted to know, or where it did not resolve.
    pub image: Option<Image>,
    /// What they say.
    pub verdict: Verdict,
}

impl Verifier<'_> {
    /// The image behind a tag, now. A digest needs no registry.
    pub async fn resolve(&self, reference: &Reference) -> Result<Image, Error> {
        let repository = reference.repository().clone();
        let tag = match reference.version() {
            Version::Digest(digest) => return Ok(Image { repository, digest: *digest }),
            Version::Tag(tag) => tag,
        };
        match self.session.tagged(&repository, tag).await? {
            // The bytes say what the digest is, whatever a header claims.
            Some(stored) => Ok(Image { repository, digest: Digest::of(&stored.bytes) }),
            None => Err(Error::Absent { reference: reference.to_string() }),
        }
    }

    /// What the policies that govern an image say about it.
    pub async fn verify(
        &self,
        reference: &Reference,
        policies: &[ClusterImagePolicy],
        no_match: NoMatch,
    ) -> Outcome {
        let mut subject = Subject { reference, image: None, shelves: HashMap::new() };
        let mut verdicts = Vec::new();
        for policy in policies {
            let Some(glob) = policy.governs(reference) else { continue };
            let mut authorities = Vec::new();
            for authority in &policy.authorities {
                let answer = self.ask(authority, glob, &mut subject).await;
                let satisfied = matches!(answer, Answer::Satisfied(_));
                authorities.push(AuthorityVerdict { authority: authority.name.clone(), answer });
                // One is enough.
                if satisfied {
                    break;
                }
            }
            verdicts.push(PolicyVerdict { policy: policy.name.clone(), mode: policy.mode, authorities });
        }
        let image = subject.image.and_then(Result::ok);
        Outcome { image, verdict: Verdict { policies: verdicts, no_match } }
    }

    /// Everything that hangs on an image, in its own repository.
    pub async fn attached(&self, image: &Image) -> Result<Vec<Attached>, Error> {
        let attached = Beside::new(self.session, &image.repository, "").all(&image.digest).await?;
        if attached.is_empty() {
            self.exists(image).await?;
        }
        Ok(attached)
    }

    async fn ask(&self, authority: &Authority, glob: &Glob, subject: &mut Subject<'_>) -> Answer {
        let looked = match &authority.demand {
            Demand::Static(_) => Ok(Vec::new()),
            Demand::Signed(signed) => self.look(signed, glob, subject).await,
        };
        answer(&authority.demand, looked)
    }

    async fn look(&self, signed: &Signed, glob: &Glob, subject: &mut Subject<'_>) -> Looked {
        let obstacle = |error: Arc<Error>| Obstacle::Registry(error);
        let trusted = self.trust.of(signed)?;
        if subject.image.is_none() {
            subject.image = Some(self.resolve(subject.reference).await.map_err(Arc::new));
        }
        let Some(image) = subject.image.clone() else { return Ok(Vec::new()) };
        let image = image.map_err(obstacle)?;
        let wanted = Shelf::of(signed, &image, glob)?;
        if !subject.shelves.contains_key(&wanted) {
            let found = self.read(&wanted, &image).await.map_err(Arc::new);
            subject.shelves.insert(wanted.clone(), found);
        }
        let found = match subject.shelves.get(&wanted) {
            Some(Ok(found)) => found,
            Some(Err(error)) => return Err(obstacle(Arc::clone(error))),
            None => return Ok(Vec::new()),
        };
        let checked = found.iter().map(|one| Checked {
            place: one.place.clone(),
            result: match &one.content {
                Ok(material) => check::check(material, &image.digest, &trusted, self.now),
                Err(flaw) => Err(flaw.clone()),
            },
        });
        Ok(checked.collect())
    }

    async fn read(&self, wanted: &Shelf, image: &Image) -> Result<Vec<Found>, Error> {
        let beside = Beside::new(self.session, &wanted.repository, &wanted.prefix);
        let mut found = Vec::new();
        if wanted.format != Some(Format::Bundle) {
            found.extend(beside.tagged(&image.digest, wanted.kind).await?);
        }
        if wanted.format != Some(Format::Legacy) {
            match beside.referring(&image.digest).await {
                Ok(more) => found.extend(more),
                Err(error) if found.is_empty() => return Err(error),
                // What a registry does not list cannot take away what lies under a tag.
                Err(error) => found.push(beside.unlisted(&error)),
            }
        }
        found.retain(|one| one.may_be(wanted.kind));
        if found.is_empty() {
            self.exists(image).await?;
        }
        Ok(found)
    }

    /// "No signatures" is an answer about an image that is there: one that is not, or that nobody may see, has none
    /// for another reason.
    async fn exists(&self, image: &Image) -> Result<(), Error> {
        if self.session.described(image).await?.is_some() {
            return Ok(());
        }
        Err(Error::Absent { reference: image.to_string() })
    }
}

impl Found {
    /// Whether it belongs on the shelf; what cannot be read does, since nobody can tell.
    fn may_be(&self, kind: Kind) -> bool {
        self.content.as_ref().map_or(true, |material| material.kind() == kind)
    }
}

impl Shelf {
    fn of(signed: &Signed, image: &Image, glob: &Glob) -> Result<Self, Obstacle> {
        let source = signed.source.as_ref();
        let repository = match source.and_then(|source| source.place.as_ref()) {
            Some(place) => place.of(&image.repository, glob).map_err(Obstacle::Source)?,
            None => image.repository.clone(),
        };
        let prefix = source.and_then(|source| source.tag_prefix.clone()).unwrap_or_default();
        let kind = if signed.attestations.is_empty() { Kind::Signature } else { Kind::Attestation };
        Ok(Self { repository, prefix, kind, format: signed.format })
    }
}

#[cfg(test)]
mod tests;
