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
use crate::signature::entry::{ANNOTATION as ENTRY, Entry};
use crate::signature::signatory::{Beside, Signatory};
use crate::signature::timestamp::{ANNOTATION as TIMESTAMP, SignedTimestamp};

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
            None => (
                signed.payload.media_type,
                &signed.payload.bytes,
                BASE64_STANDARD.encode(&signed.signature.bytes),
            ),
        };
        let (certificate, chain) = signed.pems();
        let mut annotations = BTreeMap::from([
            (SIGNATURE.to_owned(), signature),
            (CERTIFICATE.to_owned(), certificate),
            (CHAIN.to_owned(), chain),
        ]);
        let entry = signed.evidence.entries.iter().find_map(Entry::to_annotation);
        annotations.extend(entry.map(|entry| (ENTRY.to_owned(), entry)));
        let timestamp = signed.tag_timestamp().map(SignedTimestamp::to_annotation);
        annotations.extend(timestamp.map(|timestamp| (TIMESTAMP.to_owned(), timestamp)));
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

/// A layer that could be ours, still unread.
pub(super) struct Envelope<'a> {
    pub digest: Digest,
    pub size: usize,
    pub beside: Beside<'a>,
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

    /// Whether nobody wrote between two looks.
    pub(super) fn is(&self, other: &Self) -> bool {
        let same =
            |(a, b): (&OciDescriptor, &OciDescriptor)| a.digest == b.digest && a.annotations == b.annotations;
        self.annotations == other.annotations
            && self.layers.len() == other.layers.len()
            && self.layers.iter().zip(&other.layers).all(same)
    }

    /// Whether there is nothing yet.
    pub(super) fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    pub(super) fn contains(&self, layer: &Layer) -> bool {
        self.layers.iter().any(|other| layer.is(other))
    }

    /// The raw signatures that are stored with exactly this payload, the newest first.
    pub(super) fn signatures_over(&self, payload: &Payload) -> impl Iterator<Item = (Vec<u8>, Beside<'_>)> {
        let digest = Digest::of(&payload.bytes).to_string();
        let same = self.layers.iter().rev().filter(move |layer| layer.digest == digest);
        same.filter_map(|layer| {
            Some((BASE64_STANDARD.decode(annotation(layer, SIGNATURE)).ok()?, beside(layer)))
        })
    }

    /// The layers that could be an envelope of this signatory around this payload: those of about the size that it
    /// would have, the newest first.
    pub(super) fn envelopes_like(
        &self,
        payload: &Payload,
        signatory: &Signatory,
    ) -> impl Iterator<Item = Envelope<'_>> {
        let expected = i64::try_from(signatory.typical_envelope_length(payload)).unwrap_or(i64::MAX);
        let alike = self.layers.iter().rev().filter(move |layer| {
            layer.media_type == ENVELOPE_MEDIA_TYPE && (layer.size - expected).abs() <= SIZE_TOLERANCE
        });
        alike.filter_map(|layer| {
            let (digest, size) = (layer.digest.parse().ok()?, usize::try_from(layer.size).ok()?);
            Some(Envelope { digest, size, beside: beside(layer) })
        })
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

fn beside(layer: &OciDescriptor) -> Beside<'_> {
    Beside {
        certificate: annotation(layer, CERTIFICATE),
        chain: annotation(layer, CHAIN),
        entry: annotation(layer, ENTRY),
        timestamp: annotation(layer, TIMESTAMP),
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
