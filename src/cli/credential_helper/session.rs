//! Registry tokens for a person's tools: which provider a registry has, and one token for all tools that ask at the
//! same time, kept in a file until shortly before its end.
//!
//! Guarantees: one exchange for everybody who waits for it, by a lock that ends with its holder; what is kept is
//! written whole or not at all, for its owner alone, and is of no use once it has ended; anything that cannot be read
//! there is as good as nothing.

mod error;
mod kept;
mod login;
mod settings;
mod subject;

use std::collections::BTreeMap;
use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::super::environment::{self, Folders, HelperVariables};
use super::super::private_file;
use crate::artifact::digest::Digest;
use crate::client::exchange::provider::{DEFAULT, Provider, Providers};
use crate::client::exchange::{Asked, Exchange, RegistryToken};
use crate::client::http::Clients;
use crate::client::openid::Relation;
use crate::credential::registry_config::RegistryConfig;
use crate::refresh::sources::providers;
pub(in crate::cli) use error::{SessionError, file_error};
use kept::{keep, kept};
pub(in crate::cli) use login::name as login_name;
pub(in crate::cli) use settings::{LoginSetting, Setting, Settings};
use subject::subject;

const LOOK_AT_LOCK: Duration = Duration::from_millis(10);

/// What a command needs to know about this person.
pub(in crate::cli) struct Session {
    folders: Folders,
    variables: HelperVariables,
    settings: Settings,
    providers: Providers,
}

/// Where the tokens of one registry come from.
pub(in crate::cli) struct TokenSource {
    /// `host[:port]`.
    pub(in crate::cli) registry: String,
    /// The token service.
    pub(in crate::cli) provider: Arc<Provider>,
    /// The identity to assume.
    pub(in crate::cli) identity: Option<String>,
    token_file: Option<PathBuf>,
    identity_provider: Option<String>,
    /// Where a person logs in for it.
    pub(in crate::cli) login: Option<Relation>,
}

impl Session {
    pub(in crate::cli) fn open() -> Result<Self, SessionError> {
        let folders = environment::folders().ok_or(SessionError::Homeless)?;
        let variables = environment::helper();
        let file = variables.providers.clone().unwrap_or_else(|| folders.config.join("providers.toml"));
        let settings = Settings::read(&folders)?;
        Ok(Self { providers: providers(&file)?, folders, variables, settings })
    }

    pub(in crate::cli) fn folders(&self) -> &Folders {
        &self.folders
    }

    /// Where tokens for a server come from; nothing when it is no business of ours. Without an identity to
    /// assume or a person who logs in, a provider alone makes no source.
    pub(in crate::cli) fn source(&self, server: &str) -> Option<TokenSource> {
        let registry = host_of(server).to_ascii_lowercase();
        let setting = self.settings.registries.get(&registry);
        let named = setting.and_then(|setting| setting.provider.as_deref());
        let provider = match named {
            Some(name) => self.providers.named(name),
            None => self.providers.of_registry(&registry).or(setting.and(self.providers.named(DEFAULT))),
        }?;
        let identity =
            setting.and_then(|setting| setting.identity.clone()).or_else(|| self.variables.identity.clone());
        let token_file = setting.and_then(|setting| setting.identity_token.clone());
        let token_file = token_file.or_else(|| self.variables.token_file.clone());
        let identity_provider = setting.and_then(|setting| setting.identity_provider.clone());
        let identity_provider = identity_provider.or_else(|| self.variables.identity_provider.clone());
        let login = setting.and_then(|setting| setting.login.as_ref()).map(LoginSetting::relation);
        (identity.is_some() || login.is_some()).then(|| TokenSource {
            registry,
            provider: Arc::clone(provider),
            identity,
            token_file,
            identity_provider,
            login,
        })
    }

    /// The registries that were configured, with the user that a token of theirs goes with.
    pub(in crate::cli) fn managed(&self) -> BTreeMap<String, String> {
        let sources = self.settings.registries.keys().filter_map(|registry| self.source(registry));
        sources.map(|source| (source.registry, source.provider.username.clone())).collect()
    }

    /// The provider of this name, or of the registry.
    pub(in crate::cli) fn provider(&self, registry: &str) -> Option<Arc<Provider>> {
        self.providers.of_registry(registry).or_else(|| self.providers.named(DEFAULT)).map(Arc::clone)
    }

    /// A token that lives for a while yet.
    pub(in crate::cli) async fn token(&self, source: &TokenSource) -> Result<RegistryToken, SessionError> {
        let file = self.kept_at(source);
        if let Some(token) = kept(&file, Timestamp::now()) {
            return Ok(token);
        }
        let lock = self.lock(&file).await?;
        // Somebody else may have had the lock, and this is what he got.
        if let Some(token) = kept(&file, Timestamp::now()) {
            return Ok(token);
        }
        let audience = source.provider.audience.as_deref().unwrap_or(&source.registry);
        let token = self.exchange(source, audience).await?;
        keep(&file, &token)?;
        drop(lock);
        Ok(token)
    }

    /// A token for `audience`, kept nowhere.
    pub(in crate::cli) async fn exchange(
        &self,
        source: &TokenSource,
        audience: &str,
    ) -> Result<RegistryToken, SessionError> {
        let subject = subject(self, source).await?;
        let registries = RegistryConfig::of_environment(environment::proxies());
        let exchange = Exchange::with(&source.provider, &Clients::default(), &registries)?;
        let scope = source.provider.scope.as_deref();
        let asked = Asked { identity: source.identity.as_deref(), audience, scope };
        Ok(exchange.token(&subject, &asked, Timestamp::now()).await?)
    }

    /// Drops the token that is kept.
    pub(in crate::cli) fn forget(&self, source: &TokenSource) {
        let _ = std::fs::remove_file(self.kept_at(source));
    }

    /// When the token that is kept ends.
    pub(in crate::cli) fn kept_until(&self, source: &TokenSource) -> Option<Timestamp> {
        kept(&self.kept_at(source), Timestamp::now()).map(|token| token.expires_at)
    }

    fn kept_at(&self, source: &TokenSource) -> PathBuf {
        let identity = source.identity.as_deref().unwrap_or_default();
        let login = source.login.as_ref().map(|login| format!("{}\n{}", login.issuer, login.client));
        let login = login.unwrap_or_default();
        let parts = [source.registry.as_str(), source.provider.endpoint.as_str(), identity, &login];
        let name = hex::encode(Digest::of(parts.join("\n").as_bytes()).as_bytes());
        self.folders.cache.join("tokens").join(format!("{name}.json"))
    }

    async fn lock(&self, file: &Path) -> Result<std::fs::File, SessionError> {
        let path = file.with_extension("lock");
        let lock = private_file::lock_file(&path).map_err(file_error(&path))?;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                // Polled, so that a deadline ends the wait: nothing can end a thread that waits for a lock.
                Err(TryLockError::WouldBlock) => tokio::time::sleep(LOOK_AT_LOCK).await,
                Err(TryLockError::Error(error)) => return Err(file_error(&path)(error)),
            }
        }
    }
}

/// `host[:port]` of a server URL as docker and others write it.
pub(in crate::cli) fn host_of(server: &str) -> &str {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

impl TokenSource {
    /// The same, as somebody else or with another identity token.
    pub(in crate::cli) fn with(
        mut self,
        identity: Option<String>,
        token_file: Option<PathBuf>,
        identity_provider: Option<String>,
    ) -> Self {
        self.identity = identity.or(self.identity);
        self.token_file = token_file.or(self.token_file);
        self.identity_provider = identity_provider.or(self.identity_provider);
        self
    }

    pub(in crate::cli) fn new(registry: &str, provider: Arc<Provider>) -> Self {
        Self {
            registry: registry.to_owned(),
            provider,
            identity: None,
            token_file: None,
            identity_provider: None,
            login: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_its_host_however_it_is_written() {
        for server in ["cgr.dev", "https://cgr.dev", "https://cgr.dev/v2/", "cgr.dev/team"] {
            assert_eq!(host_of(server), "cgr.dev", "{server}");
        }
        assert_eq!(host_of("https://index.docker.io/v1/"), "index.docker.io");
        assert_eq!(host_of("127.0.0.1:5000"), "127.0.0.1:5000");
    }
}
