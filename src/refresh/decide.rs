//! What is to be done about a Secret now (credentials specification §6.1, U1 to U5, and §6.6). Pure: values in, a
//! decision with its reason out; no network is needed to know whether a token is fresh.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::content::{WriteError, token_in, with_token};
use super::held::Held;
use super::reason::Reason;
use super::request::Request;
use super::schedule::Life;
use crate::client::exchange::provider::{Provider, Providers};
use crate::credential::{Redacted, jwt};

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nobody asks for anything.
    Ignore,
    /// Nobody asks any more: what was noted is taken away, the content stays.
    Release,
    /// It cannot be filled, whatever a token service says.
    Refuse(Reason, String),
    /// Its token is good until then.
    Fresh {
        /// When to look again.
        until: Timestamp,
        /// When its token ends.
        expires_at: Timestamp,
    },
    /// It needs a token.
    Exchange(Box<Work>),
}

/// An exchange that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// What is asked for.
    pub request: Request,
    /// Whom to ask.
    pub provider: Arc<Provider>,
    /// Why.
    pub cause: Cause,
    /// When the token that is there ends, as far as is known.
    pub expires_at: Option<Timestamp>,
}

/// Why a token is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// There is none.
    Missing,
    /// Another one was noted than the one that is there.
    Edited,
    /// It was made for another request.
    Changed,
    /// It ends soon, or has ended.
    Due,
}

/// Decides.
pub fn decide(secret: &Held, providers: &Providers, now: Timestamp) -> Decision {
    let request = match &secret.request {
        Ok(Some(request)) => request,
        Ok(None) if secret.noted.is_empty() => return Decision::Ignore,
        Ok(None) => return Decision::Release,
        Err(mistake) => return Decision::Refuse(Reason::InvalidAnnotation, mistake.to_string()),
    };
    if !secret.is_docker_config {
        let text = "the Secret must be of type kubernetes.io/dockerconfigjson; a type cannot be changed: delete it and create it anew";
        return Decision::Refuse(Reason::WrongType, text.to_owned());
    }
    if secret.is_immutable {
        let text = "the Secret says immutable: true; delete it and create it anew without that";
        return Decision::Refuse(Reason::Immutable, text.to_owned());
    }
    let Some(provider) = providers.named(&request.provider) else {
        let text = format!("no provider {:?} is configured; known: {}", request.provider, providers.names());
        return Decision::Refuse(Reason::UnknownProvider, text);
    };
    if let Some(malformed) = malformed(secret, request, provider) {
        let text = format!("{malformed}; mend it, or set annotation overwrite to \"true\"");
        return Decision::Refuse(Reason::MalformedExisting, text);
    }
    freshness(secret, request, provider, now)
}

/// Tries to write, so that a token is not asked for in vain.
fn malformed(secret: &Held, request: &Request, provider: &Provider) -> Option<WriteError> {
    if request.overwrite {
        return None;
    }
    let probe = Redacted::from("token");
    with_token(&secret.content, provider, request.registries(provider), &probe).err()
}

fn freshness(secret: &Held, request: &Request, provider: &Arc<Provider>, now: Timestamp) -> Decision {
    let exchange = |cause, expires_at| {
        let (request, provider) = (request.clone(), Arc::clone(provider));
        Decision::Exchange(Box::new(Work { request, provider, cause, expires_at }))
    };
    let noted = &secret.noted;
    let token = token_in(&secret.content, request.registries(provider));
    let Some(life) = token.as_ref().and_then(|token| life(secret, token)) else {
        let edited = noted.token_hash.is_some();
        // Two writers that each undo the other must not make a hot loop.
        let last = noted.refreshed_at.zip(noted.expires_at).map(|(begin, end)| Life { begin, end }.soonest());
        return match last.filter(|soonest| edited && *soonest > now) {
            Some(soonest) => {
                Decision::Fresh { until: soonest, expires_at: noted.expires_at.unwrap_or(soonest) }
            }
            None => exchange(if edited { Cause::Edited } else { Cause::Missing }, None),
        };
    };
    if noted.request_hash.as_ref().is_some_and(|hash| *hash != request.fingerprint()) {
        return exchange(Cause::Changed, Some(life.end));
    }
    let until = life.refresh_at(request.buffer, &secret.uid);
    if until <= now {
        return exchange(Cause::Due, Some(life.end));
    }
    Decision::Fresh { until, expires_at: life.end }
}

/// The life of the token that is there: as it was noted, else (when somebody else made it) as the token claims.
fn life(secret: &Held, token: &Redacted) -> Option<Life> {
    let noted = &secret.noted;
    if noted.token_hash.is_some() {
        let end = noted.expires_at.filter(|_| noted.is_of(token))?;
        return Some(Life { begin: noted.refreshed_at.unwrap_or(end), end });
    }
    let end = jwt::unverified_expiry(token.expose())?;
    let begin = end.saturating_sub(SignedDuration::from_hours(1)).ok()?;
    Some(Life { begin, end })
}

#[cfg(test)]
mod tests;
