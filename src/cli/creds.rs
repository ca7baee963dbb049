//! `hallmark creds explain`: which credentials a run has for an image, where they were looked for, why others do
//! not match, and, if asked, what the registry says to each (credentials specification §1.7, §7.2).
//!
//! Without `--probe` no registry is contacted; with `-f` nothing but the registry.

mod output;
pub(super) mod subject;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use futures::FutureExt as _;

use self::subject::{Inquiry, NamedImage, Subjects};
use super::output::Output;
use super::progress::Progress;
use super::registries::{RegistryOptions, accounts, clouds};
use super::{Exit, fail, refuse};
use crate::client::registry::{self, Registry, Session};
use crate::config::Config;
use crate::credential::agent::{Agent, Permission};
use crate::credential::registry_config::RegistryConfig;
use crate::credential::{CredentialReport, Keychain, Operation, Target};

/// Look into the credentials of runs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show where credentials for an image were looked for, which ones would be tried, and why others do not match.
    Explain(Box<Explain>),
}

/// What is to be explained.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark creds explain --namespace ci --service-account release --image registry.example/team/app --probe
  hallmark creds explain --namespace ci --taskrun build-1 --probe
  hallmark creds explain -f run.yaml -f secrets.yaml -o json

Exit codes: 0 a credential was accepted, or nothing was probed; 2 usage; 3 no credential was accepted;
4 it could not be decided.")]
pub struct Explain {
    /// Manifests instead of a cluster: runs, and the ServiceAccounts, Pods and Secrets that they refer to; - is
    /// standard input.
    #[arg(short, long = "filename", value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Namespace of the run or service account.
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// A service account, as if a run used it.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["taskrun", "pipelinerun"])]
    service_account: Option<String>,

    /// A TaskRun.
    #[arg(long, value_name = "NAME", conflicts_with = "pipelinerun")]
    taskrun: Option<String>,

    /// A PipelineRun.
    #[arg(long, value_name = "NAME")]
    pipelinerun: Option<String>,

    /// The image; without it those that the run built.
    #[arg(long = "image", value_name = "IMAGE")]
    images: Vec<NamedImage>,

    /// Only reading the image, or only writing its signatures.
    #[arg(long, value_enum, value_name = "OPERATION")]
    operation: Option<Wanted>,

    /// Ask the registry: read the manifest, and open an upload that is cancelled at once, with each credential.
    #[arg(long)]
    probe: bool,

    /// Manifest of a ConfigMap chains-config; without it the one in the cluster.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    registries: RegistryOptions,

    /// Namespace of the ConfigMap chains-config.
    #[arg(long, env = "SYSTEM_NAMESPACE", default_value = "tekton-chains", value_name = "NAMESPACE")]
    system_namespace: String,

    /// The agent's own service account in that namespace, whose Secrets it lends to runs.
    #[arg(long, default_value = "tekton-chains-controller", value_name = "NAME")]
    agent_account: String,

    /// Kubeconfig file; without it $KUBECONFIG, then the pod's own service account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// What to print.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wanted {
    Pull,
    Push,
}

/// One target, explained.
pub(super) struct Explained {
    pub(super) subject: String,
    pub(super) target: Target,
    keychain: Arc<Keychain>,
    report: CredentialReport,
    pub(super) stopped: Option<registry::Error>,
}

impl Explain {
    /// A probe of one image with the credentials of a service account, both named by namespace and name; `agent` is
    /// the controller's.
    pub(super) fn of_account(
        account: (&str, &str),
        image: NamedImage,
        agent: (&str, &str),
        kubeconfig: Option<PathBuf>,
    ) -> Self {
        Self {
            files: Vec::new(),
            namespace: Some(account.0.to_owned()),
            service_account: Some(account.1.to_owned()),
            taskrun: None,
            pipelinerun: None,
            images: vec![image],
            operation: None,
            probe: true,
            config: None,
            registries: RegistryOptions::default(),
            system_namespace: agent.0.to_owned(),
            agent_account: agent.1.to_owned(),
            kubeconfig,
            output: Output::Text,
        }
    }
}

/// Runs the command.
pub async fn run(command: Command) -> Exit {
    let Command::Explain(arguments) = command;
    let progress = Progress::of("asking for credentials");
    match progress.during(explain(&arguments)).await {
        Ok(explained) => {
            match arguments.output {
                Output::Text => output::table(&explained, arguments.probe),
                Output::Json => output::json(&explained),
            }
            if arguments.probe { exit(&explained) } else { Exit::Ok }
        }
        Err(exit) => exit,
    }
}

async fn explain(arguments: &Explain) -> Result<Vec<Explained>, Exit> {
    let registries = arguments.registries.read().map_err(|error| refuse(&error, Exit::Usage))?;
    explain_with(arguments, &registries).await
}

/// The same with a registry configuration that was read elsewhere.
pub(super) async fn explain_with(
    arguments: &Explain,
    registries: &Arc<RegistryConfig>,
) -> Result<Vec<Explained>, Exit> {
    let subjects = Subjects::of(arguments).await?;
    let config = subjects.config(arguments).await?;
    let registry = Registry::new().map_err(|error| fail(&error))?;
    let clouds = clouds(&registry, registries, &config);
    let accounts = subjects.client().and_then(|client| accounts(client, &registry, registries, &config));
    let mut explained = Vec::new();
    for inquiry in subjects.inquiries(arguments).await? {
        let namespace = &inquiry.references.namespace;
        let permission = Permission::of(&config.registry, namespace);
        let agent = Agent {
            config: Arc::clone(registries),
            clouds: Arc::clone(&clouds),
            permission,
            ..Agent::default()
        };
        let keychain = Arc::new(subjects.keychain(&inquiry.references, accounts.as_ref(), agent).await?);
        let session = session(&registry, &inquiry, &config, registries, &keychain);
        for (target, reference) in targets(&inquiry, &config, arguments.operation) {
            let asked = if arguments.probe {
                session.probe(&target, &reference).await.map(|probe| (probe.report, probe.stopped))
            } else {
                session.untried(&target).await.map(|report| (report, None))
            };
            let (report, stopped) = asked.map_err(|error| fail(&error))?;
            let (subject, keychain) = (inquiry.subject.clone(), Arc::clone(&keychain));
            explained.push(Explained { subject, target, keychain, report, stopped });
        }
    }
    if explained.is_empty() {
        eprintln!("hallmark: the run names no image that can be signed: name one with --image");
        return Err(Exit::Usage);
    }
    Ok(explained)
}

fn session(
    registry: &Registry,
    inquiry: &Inquiry,
    config: &Config,
    registries: &Arc<RegistryConfig>,
    keychain: &Arc<Keychain>,
) -> Session {
    let ready = futures::future::ready(Ok(Arc::clone(keychain))).boxed().shared();
    Session::configured(registry, &inquiry.references.namespace, config, registries, ready)
}

/// The image is read from its own repository, its signatures are written to that or to the one of the configuration.
fn targets(inquiry: &Inquiry, config: &Config, wanted: Option<Wanted>) -> Vec<(Target, String)> {
    let mut targets = Vec::new();
    for image in &inquiry.images {
        let signatures = config.storage.oci.repository.as_ref().unwrap_or(&image.repository);
        for (repository, operation, unless) in
            [(&image.repository, Operation::Pull, Wanted::Push), (signatures, Operation::Push, Wanted::Pull)]
        {
            let target = (Target { repository: repository.clone(), operation }, image.reference.clone());
            if wanted != Some(unless) && !targets.contains(&target) {
                targets.push(target);
            }
        }
    }
    targets
}

/// The worst of what happened: a target that nobody may enter, then one that could not be decided.
fn exit(explained: &[Explained]) -> Exit {
    let exits = explained.iter().map(|one| match (one.report.selected(), &one.stopped) {
        (Some(_), _) => Exit::Ok,
        (None, Some(_)) => Exit::Temporary,
        (None, None) => Exit::Denied,
    });
    exits
        .max_by_key(|exit| [Exit::Ok, Exit::Temporary, Exit::Denied].iter().position(|e| e == exit))
        .unwrap_or(Exit::Ok)
}

#[cfg(test)]
mod tests;
