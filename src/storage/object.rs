//! The stores `gcs`, `s3` and `azure`: four objects for each signature, under the names of Chains (specification §6.3).
//!
//! # Names
//!
//! `taskrun-<namespace>-<name>/<key>` or `pipelinerun-…`, with the endings `.payload`, `.cert`, `.chain` and `.signature`.
//! The key of a run is its kind and UID, as in Chains, which no other run has. The key of an image is its whole reference;
//! the short key that readers of Chains look for, twelve letters of the digest, is written beside it and belongs to
//! whoever came first: it is never replaced by another image's.
//!
//! # Guarantees
//!
//! - What is there and verifies is not written again; `.signature` comes last, so that whoever sees it sees the rest.
//! - Who may write and not read still gets everything written: then nothing is replaced that is there.
//! - With several keys the first one signs here, since a name holds one signature.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use super::access::Access;
use super::{Error, Place, Store, Stored};
use crate::artifact::{Artifact, RunArtifact};
use crate::client::bucket::azure::Azure;
use crate::client::bucket::gcs::Gcs;
use crate::client::bucket::s3::S3;
use crate::client::bucket::{Replace, Unread, Written};
use crate::client::store;
use crate::error::Diagnose;
use crate::payload::Payload;
use crate::signature::Signed;
use crate::signature::signatory::{Beside, Signatory};

/// A bucket, wherever it is, and who the process is there.
pub(super) struct Bucket {
    kind: Kind,
    /// As `gs://name`.
    name: String,
    access: Access,
    /// Reading was refused; writing may not be.
    unreadable: AtomicBool,
}

/// Where it is.
pub(super) enum Kind {
    Gcs(Gcs),
    S3(S3),
    Azure(Azure),
}

/// Why an object is not known.
pub(super) enum Unknown {
    Denied(Error),
    Failed(Error),
}

impl Bucket {
    pub(super) fn new(kind: Kind, name: String, access: Access) -> Self {
        Self { kind, name, access, unreadable: AtomicBool::new(false) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn store(&self) -> &'static str {
        match self.kind {
            Kind::Gcs(_) => "gcs",
            Kind::S3(_) => "s3",
            Kind::Azure(_) => "azure",
        }
    }

    async fn read(&self, name: &str) -> Result<Option<Bytes>, Unknown> {
        let now = Timestamp::now();
        let failed = |error| Unknown::Failed(self.closed(name, error));
        let read = match &self.kind {
            Kind::Gcs(bucket) => bucket.read(&self.access.google(now).await.map_err(failed)?, name).await,
            Kind::S3(bucket) => {
                let keys = self.access.aws(&self.name, bucket.region(), now).await.map_err(failed)?;
                bucket.read(&keys, name, now).await
            }
            Kind::Azure(bucket) => {
                let token = self.access.azure(&bucket.account(), now).await.map_err(failed)?;
                bucket.read(&token, name, now).await
            }
        };
        if read.is_ok() {
            self.unreadable.store(false, Ordering::Relaxed);
        }
        read.map_err(|unread| match unread {
            Unread::Denied(error) => {
                if !self.unreadable.swap(true, Ordering::Relaxed) {
                    tracing::warn!(hint = error.hint(), "what is there is not replaced: {error}");
                }
                Unknown::Denied(backend(error))
            }
            Unread::Failed(error) => Unknown::Failed(backend(error)),
        })
    }

    /// Whether it is there and may be read, asked for an object that need not be there.
    pub(super) async fn look(&self, name: &str) -> Result<(), Unknown> {
        let Kind::Gcs(bucket) = &self.kind else { return self.read(name).await.map(|_| ()) };
        let token = self.access.google(Timestamp::now()).await;
        let token = token.map_err(|failure| Unknown::Failed(self.closed(name, failure)))?;
        // Of an object it does not say whether that is missing or the bucket.
        bucket.list(&token, name).await.map_err(|unread| match unread {
            Unread::Denied(error) => Unknown::Denied(backend(error)),
            Unread::Failed(error) => Unknown::Failed(backend(error)),
        })
    }

    async fn write(&self, name: &str, content: Bytes, replace: Replace) -> Result<Written, Error> {
        let now = Timestamp::now();
        let closed = |error| self.closed(name, error);
        let written = match &self.kind {
            Kind::Gcs(bucket) => {
                let token = self.access.google(now).await.map_err(closed)?;
                bucket.write(&token, name, content, replace).await
            }
            Kind::S3(bucket) => {
                let keys = self.access.aws(&self.name, bucket.region(), now).await.map_err(closed)?;
                bucket.write(&keys, name, content, replace, now).await
            }
            Kind::Azure(bucket) => {
                let token = self.access.azure(&bucket.account(), now).await.map_err(closed)?;
                bucket.write(&token, name, content, replace, now).await
            }
        };
        written.map_err(backend)
    }

    fn closed(&self, name: &str, failure: Arc<crate::credential::cloud::Failure>) -> Error {
        Error::NoAccess { place: format!("{}/{name}", self.name), source: failure }
    }
}

fn backend(error: store::Error) -> Error {
    Error::Backend(Box::new(error))
}

/// The objects of one run.
pub(super) struct Objects {
    pub(super) bucket: Arc<Bucket>,
    pub(super) run: RunArtifact,
}

impl Objects {
    fn place(&self, key: &str, shared: bool) -> Place {
        let RunArtifact { kind, namespace, name, .. } = &self.run;
        let kind = kind.as_str().to_lowercase();
        let name = format!("{kind}-{namespace}-{name}/{key}");
        Place::Objects { bucket: self.bucket.name.clone(), name, shared }
    }

    /// Whether the signature under `name` is one over `payload` by `signatory`.
    async fn is_ours(&self, name: &str, payload: &Payload, signatory: &Signatory) -> Result<bool, Unknown> {
        let Some(content) = self.bucket.read(&format!("{name}.signature")).await? else { return Ok(false) };
        if matches!(signatory, Signatory::Key(_)) {
            return Ok(signatory.signed(payload, &content, Beside::default()));
        }
        let certificate = self.text(&format!("{name}.cert")).await?;
        let chain = self.text(&format!("{name}.chain")).await?;
        let beside = Beside { certificate: &certificate, chain: &chain, ..Beside::default() };
        Ok(signatory.signed(payload, &content, beside))
    }

    async fn text(&self, name: &str) -> Result<String, Unknown> {
        let content = self.bucket.read(name).await?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&content).into_owned())
    }

    async fn lacks(
        &self,
        name: &str,
        shared: bool,
        payload: &Payload,
        signatory: &Signatory,
    ) -> Result<bool, Unknown> {
        match self.bucket.read(&format!("{name}.payload")).await? {
            Some(content) if content == payload.bytes => Ok(!self.is_ours(name, payload, signatory).await?),
            // Another image of the same short name was here first.
            Some(_) if shared => Ok(false),
            _ => Ok(true),
        }
    }
}

#[async_trait]
impl Store for Objects {
    fn name(&self) -> &'static str {
        self.bucket.store()
    }

    fn places(&self, payload: &Payload) -> Vec<Place> {
        match &payload.artifact {
            Artifact::Run(run) => vec![self.place(&run.short_key(), false)],
            Artifact::Image(image) => {
                let whole = self.place(&image.to_string(), false);
                vec![whole, self.place(&payload.artifact.short_key(), true)]
            }
        }
    }

    async fn missing(
        &self,
        place: &Place,
        payload: &Payload,
        signatories: &[Signatory],
    ) -> Result<Vec<Signatory>, Error> {
        let Some((name, shared, first)) = place.single(signatories) else { return Ok(Vec::new()) };
        match self.lacks(name, shared, payload, first).await {
            Ok(lacks) => Ok(lacks.then(|| first.clone()).into_iter().collect()),
            Err(Unknown::Denied(_)) => Ok(vec![first.clone()]),
            Err(Unknown::Failed(error)) => Err(error),
        }
    }

    async fn add(&self, place: &Place, signed: &[Arc<Signed>]) -> Result<Stored, Error> {
        let Some((name, shared, signed)) = place.single(signed) else { return Ok(Stored::default()) };
        let careful = shared || self.bucket.unreadable.load(Ordering::Relaxed);
        let replace = if careful { Replace::Nothing } else { Replace::Anything };
        let payload = Bytes::copy_from_slice(&signed.payload.bytes);
        let written = self.bucket.write(&format!("{name}.payload"), payload.clone(), replace).await?;
        // Who came first may have been ourselves, and been interrupted.
        let mut replace = replace;
        if shared && written == Written::Before {
            match self.bucket.read(&format!("{name}.payload")).await {
                Ok(Some(content)) if content == payload => replace = Replace::Anything,
                Ok(_) => return Ok(Stored::default()),
                Err(Unknown::Denied(_)) => {}
                Err(Unknown::Failed(error)) => return Err(error),
            }
        }
        let (certificate, chain) = signed.pems();
        // With a key the two in the middle are empty; Chains writes them nevertheless.
        for (ending, content) in [("cert", certificate.into_bytes()), ("chain", chain.into_bytes())] {
            self.bucket.write(&format!("{name}.{ending}"), content.into(), replace).await?;
        }
        let content = Bytes::copy_from_slice(signed.content());
        self.bucket.write(&format!("{name}.signature"), content, replace).await?;
        Ok(Stored::of(std::slice::from_ref(signed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tekton::Kind as RunKind;

    #[test]
    fn runs_have_the_names_of_chains_and_images_a_whole_one_beside_it() {
        let run = |namespace: &str, name: &str| RunArtifact {
            kind: RunKind::TaskRun,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: "1-2-3".to_owned(),
        };
        let web =
            crate::client::cloud::Web::new(crate::client::registry::Registry::new().unwrap(), Arc::default());
        let access = Access::new(crate::credential::cloud::Surroundings::default(), web);
        let server = store::Server::new(
            "Cloud Storage",
            "storage.gcs.endpoint",
            "https://storage.test",
            &crate::client::http::Clients::default(),
            &crate::credential::registry_config::RegistryConfig::default(),
        );
        let gcs = Gcs::new(server.unwrap(), "signatures".to_owned());
        let bucket = Arc::new(Bucket::new(Kind::Gcs(gcs), "gs://signatures".to_owned(), access));
        let named = |payload: &Payload| {
            let objects = Objects { bucket: Arc::clone(&bucket), run: run("ci", "build") };
            objects.places(payload).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let image = |name: &str| format!("{name}@sha256:{}", "0".repeat(64)).parse().unwrap();
        let of = |name: &str| crate::payload::simple_signing(&image(name)).unwrap();
        assert_eq!(
            named(&of("registry.test:5000/app")),
            [
                format!("gs://signatures/taskrun-ci-build/registry.test:5000/app@sha256:{}", "0".repeat(64)),
                "gs://signatures/taskrun-ci-build/000000000000".to_owned(),
            ]
        );
        // The same content in two repositories has one short name and two whole ones.
        assert_ne!(named(&of("registry.test/one"))[0], named(&of("registry.test/two"))[0]);
        let statement = Payload { artifact: Artifact::Run(run("ci", "build")), ..of("registry.test/app") };
        assert_eq!(named(&statement), ["gs://signatures/taskrun-ci-build/taskrun-1-2-3"]);
    }
}
