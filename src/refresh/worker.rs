//! One look at one Secret: read it, decide, and do what was decided (credentials specification §6.3 to §6.7).
//!
//! # Guarantees
//!
//! - A token is written only over the version that was decided on; on a conflict the Secret is read again, and no
//!   second exchange is made.
//! - Whatever fails, the content stays as it was.
//! - Nothing is written that stands there already.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::Value;
use tokio::time::Instant;

use super::agenda::{Name, Next};
use super::cloud;
use super::content::with_token;
use super::decide::{Cause, Decision, Work, decide};
use super::event::Events;
use super::failing::{Failure, State};
use super::failure::Error;
use super::held::Held;
use super::patch;
use super::reason::Reason;
use super::schedule::Life;
use crate::client::exchange::provider::{Form, Providers, WriteAs};
use crate::client::exchange::{Asked, Exchange, RegistryToken};
use crate::client::http::Clients;
use crate::credential::cloud::federation::Federation;
use crate::credential::registry_config::RegistryConfig;
use crate::identity::file::TokenFile;
use crate::identity::request::RequestedToken;
use crate::identity::token::{IdentityToken, TokenError};
use crate::identity::{self, TokenSource as _};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::refresh::{ExchangeLabel, SecretLabel};

const FIELD_MANAGER: &str = "hallmark-refresh";
/// A Secret that others keep changing is left alone for a moment.
const MOST_CONFLICTS: usize = 5;
/// A Secret that cannot be filled is looked at when it changes, and in case that was missed.
const NOW_AND_THEN: SignedDuration = SignedDuration::from_mins(10);

/// Looks at Secrets.
pub(super) struct Worker {
    /// The API server.
    pub(super) client: Client,
    /// HTTP to token services.
    pub(super) clients: Clients,
    /// Whom to trust there.
    pub(super) registries: Arc<RegistryConfig>,
    /// The clouds.
    pub(super) federation: Federation,
    /// The updater's own identity token.
    pub(super) token_file: PathBuf,
    /// Whether a Secret may name a service account of its own namespace.
    pub(super) service_accounts: bool,
    /// Events.
    pub(super) events: Events,
    /// Metrics.
    pub(super) metrics: Arc<Metrics>,
}

/// How a write ended.
enum Written {
    Yes,
    Conflict,
}

impl Worker {
    /// Looks at one Secret and says when to look again.
    pub(super) async fn look(&self, name: &Name, state: &mut State, providers: &Providers) -> Next {
        let now = Timestamp::now();
        let secret = match self.api(name).get_opt(&name.name).await {
            Ok(Some(secret)) => Held::of(secret),
            Ok(None) => return self.forget(name),
            Err(error) => {
                let failure = Error::of_api(&error, &name.namespace, &name.name).told();
                tracing::warn!(secret = %name, reason = %failure.reason, "cannot read it: {}", failure.text);
                return Next::At(state.failed("read", &failure, now));
            }
        };
        match decide(&secret, providers, now) {
            Decision::Ignore => self.forget(name),
            Decision::Release => {
                if let Err(error) = self.write(name, &patch::released(&secret.version)).await {
                    tracing::warn!(secret = %name, "cannot take away the status: {}", error.told().text);
                }
                self.forget(name)
            }
            Decision::Refuse(reason, text) => {
                tracing::warn!(secret = %name, %reason, "{text}");
                self.events.publish(name, &secret.uid, reason, &text, now).await;
                Next::At(now.saturating_add(NOW_AND_THEN).unwrap_or(Timestamp::MAX))
            }
            Decision::Fresh { until, expires_at } => {
                self.good_until(name, expires_at);
                Next::At(until)
            }
            Decision::Exchange(work) => self.refresh(name, state, secret, *work).await,
        }
    }

    async fn refresh(&self, name: &Name, state: &mut State, secret: Held, work: Work) -> Next {
        let now = Timestamp::now();
        let fingerprint = work.request.fingerprint();
        if let Some((next_at, text)) = state.waits_until(&fingerprint, now) {
            let text = text.to_owned();
            if work.expires_at.is_some_and(|end| end <= now) && !state.told_expired {
                self.expired(name, state, &secret, &text).await;
            }
            return Next::At(sooner(next_at, work.expires_at.filter(|_| !state.told_expired)));
        }
        let (uid, first) = (secret.uid.clone(), matches!(work.cause, Cause::Missing));
        match self.fill(name, state, secret, &work).await {
            Ok(token) => {
                let failed_before = state.succeeded();
                tracing::info!(secret = %name, expires_at = %token.expires_at, cause = ?work.cause, "refreshed");
                self.good_until(name, token.expires_at);
                if first || failed_before {
                    let text = format!(
                        "holds a token of provider {} until {}",
                        work.provider.name, token.expires_at
                    );
                    self.events.publish(name, &uid, Reason::Ready, &text, now).await;
                }
                if work.provider.write_as != WriteAs::Auth {
                    let text = "the kubelet reads auth only; this provider writes another field";
                    self.events.publish(name, &uid, Reason::KubeletIncompatible, text, now).await;
                }
                let life = Life { begin: token.issued_at, end: token.expires_at };
                Next::At(life.refresh_at(work.request.buffer, &uid))
            }
            Err((secret, error)) => self.failed(name, state, &secret, &work, &error).await,
        }
    }

    /// Exchanges and writes.
    async fn fill(
        &self,
        name: &Name,
        state: &mut State,
        mut secret: Held,
        work: &Work,
    ) -> Result<RegistryToken, (Held, Error)> {
        let fingerprint = work.request.fingerprint();
        let token = match state.granted(&fingerprint, Timestamp::now()) {
            Some(token) => token,
            None => match self.exchange(name, work).await {
                Ok(token) => token,
                Err(error) => return Err((secret, error)),
            },
        };
        state.keep(&fingerprint, &token);
        for _ in 0..MOST_CONFLICTS {
            let content: &[u8] =
                if work.request.overwrite && !is_object(&secret.content) { b"{}" } else { &secret.content };
            let config =
                with_token(content, &work.provider, work.request.registries(&work.provider), &token.token);
            let config = match config {
                Ok(config) => config,
                Err(error) => return Err((secret, error.into())),
            };
            match self.write(name, &patch::filled(&secret.version, &config, &token, &work.request)).await {
                Ok(Written::Yes) => return Ok(token),
                Ok(Written::Conflict) => {}
                Err(error) => return Err((secret, error)),
            }
            match self.api(name).get(&name.name).await.map(Held::of) {
                // What is asked for now is for the next look.
                Ok(read) if read.request != Ok(Some(work.request.clone())) => break,
                Ok(read) => secret = read,
                Err(error) => return Err((secret, Error::of_api(&error, &name.namespace, &name.name))),
            }
        }
        Err((secret, Error::Api("others keep changing the Secret".to_owned())))
    }

    async fn exchange(&self, name: &Name, work: &Work) -> Result<RegistryToken, Error> {
        let subject = self.subject(name, work).await?;
        let (request, provider) = (&work.request, &work.provider);
        let asked = Asked {
            identity: Some(&request.identity),
            audience: request.audience(provider),
            scope: request.scope(provider),
        };
        let (started, now) = (Instant::now(), Timestamp::now());
        let result = if let Form::Cloud(form) = &provider.form {
            cloud::token(&self.federation, (form, provider), request, &subject, now).await
        } else {
            let exchange = Exchange::with(provider, &self.clients, &self.registries)?;
            exchange.token(&subject, &asked, now).await.map_err(Error::from)
        };
        let outcome = result.as_ref().map_or_else(Error::reason, |_| Reason::Ready).as_str();
        let label = ExchangeLabel { provider: provider.name.clone(), result: outcome };
        self.metrics.refresh.exchanges.get_or_create(&label).inc();
        self.metrics.refresh.duration.observe(started.elapsed().as_secs_f64());
        result
    }

    /// The identity token, read anew each time.
    async fn subject(&self, name: &Name, work: &Work) -> Result<IdentityToken, Error> {
        let audience = &work.provider.subject_audience;
        let token = match &work.request.account {
            Some(_) if !self.service_accounts => return Err(Error::AccountsNotAllowed),
            Some(account) => {
                RequestedToken::of(self.client.clone(), &name.namespace, account).token(audience).await
            }
            None => {
                let file = work.provider.subject_token_file.as_ref().unwrap_or(&self.token_file);
                TokenFile::at(file).token(audience).await
            }
        };
        let unusable = |source| Error::Subject { source, audience: audience.clone() };
        let token = token.map_err(unusable)?;
        let now = Timestamp::now();
        if token.claims().expiry <= now {
            let reason = TokenError::Expired { claims: Box::new(token.claims().clone()), now };
            let provider = identity::provider::Provider::CustomPath;
            return Err(unusable(identity::Error::Token { provider, reason }));
        }
        Ok(token)
    }

    async fn failed(
        &self,
        name: &Name,
        state: &mut State,
        secret: &Held,
        work: &Work,
        error: &Error,
    ) -> Next {
        let (now, failure) = (Timestamp::now(), error.told());
        let next_at = state.failed(&work.request.fingerprint(), &failure, now);
        if work.expires_at.is_some_and(|end| end <= now) {
            self.expired(name, state, secret, &failure.text).await;
            return Next::At(next_at);
        }
        tracing::warn!(secret = %name, reason = %failure.reason, again_at = %next_at, "{}", failure.text);
        self.tell(name, secret, &failure, now).await;
        Next::At(sooner(next_at, work.expires_at))
    }

    /// What is there has ended, and nothing else can be had.
    async fn expired(&self, name: &Name, state: &mut State, secret: &Held, cause: &str) {
        state.told_expired = true;
        let text = format!("its token has ended and no other can be had: {cause}");
        tracing::error!(secret = %name, reason = %Reason::Expired, "{text}");
        self.metrics.refresh.expired.get_or_create(&label(name)).set(1);
        let failure = Failure { reason: Reason::Expired, text, retry_after: None };
        self.tell(name, secret, &failure, Timestamp::now()).await;
    }

    /// An Event, and the status where it is another than the one that stands there.
    async fn tell(&self, name: &Name, secret: &Held, failure: &Failure, now: Timestamp) {
        self.events.publish(name, &secret.uid, failure.reason, &failure.text, now).await;
        let message = patch::message(&failure.text);
        if failure.reason == Reason::UpdateForbidden || secret.noted.says(failure.reason, &message) {
            return;
        }
        if let Err(error) = self.write(name, &patch::told(failure.reason, &message)).await {
            tracing::warn!(secret = %name, "cannot write its status: {}", error.told().text);
        }
    }

    async fn write(&self, name: &Name, patch: &Value) -> Result<Written, Error> {
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match self.api(name).patch_metadata(&name.name, &params, &Patch::Merge(patch)).await {
            Ok(_) => Ok(Written::Yes),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(Written::Conflict),
            Err(error) => Err(Error::of_api(&error, &name.namespace, &name.name)),
        }
    }

    fn good_until(&self, name: &Name, end: Timestamp) {
        self.metrics.refresh.expiry.get_or_create(&label(name)).set(end.as_second());
        self.metrics.refresh.expired.get_or_create(&label(name)).set(0);
    }

    fn forget(&self, name: &Name) -> Next {
        self.metrics.refresh.expiry.remove(&label(name));
        self.metrics.refresh.expired.remove(&label(name));
        Next::Forget
    }

    fn api(&self, name: &Name) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &name.namespace)
    }
}

fn label(name: &Name) -> SecretLabel {
    SecretLabel { ns: name.namespace.clone(), name: name.name.clone() }
}

/// Overwriting spares what can be kept.
fn is_object(content: &[u8]) -> bool {
    let text = std::str::from_utf8(content).unwrap_or("[]");
    super::splice::set(text, &["auths", "probe"], "{}").is_ok()
}

fn sooner(next_at: Timestamp, end: Option<Timestamp>) -> Timestamp {
    end.map_or(next_at, |end| end.min(next_at))
}
