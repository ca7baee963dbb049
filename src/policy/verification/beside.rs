//! Reads what lies beside an image: cosign's tags, and referrers.
//!
//! A layer that cannot be read is told beside the others; only a registry that shows nothing at all is an error.

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use oci_client::manifest::{OciDescriptor, OciImageManifest};

use crate::artifact::digest::Digest;
use crate::artifact::image::Repository;
use crate::client::registry::{Error, Referrer, Session};
use crate::error::{Class, Diagnose as _, chain};
use crate::policy::check::Flaw;
use crate::policy::material::{Found, Kind, Manifest, Material, Place};
use crate::signature::bundle;

/// cosign reads no more layers of one manifest; more referrers than this are not looked into either.
const MOST: usize = 1000;
/// A simple-signing payload has some hundred bytes.
const MAX_PAYLOAD: usize = 256 * 1024;
/// A statement may hold a whole `PipelineRun`, and base64 adds a third.
const MAX_ENVELOPE: usize = 32 * 1024 * 1024;
/// Layers that are read at the same time.
const AT_ONCE: usize = 8;

const PAYLOAD_MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE_MEDIA_TYPE: &str = "application/vnd.dsse.envelope.v1+json";
const BUNDLE_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle";
/// What cosign calls a manifest of signatures that refers to its image.
const SIGNATURE_ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";

/// One repository, as a place of signatures.
pub struct Beside<'b> {
    session: &'b Session,
    repository: &'b Repository,
    prefix: &'b str,
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
        Self { session, repository, prefix }
    }

    /// What cosign's tag for `kind` holds.
    pub async fn tagged(&self, image: &Digest, kind: Kind) -> Result<Vec<Found>, Error> {
        let tag = self.tag(image, kind.suffix());
        let Some(stored) = self.session.tagged(self.repository, &tag).await? else { return Ok(Vec::new()) };
        Ok(self.layers(Manifest::Tag(tag), &stored.bytes).await)
    }

    /// Every signature and attestation that refers to the image.
    pub async fn referring(&self, image: &Digest) -> Result<Vec<Found>, Error> {
        let referrers = self.session.referrers(self.repository, image).await?;
        let mut found = Vec::new();
        for referrer in referrers.into_iter().filter(holds_signatures).take(MOST) {
            found.extend(self.referrer(&referrer).await);
        }
        Ok(found)
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
            let tag = self.tag(image, suffix);
            if let Some(stored) = self.session.tagged(self.repository, &tag).await? {
                let manifest = Manifest::Tag(tag);
                let found = match suffix {
                    "sbom" => Vec::new(),
                    _ => self.layers(manifest.clone(), &stored.bytes).await,
                };
                all.push(Attached { manifest, kind: suffix.to_owned(), found });
            }
        }
        for referrer in self.session.referrers(self.repository, image).await?.into_iter().take(MOST) {
            let Ok(digest) = referrer.digest.parse() else { continue };
            let kind = shown_kind(&referrer);
            let found = if holds_signatures(&referrer) { self.referrer(&referrer).await } else { Vec::new() };
            all.push(Attached { manifest: Manifest::Referrer(digest), kind, found });
        }
        Ok(all)
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
        let Ok(read) = serde_json::from_slice::<OciImageManifest>(bytes) else {
            return vec![self.unreadable(manifest, "the manifest does not decode", false)];
        };
        if read.layers.len() > MOST {
            return vec![self.unreadable(manifest, "the manifest has more than 1,000 layers", false)];
        }
        let layers = stream::iter(read.layers.into_iter().zip(1..));
        let found = layers.map(async |(descriptor, layer)| Found {
            place: Place { repository: self.repository.clone(), manifest: manifest.clone(), layer },
            content: self.layer(&descriptor).await,
        });
        found.buffered(AT_ONCE).collect().await
    }

    async fn layer(&self, descriptor: &OciDescriptor) -> Result<Material, Flaw> {
        let media_type = descriptor.media_type.as_str();
        let limit = if media_type == PAYLOAD_MEDIA_TYPE { MAX_PAYLOAD } else { MAX_ENVELOPE };
        let annotations = descriptor.annotations.clone().unwrap_or_default();
        match media_type {
            PAYLOAD_MEDIA_TYPE => Material::signature(&self.content(descriptor, limit).await?, &annotations),
            ENVELOPE_MEDIA_TYPE => {
                Material::attestation(&self.content(descriptor, limit).await?, &annotations)
            }
            _ if media_type.starts_with(BUNDLE_MEDIA_TYPE) => {
                Material::bundle(&self.content(descriptor, limit).await?)
            }
            other => Err(Flaw::OtherMediaType(other.chars().take(100).collect())),
        }
    }

    async fn content(&self, descriptor: &OciDescriptor, limit: usize) -> Result<Bytes, Flaw> {
        let unreadable = |reason: String, temporary| Flaw::Unreadable { reason, temporary };
        let digest: Digest = descriptor.digest.parse().map_err(|error| unreadable(chain(&error), false))?;
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
