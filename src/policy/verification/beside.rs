//! Reads what lies beside an image: cosign's tags, and referrers.
//!
//! A layer that cannot be read is told beside the others; only a registry that shows nothing at all is an error.

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use oci_client::manifest::OciDescriptor;
use tokio::sync::Semaphore;

use super::layers::{BUNDLE_MEDIA_TYPE, Form, layers};
use crate::artifact::digest::Digest;
use crate::artifact::image::Repository;
use crate::client::registry::{Error, Referrer, Session};
use crate::error::{Class, Diagnose as _, chain};
use crate::policy::check::Flaw;
use crate::policy::material::{Found, Kind, Manifest, Material, Place};
use crate::signature::bundle;

/// More referrers than this are not looked into.
const MOST: usize = 1000;
/// Manifests that are read at the same time, and layers of all of them together: the memory of the latter is what counts.
const AT_ONCE: usize = 8;

/// What cosign calls a manifest of signatures that refers to its image.
const SIGNATURE_ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";

/// One repository, as a place of signatures.
pub struct Beside<'b> {
    session: &'b Session,
    repository: &'b Repository,
    prefix: &'b str,
    /// One permit for each layer that is being read.
    reading: Semaphore,
}

/// Something that hangs on an image.
#[derive(Debug, Clone)]
pub struct Attached {
    /// Which manifest.
    pub manifest: Manifest,
    /// What it says that it is: a suffix of cosign's tags, or an artifact type.
    pub kind: String,
    /// What it holds, where that is a signature or an attestation.
    pub found: Vec<Found>,
}

impl<'b> Beside<'b> {
    /// `prefix` stands before cosign's tags.
    pub fn new(session: &'b Session, repository: &'b Repository, prefix: &'b str) -> Self {
        Self { session, repository, prefix, reading: Semaphore::new(AT_ONCE) }
    }

    /// What cosign's tag for `kind` holds.
    pub async fn tagged(&self, image: &Digest, kind: Kind) -> Result<Vec<Found>, Error> {
        Ok(self.under(image, kind.suffix()).await?.map(|(_, found)| found).unwrap_or_default())
    }

    /// What cosign's tag with this suffix holds, if it is there. One that is no manifest, or a huge one, is told as
    /// something that cannot be read: it must not hide what lies elsewhere.
    async fn under(&self, image: &Digest, suffix: &str) -> Result<Option<(Manifest, Vec<Found>)>, Error> {
        let tag = self.tag(image, suffix);
        let manifest = Manifest::Tag(tag.clone());
        match self.session.tagged(self.repository, &tag).await {
            Ok(None) => Ok(None),
            Ok(Some(_)) if suffix == "sbom" => Ok(Some((manifest, Vec::new()))),
            Ok(Some(stored)) => Ok(Some((manifest.clone(), self.layers(manifest, &stored.bytes).await))),
            Err(error) if error.label() == "registry_answer" && error.class() != Class::Temporary => {
                Ok(Some((manifest.clone(), vec![self.unreadable(manifest, &chain(&error), false)])))
            }
            Err(error) => Err(error),
        }
    }

    /// Every signature and attestation that refers to the image.
    pub async fn referring(&self, image: &Digest) -> Result<Vec<Found>, Error> {
        let referrers = self.session.referrers(self.repository, image).await?;
        let wanted = referrers.into_iter().filter(holds_signatures).take(MOST);
        let read = stream::iter(wanted).map(async |referrer| self.referrer(&referrer).await);
        let found: Vec<Vec<Found>> = read.buffered(AT_ONCE).collect().await;
        Ok(found.into_iter().flatten().collect())
    }

    /// Referrers that the registry did not list, as something that cannot be read.
    pub fn unlisted(&self, error: &Error) -> Found {
        let list = Manifest::Tag("referrers".to_owned());
        self.unreadable(list, &chain(error), error.class() == Class::Temporary)
    }

    /// Everything that hangs on the image, whatever it is.
    pub async fn all(&self, image: &Digest) -> Result<Vec<Attached>, Error> {
        let mut all = Vec::new();
        for suffix in ["sig", "att", "sbom"] {
            let found = self.under(image, suffix).await?;
            all.extend(found.map(|(manifest, found)| Attached { manifest, kind: suffix.to_owned(), found }));
        }
        let referrers = self.session.referrers(self.repository, image).await?.into_iter().take(MOST);
        let read = stream::iter(referrers).map(async |referrer| self.attached(&referrer).await);
        let referring: Vec<Option<Attached>> = read.buffered(AT_ONCE).collect().await;
        all.extend(referring.into_iter().flatten());
        Ok(all)
    }

    async fn attached(&self, referrer: &Referrer) -> Option<Attached> {
        let manifest = Manifest::Referrer(referrer.digest.parse().ok()?);
        let found = if holds_signatures(referrer) { self.referrer(referrer).await } else { Vec::new() };
        Some(Attached { manifest, kind: shown_kind(referrer), found })
    }

    fn tag(&self, image: &Digest, suffix: &str) -> String {
        format!("{}sha256-{}.{suffix}", self.prefix, image.hex())
    }

    async fn referrer(&self, referrer: &Referrer) -> Vec<Found> {
        let Ok(digest) = referrer.digest.parse::<Digest>() else { return Vec::new() };
        let name = Manifest::Referrer(digest);
        match self.session.manifest(self.repository, &digest).await {
            Ok(Some(bytes)) => self.layers(name, &bytes).await,
            Ok(None) => vec![self.unreadable(name, "it is listed and not there", false)],
            Err(error) => {
                let temporary = error.class() == Class::Temporary;
                vec![self.unreadable(name, &chain(&error), temporary)]
            }
        }
    }

    /// The layers of one manifest, in order.
    async fn layers(&self, manifest: Manifest, bytes: &[u8]) -> Vec<Found> {
        let layers = match layers(bytes) {
            Ok(layers) => layers,
            Err(reason) => return vec![self.unreadable(manifest, reason, false)],
        };
        let layers = stream::iter(layers.into_iter().zip(1..));
        let found = layers.map(async |(descriptor, layer)| Found {
            place: Place { repository: self.repository.clone(), manifest: manifest.clone(), layer },
            content: self.layer(&descriptor).await,
        });
        found.buffered(AT_ONCE).collect().await
    }

    async fn layer(&self, descriptor: &OciDescriptor) -> Result<Material, Flaw> {
        let form = Form::of(descriptor)?;
        form.read(descriptor, &self.content(descriptor, form.limit()).await?)
    }

    async fn content(&self, descriptor: &OciDescriptor, limit: usize) -> Result<Bytes, Flaw> {
        let unreadable = |reason: String, temporary| Flaw::Unreadable { reason, temporary };
        let digest: Digest = descriptor.digest.parse().map_err(|error| unreadable(chain(&error), false))?;
        let _permit = self.reading.acquire().await;
        let content = self.session.blob(self.repository, &digest, limit).await;
        content.map_err(|error| unreadable(chain(&error), error.class() == Class::Temporary))
    }

    fn unreadable(&self, manifest: Manifest, reason: &str, temporary: bool) -> Found {
        let place = Place { repository: self.repository.clone(), manifest, layer: 1 };
        Found { place, content: Err(Flaw::Unreadable { reason: reason.to_owned(), temporary }) }
    }
}

fn holds_signatures(referrer: &Referrer) -> bool {
    let kind = referrer.artifact_type.as_str();
    kind == SIGNATURE_ARTIFACT || kind.starts_with(BUNDLE_MEDIA_TYPE) || kind == bundle::MEDIA_TYPE
}

fn shown_kind(referrer: &Referrer) -> String {
    let kind = if referrer.artifact_type.is_empty() { &referrer.media_type } else { &referrer.artifact_type };
    kind.chars().filter(|c| !c.is_control()).take(200).collect()
}
