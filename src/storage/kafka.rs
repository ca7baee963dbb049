//! The store `kafka`: one message for each signature in a topic, as Chains means it (specification §6.7; there it cannot be
//! selected, defect D8).
//!
//! # Messages
//!
//! The body is the signature: the envelope of a statement, the raw signature of an image. The headers `payload` (base64) and
//! `signature` are those of Chains; `cert` and `chain` are there where a certificate signed. The key is the whole name of
//! what is signed, so that all about one thing is in one partition, in its order.
//!
//! # Guarantees
//!
//! - What the outcome of the run says is there is not sent again: a topic cannot be asked what it has.
//! - With several keys all signatures arrive together, or none does.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;

use super::remembered::{ABOUT, Remembered};
use super::{Error, Place, Store, Stored};
use crate::artifact::digest::Digest;
use crate::artifact::{Artifact, RunArtifact};
use crate::client::kafka::{Producer, Record};
use crate::payload::Payload;
use crate::signature::Signed;
use crate::signature::signatory::Signatory;

/// The messages of one run.
pub(super) struct Messages {
    pub(super) producer: Arc<Producer>,
    pub(super) run: RunArtifact,
    pub(super) remembered: Remembered,
}

impl Messages {
    fn topic(&self) -> String {
        format!("topic {}", self.producer.topic())
    }

    /// By what it is known that the same was to be stored before: the same payload, of the same run, by the same keys.
    fn batch(&self, signed: &[Arc<Signed>]) -> String {
        let parts = signed.iter().map(|signed| {
            let (artifact, by) = (key(&signed.payload.artifact), signed.signatory.id());
            format!(" {artifact} {} {by}", Digest::of(&signed.payload.bytes))
        });
        std::iter::once(self.run.short_key()).chain(parts).collect()
    }
}

/// No two artifacts have the same.
fn key(artifact: &Artifact) -> String {
    match artifact {
        Artifact::Run(run) => run.short_key(),
        Artifact::Image(image) => image.to_string(),
    }
}

fn record(signed: &Signed) -> Record {
    let (certificate, chain) = signed.pems();
    let mut headers = vec![
        ("payload", BASE64_STANDARD.encode(&signed.payload.bytes).into_bytes()),
        ("signature", signed.content().to_vec()),
    ];
    if !certificate.is_empty() {
        headers.extend([("cert", certificate.into_bytes()), ("chain", chain.into_bytes())]);
    }
    let key = key(&signed.payload.artifact).into_bytes();
    Record { key, value: signed.content().to_vec(), headers }
}

#[async_trait]
impl Store for Messages {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn places(&self, payload: &Payload) -> Vec<Place> {
        let service = format!("{} at {}", self.topic(), self.producer.brokers());
        let about = payload.artifact.to_string();
        let named = self.remembered.name(self.name(), &payload.artifact, &about);
        // Of another topic than today's says nothing.
        let named = named.filter(|named| named.starts_with(&format!("{}, ", self.topic())));
        vec![Place::Record { service, about, named }]
    }

    async fn missing(
        &self,
        place: &Place,
        _: &Payload,
        signatories: &[Signatory],
    ) -> Result<Vec<Signatory>, Error> {
        let is_there = matches!(place, Place::Record { named: Some(_), .. });
        Ok(if is_there { Vec::new() } else { signatories.to_vec() })
    }

    async fn add(&self, place: &Place, signed: &[Arc<Signed>]) -> Result<Stored, Error> {
        let Place::Record { about, .. } = place else { return Ok(Stored::default()) };
        let records: Vec<_> = signed.iter().map(|signed| record(signed)).collect();
        let now = Timestamp::now().as_millisecond();
        let sent = self.producer.send(&self.batch(signed), &records, now).await;
        let placed = sent.map_err(|error| Error::Backend(Box::new(error)))?;
        let offset = placed.offset.map(|offset| format!(" offset {offset}")).unwrap_or_default();
        let named = format!("{}, partition {}{offset}{ABOUT}{about}", self.topic(), placed.partition);
        Ok(Stored { named: Some(named), ..Stored::of(signed) })
    }
}
