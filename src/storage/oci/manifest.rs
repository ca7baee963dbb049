//! The manifest under a signature tag, as a value: which layers it has, which of them are ours, what it becomes
//! with more of them. The shape is cosign's (Chains specification §6.2), down to the empty annotations.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest,
};
use serde_json::json;

use crate::artifact::digest::Digest;
use crate::payload::Payload;
use crate::signature::Signed;
use crate::signature::dsse;
use crate::signature::public_key::PublicKey;

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const ENVELOPE_MEDIA_TYPE: &str = "application/vnd.dsse.envelope.v1+json";
/// cosign reads no more.
const MAX_LAYERS: usize = 1000;
/// Go's zero time: what cosign writes where it has nothing to say.
const NO_TIME: &str = "0001-01-01T00:00:00Z";
/// An ECDSA signature varies by a few bytes, its base64 by at most two groups.
const SIZE_TOLERANCE: i64 = 8;

/// One signature as a layer with its content.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub content: Bytes,
    descriptor: OciDescriptor,
}

impl Layer {
    pub(super) fn of(signed: &Signed) -> Self {
        let (media_type, content, signature) = match &signed.envelope {
            Some(envelope) => (ENVELOPE_MEDIA_TYPE, envelope, String::new()),
            None => {
                (signed.payload.media_type, &signed.payload.bytes, BASE64_STANDARD.encode(&signed.signature))
            }
        };
        let annotations = BTreeMap::from([
            (SIGNATURE.to_owned(), signature),
            (CERTIFICATE.to_owned(), String::new()),
            (CHAIN.to_owned(), String::new()),
        ]);
        Self {
            descriptor: descriptor(media_type, content, Some(annotations)),
            content: Bytes::copy_from_slice(content),
        }
    }

    fn is(&self, other: &OciDescriptor) -> bool {
        self.descriptor.digest == other.digest
            && annotation(&self.descriptor, SIGNATURE) == annotation(other, SIGNATURE)
    }
}

/// The layers under one tag.
#[derive(Debug, Clone, Default)]
pub(super) struct SignatureList {
    layers: Vec<OciDescriptor>,
    annotations: Option<BTreeMap<String, String>>,
}

impl SignatureList {
    /// Reads a manifest that somebody stored; anything but an image manifest is left alone.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let manifest: OciImageManifest = serde_json::from_slice(bytes).map_err(|_| "it does not decode")?;
        let media_type = manifest.media_type.as_deref().unwrap_or(OCI_IMAGE_MEDIA_TYPE);
        if ![OCI_IMAGE_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE].contains(&media_type) {
            return Err("it is an index");
        }
        if manifest.layers.len() >= MAX_LAYERS {
            return Err("it has 1,000 layers, more than cosign reads");
        }
        Ok(Self { layers: manifest.layers, annotations: manifest.annotations })
    }

    pub(super) fn contains(&self, layer: &Layer) -> bool {
        self.layers.iter().any(|other| layer.is(other))
    }

    /// The raw signatures that are stored with exactly this payload.
    pub(super) fn signatures_over(&self, payload: &Payload) -> impl Iterator<Item = Vec<u8>> {
        let digest = Digest::of(&payload.bytes).to_string();
        let same = self.layers.iter().filter(move |layer| layer.digest == digest);
        same.filter_map(|layer| BASE64_STANDARD.decode(annotation(layer, SIGNATURE)).ok())
    }

    /// Digest and size of the layers that could be an envelope around this payload by this key: those of about
    /// the size that it would have, the newest first.
    pub(super) fn envelopes_like(
        &self,
        payload: &Payload,
        key: &PublicKey,
    ) -> impl Iterator<Item = (Digest, usize)> {
        let signature = vec![0; key.typical_signature_length()];
        let envelope = dsse::envelope(payload.media_type, &payload.bytes, key.id(), &signature);
        let expected = length(&envelope);
        let alike = self.layers.iter().rev().filter(move |layer| {
            layer.media_type == ENVELOPE_MEDIA_TYPE && (layer.size - expected).abs() <= SIZE_TOLERANCE
        });
        alike.filter_map(|layer| Some((layer.digest.parse().ok()?, usize::try_from(layer.size).ok()?)))
    }

    /// This list with more layers at its end.
    pub(super) fn with(&self, layers: &[Layer]) -> Self {
        let mut list = self.clone();
        list.layers.extend(layers.iter().map(|layer| layer.descriptor.clone()));
        list
    }

    /// The image config: nothing but one history entry and one diff id per layer.
    pub(super) fn config(&self) -> Bytes {
        let history: Vec<_> = self.layers.iter().map(|_| json!({"created": NO_TIME})).collect();
        let diff_ids: Vec<&str> = self.layers.iter().map(|layer| layer.digest.as_str()).collect();
        let config = json!({
            "architecture": "", "config": {}, "created": NO_TIME, "history": history, "os": "",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        Bytes::from(config.to_string())
    }

    /// The manifest's bytes.
    pub(super) fn manifest(&self, config: &[u8]) -> Bytes {
        let manifest = OciImageManifest {
            media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
            config: descriptor(IMAGE_CONFIG_MEDIA_TYPE, config, None),
            layers: self.layers.clone(),
            annotations: self.annotations.clone(),
            ..OciImageManifest::default()
        };
        serde_json::to_vec(&manifest).unwrap_or_default().into()
    }
}

fn annotation<'a>(layer: &'a OciDescriptor, name: &str) -> &'a str {
    layer.annotations.as_ref().and_then(|annotations| annotations.get(name)).map_or("", String::as_str)
}

fn descriptor(
    media_type: &str,
    content: &[u8],
    annotations: Option<BTreeMap<String, String>>,
) -> OciDescriptor {
    OciDescriptor {
        media_type: media_type.to_owned(),
        digest: Digest::of(content).to_string(),
        size: length(content),
        annotations,
        ..OciDescriptor::default()
    }
}

fn length(content: &[u8]) -> i64 {
    i64::try_from(content.len()).unwrap_or(i64::MAX)
}
