//! Whose credentials are explained, and for which images: runs and accounts from manifests or from the cluster.

use std::str::FromStr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};

use super::Explain;
use crate::artifact::Artifacts;
use crate::artifact::digest::Digest;
use crate::artifact::image::{MalformedReference, Repository};
use crate::cli::manifests::Manifests;
use crate::cli::{Exit, config, controller, fail, refuse};
use crate::config::Config;
use crate::credential::cloud::account::Accounts;
use crate::credential::kubernetes::{Cluster, Reuse};
use crate::credential::named::RunReferences;
use crate::credential::objects::Objects;
use crate::credential::{Agent, Keychain};
use crate::tekton::completed::CompletedRun;
use crate::tekton::{Kind, Run, TaskRun};

/// An image by tag or digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct NamedImage {
    pub(super) repository: Repository,
    /// Tag or digest.
    pub(super) reference: String,
}

/// One run or account, with the images that are asked about.
pub(super) struct Inquiry {
    pub(super) subject: String,
    pub(super) references: RunReferences,
    pub(super) images: Vec<NamedImage>,
}

/// Where runs, accounts and Secrets are read.
pub(super) enum Subjects {
    Files(Manifests, Arc<Objects>),
    Cluster(Client, Box<Cluster>),
}

impl NamedImage {
    /// The repository that it lies in.
    pub(in crate::cli) fn repository(&self) -> &Repository {
        &self.repository
    }
}

impl FromStr for NamedImage {
    type Err = MalformedReference;

    fn from_str(text: &str) -> Result<Self, MalformedReference> {
        if let Some((name, digest)) = text.split_once('@') {
            let digest: Digest = digest.parse()?;
            return Ok(Self { repository: Repository::parse(name)?, reference: digest.to_string() });
        }
        let behind_slash = text.rfind('/').map_or(0, |slash| slash + 1);
        let tag = text.get(behind_slash..).and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
        let reference = tag.filter(|tag| !tag.is_empty()).unwrap_or("latest").to_owned();
        Ok(Self { repository: Repository::parse(text)?, reference })
    }
}

impl Subjects {
    pub(super) async fn of(arguments: &Explain) -> Result<Self, Exit> {
        if arguments.files.is_empty() {
            let client = controller::client(arguments.kubeconfig.as_deref()).await;
            let client = client.map_err(|error| refuse(error.as_ref(), Exit::Temporary))?;
            let cluster =
                Cluster::on_behalf_of(client.clone(), &arguments.system_namespace, &arguments.agent_account);
            return Ok(Self::Cluster(client, Box::new(cluster)));
        }
        let manifests = Manifests::read(&arguments.files).map_err(|error| refuse(&error, Exit::Usage))?;
        let objects = manifests.objects().map_err(|error| refuse(&error, Exit::Usage))?;
        Ok(Self::Files(manifests, Arc::new(objects)))
    }

    /// The configuration that says where signatures go and who may borrow the agent's credentials.
    pub(super) async fn config(&self, arguments: &Explain) -> Result<Config, Exit> {
        if let Some(file) = &arguments.config {
            return config::configured(file);
        }
        let Self::Cluster(client, _) = self else { return Ok(Config::default()) };
        let maps = Api::<ConfigMap>::namespaced(client.clone(), &arguments.system_namespace);
        let map = maps.get_opt("chains-config").await;
        let data = match map {
            Ok(map) => map.and_then(|map| map.data).unwrap_or_default(),
            Err(error) => {
                eprintln!(
                    "warning: cannot read {}/chains-config, so defaults count: {error}",
                    arguments.system_namespace
                );
                return Ok(Config::default());
            }
        };
        Config::parse(&data).config.or_else(|_| {
            eprintln!(
                "warning: {}/chains-config has mistakes, so defaults count",
                arguments.system_namespace
            );
            Ok(Config::default())
        })
    }

    /// The cluster, if the answers come from one.
    pub(super) fn client(&self) -> Option<&Client> {
        match self {
            Self::Cluster(client, _) => Some(client),
            Self::Files(..) => None,
        }
    }

    /// The keychain with what `agent` lends; in a cluster also what the agent's own account names, and the cloud
    /// identity of the run's own account.
    pub(super) async fn keychain(
        &self,
        references: &RunReferences,
        accounts: Option<&Accounts>,
        agent: Agent,
    ) -> Result<Keychain, Exit> {
        match self {
            Self::Files(_, objects) => Ok(objects.keychain(references).with_agent(agent)),
            Self::Cluster(_, cluster) => {
                let keychain = cluster
                    .keychain(references, accounts, Reuse::Nothing)
                    .await
                    .map_err(|error| fail(&error))?;
                cluster.lend(keychain, agent, true).await.map_err(|error| fail(&error))
            }
        }
    }

    pub(super) async fn inquiries(&self, arguments: &Explain) -> Result<Vec<Inquiry>, Exit> {
        let wanted = arguments.taskrun.as_ref().map(|name| (Kind::TaskRun, name));
        let wanted = wanted.or(arguments.pipelinerun.as_ref().map(|name| (Kind::PipelineRun, name)));
        let runs = match (self, wanted) {
            (Self::Files(manifests, _), wanted) if arguments.service_account.is_none() => {
                runs_of(manifests, wanted)?
            }
            (Self::Cluster(client, _), Some((kind, name))) => {
                let namespace = arguments.namespace.as_deref().unwrap_or("default");
                vec![(read(client, kind, namespace, name).await?, Vec::new())]
            }
            _ => Vec::new(),
        };
        if let (Some((kind, name)), true) = (wanted, runs.is_empty()) {
            eprintln!("hallmark: there is no {} {name} in the files", kind.as_str());
            return Err(Exit::Usage);
        }
        if runs.is_empty() {
            return Ok(vec![Inquiry::of_account(arguments)]);
        }
        Ok(runs
            .into_iter()
            .map(|(run, children)| Inquiry::of_run(run, children, &arguments.images))
            .collect())
    }
}

impl Inquiry {
    fn of_account(arguments: &Explain) -> Self {
        let namespace = arguments.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let service_account = arguments.service_account.clone().unwrap_or_else(|| "default".to_owned());
        Self {
            subject: format!("service account {namespace}/{service_account}"),
            references: RunReferences {
                namespace,
                service_account,
                pod: None,
                template: Vec::new(),
                children: Vec::new(),
            },
            images: arguments.images.clone(),
        }
    }

    fn of_run(run: Run, children: Vec<TaskRun>, images: &[NamedImage]) -> Self {
        let run = CompletedRun::suppose(run, children);
        let references = RunReferences::of(&run);
        let artifacts = Artifacts::of(&run);
        let built = artifacts
            .images
            .into_iter()
            .map(|image| NamedImage { reference: image.digest.to_string(), repository: image.repository });
        let images = if images.is_empty() { built.collect() } else { images.to_vec() };
        Self { subject: artifacts.run.to_string(), references, images }
    }
}

fn runs_of(manifests: &Manifests, wanted: Option<(Kind, &String)>) -> Result<Vec<(Run, Vec<TaskRun>)>, Exit> {
    let mut runs = Vec::new();
    for (run, _) in manifests.runs().map_err(|error| refuse(&error, Exit::Usage))? {
        if wanted.is_some_and(|(kind, name)| run.kind() != kind || run.metadata().name != *name) {
            continue;
        }
        let children = match run.kind() {
            Kind::TaskRun => Vec::new(),
            Kind::PipelineRun => manifests.children(&run).map_err(|error| refuse(&error, Exit::Usage))?,
        };
        runs.push((run, children));
    }
    Ok(runs)
}

async fn read(client: &Client, kind: Kind, namespace: &str, name: &str) -> Result<Run, Exit> {
    let gvk = GroupVersionKind::gvk("tekton.dev", "v1", kind.as_str());
    let resource = ApiResource::from_gvk_with_plural(&gvk, kind.plural());
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource);
    let found = api.get_opt(name).await.map_err(|error| refuse(&error, Exit::Temporary))?;
    let Some(found) = found else {
        eprintln!("hallmark: there is no {} {namespace}/{name}", kind.as_str());
        return Err(Exit::Usage);
    };
    let value = serde_json::to_value(found).map_err(|error| refuse(&error, Exit::Failed))?;
    Run::from_value(value).map_err(|error| refuse(&error, Exit::Failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_by_tag_by_digest_or_by_neither() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, repository, reference) in [
            ("registry.test:5000/team/app", "registry.test:5000/team/app", "latest"),
            ("registry.test:5000/team/app:v1", "registry.test:5000/team/app", "v1"),
            ("ubuntu", "index.docker.io/library/ubuntu", "latest"),
            (&format!("registry.test/app:v1@{digest}"), "registry.test/app", &digest),
        ] {
            let named: NamedImage = text.parse().unwrap();
            assert_eq!(
                (named.repository.to_string().as_str(), named.reference.as_str()),
                (repository, reference)
            );
        }
        assert!("https://registry.test/app".parse::<NamedImage>().is_err());
        assert!("registry.test/app@sha256:short".parse::<NamedImage>().is_err());
    }
}
