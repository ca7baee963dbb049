//! The store `oci` in the layout of cosign: signatures as layers of an image manifest under the tag
//! `sha256-<hex>.sig` or `.att` (Chains specification §6.2).
//!
//! # Flow
//!
//! Look whether the image exists and what the tag holds; upload the layers that are missing and a new config;
//! put the manifest; read the tag again.
//!
//! # Guarantees
//!
//! - What others signed stays: layers are added to those that the target repository holds now (D2, D3).
//! - A success means that our layers were seen under the tag after the last write. Two runs of one process
//!   take turns at a tag; other processes are met by that second look, and a lost write is merged again.
//!
//! # Caveats
//!
//! Registries have no conditional write: a foreign writer that neither looks again nor takes turns can lose its
//! own entry, as with every tool that uses these tags.

mod manifest;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable as _};
use bytes::Bytes;
use futures::future::try_join_all;
use oci_client::manifest::OCI_IMAGE_MEDIA_TYPE;
use tokio::sync::OnceCell;

use super::{Error, Place, Store, Stored};
use crate::artifact::image::{Image, Repository};
use crate::client::registry::{self, Session, TagLock};
use crate::error::Diagnose;
use crate::payload::{Format, Payload};
use crate::signature::public_key::PublicKey;
use crate::signature::{Signed, verifies};
use manifest::{Layer, SignatureList};

/// How often a tag that others keep replacing is merged anew.
const MERGES: usize = 6;
/// Layers of about the right size that are fetched to see whether they are ours; the newest ones first.
const MAX_LOOKED_INTO: usize = 32;

/// Signatures beside one run's images.
pub struct Tags {
    session: Arc<Session>,
    redirect: Option<Repository>,
    require_image: bool,
    images: Mutex<HashMap<Image, Arc<OnceCell<()>>>>,
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
    /// `redirect` is `storage.oci.repository`; `require_image` refuses images that are in no registry.
    pub fn new(session: Arc<Session>, redirect: Option<Repository>, require_image: bool) -> Self {
        Self { session, redirect, require_image, images: Mutex::default(), seen: Mutex::default() }
    }

    /// Looks an image up once, however many signatures it gets.
    async fn require(&self, image: &Image) -> Result<(), Error> {
        if !self.require_image {
            return Ok(());
        }
        let cell = Arc::clone(
            self.images.lock().unwrap_or_else(PoisonError::into_inner).entry(image.clone()).or_default(),
        );
        cell.get_or_try_init(|| async {
            match self.session.image_exists(image).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(backend(registry::Error::NoImage { image: image.clone() })),
                Err(error) => Err(backend(error)),
            }
        })
        .await
        .copied()
    }

    async fn read(&self, place: &Place) -> Result<SignatureList, Error> {
        let Place::Tag { repository, tag, .. } = place else { return Ok(SignatureList::default()) };
        match self.session.tagged(repository, tag).await.map_err(backend)? {
            None => Ok(SignatureList::default()),
            Some(stored) => SignatureList::read(&stored.bytes)
                .map_err(|reason| Error::Foreign { place: Box::new(place.clone()), reason }),
        }
    }

    /// Whether `list` holds a signature over `payload` by `key`.
    async fn holds(
        &self,
        repository: &Repository,
        list: &SignatureList,
        payload: &Payload,
        key: &PublicKey,
    ) -> Result<bool, Error> {
        if payload.format == Format::SimpleSigning {
            return Ok(list
                .signatures_over(payload)
                .any(|signature| key.verifies(&payload.bytes, &signature)));
        }
        for (digest, size) in list.envelopes_like(payload, key).take(MAX_LOOKED_INTO) {
            let content = self.session.blob(repository, &digest, size).await.map_err(backend)?;
            if verifies(payload, &content, key) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// One round: add what `list` lacks, then look again.
    async fn write(
        &self,
        place: &Place,
        list: &SignatureList,
        layers: &[Layer],
    ) -> Result<SignatureList, Error> {
        let Place::Tag { repository, tag, .. } = place else { return Ok(list.clone()) };
        let list = list.with(layers);
        let config = list.config();
        let mut blobs: Vec<Bytes> = layers.iter().map(|layer| layer.content.clone()).collect();
        blobs.dedup();
        blobs.push(config.clone());
        try_join_all(blobs.into_iter().map(|blob| self.session.push_blob(repository, blob)))
            .await
            .map_err(backend)?;
        let content = list.manifest(&config);
        self.session.push_manifest(repository, tag, OCI_IMAGE_MEDIA_TYPE, content).await.map_err(backend)?;
        self.read(place).await
    }
}

#[async_trait]
impl Store for Tags {
    fn name(&self) -> &'static str {
        "oci"
    }

    fn places(&self, payload: &Payload) -> Vec<Place> {
        let suffix = if payload.format == Format::SimpleSigning { "sig" } else { "att" };
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
        keys: &[PublicKey],
    ) -> Result<Vec<PublicKey>, Error> {
        let Place::Tag { subject, repository, tag } = place else { return Ok(Vec::new()) };
        let lock = self.session.tag_lock(repository, tag);
        let writes = *lock.lock().await;
        let (required, list) = tokio::join!(self.require(subject), self.read(place));
        required?;
        let list = list?;
        let mut missing = Vec::new();
        for key in keys {
            if !self.holds(repository, &list, payload, key).await? {
                missing.push(key.clone());
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
            .map_or_else(|| self.session.tag_lock(repository, tag), |seen| Arc::clone(&seen.lock));
        let layers: Vec<Layer> = signed.iter().map(|signed| Layer::of(signed)).collect();

        let mut writes = lock.lock().await;
        let mut list = match seen.filter(|seen| seen.writes == *writes) {
            Some(seen) => seen.list,
            None => self.read(place).await?,
        };
        *writes += 1;
        let latest = &tokio::sync::Mutex::new(&mut list);
        let round = || async {
            let mut list = latest.lock().await;
            let lacking: Vec<Layer> = layers.iter().filter(|layer| !list.contains(layer)).cloned().collect();
            if !lacking.is_empty() {
                **list = self.write(place, &list, &lacking).await?;
            }
            if layers.iter().all(|layer| list.contains(layer)) { Ok(()) } else { Err(contended(place)) }
        };
        round.retry(policy()).when(|error| matches!(error, Error::Contended { .. })).await?;
        let report = self.session.push_report(repository).await;
        let (credential, refused) =
            report.map(|report| (report.annotation(), report.refused())).unwrap_or_default();
        Ok(Stored { credential, refused, ..Stored::default() })
    }
}

fn policy() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(20))
        .with_max_times(MERGES - 1)
        .with_jitter()
}

fn contended(place: &Place) -> Error {
    Error::Contended { place: Box::new(place.clone()), times: MERGES }
}

fn backend(error: registry::Error) -> Error {
    Error::Backend(Box::new(error) as Box<dyn Diagnose + Send + Sync>)
}
