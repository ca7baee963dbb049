//! One run, one attempt: read it, decide, sign, record. No policy in here: `decide` and `retry` have it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;

use super::decide::{Decision, Reason, decide};
use super::membership::Roster;
use super::queue::{Job, Next};
use super::report::{Reporter, Summary};
use super::retry::{Verdict, verdict};
use super::runs::{RunError, Runs};
use super::settings::{Followed, Settings};
use crate::client::registry::{KeychainFuture, Registry, Session};
use crate::credential::agent::{Agent, Permission};
use crate::credential::kubernetes::Cluster;
use crate::credential::named::RunReferences;
use crate::error::Diagnose;
use crate::flow::outcome::Outcome;
use crate::flow::{self, Stations};
use crate::storage::oci::Tags;
use crate::storage::tekton::Annotations;
use crate::tekton::completed::CompletedRun;
use crate::tekton::head::{RunHead, RunKey};
use crate::tekton::record;
use crate::tekton::{Kind, Run};

/// Patches that meet a newer version of the run are made again from it.
const CONFLICTS: usize = 5;

/// What every attempt uses.
pub(super) struct Context {
    pub runs: Runs,
    pub registry: Registry,
    pub cluster: Arc<Cluster>,
    pub settings: Followed,
    pub namespaces: Arc<[String]>,
    pub roster: Roster,
    pub reporter: Reporter,
}

/// Works on one run and says what comes after.
pub(super) async fn reconcile(job: &Job, ctx: &Context) -> Next {
    match attempt(job, ctx).await {
        Ok(next) => next,
        Err(error) => ctx.reporter.api_failure(&job.key, &error, job.attempts),
    }
}

async fn attempt(job: &Job, ctx: &Context) -> Result<Next, RunError> {
    if !ctx.roster.borrow().as_ref().is_some_and(|members| members.owns(&job.key.uid)) {
        return Ok(Next::Idle); // another replica has taken it over
    }
    let settings = ctx.settings.current(); // one version for the whole attempt
    let now = Timestamp::now();
    let Some(body) = body(job, ctx).await? else { return Ok(Next::Idle) };
    let head: RunHead = serde_json::from_slice(&body)?;
    match decide(&head, &settings.config, &ctx.namespaces, now) {
        Decision::Ignore(_) => Ok(Next::Idle),
        Decision::Hold => {
            ctx.write(&job.key, head, |head| Some(record::hold(head, job.key.kind, &job.key.uid))).await
        }
        Decision::Release => ctx.release(&job.key, head).await,
        Decision::Abandon => {
            ctx.reporter.abandoned(&job.key).await;
            ctx.release(&job.key, head).await
        }
        Decision::Skip(reason) => ctx.mark_skipped(&job.key, head, reason).await,
        Decision::Sign => sign(job, ctx, &settings, head, &body).await,
    }
}

/// The run as the event brought it, for a first attempt; as it is now for every other.
async fn body(job: &Job, ctx: &Context) -> Result<Option<Bytes>, RunError> {
    match &job.body {
        Some(body) if job.attempts == 0 => Ok(Some(body.clone())),
        _ => ctx.runs.read(&job.key).await,
    }
}

async fn sign(
    job: &Job,
    ctx: &Context,
    settings: &Settings,
    head: RunHead,
    body: &[u8],
) -> Result<Next, RunError> {
    let run = Run::from_slice(body)?;
    let children = match job.key.kind {
        Kind::TaskRun => Vec::new(),
        Kind::PipelineRun => ctx.runs.children(&job.key).await?,
    };
    let Ok(completed) = CompletedRun::prove(run, children) else {
        return Ok(Next::After(super::retry::CHILDREN_PAUSE));
    };
    let session = Arc::new(ctx.session(&completed, settings, job.attempts > 0));
    let outcome = flow::sign(&completed, &settings.config, &stations(&completed, settings, &session)).await;
    Reporter::credentials(&job.key, &session.reports().await);
    ctx.conclude(job, head, outcome, settings).await
}

fn stations(run: &CompletedRun, settings: &Settings, session: &Arc<Session>) -> Stations {
    let oci = &settings.config.storage.oci;
    Stations {
        signers: settings
            .keys
            .as_ref()
            .map(crate::signature::key::keyring::KeyRing::signers)
            .map_err(Arc::clone),
        stores: vec![
            Arc::new(Tags::new(Arc::clone(session), oci.repository.clone(), oci.require_image)),
            Arc::new(Annotations::of(&run.run().metadata().annotations)),
        ],
    }
}

impl Context {
    /// The registries as this run may use them. Its credentials are read when a registry first asks for one.
    fn session(&self, run: &CompletedRun, settings: &Settings, anew: bool) -> Session {
        let references = RunReferences::of(run.run());
        let namespace = references.namespace.clone();
        let cluster = Arc::clone(&self.cluster);
        let agent = Agent {
            config: Arc::clone(&settings.registries),
            files: Arc::clone(&settings.files),
            permission: Permission::of(&settings.config.registry, &namespace),
        };
        let keychain: BoxFuture<'static, _> = async move {
            let keychain = cluster.keychain(&references, anew).await;
            let keychain = keychain.map(|keychain| keychain.with_agent(agent));
            keychain.map(Arc::new).map_err(|error| Arc::new(error) as Arc<dyn Diagnose + Send + Sync>)
        }
        .boxed();
        let keychain: KeychainFuture = keychain.shared();
        Session::configured(&self.registry, &namespace, &settings.config, &settings.registries, keychain)
    }

    /// Records what became of an attempt, and decides what comes after.
    async fn conclude(
        &self,
        job: &Job,
        head: RunHead,
        outcome: Outcome,
        settings: &Settings,
    ) -> Result<Next, RunError> {
        let attempts = job.attempts + 1;
        let window = settings.config.signing.retry_window;
        let chance = super::chance();
        let verdict = (!outcome.is_complete())
            .then(|| verdict(outcome.failures(), attempts, job.since.elapsed(), window, chance));
        let summary = Summary::of(&outcome, verdict.as_ref(), attempts);
        let release = !matches!(verdict, Some(Verdict::Retry(_)));
        let annotations = summary.annotations();
        let completed = head.completed_at();
        if release || attempts <= record::RETRIES_WRITTEN {
            let patch = |head: &RunHead| Some(record::patch(head, &job.key.uid, &annotations, release));
            if let Next::After(pause) = self.write(&job.key, head, patch).await? {
                return Ok(Next::After(pause));
            }
        }
        self.reporter.attempted(&job.key, &outcome, &summary, completed).await;
        Ok(match verdict {
            Some(Verdict::Retry(next)) => next,
            Some(Verdict::GiveUp(_)) | None => Next::Done,
        })
    }

    async fn mark_skipped(&self, key: &RunKey, head: RunHead, reason: Reason) -> Result<Next, RunError> {
        let annotations = Summary::skipped(key, reason).annotations();
        tracing::info!(run = %key, "marked without a signature: {reason}");
        self.write(key, head, |head| Some(record::patch(head, &key.uid, &annotations, true))).await
    }

    async fn release(&self, key: &RunKey, head: RunHead) -> Result<Next, RunError> {
        let none = BTreeMap::new();
        self.write(key, head, |head| {
            record::is_held(head).then(|| record::patch(head, &key.uid, &none, true))
        })
        .await
    }

    /// Patches a run; when somebody changed it meanwhile, makes the patch again from what it is now.
    async fn write(
        &self,
        key: &RunKey,
        mut head: RunHead,
        patch: impl Fn(&RunHead) -> Option<serde_json::Value>,
    ) -> Result<Next, RunError> {
        for _ in 0..CONFLICTS {
            let Some(patch) = patch(&head) else { return Ok(Next::Idle) };
            match self.runs.patch(key, &patch).await {
                Ok(_) => return Ok(Next::Idle),
                Err(error) if error.code() == Some(404) => return Ok(Next::Idle),
                Err(error) if error.code() == Some(409) => {}
                Err(error) => return Err(error),
            }
            let Some(body) = self.runs.read(key).await? else { return Ok(Next::Idle) };
            head = serde_json::from_slice(&body)?;
        }
        Ok(Next::After(super::retry::CONFLICT_PAUSE))
    }
}
