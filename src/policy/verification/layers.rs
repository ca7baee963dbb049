//! A manifest of signatures and what its layers hold, as bytes from outside: read, bounded, and not believed. Pure, so that
//! `hack/fuzz` can feed it whatever it likes.

use bytes::Bytes;
use oci_client::manifest::{OciDescriptor, OciImageManifest};

use crate::policy::check::Flaw;
use crate::policy::material::Material;

/// cosign reads no more layers of one manifest.
const MOST: usize = 1000;
/// A simple-signing payload has some hundred bytes.
const MAX_PAYLOAD: usize = 256 * 1024;
/// A statement may hold a whole `PipelineRun`, and base64 adds a third.
const MAX_ENVELOPE: usize = 32 * 1024 * 1024;

const PAYLOAD_MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE_MEDIA_TYPE: &str = "application/vnd.dsse.envelope.v1+json";
/// How the media types of bundles begin, of any version.
pub(super) const BUNDLE_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle";

/// What a layer says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A simple-signing payload, its signature in an annotation.
    Payload,
    /// An envelope.
    Envelope,
    /// A Sigstore bundle.
    Bundle,
}

/// The layers of a manifest, in order.
pub fn layers(manifest: &[u8]) -> Result<Vec<OciDescriptor>, &'static str> {
    let read: OciImageManifest =
        serde_json::from_slice(manifest).map_err(|_| "the manifest does not decode")?;
    if read.layers.len() > MOST {
        return Err("the manifest has more than 1,000 layers");
    }
    Ok(read.layers)
}

impl Form {
    /// What a layer says that it is.
    pub fn of(layer: &OciDescriptor) -> Result<Self, Flaw> {
        match layer.media_type.as_str() {
            PAYLOAD_MEDIA_TYPE => Ok(Self::Payload),
            ENVELOPE_MEDIA_TYPE => Ok(Self::Envelope),
            bundle if bundle.starts_with(BUNDLE_MEDIA_TYPE) => Ok(Self::Bundle),
            other => Err(Flaw::OtherMediaType(other.chars().take(100).collect())),
        }
    }

    /// How many bytes of it are read.
    pub fn limit(self) -> usize {
        if self == Self::Payload { MAX_PAYLOAD } else { MAX_ENVELOPE }
    }

    /// Reads the content of a layer of this form.
    pub fn read(self, layer: &OciDescriptor, content: &Bytes) -> Result<Material, Flaw> {
        let annotations = || layer.annotations.clone().unwrap_or_default();
        match self {
            Self::Payload => Material::signature(content, &annotations()),
            Self::Envelope => Material::attestation(content, &annotations()),
            Self::Bundle => Material::bundle(content),
        }
    }
}
