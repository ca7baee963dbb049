//! The store `oci` in the layout of Sigstore bundles: each signature a manifest of its own that refers to its image
//! (OCI 1.1), as cosign 3 writes and reads them (Chains specification §6.2; D1).
//!
//! # Guarantees
//!
//! - What others attached stays: a bundle is a new manifest, and the tag that stands in for the list of a registry
//!   without one is merged and looked at again, as cosign's tags are.
//! - A success means that the bundle is there and that whoever lists the referrers of the image finds it.
//!
//! # Caveats
//!
//! To know whether a signature is there already, the newest bundles of the image are read; what another writer
//! attached a thousand times over costs those reads and nothing more.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use backon::Retryable as _;
use bytes::Bytes;
use jiff::Timestamp;
use oci_client::manifest::{
    OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::subjects::Subjects;
use super::{MAX_LOOKED_INTO, backend, contended, policy};
use crate::artifact::digest::Digest;
use crate::artifact::image::{Image, Repository};
use crate::client::registry::Session;
use crate::payload::{Format, Payload};
use crate::signature::Signed;
use crate::signature::bundle::{self, Bundle, MEDIA_TYPE};
use crate::signature::signatory::Signatory;
use crate::storage::{Error, Place, Store, Stored};

const EMPTY_MEDIA_TYPE: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";
const CREATED: &str = "org.opencontainers.image.created";
const CONTENT: &str = "dev.sigstore.bundle.content";
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
/// A statement may hold a whole `PipelineRun`, and base64 adds a third.
const MAX_BUNDLE: usize = 32 * 1024 * 1024;

/// Bundles beside one run's images.
pub(super) struct Bundles {
    subjects: Arc<Subjects>,
    redirect: Option<Repository>,
    recorded: bool,
}

impl Bundles {
    /// `redirect` is `storage.oci.repository`; with `recorded` a bundle is there only with what a log or a timestamp
    /// authority gave for it.
    pub(super) fn new(subjects: Arc<Subjects>, redirect: Option<Repository>, recorded: bool) -> Self {
        Self { subjects, redirect, recorded }
    }

    fn session(&self) -> &Session {
        &self.subjects.session
    }

    /// The newest bundles that refer to `subject`.
    async fn attached(&self, repository: &Repository, subject: &Image) -> Result<Vec<Bundle>, Error> {
        let referrers = self.session().referrers(repository, &subject.digest).await.map_err(backend)?;
        let ours = referrers.iter().rev().filter(|referrer| referrer.artifact_type == MEDIA_TYPE);
        let mut bundles = Vec::new();
        for digest in ours.filter_map(|referrer| referrer.digest.parse().ok()).take(MAX_LOOKED_INTO) {
            bundles.extend(self.bundle(repository, &digest).await?);
        }
        Ok(bundles)
    }

    /// The bundle in a manifest that somebody attached; whatever is none is passed over.
    async fn bundle(&self, repository: &Repository, manifest: &Digest) -> Result<Option<Bundle>, Error> {
        let manifest = self.session().manifest(repository, manifest).await.map_err(backend)?;
        let manifest: Option<OciImageManifest> =
            manifest.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let layer = manifest.and_then(|manifest| manifest.layers.into_iter().next());
        let Some(digest) = layer.as_ref().and_then(|layer| layer.digest.parse().ok()) else {
            return Ok(None);
        };
        let content = self.session().blob(repository, &digest, MAX_BUNDLE).await.map_err(backend)?;
        Ok(Bundle::read(&content).ok())
    }

    /// Pushes one signature as a manifest that refers to its image.
    async fn attach(
        &self,
        place: &Place,
        subject: &Image,
        repository: &Repository,
        signed: &Signed,
    ) -> Result<(), Error> {
        let content = bundle::write(&signed.view(), &signed.evidence);
        let content = Bytes::from(content.map_err(|error| Error::Backend(Box::new(error)))?);
        let described = self.subjects.described(subject).await?;
        let manifest = manifest(&content, signed.payload.predicate_type, &described, Timestamp::now());
        let session = self.session();
        let config = session.push_blob(repository, Bytes::from_static(EMPTY));
        let layer = session.push_blob(repository, content);
        tokio::try_join!(config, layer).map_err(backend)?;
        let digest = Digest::of(&manifest);
        let name = digest.to_string();
        let pushed = session.push_manifest(repository, &name, OCI_IMAGE_MEDIA_TYPE, manifest.clone()).await;
        if pushed.map_err(backend)?.lists_referrers {
            return Ok(());
        }
        self.list(place, subject, repository, listed(&manifest, signed.payload.predicate_type)).await
    }

    /// Adds a manifest to the tag that stands in for the list which the registry does not keep.
    async fn list(
        &self,
        place: &Place,
        subject: &Image,
        repository: &Repository,
        entry: Value,
    ) -> Result<(), Error> {
        let tag = format!("sha256-{}", subject.digest.hex());
        let lock = self.session().tag_lock(repository, &tag);
        let mut writes = lock.lock().await;
        *writes += 1;
        let round = || async {
            let mut index = self.index(repository, &tag).await?;
            if index.has(&entry) {
                return Ok(());
            }
            index.manifests.push(entry.clone());
            let content = Bytes::from(serde_json::to_vec(&index).unwrap_or_default());
            let pushed = self.session().push_manifest(repository, &tag, OCI_IMAGE_INDEX_MEDIA_TYPE, content);
            pushed.await.map_err(backend)?;
            let index = self.index(repository, &tag).await?;
            if index.has(&entry) { Ok(()) } else { Err(contended(place)) }
        };
        round.retry(policy()).when(|error| matches!(error, Error::Contended { .. })).await
    }

    /// What is under the tag; whatever is no list is replaced by one.
    async fn index(&self, repository: &Repository, tag: &str) -> Result<Index, Error> {
        let stored = self.session().tagged(repository, tag).await.map_err(backend)?;
        let index = stored.and_then(|stored| serde_json::from_slice(&stored.bytes).ok());
        Ok(index.unwrap_or_default())
    }
}

#[async_trait]
impl Store for Bundles {
    fn name(&self) -> &'static str {
        "oci"
    }

    fn places(&self, payload: &Payload) -> Vec<Place> {
        if payload.format == Format::SimpleSigning {
            return Vec::new();
        }
        let repository = |image: &Image| self.redirect.clone().unwrap_or_else(|| image.repository.clone());
        let places = payload.images().into_iter();
        places.map(|image| Place::Referrer { repository: repository(&image), subject: image }).collect()
    }

    async fn missing(
        &self,
        place: &Place,
        payload: &Payload,
        signatories: &[Signatory],
    ) -> Result<Vec<Signatory>, Error> {
        let Place::Referrer { subject, repository } = place else { return Ok(Vec::new()) };
        let described = self.subjects.described(subject);
        let (described, attached) = tokio::join!(described, self.attached(repository, subject));
        described?;
        let attached = attached?;
        let is_there = |signatory: &Signatory| {
            attached.iter().any(|bundle| {
                signatory.signed_bundle(payload, bundle) && (!self.recorded || !bundle.evidence.is_empty())
            })
        };
        Ok(signatories.iter().filter(|signatory| !is_there(signatory)).cloned().collect())
    }

    async fn add(&self, place: &Place, signed: &[Arc<Signed>]) -> Result<Stored, Error> {
        let Place::Referrer { subject, repository } = place else { return Ok(Stored::default()) };
        for signed in signed {
            self.attach(place, subject, repository, signed).await?;
        }
        let report = self.session().push_report(repository).await;
        let (credential, refused) =
            report.map(|report| (report.annotation(), report.refused())).unwrap_or_default();
        Ok(Stored { credential, refused, ..Stored::of(signed) })
    }
}

fn manifest(content: &[u8], predicate: Option<&str>, subject: &OciDescriptor, now: Timestamp) -> Bytes {
    // To the second, as everybody writes it.
    let created = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    let mut annotations = annotations(predicate);
    annotations.insert(CREATED, &created);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_IMAGE_MEDIA_TYPE,
        "artifactType": MEDIA_TYPE,
        "config": descriptor(EMPTY_MEDIA_TYPE, EMPTY),
        "layers": [descriptor(MEDIA_TYPE, content)],
        "subject": {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size},
        "annotations": annotations,
    });
    Bytes::from(manifest.to_string())
}

/// A manifest of ours, as the tag lists it.
fn listed(manifest: &[u8], predicate: Option<&str>) -> Value {
    json!({
        "mediaType": OCI_IMAGE_MEDIA_TYPE,
        "digest": Digest::of(manifest).to_string(),
        "size": manifest.len(),
        "artifactType": MEDIA_TYPE,
        "annotations": annotations(predicate),
    })
}

fn annotations(predicate: Option<&str>) -> BTreeMap<&'static str, &str> {
    let mut annotations = BTreeMap::from([(CONTENT, "dsse-envelope")]);
    annotations.extend(predicate.map(|predicate| (PREDICATE_TYPE, predicate)));
    annotations
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(content).to_string(), "size": content.len()})
}

/// What a tag lists in place of a registry, with all that others wrote into it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    media_type: String,
    manifests: Vec<Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Default for Index {
    fn default() -> Self {
        let media_type = OCI_IMAGE_INDEX_MEDIA_TYPE.to_owned();
        Self { schema_version: 2, media_type, manifests: Vec::new(), rest: Map::new() }
    }
}

impl Index {
    fn has(&self, entry: &Value) -> bool {
        self.manifests.iter().any(|other| other.get("digest") == entry.get("digest"))
    }
}
