//! Which Secrets a run names, and through what: pure, so that the cluster and manifest files give the same
//! keychain (credentials specification §1.2, sources 1 to 4, rules R1 to R3).

use k8s_openapi::api::core::v1::{LocalObjectReference, Secret, ServiceAccount};

use super::docker_config::{self, Reading};
use super::pod::Pod;
use super::{Location, SecretRef, Source};
use crate::tekton::Run;

/// What a run says about its credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunReferences {
    /// Its namespace, and that of everything it names.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
    /// Its pod.
    pub pod: Option<String>,
    /// `imagePullSecrets` of its pod template.
    pub template: Vec<String>,
}

impl RunReferences {
    /// Those of a run.
    pub fn of(run: &Run) -> Self {
        Self {
            namespace: run.metadata().namespace.clone(),
            service_account: run.service_account().to_owned(),
            pod: run.pod_name().map(str::to_owned),
            template: run.image_pull_secrets().into_iter().map(str::to_owned).collect(),
        }
    }
}

/// A Secret, and the source that names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamedSecret {
    /// Through what.
    pub source: Source,
    /// Its name, in the run's namespace.
    pub name: String,
}

/// Every Secret that counts, in the order of the sources.
pub fn named_secrets(
    run: &RunReferences,
    pod: Option<&Pod>,
    account: Option<&ServiceAccount>,
) -> Vec<NamedSecret> {
    let pod = pod.map(Pod::image_pull_secrets);
    let secrets = account.and_then(|account| account.secrets.as_deref()).unwrap_or_default();
    let pull_secrets = account.and_then(|account| account.image_pull_secrets.as_deref());
    let named = |source: Source, name: &str| NamedSecret { source, name: name.to_owned() };

    let mut all: Vec<NamedSecret> = Vec::new();
    all.extend(local(pod).map(|name| named(Source::PodImagePullSecrets, name)));
    all.extend(run.template.iter().map(|name| named(Source::PodTemplateImagePullSecrets, name)));
    all.extend(
        secrets
            .iter()
            .filter_map(|secret| secret.name.as_deref())
            .map(|name| named(Source::ServiceAccountSecrets, name)),
    );
    all.extend(local(pull_secrets).map(|name| named(Source::ServiceAccountImagePullSecrets, name)));
    all.retain(|secret| !secret.name.is_empty());
    all
}

/// Every Secret that the agent's own service account names (source 6).
pub fn own_secrets(account: &ServiceAccount) -> Vec<NamedSecret> {
    let secrets = account.secrets.iter().flatten().filter_map(|secret| secret.name.as_deref());
    let pull_secrets = account.image_pull_secrets.iter().flatten().map(|secret| secret.name.as_str());
    let named =
        |source: Source| move |name: &str| NamedSecret { source: source.clone(), name: name.to_owned() };
    let secrets = secrets.map(named(Source::ControllerServiceAccountSecrets));
    let all = secrets.chain(pull_secrets.map(named(Source::ControllerServiceAccountImagePullSecrets)));
    all.filter(|secret| !secret.name.is_empty()).collect()
}

/// Reads the entries of a Secret as the API server returned it.
pub fn read_named(namespace: &str, named: &NamedSecret, secret: Secret) -> Reading {
    let version = secret.metadata.resource_version.unwrap_or_default();
    let uid = secret.metadata.uid.unwrap_or_default();
    let data = secret.data.unwrap_or_default().into_iter().map(|(name, content)| (name, content.0)).collect();
    let (namespace, name) = (namespace.to_owned(), named.name.clone());
    let reference = SecretRef { namespace, name, uid, resource_version: version };
    let secret = docker_config::Secret {
        reference: &reference,
        kind: secret.type_.as_deref().unwrap_or_default(),
        data: &data,
        annotations: &secret.metadata.annotations.unwrap_or_default(),
    };
    docker_config::read_secret(&named.source, &secret)
}

/// Objects that were looked at and name no Secret, so that a report can say so.
pub fn empty_places(
    run: &RunReferences,
    pod: Option<&Pod>,
    account: Option<&ServiceAccount>,
    named: &[NamedSecret],
) -> Vec<(Source, Location)> {
    let named_by = |name: Option<&str>| format!("{}/{}", run.namespace, name.unwrap_or_default());
    let pod = pod.map(|pod| Location::Pod(named_by(pod.metadata.name.as_deref())));
    let account = account.map(|account| Location::ServiceAccount(named_by(account.metadata.name.as_deref())));
    let places = [
        (Source::PodImagePullSecrets, pod),
        (Source::ServiceAccountSecrets, account.clone()),
        (Source::ServiceAccountImagePullSecrets, account),
    ];
    let empty = places.into_iter().filter(|(source, _)| !named.iter().any(|secret| secret.source == *source));
    empty.filter_map(|(source, location)| Some((source, location?))).collect()
}

fn local(references: Option<&[LocalObjectReference]>) -> impl Iterator<Item = &str> {
    references.unwrap_or_default().iter().map(|reference| reference.name.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run() -> RunReferences {
        RunReferences {
            namespace: "ci".into(),
            service_account: "builder".into(),
            pod: Some("build-pod".into()),
            template: vec!["from-template".into()],
        }
    }

    fn shown(named: &[NamedSecret]) -> Vec<String> {
        named.iter().map(|secret| format!("{} {}", secret.source, secret.name)).collect()
    }

    #[test]
    fn the_pod_comes_first_then_its_template_then_the_service_account() {
        let pod: Pod = serde_json::from_value(
            json!({"spec": {"containers": [], "imagePullSecrets": [{"name": "from-pod"}]}}),
        )
        .unwrap();
        let account: ServiceAccount = serde_json::from_value(
            json!({"secrets": [{"name": "push"}], "imagePullSecrets": [{"name": "pull"}]}),
        )
        .unwrap();
        assert_eq!(
            shown(&named_secrets(&run(), Some(&pod), Some(&account))),
            [
                "pod.imagePullSecrets from-pod",
                "podTemplate.imagePullSecrets from-template",
                "serviceAccount.secrets push",
                "serviceAccount.imagePullSecrets pull",
            ]
        );
    }

    #[test]
    fn what_is_gone_names_nothing_and_empty_names_do_not_count() {
        let account: ServiceAccount = serde_json::from_value(json!({"secrets": [{"name": ""}, {}]})).unwrap();
        assert_eq!(
            shown(&named_secrets(&run(), None, Some(&account))),
            ["podTemplate.imagePullSecrets from-template"]
        );
    }

    #[test]
    fn lists_that_name_nothing_are_told() {
        let account = |lists: serde_json::Value| -> ServiceAccount { serde_json::from_value(lists).unwrap() };
        let empty = |lists| {
            let account = account(lists);
            let run = RunReferences { pod: None, template: Vec::new(), ..run() };
            let told = empty_places(&run, None, Some(&account), &named_secrets(&run, None, Some(&account)));
            told.into_iter().map(|(source, location)| format!("{source} {location}")).collect::<Vec<_>>()
        };
        assert_eq!(
            empty(json!({"metadata": {"name": "b"}})),
            [
                "serviceAccount.secrets service account ci/b",
                "serviceAccount.imagePullSecrets service account ci/b"
            ]
        );
        assert_eq!(empty(json!({"secrets": [{"name": "a"}], "imagePullSecrets": [{"name": "b"}]})), [""; 0]);
    }
}
