//! The store `tekton`: payload and signature as annotations of the run itself (Chains specification §2.7, §6.1).
//!
//! It writes nothing: the annotations travel in the receipt and reach the run in the same patch as its mark, so
//! that a run is never marked without them. With several keys the first one signs here, since an annotation
//! holds one signature.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{Error, Place, Store, Stored};
use crate::payload::Payload;
use crate::signature::public_key::PublicKey;
use crate::signature::{Signed, verifies};
use crate::tekton::ANNOTATION_PREFIX;

/// What the API server accepts on one object, names and values together.
const LIMIT: usize = 256 * 1024;
/// Kept free for the mark and its outcome.
const RESERVE: usize = 8 * 1024;

/// The annotations of one run.
pub struct Annotations {
    present: BTreeMap<String, String>,
    size: Mutex<usize>,
}

impl Annotations {
    /// Over the annotations that the run has now.
    pub fn of(present: &BTreeMap<String, String>) -> Self {
        let size = present.iter().map(|(name, value)| name.len() + value.len()).sum();
        Self { present: present.clone(), size: Mutex::new(size) }
    }

    fn decoded(&self, name: &str, key: &str) -> Option<Vec<u8>> {
        let text = self.present.get(&annotation(name, key))?;
        BASE64_STANDARD.decode(text).ok()
    }

    fn has(&self, short_key: &str, payload: &Payload, key: &PublicKey) -> bool {
        let (Some(bytes), Some(content)) =
            (self.decoded("payload", short_key), self.decoded("signature", short_key))
        else {
            return false;
        };
        bytes == payload.bytes && verifies(payload, &content, key)
    }

    fn reserve(&self, annotations: &BTreeMap<String, String>) -> Result<(), Error> {
        let mut size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        let replaced = |name: &String| self.present.get(name).map_or(0, |old| name.len() + old.len());
        for (name, value) in annotations {
            *size = (*size + name.len() + value.len()).saturating_sub(replaced(name));
        }
        if *size > LIMIT - RESERVE {
            return Err(Error::AnnotationsTooLarge { size: *size, limit: LIMIT - RESERVE });
        }
        Ok(())
    }
}

fn annotation(name: &str, key: &str) -> String {
    format!("{ANNOTATION_PREFIX}{name}-{key}")
}

#[async_trait]
impl Store for Annotations {
    fn name(&self) -> &'static str {
        "tekton"
    }

    fn places(&self, payload: &Payload) -> Vec<Place> {
        vec![Place::Annotations(payload.artifact.short_key())]
    }

    async fn missing(
        &self,
        place: &Place,
        payload: &Payload,
        keys: &[PublicKey],
    ) -> Result<Vec<PublicKey>, Error> {
        let Place::Annotations(short_key) = place else { return Ok(Vec::new()) };
        Ok(keys.iter().take(1).filter(|key| !self.has(short_key, payload, key)).cloned().collect())
    }

    async fn add(&self, place: &Place, signed: &[Arc<Signed>]) -> Result<Stored, Error> {
        let (Place::Annotations(short_key), Some(signed)) = (place, signed.first()) else {
            return Ok(Stored::default());
        };
        let annotations = BTreeMap::from([
            (annotation("payload", short_key), BASE64_STANDARD.encode(&signed.payload.bytes)),
            (annotation("signature", short_key), BASE64_STANDARD.encode(signed.content())),
            // Chains always writes these two; with a key they are empty, and tools read them unconditionally.
            (annotation("cert", short_key), String::new()),
            (annotation("chain", short_key), String::new()),
        ]);
        self.reserve(&annotations)?;
        Ok(Stored { annotations, ..Stored::default() })
    }
}
