//! Policies from manifest files, with the Secrets and trust roots that they name.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::cli::manifests::Manifests;
use crate::cli::{Exit, refuse};
use crate::policy::finding::Notes;
use crate::policy::trust_root::TrustRootObject;
use crate::policy::{ClusterImagePolicy, Reading, Rules};

/// What files hold.
pub(in crate::cli) struct PolicyFile {
    /// Each with its name.
    pub(in crate::cli) readings: Vec<(String, Reading)>,
    named: Named,
}

/// Policies that can be used.
pub(in crate::cli) struct SoundPolicies {
    pub(in crate::cli) policies: Vec<ClusterImagePolicy>,
    pub(in crate::cli) named: Named,
}

/// What policies name, among the manifests.
#[derive(Default)]
pub(in crate::cli) struct Named {
    /// Texts of Secrets, by name.
    pub(in crate::cli) keys: BTreeMap<String, Vec<String>>,
    /// Trust roots.
    pub(in crate::cli) roots: Vec<TrustRootObject>,
}

/// A policy with mistakes.
#[derive(Debug, thiserror::Error)]
#[error("policy {name} cannot be used: {}", .findings.join("; "))]
pub(in crate::cli) struct PolicyFileError {
    name: String,
    findings: Vec<String>,
}

impl PolicyFile {
    /// Reads files; what is no policy, no Secret and no TrustRoot is passed over.
    pub(in crate::cli) fn read(files: &[PathBuf]) -> Result<Self, Exit> {
        let manifests = Manifests::read(files).map_err(|error| refuse(&error, Exit::Usage))?;
        let name = |document: &Value| {
            let name = document.pointer("/metadata/name").and_then(Value::as_str);
            name.unwrap_or("without a name").to_owned()
        };
        let readings = manifests
            .of_kind("ClusterImagePolicy")
            .map(|document| (name(document), ClusterImagePolicy::read(document, &Rules::default())));
        let readings: Vec<_> = readings.collect();
        if readings.is_empty() {
            return Err(super::signers::usage("there is no ClusterImagePolicy in the files"));
        }
        let objects = manifests.objects().map_err(|error| refuse(&error, Exit::Usage))?;
        let secrets = objects.secrets.into_iter().map(|secret| {
            let data = secret.data.unwrap_or_default().into_values();
            let data = data.filter_map(|value| String::from_utf8(value.0).ok());
            let texts = data.chain(secret.string_data.unwrap_or_default().into_values());
            (secret.metadata.name.unwrap_or_default(), texts.collect())
        });
        let roots = manifests.of_kind("TrustRoot").map(TrustRootObject::read);
        Ok(Self { readings, named: Named { keys: secrets.collect(), roots: roots.collect() } })
    }

    /// All of them, if none has a mistake; doubts go to standard error.
    pub(in crate::cli) fn sound(self) -> Result<SoundPolicies, Exit> {
        let mut policies = Vec::new();
        for (name, Reading { policy, notes }) in self.readings {
            let Notes { errors, warnings } = notes;
            for warning in warnings {
                eprintln!("warning: policy {name}: {warning}");
            }
            let Some(policy) = policy else {
                let findings = errors.iter().map(ToString::to_string).collect();
                return Err(refuse(&PolicyFileError { name, findings }, Exit::Usage));
            };
            policies.push(policy);
        }
        Ok(SoundPolicies { policies, named: self.named })
    }
}
