//! `hallmark doctor`: whether an installation can sign, from inside its pod or from outside the cluster, each check
//! with what was found and what to do (Chains specification §1, credentials specification §1.7, §7.2).
//!
//! # Guarantees
//!
//! - Nothing is changed, and nothing is signed; a certificate is asked for only with `--certificate`.
//! - What may not be looked at is said to be unchecked, and is no failure of the installation.
//! - The rights that are asked about are those of `config/base`, read from there, so that the two cannot differ.
//! - Neither keys nor tokens are printed.

mod cloud;
mod deployment;
mod finding;
mod identity;
mod installation;
mod output;
mod registries;
mod rights;
mod services;
mod settings;
mod stores;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::PostParams;
use kube::{Api, Client};

use self::finding::{Finding, Findings};
use super::creds::subject::NamedImage;
use super::output::Output;
use super::progress::Progress;
use super::{Exit, controller};
use crate::config::Config;
use crate::credential::registry_config::RegistryConfig;

pub(super) use self::installation::{deployment, watched};
pub(super) use crate::client::kubernetes::said;

/// What is to be checked.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark doctor
  hallmark doctor --kubeconfig ~/.kube/config -o json
  hallmark doctor --namespace ci --service-account release --image registry.example/team/app
  hallmark doctor --cloud gcp
  hallmark doctor --cloud aws --image 123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app
  kubectl exec -n tekton-chains deployment/tekton-chains-controller -- hallmark doctor

Exit codes: 0 nothing has failed, though there may be warnings and checks that could not be made; 1 something has
failed; 2 usage; 3 a registry, a right or a token was refused; 4 something that may pass has failed.")]
pub struct Arguments {
    /// Namespace of the installation.
    #[arg(long, env = "SYSTEM_NAMESPACE", default_value = "tekton-chains", value_name = "NAMESPACE")]
    system_namespace: String,

    /// The controller's service account in that namespace.
    #[arg(long, default_value = "tekton-chains-controller", value_name = "NAME")]
    agent_account: String,

    /// Check the identity token in this file instead of one that is asked for in the name of the controller.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Have Fulcio issue a certificate for a key that is thrown away. The identity token is sent there.
    #[arg(long)]
    certificate: bool,

    /// With --image: the namespace of the service account.
    #[arg(short, long, default_value = "default", value_name = "NAMESPACE")]
    namespace: String,

    /// With --image: whose credentials the registry is asked with.
    #[arg(long, default_value = "default", value_name = "NAME")]
    service_account: String,

    /// Ask the registry of this image whether it may be read and its signatures written; nothing is left there.
    #[arg(long, value_name = "IMAGE")]
    image: Option<NamedImage>,

    /// Have this cloud exchange the identity of this process for a credential of its registry, that of --image or
    /// gcr.io. A cluster need not be in reach.
    #[arg(long, value_enum, value_name = "CLOUD")]
    cloud: Option<cloud::Cloud>,

    /// Kubeconfig file; without it $KUBECONFIG, then the pod's own service account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// What to print.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

/// Who looks at which installation, and from where.
pub(super) struct Visit<'a> {
    client: Client,
    arguments: &'a Arguments,
    /// This process is the controller's own pod.
    inside: bool,
    /// As whom the API server knows this process.
    user: Option<String>,
}

/// What the installation says about credentials.
type Settings = (Config, Arc<RegistryConfig>);

/// Runs the command.
pub async fn run(arguments: Arguments) -> Exit {
    let mut findings = Findings::default();
    let progress = Progress::of("asking the API server");
    let settings = match controller::client(arguments.kubeconfig.as_deref()).await {
        Ok(client) => progress.during(examine(client, &arguments, &mut findings, &progress)).await,
        Err(error) => {
            findings.add(without_cluster(&arguments, error.as_ref()));
            None
        }
    };
    if let Some(cloud) = arguments.cloud {
        let of_process =
            || (Config::default(), Arc::new(RegistryConfig::of_environment(super::environment::proxies())));
        let (config, registries) = settings.unwrap_or_else(of_process);
        progress.now("asking the cloud");
        let exchange = cloud::exchange(cloud, arguments.image.as_ref(), &config, &registries, &mut findings);
        progress.during(exchange).await;
    }
    output::print(&findings, arguments.output);
    findings.exit()
}

/// A failure, unless something else was asked for.
fn without_cluster(arguments: &Arguments, error: &dyn std::error::Error) -> Finding {
    let remedy = "give --kubeconfig FILE, or run in a pod with a service account";
    if arguments.cloud.is_some() {
        return Finding::unchecked("cluster", error.to_string()).remedy(remedy);
    }
    Finding::failed("cluster", error.to_string()).remedy(remedy).exit(Exit::Temporary)
}

/// Looks at the whole installation; answers its settings when the cluster could be asked.
async fn examine(
    client: Client,
    arguments: &Arguments,
    findings: &mut Findings,
    progress: &Progress,
) -> Option<Settings> {
    let visit = match arrive(client, arguments).await {
        Ok((visit, found)) => {
            findings.add(found);
            visit
        }
        Err(finding) => {
            findings.add(finding);
            return None;
        }
    };
    progress.now("looking at the installation");
    findings.add(installation::tekton(&visit).await);
    let deployment = installation::controller(&visit, findings).await;
    let config = settings::config_map(&visit, findings).await;
    progress.now("asking for the rights of the controller");
    rights::check(&visit, deployment.as_ref(), &config, findings).await;
    progress.now("reading keys and settings");
    settings::keys(&visit, &config, findings).await;
    let registries = registries::configuration(&visit, &config, findings).await;
    let servers = services::Servers::new(&visit, &config, &registries);
    progress.now("asking for an identity token");
    let token = identity::token(&visit, deployment.as_ref(), &config, findings).await;
    progress.now("asking Fulcio, logs and other servers");
    servers.check(token.as_ref(), findings).await;
    progress.now("asking the stores");
    stores::check(&visit, &config, &registries, findings).await;
    if let Some(image) = &arguments.image {
        progress.now("asking the registry");
        registries::probe(&visit, image, &registries, findings).await;
    }
    Some((config, registries))
}

/// Who this is; the first question shows whether the API server answers at all.
async fn arrive(client: Client, arguments: &Arguments) -> Result<(Visit<'_>, Finding), Finding> {
    let version = client.apiserver_version().await.map_err(|error| {
        let finding = Finding::failed("cluster", said(&error)).exit(Exit::Temporary);
        finding.remedy("see that the kubeconfig is for this cluster and that its API server is up")
    })?;
    let who = Api::<SelfSubjectReview>::all(client.clone());
    let review = who.create(&PostParams::default(), &SelfSubjectReview::default()).await.ok();
    let user = review.and_then(|review| review.status?.user_info?.username);
    let inside = arguments.kubeconfig.is_none() && super::environment::is_pod();
    let from = if inside { "from inside its pod" } else { "from outside the cluster" };
    let found = format!(
        "Kubernetes {}, {from}, as {}",
        version.git_version,
        user.as_deref().unwrap_or("somebody who may not ask who it is")
    );
    Ok((Visit { client, arguments, inside, user }, Finding::ok("cluster", found)))
}

impl Visit<'_> {
    fn own_namespace(&self) -> &str {
        &self.arguments.system_namespace
    }

    /// The controller's service account, as the API server calls it.
    fn account(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.own_namespace(), self.arguments.agent_account)
    }

    /// Whether this process has the rights of the controller.
    fn is_controller(&self) -> bool {
        self.user.as_deref() == Some(&self.account())
    }
}

/// A read that failed: without the right to read nothing is known, everything else is a failure.
fn unread(check: &'static str, object: &str, error: &kube::Error) -> Finding {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            Finding::unchecked(check, format!("{object} may not be read: {}", status.message))
                .remedy("run doctor as somebody who may read it")
        }
        error => {
            Finding::failed(check, format!("cannot read {object}: {}", said(error))).exit(Exit::Temporary)
        }
    }
}
