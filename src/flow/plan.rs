//! What is to be signed and where it is to be kept: artifacts against configuration, decided before anything
//! happens.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::outcome::{Entry, Error, State};
use crate::artifact::image::Image;
use crate::artifact::{Artifact, Artifacts};
use crate::config::{self, Config, RunFormat, SignerKind, Storage};
use crate::payload::{self, BuildType, Format, Payload, Provenance};
use crate::storage::Place;
use crate::tekton::Kind;
use crate::tekton::completed::CompletedRun;

/// Everything to do for one run.
pub struct Plan {
    /// What is to be signed.
    pub items: Vec<Item>,
    /// What needs no work: disabled, impossible, or not in this build.
    pub settled: Vec<Entry>,
}

/// One payload and the stores that shall keep its signature.
pub struct Item {
    /// What is signed.
    pub payload: Arc<Payload>,
    /// Names of stores.
    pub stores: BTreeSet<Storage>,
}

/// Plans a run.
pub fn plan(run: &CompletedRun, artifacts: &Artifacts, config: &Config) -> Plan {
    let mut plan = Plan { items: Vec::new(), settled: Vec::new() };
    plan.add_run(run, artifacts, config);
    for image in &artifacts.images {
        plan.add_image(image, config);
    }
    plan
}

impl Plan {
    fn add_run(&mut self, run: &CompletedRun, artifacts: &Artifacts, config: &Config) {
        let (key, wanted) = match run.run().kind() {
            Kind::TaskRun => ("artifacts.taskrun", &config.taskrun),
            Kind::PipelineRun => ("artifacts.pipelinerun", &config.pipelinerun),
        };
        let artifact = Artifact::Run(artifacts.run.clone());
        let provenance = Provenance {
            builder_id: config.provenance.builder_id.clone(),
            build_type: match config.provenance.build_type {
                config::BuildType::Slsa => BuildType::Slsa,
                config::BuildType::SlsaTekton => BuildType::SlsaTekton,
            },
            deep_inspection: config.provenance.deep_inspection,
        };
        self.add(key, artifact, wanted, || payload::statement(run, format_of(wanted.format), &provenance));
    }

    fn add_image(&mut self, image: &Image, config: &Config) {
        let artifact = Artifact::Image(image.clone());
        self.add("artifacts.oci", artifact, &config.oci, || payload::simple_signing(image));
    }

    fn add<F>(
        &mut self,
        key: &'static str,
        artifact: Artifact,
        wanted: &config::Artifact<F>,
        payload: impl FnOnce() -> Result<Payload, payload::Error>,
    ) {
        if !wanted.enabled() {
            return self.settled.push(Entry::without_store(artifact, State::Skipped("disabled by chains-config")));
        }
        if wanted.signer != SignerKind::X509 {
            let error = Error::NotBuilt { key, value: format!("signer {}", wanted.signer) };
            return self.settled.push(Entry::without_store(artifact, State::Failed(error)));
        }
        let (built, missing): (BTreeSet<Storage>, BTreeSet<Storage>) =
            wanted.storage.iter().copied().partition(|storage| matches!(storage, Storage::Oci | Storage::Tekton));
        for storage in missing {
            let error = Error::NotBuilt { key, value: format!("storage {storage}") };
            self.settled.push(Entry { store: storage.as_str(), ..Entry::without_store(artifact.clone(), State::Failed(error)) });
        }
        match payload() {
            Ok(payload) => self.items.push(Item { payload: Arc::new(payload), stores: built }),
            Err(error) => self.settled.push(Entry::without_store(artifact, State::Failed(Error::Payload(error)))),
        }
    }
}

impl Item {
    pub(super) fn asks_for(&self, store: &str) -> bool {
        self.stores.iter().any(|wanted| wanted.as_str() == store)
    }

    pub(super) fn entry(&self, store: &'static str, place: &Place, signer: &str, state: State) -> Entry {
        let (artifact, signer) = (self.payload.artifact.clone(), signer.to_owned());
        Entry { artifact, store, reference: place.to_string(), signer, state }
    }

    /// A statement without a subject in a registry has nothing to be attached to there.
    pub(super) fn nothing_to_attach_to(&self) -> Entry {
        let reason = "the run names no image that the statement could be attached to";
        Entry::without_store(self.payload.artifact.clone(), State::Skipped(reason))
    }
}

fn format_of(format: RunFormat) -> Format {
    match format {
        RunFormat::InToto | RunFormat::SlsaV1 => Format::InToto,
        RunFormat::SlsaV2Alpha3 => Format::SlsaV2Alpha3,
        RunFormat::SlsaV2Alpha4 => Format::SlsaV2Alpha4,
    }
}
