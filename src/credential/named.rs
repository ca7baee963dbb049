//! Which Secrets a run names, and through what: pure, so that the cluster and manifest files give the same
//! keychain (credentials specification §1.2, sources 1 to 4, rules R1 to R3).

use k8s_openapi::api::core::v1::{LocalObjectReference, Secret, ServiceAccount};

use super::docker_config::{self, Reading};
use super::pod::Pod;
use super::{Location, SecretRef, Source};
use crate::tekton::TaskRun;
use crate::tekton::completed::CompletedRun;

/// What a run says about its credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunReferences {
    /// Its namespace, and that of everything it names.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
    /// Its pod.
    pub pod: Option<String>,
    /// `imagePullSecrets` of its pod template, and of those of its TaskRuns.
    pub template: Vec<String>,
    /// The TaskRuns of a PipelineRun, in the order in which it names them.
    pub children: Vec<Execution>,
}

/// What executed a part of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Its service account.
    pub service_account: String,
    /// Its pod.
    pub pod: Option<String>,
}

/// More pods of one PipelineRun are not looked at; their templates and service accounts count all the same.
const MOST_PODS: usize = 64;

impl RunReferences {
    /// Those of a run and of its TaskRuns (R3).
    pub fn of(run: &CompletedRun) -> Self {
        let (children, run) = (run.children(), run.run());
        let mut template: Vec<String> = Vec::new();
        let of_children = children.iter().flat_map(TaskRun::image_pull_secrets);
        for name in run.image_pull_secrets().into_iter().chain(of_children) {
            if !template.iter().any(|known| known == name) {
                template.push(name.to_owned());
            }
        }
        let execution = |child: &TaskRun| Execution {
            service_account: child.service_account().to_owned(),
            pod: child.pod_name().map(str::to_owned),
        };
        Self {
            namespace: run.metadata().namespace.clone(),
            service_account: run.service_account().to_owned(),
            pod: run.pod_name().map(str::to_owned),
            template,
            children: children.iter().map(execution).collect(),
        }
    }

    /// The pods that executed it.
    pub fn pods(&self) -> impl Iterator<Item = &str> {
        let children = self.children.iter().filter_map(|child| child.pod.as_deref());
        self.pod.as_deref().into_iter().chain(children).take(MOST_PODS)
    }

    /// The service accounts that it ran as, each once: those of its pods, as far as they are known, count before what
    /// the runs say.
    pub fn accounts(&self, pods: &[&Pod]) -> Vec<String> {
        let ran_as = |pod: Option<&str>, said: &str| {
            let found = pods.iter().find(|one| pod.is_some() && one.metadata.name.as_deref() == pod);
            found.and_then(|pod| pod.service_account()).unwrap_or(said).to_owned()
        };
        let own = ran_as(self.pod.as_deref(), &self.service_account);
        let children = self.children.iter().map(|child| ran_as(child.pod.as_deref(), &child.service_account));
        let mut accounts: Vec<String> = Vec::new();
        for name in std::iter::once(own).chain(children) {
            if !accounts.contains(&name) {
                accounts.push(name);
            }
        }
        accounts
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

/// Every Secret that counts, in the order of the sources, each once a source.
pub fn named_secrets(run: &RunReferences, pods: &[&Pod], accounts: &[&ServiceAccount]) -> Vec<NamedSecret> {
    let of_pods = pods.iter().flat_map(|pod| local(Some(pod.image_pull_secrets())));
    let secrets = accounts.iter().flat_map(|account| account.secrets.as_deref().unwrap_or_default());
    let pull_secrets = accounts.iter().flat_map(|account| local(account.image_pull_secrets.as_deref()));

    let mut all: Vec<NamedSecret> = Vec::new();
    let mut add = |source: Source, name: &str| {
        let named = NamedSecret { source, name: name.to_owned() };
        if !name.is_empty() && !all.contains(&named) {
            all.push(named);
        }
    };
    of_pods.for_each(|name| add(Source::PodImagePullSecrets, name));
    run.template.iter().for_each(|name| add(Source::PodTemplateImagePullSecrets, name));
    secrets
        .filter_map(|secret| secret.name.as_deref())
        .for_each(|name| add(Source::ServiceAccountSecrets, name));
    pull_secrets.for_each(|name| add(Source::ServiceAccountImagePullSecrets, name));
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
    pods: &[&Pod],
    accounts: &[&ServiceAccount],
) -> Vec<(Source, Location)> {
    let named_by = |name: Option<&str>| format!("{}/{}", run.namespace, name.unwrap_or_default());
    let names_none = |pod: &&&Pod| pod.image_pull_secrets().iter().all(|secret| secret.name.is_empty());
    let pods = pods
        .iter()
        .filter(names_none)
        .map(|pod| (Source::PodImagePullSecrets, Location::Pod(named_by(pod.metadata.name.as_deref()))));
    let accounts = accounts.iter().flat_map(|account| {
        let location = Location::ServiceAccount(named_by(account.metadata.name.as_deref()));
        let secrets =
            account.secrets.iter().flatten().any(|secret| secret.name.as_deref().is_some_and(is_set));
        let pull_secrets = account.image_pull_secrets.iter().flatten().any(|secret| is_set(&secret.name));
        let empty = [
            (!secrets).then_some(Source::ServiceAccountSecrets),
            (!pull_secrets).then_some(Source::ServiceAccountImagePullSecrets),
        ];
        empty.into_iter().flatten().map(move |source| (source, location.clone()))
    });
    pods.chain(accounts).collect()
}

fn is_set(name: &str) -> bool {
    !name.is_empty()
}

fn local(references: Option<&[LocalObjectReference]>) -> impl Iterator<Item = &str> {
    references.unwrap_or_default().iter().map(|reference| reference.name.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tekton::Run;

    fn run() -> RunReferences {
        RunReferences {
            namespace: "ci".into(),
            service_account: "builder".into(),
            pod: Some("build-pod".into()),
            template: vec!["from-template".into()],
            children: Vec::new(),
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
            shown(&named_secrets(&run(), &[&pod], &[&account])),
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
            shown(&named_secrets(&run(), &[], &[&account])),
            ["podTemplate.imagePullSecrets from-template"]
        );
    }

    #[test]
    fn lists_that_name_nothing_are_told() {
        let account = |lists: serde_json::Value| -> ServiceAccount { serde_json::from_value(lists).unwrap() };
        let empty = |lists| {
            let account = account(lists);
            let run = RunReferences { pod: None, template: Vec::new(), ..run() };
            let told = empty_places(&run, &[], &[&account]);
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

    fn pipeline_run() -> CompletedRun {
        let child = |name: &str, account: &str, secret: &str| {
            TaskRun::from_value(json!({
                "apiVersion": "tekton.dev/v1", "kind": "TaskRun",
                "metadata": {"name": name, "namespace": "ci", "uid": name},
                "spec": {"serviceAccountName": account, "podTemplate": {"imagePullSecrets": [{"name": secret}]}},
                "status": {"podName": format!("{name}-pod"), "conditions": [{"type": "Succeeded", "status": "True"}]},
            }))
            .unwrap()
        };
        let run = json!({
            "apiVersion": "tekton.dev/v1", "kind": "PipelineRun",
            "metadata": {"name": "p", "namespace": "ci", "uid": "p"},
            "spec": {"taskRunTemplate": {"serviceAccountName": "builder",
                "podTemplate": {"imagePullSecrets": [{"name": "shared"}]}}},
            "status": {"conditions": [{"type": "Succeeded", "status": "True"}],
                "childReferences": [{"kind": "TaskRun", "name": "a"}, {"kind": "TaskRun", "name": "b"}]},
        });
        let children = vec![child("b", "pusher", "shared"), child("a", "builder", "other")];
        CompletedRun::suppose(Run::from_value(run).unwrap(), children)
    }

    #[test]
    fn a_pipeline_run_has_the_credentials_of_its_task_runs_too_in_their_order() {
        let references = RunReferences::of(&pipeline_run());
        assert_eq!(references.pods().collect::<Vec<_>>(), ["a-pod", "b-pod"]);
        assert_eq!(references.template, ["shared", "other"], "each once");
        assert_eq!(references.accounts(&[]), ["builder", "pusher"]);
        let pod: Pod = serde_json::from_value(
            json!({"metadata": {"name": "a-pod"}, "spec": {"serviceAccountName": "really"}}),
        )
        .unwrap();
        assert_eq!(references.accounts(&[&pod]), ["builder", "really", "pusher"], "what really ran counts");
    }
}
