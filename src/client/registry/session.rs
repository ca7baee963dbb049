//! One run's dealings with registries: requests go out with the credential that the registry accepts, found by
//! trial the first time a target asks for one.
//!
//! The keychain is a future that is not awaited before a registry challenges: a run whose registry wants no
//! credentials costs no read of any Secret.

mod authorization;
mod refused;
mod turn;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::StatusCode;
use futures::future::{BoxFuture, Shared as SharedFuture};
use reqwest::Response;
use tokio::sync::Mutex as AsyncMutex;

use self::refused::{refusal, refused_token};
pub(super) use self::turn::fetched;
use super::error::Error;
use super::host::{Host, Known, is_loopback};
use super::round::another;
use super::route::Routes;
use super::settling::Waits;
use super::tokens::TokenKey;
use super::transport::{Request, Wire};
use super::trial::{Refusal, Standing, Trial};
use super::{Registry, TagLock};
use crate::artifact::image::Repository;
use crate::client::challenge::Challenge;
use crate::client::token::Scope;
use crate::config::{Config, Registry as Settings};
use crate::credential::registry_config::RegistryConfig;
use crate::credential::{Candidate, Consulted, Credential, Keychain};
use crate::credential::{CredentialReport, Operation, Outcome, Target};
use crate::error::Diagnose;

/// The keychain of one run, read when it is first needed.
pub type KeychainFuture =
    SharedFuture<BoxFuture<'static, Result<Arc<Keychain>, Arc<dyn Diagnose + Send + Sync>>>>;

/// One run's dealings with registries. Never outlives the attempt.
pub struct Session {
    pub(super) registry: Registry,
    namespace: String,
    insecure: bool,
    routes: Routes,
    pub(super) settings: Settings,
    keychain: KeychainFuture,
    trials: Mutex<HashMap<Target, Arc<AsyncMutex<Trial>>>>,
    waits: Waits,
}

/// How it went with what the trial offered.
pub(super) enum Answer {
    /// Whatever the registry said, it was not about authorisation.
    Accepted(Response),
    /// The candidate does not serve.
    Refused(Refusal),
    /// The registry wants to know who asks.
    Challenged,
}

impl Session {
    /// `namespace` is the run's: tokens are never shared beyond it. `insecure` takes any certificate and plain
    /// http (`storage.oci.repository.insecure`).
    pub fn new(registry: &Registry, namespace: &str, insecure: bool, keychain: KeychainFuture) -> Self {
        let (registry, namespace) = (registry.clone(), namespace.to_owned());
        let routes = Routes::new(Arc::default(), insecure);
        let settings = Settings::default();
        let (trials, waits) = (Mutex::default(), Waits::default());
        Self { registry, namespace, insecure, routes, settings, keychain, trials, waits }
    }

    /// A session under `chains-config` and a registry configuration: the one way in which runs get theirs.
    pub fn configured(
        registry: &Registry,
        namespace: &str,
        config: &Config,
        registries: &Arc<RegistryConfig>,
        keychain: KeychainFuture,
    ) -> Self {
        let session = Self::new(registry, namespace, config.storage.oci.insecure, keychain);
        Self { settings: config.registry.clone(), ..session.with_config(registries) }
    }

    /// The same session under a registry configuration: authorities and proxies for each host (§4).
    pub fn with_config(mut self, config: &Arc<RegistryConfig>) -> Self {
        self.routes = Routes::new(Arc::clone(config), self.insecure);
        self
    }

    /// The lock of one tag, shared by all sessions of the process.
    pub fn tag_lock(&self, repository: &Repository, tag: &str) -> TagLock {
        self.registry.0.tags.of(repository, tag)
    }

    /// Lets what was written stand for a while, in which this attempt counts as one that does nothing.
    pub async fn settle(&self, time: Duration) {
        self.registry.0.settling.wait(&self.waits, time).await;
    }

    /// What was tried for each target that asked for a credential.
    pub async fn reports(&self) -> Vec<CredentialReport> {
        let trials: Vec<_> = self.trials().values().cloned().collect();
        let mut reports = Vec::new();
        for trial in trials {
            reports.extend(trial.lock().await.report().cloned());
        }
        reports
    }

    /// The objects of the cluster that the credentials were read from; none while none were asked for.
    pub fn consulted(&self) -> Vec<Consulted> {
        let keychain = self.keychain.peek().and_then(|keychain| keychain.as_ref().ok());
        keychain.map(|keychain| keychain.consulted.clone()).unwrap_or_default()
    }

    /// How it went with the credentials for pushes to `repository`, if it asked for any.
    pub async fn push_report(&self, repository: &Repository) -> Option<CredentialReport> {
        let target = Target { repository: repository.clone(), operation: Operation::Push };
        let trial = self.trials().get(&target).cloned()?;
        trial.lock().await.report().cloned()
    }

    pub(super) fn host(&self, repository: &Repository) -> Arc<Host> {
        let name = repository.registry();
        self.registry.0.hosts.host(name, self.routes.home(name))
    }

    pub(super) async fn known(&self, host: &Host) -> Result<Known, Error> {
        host.known(self.wire()).await
    }

    /// Sends `request` for `target` with whatever credential the registry accepts.
    pub(super) async fn send(&self, target: &Target, request: &Request) -> Result<Response, Error> {
        let shared = self.trial(target);
        let mut kept = None;
        loop {
            // Whoever asked first also hears the end of it: a look at the image before those at its tags.
            let mut guard = match kept.take() {
                Some(guard) => guard,
                None => shared.lock().await,
            };
            self.fetch(target, &mut guard).await;
            let standing = guard.standing();
            // While it is undecided which credential serves, requests for one target wait for each other, so that
            // a wrong password is offered once and not once per request.
            let held = (!guard.is_settled()).then_some(guard);
            let answer = match &standing {
                Standing::Open => self.offer_nothing(target, request).await?,
                Standing::Candidate(_, candidate) => self.offer(target, request, candidate).await?,
                Standing::Exhausted => Answer::Refused(Refusal::default()),
            };
            let mut trial = match held {
                Some(guard) => guard,
                None => shared.lock().await,
            };
            match (answer, &standing) {
                (Answer::Accepted(response), _) => {
                    if !is_unseen(target, &response) {
                        self.remember(target, &standing, None);
                        trial.accept(&standing);
                    } else if trial.is_blind(&standing) {
                        kept = Some(trial);
                        continue;
                    }
                    return Ok(response);
                }
                (Answer::Challenged, _) => {
                    let keychain = self.keychain(&request.action).await?;
                    let caution = |candidate: &_| self.caution(candidate, target);
                    trial.begin(&keychain, self.settings.max_candidates, caution);
                }
                (Answer::Refused(_), Standing::Exhausted) => return Err(denied(request, &trial)),
                (Answer::Refused(refusal), _) => {
                    let ended = refusal.outcome == Outcome::Expired;
                    if !(ended && self.renewed(target, &mut trial, &standing).await) {
                        self.remember(target, &standing, Some(refusal.outcome));
                        trial.refuse(&standing, refusal);
                    }
                }
            }
            kept = Some(trial);
        }
    }

    pub(super) async fn offer_nothing(&self, target: &Target, request: &Request) -> Result<Answer, Error> {
        let host = self.host(&target.repository);
        if self.known(&host).await?.asked {
            return Ok(Answer::Challenged);
        }
        let response = self.wire().send(request, None).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(Answer::Accepted(response));
        }
        host.challenged(&Challenge::parse_all(response.headers()));
        Ok(Answer::Challenged)
    }

    pub(super) async fn offer(
        &self,
        target: &Target,
        request: &Request,
        candidate: &Candidate,
    ) -> Result<Answer, Error> {
        let host = self.host(&target.repository);
        let known = self.known(&host).await?;
        if !may_send(candidate, &known, &host) {
            return Ok(Answer::Refused(Refusal {
                outcome: Outcome::Skipped,
                status: None,
                code: Some("PlainHttp".into()),
            }));
        }
        let key = self.token_key(target, candidate);
        let (mut challenges, scope) = (known.challenges, scope_of(target));
        for last in [false, true] {
            let held = match self.authorize(target, candidate, &host, &challenges, &key).await? {
                Ok(held) => held,
                Err(error) => return refused_token(request, error),
            };
            let header = &held.authorization.header;
            let response = self.wire().send(request, Some(header)).await?;
            if !matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                return Ok(Answer::Accepted(response));
            }
            // What was refused now is not offered again by a later run.
            self.registry.0.tokens.forget(&key);
            let asked = Challenge::parse_all(response.headers());
            host.challenged(&asked);
            if last
                || response.status() == StatusCode::FORBIDDEN
                || !another(&held, &asked, &challenges, &scope)
            {
                let response = self.wire().worded(request, header, response).await;
                return Ok(Answer::Refused(refusal(response).await));
            }
            challenges = asked;
        }
        Ok(Answer::Refused(Refusal::default()))
    }

    fn wire(&self) -> Wire<'_> {
        Wire { clients: &self.registry.0.clients, routes: &self.routes, guarded: true }
    }

    fn token_key(&self, target: &Target, candidate: &Candidate) -> TokenKey {
        TokenKey {
            namespace: self.namespace.clone(),
            candidate: candidate.provenance.clone(),
            credential: Arc::clone(&candidate.credential),
            registry: target.repository.registry().to_owned(),
            scope: format!("{}:{}", target.repository.path(), target.operation),
        }
    }

    pub(super) async fn keychain(&self, action: &str) -> Result<Arc<Keychain>, Error> {
        let keychain = self.keychain.clone().await;
        keychain.map_err(|source| Error::Keychain { action: action.to_owned(), source })
    }

    fn trial(&self, target: &Target) -> Arc<AsyncMutex<Trial>> {
        let mut trials = self.trials();
        let trial = trials
            .entry(target.clone())
            .or_insert_with(|| Arc::new(AsyncMutex::new(Trial::new(target.clone()))));
        Arc::clone(trial)
    }

    fn trials(&self) -> std::sync::MutexGuard<'_, HashMap<Target, Arc<AsyncMutex<Trial>>>> {
        self.trials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the answer may mean "not for you".
fn is_unseen(target: &Target, response: &Response) -> bool {
    target.operation == Operation::Pull && response.status() == StatusCode::NOT_FOUND
}

fn scope_of(target: &Target) -> Scope {
    Scope { path: target.repository.path().to_owned(), push: target.operation == Operation::Push }
}

/// Secrets go over plain http only to this machine, or where the operator said so.
fn may_send(candidate: &Candidate, known: &Known, host: &Host) -> bool {
    *candidate.credential == Credential::Anonymous
        || known.base.scheme() == "https"
        || host.is_insecure()
        || is_loopback(&host.name)
}

fn denied(request: &Request, trial: &Trial) -> Error {
    match trial.report() {
        Some(report) => Error::Denied { action: request.action.clone(), report: Box::new(report.clone()) },
        None => {
            Error::Malformed { action: request.action.clone(), host: String::new(), reason: "no candidate" }
        }
    }
}
