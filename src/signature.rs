//! A signature over a payload: the port that makes one, and the value that travels to the stores.
//!
//! Two shapes exist (Chains specification §5.4): a simple-signing payload is signed as it stands, an in-toto
//! statement is signed inside a DSSE envelope with exactly one signature.
//!
//! This file holds no key and does no input or output; the signers in `signature/` do.

pub mod bundle;
pub mod certificate;
pub mod covered;
pub mod dsse;
pub mod entry;
mod file;
pub mod key;
pub mod keyless;
pub mod kms;
pub mod log;
pub mod public_key;
pub mod services;
pub mod signatory;
pub mod signing_config;
pub mod timestamp;
pub mod trusted_root;
pub mod verification;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::config::SignerKind;
use crate::error::{About, Class, Diagnose, chain};
use crate::payload::{Format, Payload};
use certificate::Certificate;
use covered::{Covered, SignedBy};
use log::{Evidence, Logged, Proof};
use public_key::PublicKey;
use signatory::Signatory;
use timestamp::SignedTimestamp;

/// Something that signs in the name of one signatory.
#[async_trait]
pub trait Signer: Send + Sync {
    /// In whose name it signs.
    async fn signatory(&self) -> Result<Signatory, Error>;

    /// Signs `message`; hashing is part of signing.
    async fn sign(&self, message: &[u8]) -> Result<Signature, Error>;
}

/// What signs, by what an artifact asks for; each of them everything, or why nobody does.
#[derive(Clone)]
pub struct Signers {
    /// Keys of the Secret, or certificates.
    pub x509: Result<Vec<Arc<dyn Signer>>, Arc<Error>>,
    /// A key of a key management service.
    pub kms: Result<Vec<Arc<dyn Signer>>, Arc<Error>>,
}

impl Signers {
    /// Nobody signs, and this is why.
    pub fn none(error: &Arc<Error>) -> Self {
        Self { x509: Err(Arc::clone(error)), kms: Err(Arc::clone(error)) }
    }

    /// Those of this kind.
    pub fn of(&self, kind: SignerKind) -> Result<&[Arc<dyn Signer>], Arc<Error>> {
        let signers = match kind {
            SignerKind::Kms => &self.kms,
            SignerKind::X509 | SignerKind::None => &self.x509,
        };
        signers.as_deref().map_err(Arc::clone)
    }
}

/// The raw signature, with what it verifies with.
#[derive(Debug, Clone)]
pub struct Signature {
    /// As the algorithm writes it; ECDSA in ASN.1.
    pub bytes: Vec<u8>,
    /// The key that it verifies with.
    pub key: PublicKey,
    /// The certificate of that key, where an authority vouches for it.
    pub certificate: Option<Arc<Certificate>>,
}

/// A payload with one signature over it.
#[derive(Debug, Clone)]
pub struct Signed {
    /// What was signed.
    pub payload: Arc<Payload>,
    /// Over the payload's bytes, or over its DSSE pre-authentication encoding.
    pub signature: Signature,
    /// The envelope, when the format wraps the payload in one.
    pub envelope: Option<Vec<u8>>,
    /// Who signed.
    pub signatory: Signatory,
    /// What proves when, gathered after signing.
    pub evidence: Evidence,
    /// A timestamp over the envelope, for cosign's tags.
    pub envelope_timestamp: Option<SignedTimestamp>,
    /// The entries of that in logs, as they are told of.
    pub logged: Vec<Logged>,
}

impl Signed {
    fn new(
        payload: Arc<Payload>,
        signature: Signature,
        envelope: Option<Vec<u8>>,
        signatory: Signatory,
    ) -> Self {
        let (evidence, logged) = (Evidence::default(), Vec::new());
        Self { payload, signature, envelope, signatory, evidence, logged, envelope_timestamp: None }
    }

    /// The timestamp that lies beside it under cosign's tags.
    pub fn tag_timestamp(&self) -> Option<&SignedTimestamp> {
        match self.envelope {
            Some(_) => self.envelope_timestamp.as_ref(),
            None => self.evidence.timestamps.first(),
        }
    }

    /// Adds what the log at `url` gave.
    pub fn prove(&mut self, url: &str, proof: Proof) {
        self.logged.extend(proof.logged(url));
        self.evidence.add(proof);
    }

    /// What stores keep as "the signature" (Chains specification §5.4): the envelope where there is one.
    pub fn content(&self) -> &[u8] {
        self.envelope.as_deref().unwrap_or(&self.signature.bytes)
    }

    /// As logs and verifiers see it.
    pub fn view(&self) -> covered::Signature<'_> {
        let payload = self.payload.bytes.as_slice();
        let covered = match self.envelope {
            Some(_) => Covered::Envelope { payload_type: self.payload.media_type, payload },
            None => Covered::Payload(payload),
        };
        let Signature { bytes, key, certificate } = &self.signature;
        let by = certificate.as_deref().map_or(SignedBy::Key(key), SignedBy::Certificate);
        covered::Signature { covered, bytes, by }
    }

    /// The certificate and its chain as PEM, empty where a key signed.
    pub fn pems(&self) -> (String, String) {
        let certificate = self.signature.certificate.as_ref();
        certificate.map(|certificate| (certificate.leaf_pem(), certificate.chain_pem())).unwrap_or_default()
    }
}

/// Signs one payload.
pub async fn sign(
    payload: &Arc<Payload>,
    signer: &dyn Signer,
    signatory: &Signatory,
) -> Result<Signed, Error> {
    let (payload, signatory) = (Arc::clone(payload), signatory.clone());
    if payload.format == Format::SimpleSigning {
        let signature = signer.sign(&payload.bytes).await?;
        return Ok(Signed::new(payload, signature, None, signatory));
    }
    let message = dsse::pre_authentication_encoding(payload.media_type, &payload.bytes);
    let signature = signer.sign(&message).await?;
    let envelope = dsse::envelope(payload.media_type, &payload.bytes, signature.key.id(), &signature.bytes);
    Ok(Signed::new(payload, signature, Some(envelope), signatory))
}

/// Whether stored content is a signature over this payload by this key.
fn content_verifies(payload: &Payload, content: &[u8], key: &PublicKey) -> bool {
    if payload.format == Format::SimpleSigning {
        return key.verifies(&payload.bytes, content);
    }
    dsse::UnverifiedEnvelope::read(content).is_some_and(|envelope| {
        let message = dsse::pre_authentication_encoding(payload.media_type, &payload.bytes);
        envelope.carries(payload.media_type, &payload.bytes)
            && envelope.signatures().any(|signature| key.verifies(&message, &signature))
    })
}

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key is there but the operation failed.
    #[error("cannot sign with {signer}: the key refused the operation")]
    Refused {
        /// Which key, as its file is called.
        signer: String,
    },
    /// No key at all.
    #[error("no signing key: looked for x509.pem, x509-*.pem and cosign.key in {place}")]
    NoKey {
        /// The Secret or the directory that was read.
        place: String,
    },
    /// A file that was named as the key.
    #[error("cannot read the signing key {file}")]
    KeyFile {
        /// The file.
        file: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A key that cannot be used.
    #[error(transparent)]
    Key(#[from] key::KeyError),
    /// A namespace that `signing.key-policy` refuses.
    #[error("no key signs for namespace {namespace}")]
    NamespaceRefused {
        /// The run's.
        namespace: String,
    },
    /// A server that signing needs: no identity token, no certificate, no log.
    #[error("{}", chain(.0.as_ref()))]
    Service(Arc<dyn Diagnose + Send + Sync>),
}

impl Error {
    fn inner(&self) -> Option<&dyn Diagnose> {
        match self {
            Self::Service(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        match self {
            Self::NamespaceRefused { .. } => Class::Permanent,
            _ => self.inner().map_or(Class::Misconfigured, Diagnose::class),
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::NamespaceRefused { .. } => "namespace_refused",
            Self::Refused { .. } => "signing",
            Self::NoKey { .. } | Self::KeyFile { .. } => "no_key",
            Self::Key(_) => "bad_key",
            Self::Service(error) => error.label(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { .. } | Self::KeyFile { .. } => None,
            Self::NoKey { place } => {
                // A Secret has a name in a namespace, a directory begins otherwise.
                let named = place.split_once('/').is_some_and(|(namespace, _)| !namespace.is_empty());
                let secret = if named { place } else { "tekton-chains/signing-secrets" };
                Some(format!("create one with: cosign generate-key-pair k8s://{secret}"))
            }
            Self::NamespaceRefused { namespace } => Some(format!(
                "signing.key-policy refuses {namespace}: name a Secret for it there, if its runs are to be signed"
            )),
            Self::Key(error) => Some(error.remedy().to_owned()),
            Self::Service(error) => error.hint(),
        }
    }

    fn about(&self) -> Option<About> {
        match self {
            Self::NoKey { place } => Some(About { kind: "Secret", name: place.clone() }),
            Self::Service(error) => error.about(),
            Self::NamespaceRefused { namespace } => {
                Some(About { kind: "Namespace", name: namespace.clone() })
            }
            Self::Refused { .. } | Self::KeyFile { .. } | Self::Key(_) => None,
        }
    }

    fn host_away(&self) -> Option<&str> {
        self.inner().and_then(Diagnose::host_away)
    }

    fn retry_after(&self) -> Option<Duration> {
        self.inner().and_then(Diagnose::retry_after)
    }
}
