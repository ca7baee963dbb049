//! The store `archivista`: DSSE envelopes, which it keeps under the hash of their content and finds by the digests of
//! their subjects (Chains specification §6.6).
//!
//! # Guarantees
//!
//! - An envelope is uploaded once: one with the same statement and a signature that verifies is looked for first, by what
//!   earlier attempts were told and by the digest of a subject; a server without an index is asked for the former alone.
//! - Images are stored too, by the statement that cosign makes about them: a simple signature is no envelope (defect D9).
//! - A certificate lies in the envelope as in those of witness, so that a keyless signature can be verified from it.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::remembered::{ABOUT, Remembered};
use super::{Error, Place, Store, Stored};
use crate::client::archivista;
use crate::client::store;
use crate::payload::{Format, Payload};
use crate::signature::Signed;
use crate::signature::signatory::{Beside, Signatory};

/// The envelopes of one run.
pub(super) struct Envelopes {
    pub(super) server: Arc<archivista::Archivista>,
    pub(super) remembered: Remembered,
}

impl Envelopes {
    /// The envelopes that could be there already; nothing where the server cannot say.
    async fn candidates(&self, payload: &Payload) -> Result<Option<Vec<String>>, Error> {
        // One subject finds them all: an envelope is stored whole.
        let Some(digest) = payload.subjects.iter().find_map(|subject| subject.digest.values().next()) else {
            return Ok(None);
        };
        self.server.about(digest).await.map_err(backend)
    }
}

#[async_trait]
impl Store for Envelopes {
    fn name(&self) -> &'static str {
        "archivista"
    }

    fn places(&self, payload: &Payload) -> Vec<Place> {
        let is_envelope = payload.format != Format::SimpleSigning;
        let service = format!("archivista at {}", self.server.host());
        let about = payload.artifact.to_string();
        let named = self.remembered.name(self.name(), &payload.artifact, &about);
        let place = Place::Record { service, about, named };
        is_envelope.then_some(place).into_iter().collect()
    }

    async fn missing(
        &self,
        place: &Place,
        payload: &Payload,
        signatories: &[Signatory],
    ) -> Result<Vec<Signatory>, Error> {
        let Place::Record { named, .. } = place else { return Ok(Vec::new()) };
        let mut names: Vec<String> = named.iter().flat_map(|named| gitoids(named)).collect();
        names.extend(self.candidates(payload).await?.unwrap_or_default());
        tracing::trace!(%place, candidates = names.len(), "looked for");
        let mut missing = signatories.to_vec();
        for name in names {
            if missing.is_empty() {
                break;
            }
            let Some(content) = self.server.download(&name).await.map_err(backend)? else { continue };
            missing.retain(|signatory| !signed(signatory, payload, &content));
        }
        Ok(missing)
    }

    async fn add(&self, place: &Place, signed: &[Arc<Signed>]) -> Result<Stored, Error> {
        let mut names = Vec::new();
        for one in signed {
            let Some(envelope) = with_certificate(one) else { continue };
            names.push(self.server.upload(envelope).await.map_err(backend)?);
        }
        let Place::Record { service, about, .. } = place else { return Ok(Stored::of(signed)) };
        let reference = Some(format!("{service}{GITOID}{}{ABOUT}{about}", names.join(" ")));
        Ok(Stored { named: reference, ..Stored::of(signed) })
    }
}

/// The names in a reference of an earlier attempt.
fn gitoids(reference: &str) -> Vec<String> {
    let names = reference.split_once(GITOID).and_then(|(_, rest)| rest.split_once(ABOUT));
    names.map(|(names, _)| names.split(' ').map(str::to_owned).collect()).unwrap_or_default()
}

/// The envelope, with the certificate of whoever signed where there is one.
fn with_certificate(signed: &Signed) -> Option<Vec<u8>> {
    let envelope = signed.envelope.as_ref()?;
    let (certificate, chain) = signed.pems();
    if certificate.is_empty() {
        return Some(envelope.clone());
    }
    let mut envelope: Value = serde_json::from_slice(envelope).ok()?;
    let signature = envelope.get_mut("signatures")?.get_mut(0)?.as_object_mut()?;
    signature.insert("certificate".to_owned(), json!(BASE64_STANDARD.encode(certificate)));
    let chain: Vec<String> = pem::parse_many(chain).ok()?.iter().map(pem::encode).collect();
    let chain: Vec<String> = chain.iter().map(|one| BASE64_STANDARD.encode(one)).collect();
    signature.insert("intermediates".to_owned(), json!(chain));
    Some(envelope.to_string().into_bytes())
}

/// Whether an envelope that somebody stored is one over `payload` by `signatory`.
fn signed(signatory: &Signatory, payload: &Payload, envelope: &[u8]) -> bool {
    let Ok(read) = serde_json::from_slice::<Value>(envelope) else { return false };
    let decoded = |value: &Value| {
        let bytes = BASE64_STANDARD.decode(value.as_str()?).ok()?;
        String::from_utf8(bytes).ok()
    };
    let certificate = read.pointer("/signatures/0/certificate").and_then(decoded).unwrap_or_default();
    let chain = read.pointer("/signatures/0/intermediates").and_then(Value::as_array);
    let chain: String = chain.into_iter().flatten().filter_map(decoded).collect();
    let beside = Beside { certificate: &certificate, chain: &chain, ..Beside::default() };
    signatory.signed(payload, envelope, beside)
}

fn backend(error: store::Error) -> Error {
    Error::Backend(Box::new(error))
}

const GITOID: &str = ", gitoid ";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::image_statement;
    use crate::signature::certificate::Certificate;
    use crate::signature::certificate::tests::{Leaf, NAME, TOKEN_ISSUER, authority, chain};
    use crate::signature::key::Key;
    use crate::signature::log::Evidence;
    use crate::signature::signatory::Identity;
    use crate::signature::trusted_root::TrustedRoot;
    use crate::signature::{Signature, dsse};

    #[test]
    fn what_an_identity_signed_is_recognised_by_the_certificate_in_its_envelope() {
        let (key, authority) = (Key::generate("run").unwrap(), authority());
        let pems = chain(&authority, key.public_key(), &Leaf { name: NAME, ..Leaf::default() });
        let root = vec![vec![pem::parse(authority.pem()).unwrap().into_contents()]];
        let root = Arc::new(TrustedRoot::of_authorities(&root).unwrap());
        let named = |name: &str| {
            let (name, issuer) = (name.to_owned(), Some(TOKEN_ISSUER.to_owned()));
            Signatory::Identity(Arc::new(Identity { name, issuer, root: Arc::clone(&root) }))
        };
        let image = format!("registry.test/app@sha256:{}", "0".repeat(64)).parse().unwrap();
        let payload = Arc::new(image_statement(&image));
        let bytes =
            key.sign_now(&dsse::pre_authentication_encoding(payload.media_type, &payload.bytes)).unwrap();
        let envelope = dsse::envelope(payload.media_type, &payload.bytes, "", &bytes);
        let certificate = Some(Arc::new(Certificate::read(&pems).unwrap()));
        let ours = Signed {
            payload: Arc::clone(&payload),
            signature: Signature { bytes, key: key.public_key().clone(), certificate },
            envelope: Some(envelope.clone()),
            signatory: named(NAME),
            evidence: Evidence::default(),
            envelope_timestamp: None,
            logged: Vec::new(),
        };
        let stored = with_certificate(&ours).unwrap();
        assert!(signed(&ours.signatory, &payload, &stored));
        assert!(!signed(&named("https://other.test"), &payload, &stored));
        assert!(!signed(&ours.signatory, &payload, &envelope), "without its certificate");
        for rubbish in [&b"{}"[..], b"[]", b"\xff", b"{\"signatures\":[{\"certificate\":7}]}"] {
            assert!(!signed(&ours.signatory, &payload, rubbish));
        }
    }

    #[test]
    fn the_names_of_earlier_uploads_are_read_out_of_the_outcome() {
        let reference = format!("archivista at a.test{GITOID}0a 1b{ABOUT}TaskRun ci/build");
        assert_eq!(gitoids(&reference), ["0a", "1b"]);
        assert_eq!(gitoids("archivista at a.test, about TaskRun ci/build"), Vec::<String>::new());
    }
}
