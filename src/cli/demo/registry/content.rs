//! What the registry holds: blobs, manifests, tags, referrers and unfinished uploads, in memory.
//!
//! Guarantees: content is stored under the digest that it has; a manifest's blobs are there before it is;
//! everything together stays under [`Limits`]. Pure: no input or output, upload names come from outside.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Refusal;
use super::route::Reference;
use crate::artifact::digest::Digest;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// How much is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of one blob.
    pub(super) blob: usize,
    /// Bytes of one manifest.
    pub(super) manifest: usize,
    /// Bytes of everything together, unfinished uploads too.
    pub(super) total: usize,
    /// Uploads begun and not finished.
    pub(super) uploads: usize,
    /// Manifests and tags together: empty blobs and tags weigh nothing in bytes.
    pub(super) entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { blob: 64 << 20, manifest: 4 << 20, total: 512 << 20, uploads: 64, entries: 100_000 }
    }
}

/// A manifest with the media type it was pushed as.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub(super) digest: Digest,
    pub(super) media_type: String,
    pub(super) bytes: Bytes,
    document: Document,
}

/// The parts of an image manifest or index that the registry acts on.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Document {
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Vec<Descriptor>,
    manifests: Vec<Descriptor>,
    subject: Option<Descriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
}

/// Everything held, by repository.
#[derive(Debug, Default)]
pub(super) struct Content {
    limits: Limits,
    held: usize,
    entries: usize,
    repositories: BTreeMap<String, Repository>,
    uploads: BTreeMap<String, Upload>,
}

#[derive(Debug, Default)]
struct Repository {
    blobs: BTreeMap<Digest, Bytes>,
    manifests: BTreeMap<Digest, Manifest>,
    tags: BTreeMap<String, Digest>,
}

#[derive(Debug)]
struct Upload {
    repository: String,
    bytes: BytesMut,
}

impl Content {
    pub(super) fn with_limits(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    pub(super) fn blob(&self, repository: &str, digest: &Digest) -> Result<Bytes, Refusal> {
        let blob = self.repositories.get(repository).and_then(|r| r.blobs.get(digest));
        blob.cloned().ok_or(Refusal::BlobUnknown)
    }

    pub(super) fn manifest(&self, repository: &str, reference: &Reference) -> Result<Manifest, Refusal> {
        let held = self.repositories.get(repository).ok_or(Refusal::ManifestUnknown)?;
        let digest = match reference {
            Reference::Tag(tag) => held.tags.get(tag).ok_or(Refusal::ManifestUnknown)?,
            Reference::Digest(digest) => digest,
        };
        held.manifests.get(digest).cloned().ok_or(Refusal::ManifestUnknown)
    }

    /// Tags in order, those after `last` only.
    pub(super) fn tags(&self, repository: &str, last: Option<&str>) -> Result<Vec<String>, Refusal> {
        let held = self.repositories.get(repository).ok_or(Refusal::NameUnknown)?;
        Ok(held.tags.keys().filter(|tag| last.is_none_or(|last| tag.as_str() > last)).cloned().collect())
    }

    /// The index of manifests whose subject is `digest`, of one artifact type or all. A repository that
    /// does not exist has none, as the specification asks.
    pub(super) fn referrers(&self, repository: &str, digest: &Digest, artifact_type: Option<&str>) -> Value {
        let subject = digest.to_string();
        let held = self.repositories.get(repository);
        let descriptors: Vec<Value> = held
            .into_iter()
            .flat_map(|held| held.manifests.values())
            .filter(|manifest| manifest.document.subject.as_ref().is_some_and(|s| s.digest == subject))
            .filter(|manifest| artifact_type.is_none_or(|wanted| manifest.artifact_type() == Some(wanted)))
            .map(Manifest::descriptor)
            .collect();
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors})
    }

    /// Stores a whole blob.
    pub(super) fn put_blob(&mut self, repository: &str, digest: Digest, bytes: Bytes) -> Result<(), Refusal> {
        if bytes.len() > self.limits.blob {
            return Err(Refusal::TooLarge);
        }
        if Digest::of(&bytes) != digest {
            return Err(Refusal::DigestInvalid);
        }
        if self.blob(repository, &digest).is_ok() {
            return Ok(());
        }
        self.make_room(bytes.len(), 1)?;
        self.repositories.entry(repository.to_owned()).or_default().blobs.insert(digest, bytes);
        Ok(())
    }

    /// Stores a manifest by its digest and, when `reference` is a tag, under that; answers its digest and
    /// the subject that it names.
    pub(super) fn put_manifest(
        &mut self,
        repository: &str,
        reference: &Reference,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<(Digest, Option<String>), Refusal> {
        let manifest = Manifest::read(media_type, bytes, self.limits.manifest)?;
        if matches!(reference, Reference::Digest(digest) if *digest != manifest.digest) {
            return Err(Refusal::DigestInvalid);
        }
        self.require_parts(repository, &manifest.document)?;
        self.make_room(manifest.bytes.len(), 2)?;
        let (digest, subject) =
            (manifest.digest, manifest.document.subject.as_ref().map(|s| s.digest.clone()));
        let held = self.repositories.entry(repository.to_owned()).or_default();
        if let Reference::Tag(tag) = reference {
            held.tags.insert(tag.clone(), digest);
        }
        held.manifests.insert(digest, manifest);
        Ok((digest, subject))
    }

    /// Begins an upload under a name that nobody can guess.
    pub(super) fn begin_upload(&mut self, repository: &str, id: String) -> Result<(), Refusal> {
        if self.uploads.len() >= self.limits.uploads {
            return Err(Refusal::TooMany);
        }
        self.uploads.insert(id, Upload { repository: repository.to_owned(), bytes: BytesMut::new() });
        Ok(())
    }

    /// How many bytes of an upload have come.
    pub(super) fn uploaded(&self, repository: &str, id: &str) -> Result<usize, Refusal> {
        let upload = self.uploads.get(id).filter(|upload| upload.repository == repository);
        upload.map(|upload| upload.bytes.len()).ok_or(Refusal::UploadUnknown)
    }

    /// Adds a chunk, which says where it starts or follows the last; answers how much has come.
    pub(super) fn append(
        &mut self,
        repository: &str,
        id: &str,
        start: Option<usize>,
        chunk: &[u8],
    ) -> Result<usize, Refusal> {
        let uploaded = self.uploaded(repository, id)?;
        if start.is_some_and(|start| start != uploaded) {
            return Err(Refusal::RangeInvalid);
        }
        if uploaded + chunk.len() > self.limits.blob {
            return Err(Refusal::TooLarge);
        }
        self.make_room(chunk.len(), 0)?;
        let upload = self.uploads.get_mut(id).ok_or(Refusal::UploadUnknown)?;
        upload.bytes.extend_from_slice(chunk);
        Ok(upload.bytes.len())
    }

    /// Makes a blob of an upload. Whatever comes of it, the upload is over.
    pub(super) fn finish_upload(
        &mut self,
        repository: &str,
        id: &str,
        digest: Digest,
    ) -> Result<(), Refusal> {
        let bytes = self.cancel_upload(repository, id)?;
        self.put_blob(repository, digest, bytes)
    }

    /// Ends an upload and answers what had come.
    pub(super) fn cancel_upload(&mut self, repository: &str, id: &str) -> Result<Bytes, Refusal> {
        self.uploaded(repository, id)?;
        let upload = self.uploads.remove(id).ok_or(Refusal::UploadUnknown)?;
        self.held = self.held.saturating_sub(upload.bytes.len());
        Ok(upload.bytes.freeze())
    }

    fn require_parts(&self, repository: &str, document: &Document) -> Result<(), Refusal> {
        let missing =
            |part: &Descriptor| Err(Refusal::ManifestBlobUnknown(part.digest.chars().take(80).collect()));
        let held = self.repositories.get(repository);
        for blob in document.config.iter().chain(&document.layers) {
            let digest =
                blob.digest.parse().map_err(|_| Refusal::ManifestInvalid("a digest is malformed"))?;
            if !held.is_some_and(|held| held.blobs.contains_key(&digest)) {
                return missing(blob);
            }
        }
        for child in &document.manifests {
            let digest =
                child.digest.parse().map_err(|_| Refusal::ManifestInvalid("a digest is malformed"))?;
            if !held.is_some_and(|held| held.manifests.contains_key(&digest)) {
                return missing(child);
            }
        }
        Ok(())
    }

    fn make_room(&mut self, bytes: usize, entries: usize) -> Result<(), Refusal> {
        if self.held + bytes > self.limits.total || self.entries + entries > self.limits.entries {
            return Err(Refusal::TooMany);
        }
        self.held += bytes;
        self.entries += entries;
        Ok(())
    }
}

impl Manifest {
    fn read(media_type: &str, bytes: Bytes, limit: usize) -> Result<Self, Refusal> {
        if bytes.len() > limit {
            return Err(Refusal::TooLarge);
        }
        let document: Document = serde_json::from_slice(&bytes)
            .map_err(|_| Refusal::ManifestInvalid("the manifest is no JSON document of a known form"))?;
        if document.media_type.as_deref().is_some_and(|inside| inside != media_type) {
            return Err(Refusal::ManifestInvalid("mediaType and Content-Type differ"));
        }
        Ok(Self { digest: Digest::of(&bytes), media_type: media_type.to_owned(), bytes, document })
    }

    fn artifact_type(&self) -> Option<&str> {
        let config = self.document.config.as_ref().map(|config| config.media_type.as_str());
        self.document.artifact_type.as_deref().or(config)
    }

    fn descriptor(&self) -> Value {
        let mut descriptor = json!({
            "mediaType": self.media_type,
            "digest": self.digest.to_string(),
            "size": self.bytes.len(),
            "artifactType": self.artifact_type(),
            "annotations": self.document.annotations,
        });
        if let Some(fields) = descriptor.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        descriptor
    }
}

#[cfg(test)]
mod tests;
