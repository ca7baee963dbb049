//! What this build cannot do, asked of a configuration: storages, signers and logs that Chains has and that are
//! recognised here, so that they are refused by name and never passed over.
//!
//! Guarantees: [`Config::unsupported_for`] names everything that an artifact was to have and cannot get, so that
//! it fails instead of being marked as signed; artifacts that ask for none of it go on. Must not: change the configuration.

use super::finding::{Finding, Problem, Refusal};
use super::{ArtifactKind, Config, SignerKind, Storage};

impl Config {
    /// What is set and makes artifacts fail, once for a person.
    pub fn unsupported(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = Vec::new();
        let failing = [ArtifactKind::TaskRun, ArtifactKind::PipelineRun, ArtifactKind::Oci]
            .into_iter()
            .flat_map(|kind| self.unsupported_for(kind));
        for finding in failing {
            let known = findings.iter().any(|f| (&f.key, &f.value) == (&finding.key, &finding.value));
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
        let (name, signer) = match kind {
            ArtifactKind::TaskRun => ("taskrun", self.taskrun.signer),
            ArtifactKind::PipelineRun => ("pipelinerun", self.pipelinerun.signer),
            ArtifactKind::Oci => ("oci", self.oci.signer),
        };
        let by_signer = match signer {
            SignerKind::Kms => self.foreign_kms().map(|key| ("signers.kms.kmsref".to_owned(), key)),
            SignerKind::X509 | SignerKind::None => None,
        };
        let by_storage = self.stores_of(kind).into_iter().filter_map(|storage| {
            let also = if self.is_beside(kind, storage) { "also-" } else { "" };
            self.unusable(storage)
                .map(|refusal| refusal.of(&format!("artifacts.{name}.{also}storage"), Some(storage.as_str())))
        });
        let by_signer = by_signer.map(|(key, value)| missing(&key, value, FAILS));
        by_storage.chain(by_signer).collect()
    }

    /// Whether it is asked for by the key that Chains does not know.
    fn is_beside(&self, kind: ArtifactKind, storage: Storage) -> bool {
        let known = match kind {
            ArtifactKind::TaskRun => &self.taskrun.storage,
            ArtifactKind::PipelineRun => &self.pipelinerun.storage,
            ArtifactKind::Oci => &self.oci.storage,
        };
        !known.contains(&storage)
    }

    /// Why nothing can be stored there.
    fn unusable(&self, storage: Storage) -> Option<Refusal> {
        if storage == Storage::Kafka {
            return self.storage.pubsub.unusable();
        }
        let docdb = &self.storage.docdb;
        if storage == Storage::Docdb && docdb.is_foreign() {
            return Some(Refusal::new(Problem::NotInThisBuild, FAILS));
        }
        if storage == Storage::Docdb && docdb.url.reveal().trim().is_empty() {
            return Some(needs_other("storage.docdb.url"));
        }
        let settings = &self.storage;
        let needs: &[(&'static str, &Option<String>)] = match storage {
            Storage::Gcs => &[("storage.gcs.bucket", &settings.gcs.bucket)],
            Storage::S3 => &[("storage.s3.bucket", &settings.s3.bucket)],
            Storage::Azure => &[
                ("storage.azure.account", &settings.azure.account),
                ("storage.azure.container", &settings.azure.container),
            ],
            Storage::Grafeas => &[("storage.grafeas.projectid", &settings.grafeas.project_id)],
            Storage::Archivista => &[("storage.archivista.url", &settings.archivista_url)],
            _ => &[],
        };
        let unset = |value: &Option<String>| value.as_deref().is_none_or(|text| text.trim().is_empty());
        let (key, _) = needs.iter().find(|(_, value)| unset(value))?;
        Some(needs_other(key))
    }

    /// A key of a service that is not in this build. That there is none, or that it is misspelt, the signer says.
    fn foreign_kms(&self) -> Option<&str> {
        let key = self.signers.kms.key.as_deref()?;
        let known = KMS_SCHEMES.iter().any(|scheme| key.starts_with(scheme));
        (!known && key.contains("://")).then_some(key)
    }
}

/// How keys of the key management services of this build are written.
pub const KMS_SCHEMES: [&str; 6] =
    ["hashivault://", "openbao://", "awskms://", "gcpkms://", "azurekms://", "pkcs11:"];
const FAILS: &str = "the artifacts that use it fail: choose another, or run a version that has it";

pub(super) fn needs_other(key: &'static str) -> Refusal {
    Refusal::new(Problem::Needs(key), format!("the artifacts that use it fail: set {key}, or choose another"))
}

fn missing(key: &str, value: &str, remedy: &str) -> Finding {
    Refusal::new(Problem::NotInThisBuild, remedy).of(key, Some(value))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        let data: BTreeMap<_, _> =
            pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        Config::parse(&data).config.unwrap()
    }

    fn failing(config: &Config, kind: ArtifactKind) -> Vec<(String, Option<String>)> {
        config.unsupported_for(kind).into_iter().map(|finding| (finding.key, finding.value)).collect()
    }

    #[test]
    fn nothing_is_missing_for_the_defaults_and_for_what_is_here() {
        assert_eq!(Config::default().unsupported(), []);
        let config = config(&[
            ("artifacts.taskrun.storage", "oci,tekton"),
            ("artifacts.taskrun.format", "slsa/v2alpha4"),
            ("storage.oci.repository", "registry.example/sig"),
            ("signing.concurrency", "4"),
        ]);
        assert_eq!(config.unsupported(), []);
    }

    #[test]
    fn a_storage_that_cannot_be_used_fails_only_the_artifacts_that_use_it() {
        let config = config(&[("artifacts.taskrun.storage", "oci,kafka")]);
        let expected = ("artifacts.taskrun.storage".to_owned(), Some("kafka".to_owned()));
        assert_eq!(failing(&config, ArtifactKind::TaskRun), [expected]);
        assert_eq!(failing(&config, ArtifactKind::PipelineRun), []);
        assert_eq!(failing(&config, ArtifactKind::Oci), []);
        assert_eq!(config.unsupported().len(), 1);
    }

    #[test]
    fn a_storage_without_its_settings_fails_and_names_them() {
        for (key, storage, needs) in [
            ("storage", "gcs", "storage.gcs.bucket"),
            ("storage", "grafeas", "storage.grafeas.projectid"),
            ("storage", "archivista", "storage.archivista.url"),
            ("storage", "docdb", "storage.docdb.url"),
            ("also-storage", "s3", "storage.s3.bucket"),
            ("also-storage", "azure", "storage.azure.account"),
        ] {
            let (key, other) = (format!("artifacts.oci.{key}"), ("storage.azure.container", "c"));
            let unset = config(&[(&key, storage), other]);
            let told: Vec<_> =
                unset.unsupported_for(ArtifactKind::Oci).iter().map(ToString::to_string).collect();
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].contains(&key) && told[0].contains(&format!("needs {needs}")), "{told:?}");
            assert_eq!(unset.unsupported_for(ArtifactKind::TaskRun), []);
            let blank = config(&[(&key, storage), other, (needs, " ")]);
            assert_eq!(blank.unsupported_for(ArtifactKind::Oci).len(), 1);
            let set = config(&[(&key, storage), other, (needs, "x")]);
            assert_eq!(set.unsupported(), []);
        }
    }

    #[test]
    fn a_collection_of_mongodb_is_refused_by_name_where_it_is_not_built_in_and_never_shown() {
        let config =
            config(&[("artifacts.taskrun.storage", "docdb"), ("storage.docdb.url", "mongo://canary")]);
        let told: Vec<_> = config.unsupported().iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), usize::from(!cfg!(feature = "mongodb")));
        assert!(
            told.iter().all(|text| text.contains("not in this build") && !text.contains("canary")),
            "{told:?}"
        );
    }

    #[test]
    fn a_missing_signer_fails_the_artifacts_that_it_signs() {
        let by = |key| config(&[("artifacts.oci.signer", "kms"), ("signers.kms.kmsref", key)]);
        let kms = by("foo://key");
        let expected = ("signers.kms.kmsref".to_owned(), Some("foo://key".to_owned()));
        assert_eq!(failing(&kms, ArtifactKind::Oci), [expected]);
        assert_eq!(failing(&kms, ArtifactKind::TaskRun), []);
        for key in ["hashivault://key", "openbao://key", "awskms:///alias/key"] {
            assert_eq!(by(key).unsupported(), [], "{key}");
        }
    }

    #[test]
    fn what_fails_several_artifacts_is_reported_for_each_once() {
        let kafka = [("artifacts.taskrun.storage", "kafka"), ("artifacts.oci.storage", "oci,kafka")];
        let keys: Vec<_> = config(&kafka).unsupported().into_iter().map(|finding| finding.key).collect();
        assert_eq!(keys, ["artifacts.taskrun.storage", "artifacts.oci.storage"]);
        let kms = [
            ("artifacts.taskrun.signer", "kms"),
            ("artifacts.oci.signer", "kms"),
            ("signers.kms.kmsref", "foo://key"),
        ];
        let keys: Vec<_> = config(&kms).unsupported().into_iter().map(|finding| finding.key).collect();
        assert_eq!(keys, ["signers.kms.kmsref"]);
    }
}
