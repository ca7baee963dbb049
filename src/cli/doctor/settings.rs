//! The ConfigMap `chains-config` and the Secret `signing-secrets`, read as the controller reads them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;

use super::finding::{Finding, Findings};
use super::{Visit, unread};
use crate::config::{Config, SignerKind};
use crate::signature::key::keyring::KeyRing;

const CONFIG: &str = "chains-config";
const KEYS: &str = "signing-secrets";

/// The configuration; that of an empty map where there is none that counts.
pub(super) async fn config_map(visit: &Visit<'_>, findings: &mut Findings) -> Config {
    let namespace = visit.own_namespace();
    let object = format!("ConfigMap {namespace}/{CONFIG}");
    let maps = Api::<ConfigMap>::namespaced(visit.client.clone(), namespace);
    match maps.get_opt(CONFIG).await {
        Ok(Some(map)) => judge(&object, &map.data.unwrap_or_default(), findings),
        Ok(None) => {
            let finding =
                Finding::failed("config", format!("there is no {object}, and nothing is signed without"));
            findings.add(finding.remedy(format!(
                "create it, empty for the defaults: kubectl create configmap {CONFIG} -n {namespace}"
            )));
            Config::default()
        }
        Err(error) => {
            findings.add(unread("config", &object, &error));
            Config::default()
        }
    }
}

/// Every mistake is a line of its own.
fn judge(object: &str, entries: &BTreeMap<String, String>, findings: &mut Findings) -> Config {
    let parsed = Config::parse(entries);
    let told = |finding: &crate::config::Finding| {
        let value = finding.value.as_ref().map(|value| format!(": {value:?}")).unwrap_or_default();
        format!("{object}: {}{value}: {}", finding.key, finding.problem)
    };
    for warning in &parsed.warnings {
        findings.add(Finding::warning("config", told(warning)).remedy(&warning.remedy));
    }
    let config = match parsed.config {
        Ok(config) => config,
        Err(mistakes) => {
            for mistake in &mistakes {
                findings.add(Finding::failed("config", told(mistake)).remedy(&mistake.remedy));
            }
            return Config::default();
        }
    };
    for missing in config.unsupported() {
        findings.add(Finding::failed("config", told(&missing)).remedy(&missing.remedy));
    }
    findings.add(Finding::ok("config", format!("{object} is read: {} keys", entries.len())));
    config
}

/// The keys, imported as for signing; only their public halves are shown.
pub(super) async fn keys(visit: &Visit<'_>, config: &Config, findings: &mut Findings) {
    if config.signers.fulcio.enabled {
        return findings.add(Finding::ok("keys", "none is needed: signers.x509.fulcio.enabled is \"true\""));
    }
    let x509 = [&config.oci.signer, &config.taskrun.signer, &config.pipelinerun.signer];
    if config.uses_kms() && !x509.contains(&&SignerKind::X509) {
        return findings.add(Finding::ok("keys", "none is needed: a key management service signs"));
    }
    let place = format!("{}/{KEYS}", visit.own_namespace());
    let secrets = Api::<Secret>::namespaced(visit.client.clone(), visit.own_namespace());
    let files = match secrets.get_opt(KEYS).await {
        Ok(secret) => secret.and_then(|secret| secret.data).unwrap_or_default(),
        Err(error) => return findings.add(unread("keys", &format!("Secret {place}"), &error)),
    };
    let files = files.into_iter().map(|(name, content)| (name, content.0)).collect();
    let named = place.clone();
    // Decrypting a key takes its time.
    let imported = tokio::task::spawn_blocking(move || KeyRing::import(&named, &files)).await;
    let finding = match imported {
        Ok(Ok(ring)) => {
            let shown = ring.keys().iter().map(|key| {
                format!(
                    "{} ({:?}, key id {})",
                    key.name(),
                    key.public_key().algorithm(),
                    key.public_key().id()
                )
            });
            Finding::ok("keys", format!("Secret {place}: {}", shown.collect::<Vec<_>>().join(", ")))
        }
        Ok(Err(error)) => {
            let finding = Finding::of("keys", &error);
            finding.or_remedy(format!("write another key into Secret {place}"))
        }
        Err(_) => Finding::failed("keys", format!("Secret {place} cannot be imported")),
    };
    findings.add(finding);
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    fn judged(entries: &[(&str, &str)]) -> (Config, Findings) {
        let mut findings = Findings::default();
        let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let config = judge("ConfigMap ns/chains-config", &entries, &mut findings);
        (config, findings)
    }

    #[test]
    fn an_empty_map_is_good() {
        let (config, findings) = judged(&[]);
        assert_eq!(config, Config::default());
        assert_eq!(findings.lines().len(), findings.count(State::Ok));
    }

    #[test]
    fn a_mistake_is_named_with_its_key_value_and_remedy() {
        let (_, findings) = judged(&[("artifacts.oci.storage", "ocl")]);
        let line = &findings.lines()[0];
        assert_eq!(line.state, State::Failed);
        assert!(line.found.contains("artifacts.oci.storage: \"ocl\""), "{line:?}");
        assert!(line.remedy.as_deref().unwrap().contains("did you mean \"oci\"?"), "{line:?}");
    }

    #[test]
    fn what_fails_artifacts_is_a_failure() {
        let (_, findings) = judged(&[("artifacts.oci.storage", "kafka")]);
        let lines = findings.lines();
        let line = lines.iter().find(|line| line.found.contains("artifacts.oci.storage")).unwrap();
        assert_eq!(line.state, State::Failed);
    }
}
