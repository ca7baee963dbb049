//! What a request carries: a token from the cache, or one from the registry's token service, unless that is away.
//!
//! Guarantees: a token that is fresh is used whether or not its service answers; a service that answers nobody is not
//! asked by every run.

use std::time::Instant;

use jiff::Timestamp;
use url::Url;

use super::super::error::Error;
use super::super::host::Host;
use super::super::tokens::{Held, TokenKey};
use super::{Session, scope_of};
use crate::client::challenge::Challenge;
use crate::client::http::Service;
use crate::client::token::{self, TokenError, TokenRequest};
use crate::credential::{Candidate, Target};

impl Session {
    pub(super) async fn authorize(
        &self,
        target: &Target,
        candidate: &Candidate,
        host: &Host,
        challenges: &[Challenge],
        key: &TokenKey,
    ) -> Result<Result<Held, TokenError>, Error> {
        let (known, now) = (self.known(host).await?, Timestamp::now());
        let request = TokenRequest {
            challenges,
            registry: target.repository.registry(),
            registry_is_plain_http: known.base.scheme() == "http",
            registry_address: known.address,
            scopes: &[scope_of(target)],
            credential: &candidate.credential,
            password_grant: self.settings.oauth_password_grant.contains(target.repository.registry()),
        };
        let (wire, tokens) = (self.wire(), &self.registry.0.tokens);
        if let Some(held) = tokens.remembered(key, now) {
            return Ok(Ok(held));
        }
        let service = token::service(&request);
        let entered =
            service.map(|host| match wire.clients.circuits().enter(Service::Token, &host, Instant::now()) {
                Ok(passage) => Ok(passage),
                Err(source) => Err(TokenError::Silent { host, source }),
            });
        let passage = match entered.transpose() {
            Ok(passage) => passage,
            Err(silent) => return Ok(Err(silent)),
        };
        let dial = |realm: &Url, from| wire.realm_client(realm, &known.base, from);
        let obtained = tokens.obtain(key.clone(), now, token::exchange(&dial, &request, now)).await;
        if let Some(passage) = passage {
            match &obtained {
                Err(error) if error.is_away() => passage.failed(),
                Err(TokenError::Unreachable { .. }) => {}
                _ => passage.answered(),
            }
        }
        Ok(obtained)
    }
}
