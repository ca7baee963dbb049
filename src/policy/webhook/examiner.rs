//! Asks every policy that governs an image, with the credentials of whoever is to run it (credentials specification §8.2,
//! §8.5, §8.7).
//!
//! # Guarantees
//!
//! - For an enforced policy everything but an explicit pass is a denial: time that ran out too.
//! - Signatures are fetched with the policy's own Secrets, then the workload's, then the agent's; nothing of one
//!   workload serves another.
//! - A policy whose authorities are static contacts no registry.

use std::sync::Arc;

use futures::future::{self, FutureExt as _, join_all};
use futures::stream::{self, StreamExt as _};
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::review::{Answer, Replacement};
use super::snapshot::{Held, Snapshot, pull_secrets};
use super::subject::{NamedImage, Subject};
use super::verdicts::Key;
use crate::artifact::image::Image;
use crate::client::registry::{Error, KeychainFuture, Registry, Session};
use crate::config::{NoMatch, PullSecretNamespace};
use crate::credential::agent::{Agent, Lent, Permission};
use crate::credential::kubernetes::{Cluster, Reuse};
use crate::credential::named::RunReferences;
use crate::credential::registry_config::RegistryConfig;
use crate::error::Diagnose;
use crate::policy::evaluation::{Obstacle, PolicyVerdict, Standing, Verdict};
use crate::policy::reference::{Reference, Version};
use crate::policy::trust::Trust;
use crate::policy::verification::Verifier;
use crate::policy::workload::Workload;
use crate::policy::{ClusterImagePolicy, Mode};
use crate::telemetry::metrics::admission::{AdmissionMetrics, PolicyLabels};

/// Where the documentation of policies puts their Secrets.
pub(super) const USUAL_NAMESPACE: &str = "cosign-system";
/// Images of one object that are looked at side by side.
const AT_ONCE: usize = 8;

/// What all admissions share.
pub(super) struct Examiner {
    /// Reads Secrets and service accounts.
    pub(super) cluster: Arc<Cluster>,
    /// Connections and tokens.
    pub(super) registry: Registry,
    /// Authorities, proxies and credentials by host.
    pub(super) registries: Arc<RegistryConfig>,
    /// The agent's docker and podman files.
    pub(super) files: Arc<Lent>,
    /// The namespace of the agent.
    pub(super) namespace: String,
    /// Counts.
    pub(super) metrics: Arc<AdmissionMetrics>,
}

/// One admission.
#[derive(Clone, Copy)]
struct Admission<'a> {
    subject: &'a Subject,
    snapshot: &'a Snapshot,
    workload: &'a KeychainFuture,
    deadline: Instant,
}

impl Examiner {
    /// Whether the images may run.
    pub(super) async fn validate(&self, subject: &Subject, snapshot: &Snapshot, deadline: Instant) -> Answer {
        let workload = self.workload(subject, snapshot);
        let admission = Admission { subject, snapshot, workload: &workload, deadline };
        let looked = subject.images.iter().map(|image| async move {
            match image.text.parse::<Reference>() {
                Ok(reference) => Ok((self.verdict(&reference, admission).await, reference)),
                Err(malformed) => Err(malformed),
            }
        });
        let looked: Vec<_> = stream::iter(looked.collect::<Vec<_>>()).buffered(AT_ONCE).collect().await;
        let mut answer = Answer::default();
        for (image, looked) in subject.images.iter().zip(looked) {
            match looked {
                Ok((verdict, reference)) => answer.note(image, &reference, &verdict, snapshot, subject),
                Err(malformed) => answer.denials.push(format!("{}: {malformed}", image.field)),
            }
        }
        answer
    }

    /// Makes digests of tags that policies ask about. What cannot be resolved stays; [`Self::validate`] says why.
    pub(super) async fn pin(&self, subject: &Subject, snapshot: &Snapshot, deadline: Instant) -> Answer {
        let workload = self.workload(subject, snapshot);
        let admission = Admission { subject, snapshot, workload: &workload, deadline };
        let pinned: Vec<_> = subject.images.iter().map(|image| self.pinned(image, admission)).collect();
        let pinned: Vec<Answer> = stream::iter(pinned).buffered(AT_ONCE).collect().await;
        let mut answer = Answer::default();
        for one in pinned {
            answer.denials.extend(one.denials);
            answer.replacements.extend(one.replacements);
        }
        answer
    }

    async fn pinned(&self, image: &NamedImage, admission: Admission<'_>) -> Answer {
        let Ok(reference) = image.text.parse::<Reference>() else { return Answer::default() };
        let Admission { subject, snapshot, deadline, .. } = admission;
        let asking: Vec<&Held> = snapshot.pinning(&reference, subject).collect();
        let enforced = asking.iter().find(|held| held.mode == Mode::Enforce);
        let Some(held) = enforced.or(asking.first()) else { return Answer::default() };
        let Ok(policy) = &held.policy else { return Answer::default() };
        match timeout_at(deadline, self.resolve(policy, &reference, admission)).await {
            Ok(Ok(found)) => {
                let text = format!("{}@{}", image.text, found.digest);
                let replacement = Replacement { pointer: image.pointer.clone(), text };
                Answer { replacements: vec![replacement], ..Answer::default() }
            }
            Ok(Err(_)) => Answer::default(),
            Err(_) => {
                self.metrics.timeouts.inc();
                // Nobody would wait for a second time-out.
                let enforced = held.mode == Mode::Enforce;
                let denials = enforced.then(|| told(image, &held.undecided(Obstacle::OutOfTime)));
                Answer { denials: denials.unwrap_or_default(), ..Answer::default() }
            }
        }
    }

    async fn resolve(
        &self,
        policy: &ClusterImagePolicy,
        reference: &Reference,
        admission: Admission<'_>,
    ) -> Result<Image, Error> {
        let (session, trust) = self.session(policy, admission).await;
        Verifier { session: &session, trust: &trust, now: Timestamp::now() }.resolve(reference).await
    }

    async fn verdict(&self, reference: &Reference, admission: Admission<'_>) -> Verdict {
        let Admission { subject, snapshot, .. } = admission;
        let governing = snapshot.governing(reference, subject);
        let policies = join_all(governing.map(|held| self.ask(held, reference, admission))).await;
        for policy in &policies {
            let labels = PolicyLabels { mode: policy.mode.name(), verdict: policy.standing().name() };
            self.metrics.policies.get_or_create(&labels).inc();
        }
        Verdict { policies, no_match: snapshot.no_match }
    }

    async fn ask(&self, held: &Held, reference: &Reference, admission: Admission<'_>) -> PolicyVerdict {
        let policy = match &held.policy {
            Ok(policy) => policy,
            Err(broken) => return held.undecided(broken.obstacle()),
        };
        let verdicts = &admission.snapshot.verdicts;
        let key = Key::of(&held.name, reference, admission.subject);
        let now = Instant::now().into_std();
        if let Some(pass) = key.as_ref().and_then(|key| verdicts.pass(key, now)) {
            self.metrics.remembered.inc();
            return pass;
        }
        self.metrics.verified.inc();
        let asked = timeout_at(admission.deadline, self.verify(policy, reference, admission)).await;
        if asked.is_err() {
            self.metrics.timeouts.inc();
        }
        let answered = asked.ok().flatten();
        let verdict = answered.unwrap_or_else(|| held.undecided(Obstacle::OutOfTime));
        if let (Some(key), Standing::Satisfied) = (key, verdict.standing()) {
            verdicts.remember(key, &verdict, now);
        }
        verdict
    }

    async fn verify(
        &self,
        policy: &ClusterImagePolicy,
        reference: &Reference,
        admission: Admission<'_>,
    ) -> Option<PolicyVerdict> {
        let (session, trust) = self.session(policy, admission).await;
        let verifier = Verifier { session: &session, trust: &trust, now: Timestamp::now() };
        let outcome = verifier.verify(reference, std::slice::from_ref(policy), NoMatch::Deny).await;
        outcome.verdict.policies.into_iter().next()
    }

    /// What a policy looks at registries with, and whom it trusts.
    async fn session(&self, policy: &ClusterImagePolicy, admission: Admission<'_>) -> (Session, Trust) {
        let Admission { subject, snapshot, workload, .. } = admission;
        let (names, mut trust) = (pull_secrets(policy), snapshot.trust.clone());
        let mut keychain = workload.clone();
        if !names.is_empty() {
            let namespaces = self.namespaces(snapshot.config.policy.pull_secret_namespace, subject);
            let read = self.cluster.signature_pull_secrets(&names, &namespaces).await;
            let workload = workload.clone();
            let joined = match read {
                Ok((own, missing)) => {
                    let searched = |name| (name, namespaces.clone());
                    trust.missing_pull_secrets = missing.into_iter().map(searched).collect();
                    async move { workload.await.map(|rest| Arc::new(own.before(&rest))) }.boxed()
                }
                Err(error) => {
                    let error: Arc<dyn Diagnose + Send + Sync> = Arc::new(error);
                    future::ready(Err(error)).boxed()
                }
            };
            keychain = joined.shared();
        }
        let (config, registries) = (&snapshot.config, &self.registries);
        let session = Session::configured(&self.registry, &subject.namespace, config, registries, keychain);
        (session, trust)
    }

    /// The agent's namespace first (§8.5).
    fn namespaces(&self, wanted: PullSecretNamespace, subject: &Subject) -> Vec<String> {
        let own = [self.namespace.as_str(), USUAL_NAMESPACE];
        let named: &[&str] = match wanted {
            PullSecretNamespace::Controller => &own,
            PullSecretNamespace::Workload => &[subject.namespace.as_str()],
            PullSecretNamespace::Both => &[own[0], own[1], subject.namespace.as_str()],
        };
        let mut namespaces: Vec<String> = Vec::new();
        for name in named {
            if !namespaces.iter().any(|known| known == name) {
                namespaces.push((*name).to_owned());
            }
        }
        namespaces
    }

    /// The credentials of the workload, read when a registry asks for one.
    fn workload(&self, subject: &Subject, snapshot: &Snapshot) -> KeychainFuture {
        let run = RunReferences {
            namespace: subject.namespace.clone(),
            service_account: subject.account.clone(),
            pod: None,
            template: subject.pull_secrets.clone(),
            children: Vec::new(),
        };
        let permission = Permission::of(&snapshot.config.registry, &subject.namespace);
        let (config, files) = (Arc::clone(&self.registries), Arc::clone(&self.files));
        let agent = Agent { config, files, permission, ..Agent::default() };
        let cluster = Arc::clone(&self.cluster);
        let read = async move {
            let reuse = Reuse::Known(std::time::Instant::now());
            let read = async { cluster.lend(cluster.keychain(&run, None, reuse).await?, agent, false).await };
            let failed = |error| -> Arc<dyn Diagnose + Send + Sync> { Arc::new(error) };
            read.await.map(Arc::new).map_err(failed)
        };
        read.boxed().shared()
    }
}

impl Snapshot {
    fn governing(&self, image: &Reference, subject: &Subject) -> impl Iterator<Item = &Held> {
        let resource = &subject.resource;
        let workload = Workload {
            group: &resource.group,
            version: &resource.version,
            resource: &resource.plural,
            labels: &subject.labels,
        };
        self.policies.iter().filter(move |held| held.governs(image, &workload))
    }

    /// The policies for which a tag must become a digest.
    fn pinning(&self, image: &Reference, subject: &Subject) -> impl Iterator<Item = &Held> {
        let is_tag = matches!(image.version(), Version::Tag(_));
        self.governing(image, subject).filter(move |held| is_tag && held.needs_digest())
    }
}

impl Answer {
    fn note(
        &mut self,
        image: &NamedImage,
        reference: &Reference,
        verdict: &Verdict,
        snapshot: &Snapshot,
        subject: &Subject,
    ) {
        let no_policy = || format!("{} {}: no policy governs the image", image.field, image.text);
        match (verdict.policies.is_empty(), verdict.no_match) {
            (true, NoMatch::Deny) => self.denials.push(no_policy()),
            (true, NoMatch::Warn) => self.warnings.push(no_policy()),
            _ => {}
        }
        for policy in verdict.policies.iter().filter(|policy| policy.standing() != Standing::Satisfied) {
            let lines = told(image, policy);
            match policy.mode {
                Mode::Enforce => self.denials.extend(lines),
                Mode::Warn => self.warnings.extend(lines),
            }
        }
        // What was verified must be what runs.
        let mut pinning = snapshot.pinning(reference, subject);
        if verdict.admits()
            && let Some(held) = pinning.find(|held| held.mode == Mode::Enforce)
        {
            let (field, text, name) = (&image.field, &image.text, &held.name);
            self.denials.push(format!("{field} {text}: {name}: a tag could not be made a digest: try again"));
        }
    }
}

/// A line for each authority.
fn told(image: &NamedImage, policy: &PolicyVerdict) -> Vec<String> {
    let lines = policy.authorities.iter().filter_map(|one| {
        let reason = one.answer.reason()?;
        let (field, text) = (&image.field, &image.text);
        let (name, authority, code) = (&policy.policy, &one.authority, reason.code());
        Some(format!("{field} {text}: {name}: {authority}: {code}: {reason}"))
    });
    lines.collect()
}
