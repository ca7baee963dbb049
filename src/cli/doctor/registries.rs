//! The registry configuration file, from the pod or from its Secret, and what a registry says to the credentials of a
//! service account: the probe of `creds explain`.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;

use super::finding::{Finding, Findings};
use super::{Visit, unread};
use crate::cli::creds::subject::NamedImage;
use crate::cli::creds::{self, Explained};
use crate::cli::{Exit, environment};
use crate::config::Config;
use crate::credential::files::registry_config;
use crate::credential::registry_config::{Reading, RegistryConfig, Severity};

const CHECK: &str = "registries";
const SECRET: &str = "hallmark-registries";
const KEY: &str = "registries.toml";

/// The configuration that counts; without one the proxies of this process.
pub(super) async fn configuration(
    visit: &Visit<'_>,
    config: &Config,
    findings: &mut Findings,
) -> Arc<RegistryConfig> {
    let read = if visit.inside { of_file(config) } else { of_secret(visit).await };
    let nothing = || Arc::new(RegistryConfig::of_environment(environment::proxies()));
    match read {
        Ok(Some((place, reading))) => judge(&place, reading, findings).unwrap_or_else(nothing),
        Ok(None) => {
            findings.add(Finding::ok(CHECK, "no registry configuration file: none is needed"));
            nothing()
        }
        Err(finding) => {
            findings.add(*finding);
            nothing()
        }
    }
}

type Read = Result<Option<(String, Reading)>, Box<Finding>>;

fn of_file(config: &Config) -> Read {
    let Some(file) = config.registry.config_file.as_deref().filter(|file| file.exists()) else {
        return Ok(None);
    };
    match registry_config(file, &environment::proxies(), Timestamp::now()) {
        Ok(reading) => Ok(Some((file.display().to_string(), reading))),
        Err(error) => Err(Box::new(Finding::of(CHECK, &error).or_remedy("let the agent's user read it"))),
    }
}

async fn of_secret(visit: &Visit<'_>) -> Read {
    let place = format!("Secret {}/{SECRET}", visit.own_namespace());
    let secrets = Api::<Secret>::namespaced(visit.client.clone(), visit.own_namespace());
    let secret = secrets.get_opt(SECRET).await.map_err(|error| Box::new(unread(CHECK, &place, &error)))?;
    let Some(content) = secret.and_then(|secret| secret.data?.remove(KEY)) else { return Ok(None) };
    let text = String::from_utf8_lossy(&content.0);
    let reading = RegistryConfig::parse(&place, &text, &environment::proxies(), Timestamp::now());
    Ok(Some((place, reading)))
}

fn judge(place: &str, reading: Reading, findings: &mut Findings) -> Option<Arc<RegistryConfig>> {
    for finding in &reading.findings {
        let found = format!("{place}: {finding}");
        findings.add(match finding.severity() {
            Severity::Error => Finding::failed(CHECK, found)
                .remedy("mend it: until then the last good one counts, and none after a restart"),
            Severity::Warning => Finding::warning(CHECK, found),
        });
    }
    let config = reading.config.map(Arc::new)?;
    findings.add(Finding::ok(CHECK, format!("{place} names {} registries", config.names().count())));
    Some(config)
}

/// Offers each credential of the account to the registry, for reading the image and for writing its signatures.
pub(super) async fn probe(
    visit: &Visit<'_>,
    image: &NamedImage,
    registries: &Arc<RegistryConfig>,
    findings: &mut Findings,
) {
    let arguments = visit.arguments;
    let question = creds::Explain::of_account(
        (&arguments.namespace, &arguments.service_account),
        image.clone(),
        (&arguments.system_namespace, &arguments.agent_account),
        arguments.kubeconfig.clone(),
    );
    match creds::explain_with(&question, registries).await {
        Ok(explained) => explained.iter().for_each(|one| findings.add(answered(one))),
        Err(exit) => findings.add(
            Finding::failed("registry", "credentials cannot be looked up; standard error says why")
                .exit(exit),
        ),
    }
}

fn answered(one: &Explained) -> Finding {
    let target = format!("{} {}, for {}", one.target.operation, one.target.repository, one.subject);
    if let Some(accepted) = one.accepted() {
        return Finding::ok("registry", format!("{target}: accepted {accepted}"));
    }
    match &one.stopped {
        Some(error) => {
            let finding = Finding::of("registry", error).exit(Exit::Temporary);
            finding.or_remedy("see that the registry can be reached from the controller's pod")
        }
        None => Finding::failed("registry", format!("{target}: no credential was accepted"))
            .remedy(format!(
                "{}; hallmark creds explain --probe shows every place that was looked at",
                one.remedy()
            ))
            .exit(Exit::Denied),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use crate::credential::registry_config::Proxies;

    fn judged(text: &str) -> (bool, Findings) {
        let mut findings = Findings::default();
        let reading = RegistryConfig::parse("f", text, &Proxies::none(), Timestamp::UNIX_EPOCH);
        (judge("Secret ns/hallmark-registries", reading, &mut findings).is_some(), findings)
    }

    #[test]
    fn a_file_with_mistakes_is_a_failure_that_names_the_place_and_no_value() {
        let (usable, findings) = judged("a = canary");
        assert!(!usable);
        let line = &findings.lines()[0];
        assert_eq!(line.state, State::Failed);
        assert!(line.found.contains("line 1, column 5: RegistryConfigInvalid"), "{line:?}");
        assert!(!format!("{findings:?}").contains("canary"));
    }

    #[test]
    fn a_good_file_is_counted() {
        let (usable, findings) = judged("[registries.\"registry.test.\"]\ninsecure-skip-verify = true\n");
        assert!(usable && findings.lines()[0].found.ends_with("names 1 registries"), "{findings:?}");
    }
}
