//! What is to be signed and where it is to be kept: artifacts against configuration, decided before anything
//! happens.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::outcome::{Entry, Error, State};
use crate::artifact::image::Image;
use crate::artifact::{Artifact, Artifacts};
use crate::config::{self, ArtifactKind, Config, RunFormat, Storage};
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
        let (kind, wanted) = match run.run().kind() {
            Kind::TaskRun => (ArtifactKind::TaskRun, &config.taskrun),
            Kind::PipelineRun => (ArtifactKind::PipelineRun, &config.pipelinerun),
        };
        let artifact = Artifact::Run(artifacts.run.clone());
        let statement = || payload::statement(run, format_of(wanted.format), &provenance(config));
        self.add(kind, artifact, config, &wanted.storage, statement);
    }

    fn add_image(&mut self, image: &Image, config: &Config) {
        let artifact = Artifact::Image(image.clone());
        self.add(ArtifactKind::Oci, artifact, config, &config.oci.storage, || payload::simple_signing(image));
    }

    fn add(
        &mut self,
        kind: ArtifactKind,
        artifact: Artifact,
        config: &Config,
        storages: &BTreeSet<Storage>,
        payload: impl FnOnce() -> Result<Payload, payload::Error>,
    ) {
        if !config.enabled(kind) {
            let disabled = State::Skipped("disabled by the ConfigMap chains-config");
            return self.settled.push(Entry::without_store(artifact, disabled));
        }
        let missing = config.unsupported_for(kind);
        // A storage that is missing fails alone; a signer or log that is missing leaves nothing to store.
        let hopeless = missing.iter().any(|finding| !finding.key.ends_with(".storage"));
        for finding in missing {
            let failed = State::Failed(Error::NotBuilt(finding));
            self.settled.push(Entry::without_store(artifact.clone(), failed));
        }
        if hopeless {
            return;
        }
        match payload() {
            Ok(payload) => self.items.push(Item { payload: Arc::new(payload), stores: storages.clone() }),
            Err(error) => {
                self.settled.push(Entry::without_store(artifact, State::Failed(Error::Payload(error))));
            }
        }
    }
}

fn provenance(config: &Config) -> Provenance {
    Provenance {
        builder_id: config.provenance.builder_id.clone(),
        build_type: match config.provenance.build_type {
            config::BuildType::Slsa => BuildType::Slsa,
            config::BuildType::SlsaTekton => BuildType::SlsaTekton,
        },
        deep_inspection: config.provenance.deep_inspection,
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
