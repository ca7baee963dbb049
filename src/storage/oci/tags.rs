//! The store `oci` in the layout of cosign: signatures as layers of an image manifest under the tag
//! `sha256-<hex>.sig` or `.att` (Chains specification §6.2).
//!
//! # Flow
//!
//! Look whether the image exists and what the tag holds; upload the layers that are missing and a new config;
//! put the manifest; read the tag again. Where others may be writing too (several replicas, or a tag that held something
//! already), look again right before the write, and wait before the last look.
//!
//! # Guarantees
//!
//! - What others signed stays: layers are added to those that the target repository holds now (D2, D3).
//! - A success means that our layers were seen under the tag after the last write, or those of another replica that
//!   signed the same with the same key meanwhile. Two runs of one process take turns at a tag. Other processes are met
//!   by the looks before and after the write: whoever read the tag before ours was there has written by the time of the
//!   last look, and a lost write is merged again.
//!
//! # Caveats
//!
//! Registries have no conditional write: a foreign writer that neither looks again nor takes turns can lose its
//! own entry, as with every tool that uses these tags. One that stalls between its look and its write for longer than
//! the wait, which is several times as long as our own took, can lose ours. A single replica does not wait at a tag
//! that nobody has written yet: that wait would be most of what signing a run takes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use backon::Retryable as _;
use bytes::Bytes;
use futures::future::try_join_all;
use oci_client::manifest::OCI_IMAGE_MEDIA_TYPE;

use super::manifest::{Layer, SignatureList};
use super::subjects::Subjects;
use super::{MAX_LOOKED_INTO, backend, contended, policy};
use crate::artifact::image::{Image, Repository};
use crate::client::registry::{Session, TagLock};
use crate::config;
use crate::payload::{Format, Payload};
use crate::signature::Signed;
use crate::signature::signatory::{Beside, Signatory};
use crate::storage::{Error, Place, Store, Stored};

/// How long a write must have stood before it counts, beside several times what the write itself took: another writer
/// that had read the tag before needs about as long.
const SETTLED: Duration = Duration::from_millis(100);
const SETTLED_FACTOR: u32 = 3;

/// Signatures beside one run's images.
pub(super) struct Tags {
    subjects: Arc<Subjects>,
    redirect: Option<Repository>,
    require_image: bool,
    recorded: bool,
    rivals: bool,
    seen: Mutex<HashMap<Place, Seen>>,
}

/// What a tag held when it was looked at, and how often this process had written it by then.
#[derive(Clone)]
struct Seen {
    lock: TagLock,
    writes: u64,
    list: SignatureList,
}

impl Tags {
    /// As the configuration has it; with `recorded` a signature is there only with what a log or a timestamp authority
    /// gave for it, and `rivals` says that other processes may be writing.
    pub(super) fn new(
        subjects: Arc<Subjects>,
        settings: &config::OciStorage,
        recorded: bool,
        rivals: bool,
    ) -> Self {
        let (redirect, require_image) = (settings.repository.clone(), settings.require_image);
        Self { subjects, redirect, require_image, recorded, rivals, seen: Mutex::default() }
    }

    fn session(&self) -> &Session {
        &self.subjects.session
    }

    /// An image that must be there, if the configuration wants that.
    async fn require(&self, image: &Image) -> Result<(), Error> {
        if self.require_image { self.subjects.described(image).await.map(|_| ()) } else { Ok(()) }
    }

    async fn read(&self, place: &Place) -> Result<SignatureList, Error> {
        let Place::Tag { repository, tag, .. } = place else { return Ok(SignatureList::default()) };
        match self.session().tagged(repository, tag).await.map_err(backend)? {
            None => Ok(SignatureList::default()),
            Some(stored) => SignatureList::read(&stored.bytes)
                .map_err(|reason| Error::Foreign { place: Box::new(place.clone()), reason }),
        }
    }

    /// Whether `list` holds a signature over `payload` by `signatory`.
    async fn holds(
        &self,
        repository: &Repository,
        list: &SignatureList,
        payload: &Payload,
        signatory: &Signatory,
    ) -> Result<bool, Error> {
        if payload.format == Format::SimpleSigning {
            let mut found = list.signatures_over(payload).take(MAX_LOOKED_INTO);
            return Ok(found.any(|(signature, beside)| self.is_ours(signatory, payload, &signature, beside)));
        }
        for envelope in list.envelopes_like(payload, signatory).take(MAX_LOOKED_INTO) {
            let content = self.session().blob(repository, &envelope.digest, envelope.size).await;
            if self.is_ours(signatory, payload, &content.map_err(backend)?, envelope.beside) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Those of `signed` that `list` lacks. With `looked` nobody wrote since `missing` answered that they are; otherwise
    /// another replica may have signed the same by now, with the same key and another signature.
    async fn lacking(
        &self,
        repository: &Repository,
        list: &SignatureList,
        signed: &[(&Signed, Layer)],
        looked: bool,
    ) -> Result<Vec<Layer>, Error> {
        let mut lacking = Vec::new();
        for (signed, layer) in signed.iter().filter(|(_, layer)| !list.contains(layer)) {
            if looked || !self.holds(repository, list, &signed.payload, &signed.signatory).await? {
                lacking.push(layer.clone());
            }
        }
        Ok(lacking)
    }

    fn is_ours(&self, who: &Signatory, payload: &Payload, content: &[u8], beside: Beside<'_>) -> bool {
        who.signed(payload, content, beside) && (!self.recorded || beside.is_recorded())
    }

    /// One round: add what `list` lacks, unless the tag holds something else by now; what it holds in the end.
    async fn write(
        &self,
        place: &Place,
        list: &SignatureList,
        layers: &[Layer],
    ) -> Result<SignatureList, Error> {
        let Place::Tag { repository, tag, .. } = place else { return Ok(list.clone()) };
        let merged = list.with(layers);
        let config = merged.config();
        let mut blobs: Vec<Bytes> = layers.iter().map(|layer| layer.content.clone()).collect();
        blobs.dedup();
        blobs.push(config.clone());
        try_join_all(blobs.into_iter().map(|blob| self.session().push_blob(repository, blob)))
            .await
            .map_err(backend)?;
        let (begun, content) = (Instant::now(), merged.manifest(&config));
        let rivals = self.rivals || !list.is_empty();
        // What another replica wrote may serve as well; it has to stand for as long as what we write.
        if !rivals || self.read(place).await?.is(list) {
            self.session()
                .push_manifest(repository, tag, OCI_IMAGE_MEDIA_TYPE, content)
                .await
                .map_err(backend)?;
        }
        if rivals {
            self.session().settle(SETTLED + SETTLED_FACTOR * begun.elapsed()).await;
        }
        self.read(place).await
    }
}

#[async_trait]
impl Store for Tags {
    fn name(&self) -> &'static str {
        "oci"
    }

    fn places(&self, payload: &Payload) -> Vec<Place> {
        let suffix = match payload.format {
            Format::SimpleSigning => "sig",
            Format::ImageStatement => return Vec::new(),
            _ => "att",
        };
        let tag = |image: &Image| format!("sha256-{}.{suffix}", image.digest.hex());
        let repository = |image: &Image| self.redirect.clone().unwrap_or_else(|| image.repository.clone());
        let places = payload.images().into_iter().map(|image| Place::Tag {
            tag: tag(&image),
            repository: repository(&image),
            subject: image,
        });
        places.collect()
    }

    async fn missing(
        &self,
        place: &Place,
        payload: &Payload,
        signatories: &[Signatory],
    ) -> Result<Vec<Signatory>, Error> {
        let Place::Tag { subject, repository, tag } = place else { return Ok(Vec::new()) };
        let lock = self.session().tag_lock(repository, tag);
        let writes = *lock.lock().await;
        let (required, list) = tokio::join!(self.require(subject), self.read(place));
        required?;
        let list = list?;
        let mut missing = Vec::new();
        for signatory in signatories {
            if !self.holds(repository, &list, payload, signatory).await? {
                missing.push(signatory.clone());
            }
        }
        let seen = Seen { lock, writes, list };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(place.clone(), seen);
        Ok(missing)
    }

    async fn add(&self, place: &Place, signed: &[Arc<Signed>]) -> Result<Stored, Error> {
        let Place::Tag { repository, tag, .. } = place else { return Ok(Stored::default()) };
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(place).cloned();
        let lock = seen
            .as_ref()
            .map_or_else(|| self.session().tag_lock(repository, tag), |seen| Arc::clone(&seen.lock));
        let layers: Vec<(&Signed, Layer)> =
            signed.iter().map(|signed| (signed.as_ref(), Layer::of(signed))).collect();

        let mut writes = lock.lock().await;
        let (list, looked) = match seen.filter(|seen| seen.writes == *writes) {
            Some(seen) => (seen.list, true),
            None => (self.read(place).await?, false),
        };
        *writes += 1;
        let lacking = self.lacking(repository, &list, &layers, looked).await?;
        let latest = &tokio::sync::Mutex::new((list, lacking));
        let round = || async {
            let (list, lacking) = &mut *latest.lock().await;
            if lacking.is_empty() {
                return Ok(());
            }
            *list = self.write(place, list, lacking).await?;
            *lacking = self.lacking(repository, list, &layers, false).await?;
            if lacking.is_empty() { Ok(()) } else { Err(contended(place)) }
        };
        round.retry(policy()).when(|error| matches!(error, Error::Contended { .. })).await?;
        let report = self.session().push_report(repository).await;
        let (credential, refused) =
            report.map(|report| (report.annotation(), report.refused())).unwrap_or_default();
        Ok(Stored { credential, refused, ..Stored::of(signed) })
    }
}
