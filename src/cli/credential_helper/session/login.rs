//! A person's login as it is kept between commands: in a file for its owner alone, written whole or not at all, and
//! renewed under a lock by its refresh token, which providers let be used once.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::super::{environment, private_file};
use super::{Session, SessionError, file_error};
use crate::artifact::digest::Digest;
use crate::client::http::Clients;
use crate::client::openid::{Granted, OpenId, Relation};
use crate::credential::Redacted;
use crate::credential::registry_config::RegistryConfig;
use crate::identity::token::IdentityToken;

/// An identity token that ends sooner may be late at the token service.
const AHEAD: SignedDuration = SignedDuration::from_secs(30);

#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(with = "super::super::secret_text")]
    id_token: Zeroizing<String>,
    /// Empty where the provider gives none.
    #[serde(default, with = "super::super::secret_text")]
    refresh_token: Zeroizing<String>,
}

impl Session {
    /// The identity token of the person who logged in, renewed if need be.
    pub(super) async fn login(&self, relation: &Relation) -> Result<IdentityToken, SessionError> {
        let file = self.login_file(relation);
        let issuer = || relation.issuer.clone();
        if let Some(token) = fresh(&file, Timestamp::now()) {
            return Ok(token);
        }
        let lock = self.lock(&file).await?;
        // Somebody else may have had the lock, and this is what he got.
        if let Some(token) = fresh(&file, Timestamp::now()) {
            return Ok(token);
        }
        let kept = read(&file).ok_or_else(|| SessionError::NotLoggedIn { issuer: issuer() })?;
        if kept.refresh_token.is_empty() {
            return Err(SessionError::LoginEnded { issuer: issuer(), source: None });
        }
        let token = Redacted::from(kept.refresh_token.as_str());
        let renewed = self.openid(relation).await?.refresh(&token, Timestamp::now()).await;
        let granted = renewed.map_err(|error| {
            if error.is_ended() {
                SessionError::LoginEnded { issuer: issuer(), source: Some(error) }
            } else {
                SessionError::Login(error)
            }
        })?;
        self.keep_login(relation, &granted)?;
        drop(lock);
        Ok(granted.identity)
    }

    /// Lets `ask` bring a login, unless there is one by the time that its turn comes: of many programs that want one,
    /// only the first asks the person.
    pub(in crate::cli) async fn login_once<E: From<SessionError>>(
        &self,
        relation: &Relation,
        ask: impl AsyncFnOnce(&OpenId) -> Result<Granted, E>,
    ) -> Result<(), E> {
        let file = self.login_file(relation);
        let lock = self.lock(&file).await?;
        if fresh(&file, Timestamp::now()).is_none() {
            let granted = ask(&self.openid(relation).await?).await?;
            self.keep_login(relation, &granted)?;
        }
        drop(lock);
        Ok(())
    }

    pub(in crate::cli) async fn openid(&self, relation: &Relation) -> Result<OpenId, SessionError> {
        let registries = RegistryConfig::of_environment(environment::proxies());
        Ok(OpenId::discover(relation.clone(), &Clients::default(), &registries).await?)
    }

    pub(in crate::cli) fn keep_login(
        &self,
        relation: &Relation,
        granted: &Granted,
    ) -> Result<(), SessionError> {
        let refresh_token = granted.refresh_token.as_ref().map(|token| token.expose_text().into_owned());
        let kept = Kept {
            id_token: Zeroizing::new(granted.identity.reveal().to_owned()),
            refresh_token: Zeroizing::new(refresh_token.unwrap_or_default()),
        };
        let text = Zeroizing::new(serde_json::to_string(&kept).unwrap_or_default());
        let file = self.login_file(relation);
        private_file::write(&file, &text).map_err(file_error(&file))
    }

    /// Drops a login; answers what would have renewed it, empty where nothing would, or nothing when there was none.
    pub(in crate::cli) fn forget_login(&self, relation: &Relation) -> Result<Option<Redacted>, SessionError> {
        let file = self.login_file(relation);
        let kept = read(&file).map_or_else(Zeroizing::default, |kept| kept.refresh_token);
        match std::fs::remove_file(&file) {
            Ok(()) => Ok(Some(Redacted::from(kept.as_str()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(file_error(&file)(error)),
        }
    }

    /// Who is logged in, as the token says.
    pub(in crate::cli) fn logged_in(&self, relation: &Relation) -> Option<String> {
        let kept = read(&self.login_file(relation))?;
        Some(name(&IdentityToken::parse(&kept.id_token).ok()?))
    }

    fn login_file(&self, relation: &Relation) -> PathBuf {
        let parts = format!("{}\n{}", relation.issuer, relation.client);
        let name = hex::encode(Digest::of(parts.as_bytes()).as_bytes());
        self.folders.cache.join("logins").join(format!("{name}.json"))
    }
}

/// A person is known by his address, where the issuer vouches for it.
pub(in crate::cli) fn name(token: &IdentityToken) -> String {
    let claims = token.claims();
    let name = claims.email.as_ref().unwrap_or(&claims.subject);
    name.chars().filter(|character| !character.is_control()).take(200).collect()
}

fn fresh(file: &Path, now: Timestamp) -> Option<IdentityToken> {
    let token = IdentityToken::parse(&read(file)?.id_token).ok()?;
    (token.claims().expiry.duration_since(now) > AHEAD).then_some(token)
}

fn read(file: &Path) -> Option<Kept> {
    let text = private_file::read(file).ok()??;
    serde_json::from_str(&text).ok()
}
