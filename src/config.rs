//! Every decision that the ConfigMap `chains-config` makes, typed (Chains specification §1.1; keys of our own:
//! architecture, "New names").
//!
//! Guarantees: a [`Config`] is whole and valid, and built once for each version of the ConfigMap, so that one
//! attempt sees one version. Keys of Chains keep their names, defaults and meaning. A value that Chains refuses
//! is an error, and all errors come at once; what Chains passes over in silence is a warning with the value in
//! effect ([`Parsed`]). What this build cannot do is known by name and fails only the artifacts that ask for it
//! ([`Config::unsupported_for`]). Must not: read a file, a cluster or an environment variable.

use std::collections::{BTreeMap, BTreeSet};

mod choice;
mod default;
pub(crate) mod duration;
mod field;
mod finding;
mod key;
mod key_policy;
mod parse;
mod pubsub;
mod reference;
mod secret;
mod selector;
mod settings;
mod support;
mod value;

pub use choice::{
    BuildType, Choice, ControllerCredentials, Encoding, Finalizers, ImageFormat, NoMatch, Outcomes,
    PubSubProvider, PullSecretNamespace, RunFormat, SaslMechanism, SignerKind, Storage, Upload,
};
pub use finding::{Finding, Problem};
pub use key_policy::{KeyChoice, KeyPolicy};
pub use parse::Parsed;
pub use pubsub::{KafkaStorage, PubSubStorage};
pub use reference::{reference, reference_for_programs};
pub use secret::Secret;
pub use selector::LabelSelector;
pub use settings::{
    AllowedPair, AzureStorage, DocdbStorage, Fulcio, GcsStorage, GrafeasStorage, Kms, OciStorage, Policy,
    Provenance, Refresh, Registry, RegistryHost, S3Storage, Selection, Signers, Signing, StorageSettings,
    Transparency,
};
pub use support::KMS_SCHEMES;

/// The whole configuration. `Config::default()` is that of an empty ConfigMap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// The statement about a TaskRun.
    pub taskrun: Artifact<RunFormat>,
    /// The statement about a PipelineRun.
    pub pipelinerun: Artifact<RunFormat>,
    /// The signature of an image.
    pub oci: Artifact<ImageFormat>,
    /// What the statements say.
    pub provenance: Provenance,
    /// Where signatures go.
    pub storage: StorageSettings,
    /// Who signs.
    pub signers: Signers,
    /// The public log of signatures.
    pub transparency: Transparency,
    /// Timestamp authority (RFC 3161).
    pub timestamp_url: Option<String>,
    /// How runs are worked off.
    pub signing: Signing,
    /// What is signed.
    pub selection: Selection,
    /// How registries are met.
    pub registry: Registry,
    /// Values of `spec.managedBy` that are ours too, beside Tekton's own.
    pub managed_by: BTreeSet<String>,
    /// Pull secrets that are kept fresh.
    pub refresh: Refresh,
    /// Admission.
    pub policy: Policy,
}

/// What is made for one kind of artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact<Format> {
    /// Format of the payload.
    pub format: Format,
    /// Where it goes, of what Chains knows.
    pub storage: BTreeSet<Storage>,
    /// Where it goes beside that.
    pub also_storage: BTreeSet<Storage>,
    /// Who signs it; [`SignerKind::None`] disables the artifact.
    pub signer: SignerKind,
}

impl<Format> Artifact<Format> {
    /// Whether anything is made at all.
    pub fn enabled(&self) -> bool {
        self.signer != SignerKind::None && !(self.storage.is_empty() && self.also_storage.is_empty())
    }

    /// Everywhere it goes; nowhere disables the artifact.
    pub fn stores(&self) -> BTreeSet<Storage> {
        self.storage.union(&self.also_storage).copied().collect()
    }
}

/// The kinds of artifact that are configured apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArtifactKind {
    /// [`Config::taskrun`].
    TaskRun,
    /// [`Config::pipelinerun`].
    PipelineRun,
    /// [`Config::oci`].
    Oci,
}

impl Config {
    /// Reads the `data` of the ConfigMap.
    pub fn parse(data: &BTreeMap<String, String>) -> Parsed {
        parse::parse(data)
    }

    /// Whether a key management service signs anything.
    pub fn uses_kms(&self) -> bool {
        let signs = |enabled, signer| enabled && signer == SignerKind::Kms;
        signs(self.taskrun.enabled(), self.taskrun.signer)
            || signs(self.pipelinerun.enabled(), self.pipelinerun.signer)
            || signs(self.oci.enabled(), self.oci.signer)
    }

    /// Every store that anything goes to.
    pub fn stores(&self) -> BTreeSet<Storage> {
        let kinds = [ArtifactKind::TaskRun, ArtifactKind::PipelineRun, ArtifactKind::Oci];
        kinds.into_iter().filter(|kind| self.enabled(*kind)).flat_map(|kind| self.stores_of(kind)).collect()
    }

    /// Where artifacts of this kind go.
    pub fn stores_of(&self, kind: ArtifactKind) -> BTreeSet<Storage> {
        match kind {
            ArtifactKind::TaskRun => self.taskrun.stores(),
            ArtifactKind::PipelineRun => self.pipelinerun.stores(),
            ArtifactKind::Oci => self.oci.stores(),
        }
    }

    /// Whether artifacts of this kind are made at all.
    pub fn enabled(&self, kind: ArtifactKind) -> bool {
        match kind {
            ArtifactKind::TaskRun => self.taskrun.enabled(),
            ArtifactKind::PipelineRun => self.pipelinerun.enabled(),
            ArtifactKind::Oci => self.oci.enabled(),
        }
    }
}
