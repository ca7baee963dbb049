//! The store `grafeas`: occurrences in Google Container Analysis (Chains specification §6.5). An image has one of the kind
//! ATTESTATION, a run one of the kind BUILD for each of its subjects; notes join those of a namespace.
//!
//! # Guarantees
//!
//! - The note is that of the run's own namespace, for every run (defect D14).
//! - An occurrence with the same payload and a signature that verifies is found and not made again.
//! - A note is made once for each version of the configuration.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::access::Access;
use super::remembered::{ABOUT, Remembered};
use super::{Error, Place, Store, Stored};
use crate::artifact::{Artifact, RunArtifact};
use crate::client::grafeas::{Grafeas, Occurrence};
use crate::client::store;
use crate::config::GrafeasStorage;
use crate::credential::Redacted;
use crate::payload::{Format, Payload};
use crate::signature::Signed;
use crate::signature::signatory::{Beside, Signatory};

/// The project, and what is known of it.
pub(super) struct Project {
    pub(super) client: Grafeas,
    pub(super) access: Access,
    pub(super) settings: GrafeasStorage,
    /// The key of a key management service, by which readers of Chains know who signed.
    pub(super) key: Option<String>,
    pub(super) notes: Mutex<HashSet<String>>,
}

/// The occurrences of one run.
pub(super) struct Occurrences {
    pub(super) project: Arc<Project>,
    pub(super) run: RunArtifact,
    pub(super) remembered: Remembered,
}

impl Occurrences {
    /// The note that those about `payload` refer to.
    fn note(&self, artifact: &Artifact) -> String {
        let prefix = self.project.settings.note_id.as_deref().filter(|id| !id.is_empty());
        let prefix = prefix.map_or_else(|| format!("tekton-{}", self.run.namespace), str::to_owned);
        match artifact {
            Artifact::Image(_) => format!("{prefix}-simplesigning"),
            Artifact::Run(run) => format!("{prefix}-{}-intoto", run.kind.as_str().to_lowercase()),
        }
    }

    fn note_content(&self, artifact: &Artifact) -> Value {
        match artifact {
            Artifact::Image(_) => json!({"shortDescription": "OCI Artifact Attestation Note",
                "attestation": {"hint": {"humanReadableName": self.project.settings.note_hint}}}),
            Artifact::Run(run) => {
                json!({"shortDescription": format!("Build Provenance Note for {}", run.kind.as_str()),
                "build": {"builderVersion": format!("tekton.dev/v1/{}", run.kind.as_str())}})
            }
        }
    }

    async fn token(&self, place: &Place) -> Result<Redacted, Error> {
        let asked = self.project.access.google(Timestamp::now()).await;
        asked.map_err(|failure| Error::NoAccess { place: place.to_string(), source: failure })
    }

    async fn make_note(&self, token: &Redacted, artifact: &Artifact) -> Result<(), Error> {
        let id = self.note(artifact);
        let known = || self.project.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(&id) {
            return Ok(());
        }
        self.project.client.make_note(token, &id, &self.note_content(artifact)).await.map_err(backend)?;
        known().insert(id);
        Ok(())
    }

    fn occurrence(&self, resource: &str, signed: &Signed) -> Value {
        let payload = &signed.payload;
        let key = self.project.key.as_deref().unwrap_or(signed.signatory.id());
        let (bytes, signature) =
            (BASE64_STANDARD.encode(&payload.bytes), BASE64_STANDARD.encode(signed.content()));
        let mut occurrence = json!({
            "resourceUri": resource,
            "noteName": self.project.client.note(&self.note(&payload.artifact)),
            "envelope": {"payload": bytes, "payloadType": payload.media_type,
                "signatures": [{"sig": signature, "keyid": key}]},
        });
        let (kind, details) = match &payload.artifact {
            Artifact::Image(_) => (
                "attestation",
                json!({"serializedPayload": bytes,
                "signatures": [{"signature": signature, "publicKeyId": key}]}),
            ),
            Artifact::Run(_) => ("build", build(payload)),
        };
        if let Some(fields) = occurrence.as_object_mut() {
            fields.insert(kind.to_owned(), details);
        }
        occurrence
    }
}

/// The statement as the service has it, for whoever asks it for builds; verifiers take the envelope.
fn build(payload: &Payload) -> Value {
    let statement: Value = serde_json::from_slice(&payload.bytes).unwrap_or_default();
    let part = |name: &str| statement.get(name).cloned().unwrap_or_default();
    let (kind, subject, predicate) = (part("_type"), part("subject"), part("predicate"));
    let of = |kind, name: &str, predicate: Value| json!({"_type": kind, "subject": subject, "predicateType": payload.predicate_type, name: predicate});
    if payload.format != Format::InToto {
        return json!({"inTotoSlsaProvenanceV1": of(kind, "predicate", predicate)});
    }
    json!({"intotoStatement": of(kind, "slsaProvenanceZeroTwo", zero_two(predicate))})
}

/// One field of SLSA v0.2 has another name there.
fn zero_two(mut predicate: Value) -> Value {
    if let Some(metadata) = predicate.get_mut("metadata").and_then(Value::as_object_mut)
        && let Some(id) = metadata.remove("buildInvocationID")
    {
        metadata.insert("buildInvocationId".to_owned(), id);
    }
    predicate
}

/// Whether what is there is a signature over `payload` by `signatory`. A certificate has no place there, so what an
/// identity signed is known by its name alone, out of the outcome of an earlier attempt.
fn is_by(signatory: &Signatory, payload: &Payload, found: &Occurrence, named: &str) -> bool {
    let decoded = |text: &str| BASE64_STANDARD.decode(text).ok();
    let same = decoded(&found.envelope.payload).is_some_and(|bytes| bytes == payload.bytes);
    same && match signatory {
        Signatory::Identity(_) => {
            !found.name.is_empty() && named.split([' ', ',']).any(|name| name == found.name)
        }
        Signatory::Key(_) => found.envelope.signatures.iter().any(|signature| {
            let content = decoded(&signature.sig);
            content.is_some_and(|content| signatory.signed(payload, &content, Beside::default()))
        }),
    }
}

#[async_trait]
impl Store for Occurrences {
    fn name(&self) -> &'static str {
        "grafeas"
    }

    fn places(&self, payload: &Payload) -> Vec<Place> {
        let service = self.project.client.note(&self.note(&payload.artifact));
        let place = |about: String| {
            let named = self.remembered.name(self.name(), &payload.artifact, &about);
            Place::Record { service: service.clone(), about, named }
        };
        match &payload.artifact {
            Artifact::Image(image) => vec![place(image.to_string())],
            Artifact::Run(_) => {
                let subjects = payload.subjects.iter().flat_map(|subject| {
                    let named =
                        |(algorithm, hex): (&String, &String)| format!("{}@{algorithm}:{hex}", subject.name);
                    subject.digest.iter().map(named).collect::<Vec<_>>()
                });
                subjects.map(place).collect()
            }
        }
    }

    async fn missing(
        &self,
        place: &Place,
        payload: &Payload,
        signatories: &[Signatory],
    ) -> Result<Vec<Signatory>, Error> {
        let Place::Record { about, named, .. } = place else { return Ok(Vec::new()) };
        let token = self.token(place).await?;
        let note = self.note(&payload.artifact);
        let found = self.project.client.occurrences(&token, &note, about).await.map_err(backend)?;
        let lacks = |signatory: &&Signatory| {
            !found.iter().any(|one| is_by(signatory, payload, one, named.as_deref().unwrap_or_default()))
        };
        Ok(signatories.iter().filter(lacks).cloned().collect())
    }

    async fn add(&self, place: &Place, signed: &[Arc<Signed>]) -> Result<Stored, Error> {
        let Place::Record { about, .. } = place else { return Ok(Stored::default()) };
        let token = self.token(place).await?;
        let mut names = Vec::new();
        for one in signed {
            self.make_note(&token, &one.payload.artifact).await?;
            let occurrence = self.occurrence(about, one);
            names.push(self.project.client.make_occurrence(&token, &occurrence).await.map_err(backend)?);
        }
        let reference = Some(format!("{}{ABOUT}{about}", names.join(" ")));
        Ok(Stored { named: reference, ..Stored::of(signed) })
    }
}

fn backend(error: store::Error) -> Error {
    Error::Backend(Box::new(error))
}
