//! `hallmark sign`: the flow of the controller on manifest files, without a cluster.

pub(in crate::cli) mod material;
mod output;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;
use serde_json::Value;
use tracing::Instrument as _;

pub(super) use self::material::Material;
use self::material::MaterialOptions;
use self::material::NoMaterial;
use super::config::configured;
use super::manifests::{self, ManifestError, Manifests};
use super::progress::Progress;
use super::registries::{RegistryOptions, clouds};
use super::{Exit, exit_of, fail, refuse};
use crate::artifact::RunArtifact;
use crate::client::registry::{KeychainFuture, Registry, Session};
use crate::config::{Config, Storage};
use crate::credential::CredentialReport;
use crate::credential::agent::{Agent, Permission};
use crate::credential::named::RunReferences;
use crate::credential::objects::Objects;
use crate::flow::outcome::Outcome;
use crate::flow::{self, Stations, steps};
use crate::storage::oci;
use crate::storage::tekton::Annotations;
use crate::tekton::Kind;
use crate::tekton::completed::{CompletedRun, NotCompleted};

/// Runs that are signed at the same time.
const CONCURRENCY: usize = 16;

/// Sign completed runs from manifest files, without a cluster.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark sign -f run.yaml -f secrets.yaml --key x509.pem
  kubectl get taskrun,serviceaccount,secret -n ci -o yaml | hallmark sign -f - --key cosign.key
  hallmark sign -f run.yaml --key keys/ --config chains-config.yaml -o json
  hallmark sign -f run.yaml --identity-provider spiffe --fulcio-url http://fulcio.fulcio-system.svc
  hallmark sign -f run.yaml --identity-token /var/run/sigstore/cosign/oidc-token

A key that cosign encrypted needs its password: in the environment variable COSIGN_PASSWORD, or in a file
cosign.password beside it.")]
pub struct Arguments {
    /// Manifests of completed runs, and of the ServiceAccounts, Pods and Secrets that they refer to; - is standard
    /// input.
    #[arg(short, long = "filename", required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Manifest of a ConfigMap chains-config. Without it: the defaults of Chains, but attestations go to the
    /// registry too.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    material: MaterialOptions,

    #[command(flatten)]
    registries: RegistryOptions,

    /// What to print: text, JSON, or the runs with their new annotations.
    #[arg(short, long, value_enum, default_value = "text", value_name = "FORMAT")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    #[value(alias = "table")]
    Text,
    Json,
    Yaml,
}

/// A run with what became of it.
pub(super) struct Signed {
    pub manifest: Value,
    pub run: CompletedRun,
    pub outcome: Outcome,
    pub reports: Vec<CredentialReport>,
}

impl Signed {
    /// Whether everything that was asked for is in place.
    fn is_signed(&self) -> bool {
        self.outcome.is_complete() && !self.outcome.is_unusable()
    }
}

/// Signs every run of the files.
pub async fn run(arguments: Arguments) -> Exit {
    let (manifests, config) = match read(&arguments) {
        Ok(read) => read,
        Err(exit) => return exit,
    };
    let runs = match completed(&manifests) {
        Ok(runs) if runs.is_empty() => {
            eprintln!("hallmark: there is no TaskRun or PipelineRun in the files");
            return Exit::Usage;
        }
        Ok(runs) => runs,
        Err(exit) => return exit,
    };
    let (registry, objects) = match (Registry::new(), manifests.objects()) {
        (Ok(registry), Ok(objects)) => (registry, objects),
        (Err(error), _) => return fail(&error),
        (_, Err(error)) => return refuse(&error, Exit::Usage),
    };
    let registries = match arguments.registries.read() {
        Ok(registries) => registries,
        Err(error) => return refuse(&error, Exit::Usage),
    };
    let material = match arguments.material.material(&config, &registries).await {
        Ok(material) => material,
        Err(NoMaterial::Unusable(error)) => return fail(&error),
        Err(error) => return refuse(&error, Exit::Usage),
    };
    let clouds = clouds(&registry, &registries, &config);
    let objects = Arc::new(Objects { registries, clouds, ..objects });
    let signed = sign_all(runs, &config, &material, &registry, &objects).await;
    match arguments.output {
        Output::Text => output::table(&signed),
        Output::Json => output::json(&signed),
        Output::Yaml => output::yaml(&signed),
    }
    output::absent(&signed);
    output::failures(&signed);
    exit(&signed)
}

async fn sign_all(
    runs: Vec<(CompletedRun, Value)>,
    config: &Config,
    material: &Material,
    registry: &Registry,
    objects: &Arc<Objects>,
) -> Vec<Signed> {
    let progress = Progress::of_many("signing", runs.len());
    let work = stream::iter(runs).map(async |(run, manifest)| {
        let signed = sign(run, manifest, config, material, registry, objects).await;
        progress.step();
        signed
    });
    progress.during(work.buffered(CONCURRENCY).collect()).await
}

/// Signs one run with the credentials that the objects hold.
pub(super) async fn sign(
    run: CompletedRun,
    manifest: Value,
    config: &Config,
    material: &Material,
    registry: &Registry,
    objects: &Arc<Objects>,
) -> Signed {
    let references = RunReferences::of(&run);
    let (namespace, objects) = (references.namespace.clone(), Arc::clone(objects));
    let registries = Arc::clone(&objects.registries);
    let permission = Permission::of(&config.registry, &namespace);
    let clouds = Arc::clone(&objects.clouds);
    let agent = Agent { config: Arc::clone(&registries), clouds, permission, ..Agent::default() };
    let keychain: BoxFuture<'static, _> =
        async move { Ok(Arc::new(objects.keychain(&references).with_agent(agent))) }.boxed();
    let keychain: KeychainFuture = keychain.shared();
    let session = Session::configured(registry, &namespace, config, &registries, keychain);
    let session = Arc::new(session);
    let annotations = &run.run().metadata().annotations;
    let logs = material.logs(annotations);
    let mut stores = oci::layouts(&session, &config.storage.oci, &logs, true);
    stores.push(Arc::new(Annotations::of(annotations)));
    let remotes = material.remotes(config, &registries, registry);
    stores.extend(remotes.of_run(&RunArtifact::of(run.run()), annotations));
    let stamps_envelopes = config.storage.oci.keeps_tags();
    let index = Arc::new(oci::Indexes(Arc::clone(&session)));
    let stations = Stations { signers: material.signers(), logs, stamps_envelopes, stores, index };
    let outcome = async {
        let outcome = flow::sign(&run, config, &stations, Timestamp::now()).await;
        steps::ended(&outcome);
        outcome
    };
    let outcome = outcome.instrument(steps::run(&run.run().key(), 1)).await;
    Signed { manifest, run, outcome, reports: session.reports().await }
}

fn read(arguments: &Arguments) -> Result<(Manifests, Config), Exit> {
    manifests::once(arguments.files.iter().chain(&arguments.config))
        .map_err(|error| refuse(&error, Exit::Usage))?;
    let manifests = Manifests::read(&arguments.files).map_err(|error| refuse(&error, Exit::Usage))?;
    if let Some(file) = &arguments.config {
        return Ok((manifests, configured(file)?));
    }
    eprintln!("without --config: the defaults of Chains, and attestations go to the registry");
    Ok((manifests, defaults()))
}

/// Without a cluster there is no run to annotate, so attestations are pushed.
pub(super) fn defaults() -> Config {
    let mut config = Config::default();
    config.taskrun.storage = [Storage::Oci].into();
    config.pipelinerun.storage = [Storage::Oci].into();
    config
}

fn completed(manifests: &Manifests) -> Result<Vec<(CompletedRun, Value)>, Exit> {
    let usage = |error: ManifestError| refuse(&error, Exit::Usage);
    let (mut completed, mut running, mut left_out) = (Vec::new(), Vec::new(), HashSet::new());
    for (run, manifest) in manifests.runs().map_err(usage)? {
        let children = match run.kind() {
            Kind::TaskRun => Vec::new(),
            Kind::PipelineRun => manifests.children(&run).map_err(usage)?,
        };
        let namespace = run.metadata().namespace.clone();
        match CompletedRun::prove(run, children) {
            Ok(run) => completed.push((run, manifest)),
            // Nobody can wait for them here: the statement goes without, and that is said.
            Err(NotCompleted::Children(unfinished)) => {
                left_out.extend(unfinished.running().iter().map(|name| (namespace.clone(), name.clone())));
                completed.push((unfinished.leave_out(), manifest));
            }
            Err(error) => running.push(error),
        }
    }
    let told = |error: &NotCompleted| match error {
        NotCompleted::Running { namespace, name, .. } => {
            left_out.contains(&(namespace.clone(), name.clone()))
        }
        NotCompleted::Children(_) => false,
    };
    match running.iter().find(|error| !told(error)) {
        Some(error) => Err(refuse(error, Exit::Failed)),
        None => Ok(completed),
    }
}

/// The worst of what happened.
fn exit(signed: &[Signed]) -> Exit {
    let failures = signed.iter().flat_map(|one| one.outcome.failures().map(|error| exit_of(error)));
    let unusable = signed.iter().filter(|one| one.outcome.is_unusable()).map(|_| Exit::Failed);
    failures
        .chain(unusable)
        .max_by_key(|exit| {
            [Exit::Ok, Exit::Temporary, Exit::Denied, Exit::Failed].iter().position(|e| e == exit)
        })
        .unwrap_or(Exit::Ok)
}
