//! One run, one attempt: read it, decide, sign, record. No policy in here: `decide` and `retry` have it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tracing::Instrument as _;

use super::consulted::Consultations;
use super::decide::{Decision, Patience, Reason, decide, patience};
use super::left_alone::LeftAlone;
use super::membership::Roster;
use super::queue::{Job, Next};
use super::report::{Reporter, Summary};
use super::retry::{Verdict, verdict};
use super::runs::{RunError, Runs};
use super::settings::{Followed, Settings};
use crate::artifact::RunArtifact;
use crate::client::registry::{KeychainFuture, Registry, Session};
use crate::credential::agent::{Agent, Permission};
use crate::credential::kubernetes::{Cluster, Reuse};
use crate::credential::named::RunReferences;
use crate::error::Diagnose;
use crate::flow::outcome::Outcome;
use crate::flow::{self, Stations, steps};
use crate::storage::oci;
use crate::storage::tekton::Annotations;
use crate::tekton::completed::{CompletedRun, NotCompleted};
use crate::tekton::head::{RunHead, RunKey};
use crate::tekton::{Kind, Run, record};

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
    pub consultations: Arc<Consultations>,
    pub left_alone: Arc<LeftAlone>,
}

/// Works on one run and says what comes after.
pub(super) async fn reconcile(job: &Job, ctx: &Context) -> Next {
    // A first look may be one more look at a run that was given up a moment ago.
    if job.attempts > 0 {
        ctx.consultations.forget(&job.key);
    }
    match attempt(job, ctx).await {
        Ok(next) => next,
        Err(error) => ctx.reporter.api_failure(&job.key, &error, job.attempts).await,
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
    let head = if job.reopened { head.reopened() } else { head };
    let decision = decide(&head, &settings.config, &ctx.namespaces, now);
    tracing::debug!(run = %job.key, attempts = job.attempts, ?decision, "looked at");
    match decision {
        Decision::Ignore(_) => Ok(Next::Idle),
        Decision::Hold => {
            ctx.write(&job.key, head, |head| Some(record::hold(head, job.key.kind, &job.key.uid))).await
        }
        Decision::Release | Decision::LetGo | Decision::LetGoOnce => ctx.release(&job.key, head).await,
        Decision::Abandon => {
            ctx.reporter.abandoned(&job.key).await;
            ctx.release(&job.key, head).await
        }
        Decision::Skip(reason) => ctx.mark_skipped(&job.key, head, reason).await,
        Decision::Sign if ctx.owner_is_skipped(&job.key, &head).await? => {
            ctx.mark_skipped(&job.key, head, Reason::OwnerSkipped).await
        }
        Decision::Sign => {
            let attempt = sign(job, ctx, &settings, head, &body);
            attempt.instrument(steps::run(&job.key, job.attempts + 1)).await
        }
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
    let run = match Run::from_slice(body) {
        Ok(run) => run,
        Err(error) => return ctx.mark_unreadable(&job.key, head, &error).await,
    };
    let began = Instant::now();
    let children = match ctx.runs.children(&job.key, &run).await {
        Err(error) if error.is_unreadable_child() => {
            return ctx.mark_unreadable(&job.key, head, &error).await;
        }
        children => children?,
    };
    let completed = match CompletedRun::prove(run, children) {
        Ok(completed) => completed,
        Err(NotCompleted::Running { .. }) => return Ok(Next::Idle),
        Err(NotCompleted::Children(unfinished)) => match patience(&head, Timestamp::now()) {
            Patience::Over => unfinished.leave_out(),
            Patience::Wait { at_most, tell } => {
                ctx.reporter.waiting(&job.key, &unfinished, tell).await;
                return Ok(Next::Children(unfinished.running().iter().cloned().collect(), at_most));
            }
        },
    };
    let session = Arc::new(ctx.session(&completed, settings, job));
    let rivals = ctx.roster.borrow().as_ref().is_none_or(|members| members.count() > 1);
    let stations = stations(&completed, settings, &session, rivals);
    let read = Instant::now();
    let outcome = flow::sign(&completed, &settings.config, &stations, Timestamp::now()).await;
    let signed = Instant::now();
    steps::ended(&outcome);
    Reporter::credentials(&job.key, &session.reports().await);
    let until = super::consulted::remembered_until(&outcome, head.completed_at());
    let next = ctx.conclude(job, head, &completed, outcome, settings).await?;
    ctx.reporter.took([read - began, signed - read, signed.elapsed()]);
    ctx.consultations.note(&job.key, &session.consulted(), &next, until);
    Ok(next)
}

fn stations(run: &CompletedRun, settings: &Settings, session: &Arc<Session>, rivals: bool) -> Stations {
    let annotations = &run.run().metadata().annotations;
    let logs = settings.logs(annotations);
    let mut stores = oci::layouts(session, &settings.config.storage.oci, &logs, rivals);
    stores.push(Arc::new(Annotations::of(annotations)));
    stores.extend(settings.stores.of_run(&RunArtifact::of(run.run()), annotations));
    let stamps_envelopes = settings.config.storage.oci.keeps_tags();
    let index = Arc::new(oci::Indexes(Arc::clone(session)));
    let signers = settings.signers(&run.run().metadata().namespace);
    Stations { signers, logs, stamps_envelopes, stores, index }
}

impl Context {
    /// The registries as this run may use them. Its credentials are read when a registry first asks for one.
    fn session(&self, run: &CompletedRun, settings: &Settings, job: &Job) -> Session {
        let anew = job.attempts > 0;
        let reuse = if anew { Reuse::Nothing } else { Reuse::Known(job.came) };
        let references = RunReferences::of(run);
        let namespace = references.namespace.clone();
        let cluster = Arc::clone(&self.cluster);
        let agent = Agent {
            config: Arc::clone(&settings.registries),
            account: Arc::default(),
            files: Arc::clone(&settings.files),
            clouds: Arc::clone(&settings.clouds.agent),
            permission: Permission::of(&settings.config.registry, &namespace),
        };
        let accounts = settings.clouds.accounts.clone();
        let keychain: BoxFuture<'static, _> = async move {
            let keychain = async {
                let own = cluster.keychain(&references, accounts.as_ref(), reuse).await?;
                cluster.lend(own, agent, anew).await
            };
            keychain.await.map(Arc::new).map_err(|error| Arc::new(error) as Arc<dyn Diagnose + Send + Sync>)
        }
        .boxed();
        let keychain: KeychainFuture = keychain.shared();
        Session::configured(&self.registry, &namespace, &settings.config, &settings.registries, keychain)
    }

    /// Whether the PipelineRun that made this TaskRun is to be left alone.
    async fn owner_is_skipped(&self, key: &RunKey, head: &RunHead) -> Result<bool, RunError> {
        let Some(owner) = head.pipeline_run().filter(|_| key.kind == Kind::TaskRun) else { return Ok(false) };
        if let Some(known) = self.left_alone.knows(&owner) {
            return Ok(known);
        }
        let Some(body) = self.runs.read(&owner).await? else { return Ok(false) };
        Ok(serde_json::from_slice::<RunHead>(&body)?.is_skipped())
    }

    /// Records what became of an attempt, and decides what comes after.
    async fn conclude(
        &self,
        job: &Job,
        head: RunHead,
        run: &CompletedRun,
        outcome: Outcome,
        settings: &Settings,
    ) -> Result<Next, RunError> {
        let attempts = job.attempts + 1;
        let window = settings.config.signing.retry_window;
        let chance = super::chance();
        let verdict = (!outcome.is_complete())
            .then(|| verdict(outcome.failures(), attempts, job.since.elapsed(), window, chance));
        let summary = Summary::of(&outcome, &run.absent(), verdict.as_ref(), attempts);
        let release = !matches!(verdict, Some(Verdict::Retry(_)));
        let annotations = summary.annotations_beside(&run.run().metadata().annotations);
        let completed = head.completed_at();
        // What was stored is remembered, however late it comes: some stores cannot be asked for it.
        if release || attempts <= record::RETRIES_WRITTEN || outcome.has_added() {
            let patch = |head: &RunHead| Some(record::patch(head, &job.key.uid, &annotations, release));
            if let Next::After(pause) = self.write(&job.key, head, patch).await? {
                return Ok(Next::After(pause));
            }
        }
        self.reporter.attempted(&job.key, &outcome, &summary, completed).await;
        self.reporter.absent(&job.key, &run.absent()).await;
        Ok(match verdict {
            Some(Verdict::Retry(next)) => {
                self.reporter.repeated(&outcome);
                next
            }
            Some(Verdict::GiveUp(_)) | None => Next::Done,
        })
    }

    async fn mark_skipped(&self, key: &RunKey, head: RunHead, reason: Reason) -> Result<Next, RunError> {
        let annotations = Summary::skipped(key, reason).annotations();
        tracing::info!(run = %key, "marked without a signature: {reason}");
        self.write(key, head, |head| Some(record::patch(head, &key.uid, &annotations, true))).await
    }

    async fn mark_unreadable(
        &self,
        key: &RunKey,
        head: RunHead,
        error: &(dyn std::error::Error + Sync),
    ) -> Result<Next, RunError> {
        let annotations = Summary::unreadable(key, error).annotations();
        let next =
            self.write(key, head, |head| Some(record::patch(head, &key.uid, &annotations, true))).await?;
        self.reporter.unreadable(key, error).await;
        Ok(next)
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
            match self.runs.patch(key, &patch).instrument(tracing::info_span!("mark")).await {
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
