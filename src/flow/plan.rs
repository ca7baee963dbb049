//! What is to be signed and where it is to be kept: artifacts against configuration, decided before anything
//! happens.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::outcome::{Entry, Error, State};
use crate::artifact::image::Image;
use crate::artifact::{Artifact, Artifacts};
use crate::config::{self, ArtifactKind, Config, RunFormat, SignerKind, Storage};
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
    /// What signs it.
    pub signer: SignerKind,
}

/// Plans a run.
pub fn plan(run: &CompletedRun, artifacts: &Artifacts, config: &Config) -> Plan {
    let mut plan = Plan { items: Vec::new(), settled: Vec::new() };
    for artifact in artifacts.all() {
        plan.add(run, artifact, config);
    }
    plan
}

/// The kind under which the configuration speaks of an artifact.
pub fn kind_of(artifact: &Artifact) -> ArtifactKind {
    match artifact {
        Artifact::Image(_) => ArtifactKind::Oci,
        Artifact::Run(run) if run.kind == Kind::TaskRun => ArtifactKind::TaskRun,
        Artifact::Run(_) => ArtifactKind::PipelineRun,
    }
}

/// What is signed of an artifact that `run` has, in the form that the configuration asks for.
pub fn payload(run: &CompletedRun, artifact: &Artifact, config: &Config) -> Result<Payload, payload::Error> {
    let format = match (artifact, kind_of(artifact)) {
        (Artifact::Image(image), _) => return payload::simple_signing(image),
        (Artifact::Run(_), ArtifactKind::PipelineRun) => config.pipelinerun.format,
        (Artifact::Run(_), _) => config.taskrun.format,
    };
    payload::statement(run, format_of(format), &provenance(config))
}

impl Plan {
    fn add(&mut self, run: &CompletedRun, artifact: Artifact, config: &Config) {
        let kind = kind_of(&artifact);
        if !config.enabled(kind) {
            let disabled = State::Skipped("disabled by the ConfigMap chains-config");
            return self.settled.push(Entry::without_store(artifact, disabled));
        }
        let missing = config.unsupported_for(kind);
        // A storage that is missing fails alone; a signer or log that is missing leaves nothing to store.
        let hopeless = missing.iter().any(|finding| !finding.key.ends_with("storage"));
        for finding in missing {
            let failed = State::Failed(Error::NotBuilt(finding));
            self.settled.push(Entry::without_store(artifact.clone(), failed));
        }
        if hopeless {
            return;
        }
        let mut stores = config.stores_of(kind);
        if let Artifact::Image(image) = &artifact {
            self.add_statement(image, &mut stores, config);
        }
        if stores.is_empty() {
            return;
        }
        match payload(run, &artifact, config) {
            Ok(payload) => {
                let (payload, signer) = (Arc::new(payload), signer(kind, config));
                self.items.push(Item { payload, stores, signer });
            }
            Err(error) => {
                self.settled.push(Entry::without_store(artifact, State::Failed(Error::Payload(error))));
            }
        }
    }
}

impl Plan {
    /// In bundles and in Archivista an image is signed by a statement of its own; `stores` keep what is left to do.
    fn add_statement(&mut self, image: &Image, stores: &mut BTreeSet<Storage>, config: &Config) {
        let layout = &config.storage.oci;
        let mut kept = BTreeSet::new();
        if stores.contains(&Storage::Oci) && layout.keeps_bundles() {
            kept.insert(Storage::Oci);
        }
        if !layout.keeps_tags() {
            stores.remove(&Storage::Oci);
        }
        // It takes envelopes alone, and a simple signature has none.
        kept.extend(stores.take(&Storage::Archivista));
        if !kept.is_empty() {
            let payload = Arc::new(payload::image_statement(image));
            self.items.push(Item { payload, stores: kept, signer: config.oci.signer });
        }
    }
}

fn signer(kind: ArtifactKind, config: &Config) -> SignerKind {
    match kind {
        ArtifactKind::TaskRun => config.taskrun.signer,
        ArtifactKind::PipelineRun => config.pipelinerun.signer,
        ArtifactKind::Oci => config.oci.signer,
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
        let named = match &state {
            State::Stored(stored) => stored.named.clone(),
            _ => None,
        };
        Entry { artifact, store, reference: named.unwrap_or_else(|| place.to_string()), signer, state }
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
