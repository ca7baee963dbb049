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
use crate::artifact::Artifact;
use crate::payload::{Format, Payload};
use crate::signature::Signed;
use crate::signature::signatory::{Beside, Signatory};
use crate::tekton::{ANNOTATION_PREFIX, Kind};

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

    fn has(&self, short_key: &str, payload: &Payload, signatory: &Signatory) -> bool {
        let decoded = |name| self.decoded(name, short_key);
        let text = |name| decoded(name).and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
        let (Some(bytes), Some(content)) = (decoded("payload"), decoded("signature")) else { return false };
        let (certificate, chain) = (text("cert"), text("chain"));
        let beside = Beside { certificate: &certificate, chain: &chain, ..Beside::default() };
        bytes == payload.bytes && signatory.signed(payload, &content, beside)
    }

    fn reserve(&self, annotations: &BTreeMap<String, String>, of: &Artifact) -> Result<(), Error> {
        let mut size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        let replaced = |name: &String| self.present.get(name).map_or(0, |old| name.len() + old.len());
        for (name, value) in annotations {
            *size = (*size + name.len() + value.len()).saturating_sub(replaced(name));
        }
        if *size > LIMIT - RESERVE {
            return Err(Error::AnnotationsTooLarge {
                size: *size,
                limit: LIMIT - RESERVE,
                key: storage_key(of),
            });
        }
        Ok(())
    }
}

/// Where the configuration says how signatures about this are stored.
fn storage_key(artifact: &Artifact) -> &'static str {
    match artifact {
        Artifact::Image(_) => "artifacts.oci.storage",
        Artifact::Run(run) if run.kind == Kind::PipelineRun => "artifacts.pipelinerun.storage",
        Artifact::Run(_) => "artifacts.taskrun.storage",
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
        // That statement is made for bundles; here an image is signed as in Chains.
        let is_ours = payload.format != Format::ImageStatement;
        is_ours.then(|| Place::Annotations(payload.artifact.short_key())).into_iter().collect()
    }

    async fn missing(
        &self,
        place: &Place,
        payload: &Payload,
        signatories: &[Signatory],
    ) -> Result<Vec<Signatory>, Error> {
        let Place::Annotations(short_key) = place else { return Ok(Vec::new()) };
        let first = signatories.iter().take(1);
        Ok(first.filter(|signatory| !self.has(short_key, payload, signatory)).cloned().collect())
    }

    async fn add(&self, place: &Place, signed: &[Arc<Signed>]) -> Result<Stored, Error> {
        let (Place::Annotations(short_key), Some(signed)) = (place, signed.first()) else {
            return Ok(Stored::default());
        };
        let (certificate, chain) = signed.pems();
        let annotations = BTreeMap::from([
            (annotation("payload", short_key), BASE64_STANDARD.encode(&signed.payload.bytes)),
            (annotation("signature", short_key), BASE64_STANDARD.encode(signed.content())),
            // Chains always writes these two; with a key they are empty, and tools read them unconditionally.
            (annotation("cert", short_key), BASE64_STANDARD.encode(certificate)),
            (annotation("chain", short_key), BASE64_STANDARD.encode(chain)),
        ]);
        self.reserve(&annotations, &signed.payload.artifact)?;
        Ok(Stored { annotations, ..Stored::of(std::slice::from_ref(signed)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::RunArtifact;
    use crate::error::Diagnose as _;

    #[test]
    fn what_is_too_large_names_the_key_that_sends_it_elsewhere() {
        let run = |kind| {
            let (namespace, name, uid) = ("ci".to_owned(), "one".to_owned(), "1".to_owned());
            Artifact::Run(RunArtifact { kind, namespace, name, uid })
        };
        let image = format!("registry.test/app@sha256:{}", "0".repeat(64)).parse().unwrap();
        let large = BTreeMap::from([("payload".to_owned(), "x".repeat(LIMIT))]);
        for (artifact, key) in [
            (run(Kind::TaskRun), "artifacts.taskrun.storage"),
            (run(Kind::PipelineRun), "artifacts.pipelinerun.storage"),
            (Artifact::Image(image), "artifacts.oci.storage"),
        ] {
            let refused = Annotations::of(&BTreeMap::new()).reserve(&large, &artifact).unwrap_err();
            assert!(refused.hint().unwrap().contains(key), "{:?}", refused.hint());
        }
    }
}
