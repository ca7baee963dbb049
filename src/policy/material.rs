//! What lies beside an image, read but not believed: signatures and attestations with the certificates and proofs
//! that came with them (credentials specification §8.6).
//!
//! Nothing here is verified. [`super::check`] does that, for one signer at a time.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::check::Flaw;
use crate::artifact::digest::Digest;
use crate::artifact::image::Repository;
use crate::error::chain;
use crate::signature::bundle::{self, Bundle};
use crate::signature::certificate::Certificate;
use crate::signature::dsse::UnverifiedEnvelope;
use crate::signature::entry::Entry;
use crate::signature::log::Evidence;
use crate::signature::timestamp::SignedTimestamp;

/// Where something was found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// In which repository.
    pub repository: Repository,
    /// Under which manifest.
    pub manifest: Manifest,
    /// Which layer of it, from 1.
    pub layer: usize,
}

/// The name of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Manifest {
    /// cosign's tag.
    Tag(String),
    /// A referrer of the image.
    Referrer(Digest),
}

/// Something that was found, or why it cannot be used.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where.
    pub place: Place,
    /// What.
    pub content: Result<Material, Flaw>,
}

/// Which of the two things that vouch for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A signature of the image itself.
    Signature,
    /// A signed statement about it.
    Attestation,
}

/// A signature over something, with what came along.
#[derive(Debug, Clone)]
pub struct Material {
    /// What was signed.
    pub content: Content,
    /// The raw signatures, of which one must verify.
    pub signatures: Vec<Vec<u8>>,
    /// The certificate of the signer.
    pub certificate: Option<Certificate>,
    /// What is to prove the time of signing, or why it is none.
    pub evidence: Result<Evidence, Flaw>,
}

/// What was signed.
#[derive(Debug, Clone)]
pub enum Content {
    /// A simple-signing payload, as it stands.
    Payload(Vec<u8>),
    /// What an envelope holds.
    Envelope {
        /// The type that it gives.
        payload_type: String,
        /// What is inside.
        payload: Vec<u8>,
    },
}

/// Annotations of a layer, by name.
pub type Annotations = BTreeMap<String, String>;

impl Kind {
    /// The end of cosign's tag.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Signature => "sig",
            Self::Attestation => "att",
        }
    }
}

impl Material {
    /// A layer of a `.sig` manifest.
    pub fn signature(content: &[u8], annotations: &Annotations) -> Result<Self, Flaw> {
        let text = annotation(annotations, SIGNATURE).ok_or(Flaw::NoSignatureAnnotation)?;
        let signature = BASE64_STANDARD.decode(text).map_err(|_| Flaw::NotBase64)?;
        let content = Content::Payload(content.to_vec());
        Self::with(content, vec![signature], annotations)
    }

    /// A layer of an `.att` manifest.
    pub fn attestation(content: &[u8], annotations: &Annotations) -> Result<Self, Flaw> {
        let envelope = UnverifiedEnvelope::read(content).ok_or(Flaw::NotAnEnvelope)?;
        let payload = envelope.payload().ok_or(Flaw::NotAnEnvelope)?;
        let signatures: Vec<Vec<u8>> = envelope.signatures().collect();
        if signatures.is_empty() {
            return Err(Flaw::NoSignatureInEnvelope);
        }
        let payload_type = envelope.payload_type().to_owned();
        let mut read = Self::with(Content::Envelope { payload_type, payload }, signatures, annotations)?;
        // As cosign has it: under a tag the envelope is stamped, and not the signature in it.
        if let Ok(evidence) = &mut read.evidence {
            evidence.stamped = Some(content.to_vec());
        }
        Ok(read)
    }

    /// A Sigstore bundle.
    pub fn bundle(json: &[u8]) -> Result<Self, Flaw> {
        let bundle = Bundle::read(json).map_err(|error| Flaw::Bundle(chain(&error)))?;
        let bundle::Content::Envelope { payload_type, payload } = bundle.content else {
            return Err(Flaw::Bundle("it holds no envelope".to_owned()));
        };
        let certificate = match bundle.by {
            bundle::Material::Certificate(certificate) => Some(*certificate),
            bundle::Material::KeyHint(_) => None,
        };
        Ok(Self {
            content: Content::Envelope { payload_type, payload },
            signatures: vec![bundle.signature],
            certificate,
            evidence: Ok(bundle.evidence),
        })
    }

    /// Which of the two it says that it is. In a bundle the signature of an image is a statement as well.
    pub fn kind(&self) -> Kind {
        match &self.content {
            Content::Envelope { payload, .. } if claimed_type(payload) != bundle::IMAGE_PREDICATE => {
                Kind::Attestation
            }
            _ => Kind::Signature,
        }
    }

    fn with(content: Content, signatures: Vec<Vec<u8>>, annotations: &Annotations) -> Result<Self, Flaw> {
        let (certificate, evidence) = (certificate(annotations)?, evidence(annotations));
        Ok(Self { content, signatures, certificate, evidence })
    }
}

impl Place {
    /// The place for whoever has the image before him: without its digest, and without its repository.
    pub fn beside(&self, image: &Repository) -> String {
        let manifest = self.manifest.short();
        let (repository, layer) = (&self.repository, self.layer);
        if repository == image {
            format!("{manifest} layer {layer}")
        } else {
            format!("{repository}: {manifest} layer {layer}")
        }
    }
}

impl Manifest {
    /// The name with its digest cut.
    pub fn short(&self) -> String {
        match self {
            Self::Tag(tag) => {
                let (digest, suffix) = tag.rsplit_once('.').unwrap_or((tag, ""));
                let cut = digest.chars().count() > SHOWN;
                let dot = if suffix.is_empty() { "" } else { "." };
                let shown: String = digest.chars().take(SHOWN).collect();
                format!("tag {shown}{}{dot}{suffix}", if cut { "…" } else { "" })
            }
            Self::Referrer(digest) => {
                format!("referrer {}…", digest.to_string().chars().take(SHOWN).collect::<String>())
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.manifest {
            Manifest::Tag(tag) => write!(f, "{}:{tag} layer {}", self.repository, self.layer),
            Manifest::Referrer(digest) => write!(f, "{}@{digest} layer {}", self.repository, self.layer),
        }
    }
}

/// The certificate with those above it; cosign writes both as PEM, and an empty text for none.
fn certificate(annotations: &Annotations) -> Result<Option<Certificate>, Flaw> {
    let Some(leaf) = annotation(annotations, CERTIFICATE) else { return Ok(None) };
    let chain = annotation(annotations, CHAIN).unwrap_or_default();
    if leaf.len() + chain.len() > MAX_CERTIFICATES {
        return Err(Flaw::MalformedCertificate("it is larger than any"));
    }
    let mut ders = Vec::new();
    for (text, what) in [(leaf, "it is not PEM"), (chain, "the chain beside it is not PEM")] {
        let blocks = pem::parse_many(text).map_err(|_| Flaw::MalformedCertificate(what))?;
        // Where the leaf is missing, the first of the chain must not take its place.
        let is_no_leaf = ders.is_empty() && blocks.len() != 1;
        if is_no_leaf || blocks.iter().any(|block| block.tag() != "CERTIFICATE") {
            return Err(Flaw::MalformedCertificate(what));
        }
        ders.extend(blocks.into_iter().map(pem::Pem::into_contents));
    }
    Certificate::of_ders(ders).map(Some).map_err(Flaw::Certificate)
}

fn evidence(annotations: &Annotations) -> Result<Evidence, Flaw> {
    let mut evidence = Evidence::default();
    if let Some(text) = annotation(annotations, ENTRY) {
        evidence.entries.push(Entry::of_annotation(text).map_err(|_| Flaw::Entry)?);
    }
    if let Some(text) = annotation(annotations, TIMESTAMP) {
        evidence.timestamps.push(SignedTimestamp::of_annotation(text).map_err(Flaw::Timestamp)?);
    }
    Ok(evidence)
}

/// The predicate type of a statement that nobody has verified yet; empty for anything else.
fn claimed_type(payload: &[u8]) -> String {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Claim {
        predicate_type: String,
    }
    serde_json::from_slice(payload).map(|claim: Claim| claim.predicate_type).unwrap_or_default()
}

fn annotation<'a>(annotations: &'a Annotations, name: &str) -> Option<&'a str> {
    annotations.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

/// Of a digest with its algorithm: enough to tell it from others on a screen.
const SHOWN: usize = 19;
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const ENTRY: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";
const MAX_CERTIFICATES: usize = 256 * 1024;
