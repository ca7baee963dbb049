//! What this build cannot do, asked of a configuration: storages, signers and logs that Chains has and that are
//! recognised here, so that they are refused by name and never passed over.
//!
//! Guarantees: [`Config::unsupported_for`] names everything that an artifact was to have and cannot get, so that
//! it fails instead of being marked as signed; artifacts that ask for none of it go on. Rows of the table marked
//! `later` that nothing fails for are only reported. Must not: change the configuration.

use super::finding::{Finding, Problem, Refusal};
use super::{ArtifactKind, Config, Encoding, SignerKind, Storage, Upload, key};

impl Config {
    /// What is set and not in this build, for a person: what makes artifacts fail first, then what is without effect.
    pub fn unsupported(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = Vec::new();
        let failing = [ArtifactKind::TaskRun, ArtifactKind::PipelineRun, ArtifactKind::Oci]
            .into_iter()
            .flat_map(|kind| self.unsupported_for(kind));
        for finding in failing.chain(self.without_effect()) {
            let known = findings
                .iter()
                .any(|f| f.key == finding.key && (f.value == finding.value || f.value.is_none()));
            if !known {
                findings.push(finding);
            }
        }
        findings
    }

    /// What makes artifacts of this kind fail in this build; empty when they are disabled.
    pub fn unsupported_for(&self, kind: ArtifactKind) -> Vec<Finding> {
        if !self.enabled(kind) {
            return Vec::new();
        }
        let (name, storages, signer) = match kind {
            ArtifactKind::TaskRun => ("taskrun", &self.taskrun.storage, self.taskrun.signer),
            ArtifactKind::PipelineRun => ("pipelinerun", &self.pipelinerun.storage, self.pipelinerun.signer),
            ArtifactKind::Oci => ("oci", &self.oci.storage, self.oci.signer),
        };
        let oci = storages.contains(&Storage::Oci);
        let settings = [
            (signer == SignerKind::Kms, format!("artifacts.{name}.signer"), signer.as_str()),
            (
                signer == SignerKind::X509 && self.signers.fulcio.enabled,
                "signers.x509.fulcio.enabled".into(),
                "true",
            ),
            (
                self.transparency.upload != Upload::Off,
                "transparency.enabled".into(),
                self.transparency.upload.as_str(),
            ),
            (
                oci && self.storage.oci.encoding == Encoding::SigstoreBundle,
                "storage.oci.encoding-format".into(),
                Encoding::SigstoreBundle.as_str(),
            ),
            (oci && self.storage.oci.also_bundle, "storage.oci.also-bundle".into(), "true"),
            (
                kind == ArtifactKind::Oci && self.storage.oci.index_children,
                "artifacts.oci.index-children".into(),
                "true",
            ),
            (
                self.timestamp_url.is_some(),
                "timestamp.url".into(),
                self.timestamp_url.as_deref().unwrap_or_default(),
            ),
            (
                self.signing.key_policy.is_some(),
                "signing.key-policy".into(),
                self.signing.key_policy.as_deref().unwrap_or_default(),
            ),
        ];
        let storages = storages.iter().filter(|storage| !storage.in_this_build());
        storages
            .map(|storage| missing(&format!("artifacts.{name}.storage"), Some(storage.as_str()), FAILS))
            .chain(
                settings
                    .iter()
                    .filter(|(asked, ..)| *asked)
                    .map(|(_, key, value)| missing(key, Some(value), FAILS)),
            )
            .collect()
    }

    /// Keys that are set to something other than their default and that nothing reads yet.
    fn without_effect(&self) -> impl Iterator<Item = Finding> {
        let (mut own, mut default) = (self.clone(), Self::default());
        key::all().filter(|key| key.later).filter_map(move |key| {
            let text = key.field.text(&mut own);
            (text != key.field.text(&mut default)).then(|| missing(key.name, Some(&text), UNUSED))
        })
    }
}

const FAILS: &str = "the artifacts that use it fail: choose another, or run a version that has it";
const UNUSED: &str = "nothing reads it: remove it, or run a version that does";

fn missing(key: &str, value: Option<&str>, remedy: &str) -> Finding {
    Refusal::new(Problem::NotInThisBuild, remedy).of(key, value)
}
