//! Registry tokens for a person's tools: which provider a registry has, and one token for all tools that ask at the
//! same time, kept in a file until shortly before its end.
//!
//! Guarantees: one exchange for everybody who waits for it, by a lock that ends with its holder; what is kept is
//! written whole or not at all, for its owner alone, and is of no use once it has ended; anything that cannot be read
//! there is as good as nothing.

mod settings;

use std::collections::BTreeMap;
use std::fs::TryLockError;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::environment::{self, Folders, HelperVariables};
use super::super::private_file;
use crate::artifact::digest::Digest;
use crate::client::exchange::provider::{DEFAULT, Provider, Providers};
use crate::client::exchange::{self, Asked, Exchange, RegistryToken};
use crate::client::http::Clients;
use crate::credential::Redacted;
use crate::credential::registry_config::RegistryConfig;
use crate::error::{Class, Diagnose};
use crate::identity::token::{IdentityToken, TokenError};
use crate::identity::{self, selection};
use crate::refresh::sources::{SourceError, providers};
pub(in crate::cli) use settings::{Setting, Settings};

/// How long before its end a token is replaced.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);
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
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum SessionError {
    /// Nowhere to keep anything.
    #[error("neither HOME nor XDG_CONFIG_HOME and XDG_CACHE_HOME are set")]
    Homeless,
    /// A file cannot be used.
    #[error("cannot use {}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file of ours that is not as we write it.
    #[error("{} cannot be read as JSON", file.display())]
    Malformed {
        /// Which.
        file: PathBuf,
    },
    /// The providers.
    #[error(transparent)]
    Providers(#[from] SourceError),
    /// The identity token.
    #[error("no identity token for {audience}")]
    Identity {
        /// Whom it would be for.
        audience: String,
        /// Why.
        #[source]
        source: identity::Error,
    },
    /// The token service.
    #[error(transparent)]
    Exchange(#[from] exchange::Error),
}

/// As it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(with = "super::secret_text")]
    token: Zeroizing<String>,
    issued_at: Timestamp,
    expires_at: Timestamp,
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

    /// Where tokens for a server come from; nothing when it is no business of ours. Without an identity there is
    /// nothing to assume, so that a provider alone makes no source.
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
        identity.is_some().then(|| TokenSource {
            registry,
            provider: Arc::clone(provider),
            identity,
            token_file,
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
        let subject = subject(source).await?;
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
        let parts = [source.registry.as_str(), source.provider.endpoint.as_str(), identity];
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

/// The identity token of this process.
async fn subject(source: &TokenSource) -> Result<IdentityToken, SessionError> {
    let audience = &source.provider.subject_audience;
    let failed = |source| SessionError::Identity { audience: audience.clone(), source };
    let token = match source.token_file.as_deref() {
        Some(file) if file == Path::new("-") => from_input(),
        file => match selection::select(None, file, &environment::identities(None)) {
            Ok(source) => source.token(audience).await,
            Err(error) => Err(error),
        },
    };
    token.map_err(failed)
}

fn from_input() -> Result<IdentityToken, identity::Error> {
    let mut text = Zeroizing::new(String::new());
    let read = std::io::stdin().take(64 * 1024).read_to_string(&mut text);
    read.map_err(|source| identity::Error::File { file: "-".into(), source })?;
    IdentityToken::parse(&text).map_err(|reason: TokenError| identity::Error::Token {
        provider: identity::provider::Provider::CustomPath,
        reason,
    })
}

fn keep(file: &Path, token: &RegistryToken) -> Result<(), SessionError> {
    let text = Zeroizing::new(token.token.expose_text().into_owned());
    let kept = Kept { token: text, issued_at: token.issued_at, expires_at: token.expires_at };
    let text = Zeroizing::new(serde_json::to_string(&kept).unwrap_or_default());
    private_file::write(file, &text).map_err(file_error(file))
}

/// A token that is kept and lives for a while yet.
fn kept(file: &Path, now: Timestamp) -> Option<RegistryToken> {
    let text = private_file::read(file).ok()??;
    let Kept { token, issued_at, expires_at } = serde_json::from_str(&text).ok()?;
    let ahead = AHEAD.min(expires_at.duration_since(issued_at) / 2);
    let token = RegistryToken { token: Redacted::from(token.as_str()), issued_at, expires_at };
    (expires_at.duration_since(now) > ahead).then_some(token)
}

/// `host[:port]` of a server URL as docker and others write it.
pub(in crate::cli) fn host_of(server: &str) -> &str {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

pub(in crate::cli) fn file_error(file: &Path) -> impl Fn(std::io::Error) -> SessionError + use<> {
    let file = file.to_owned();
    move |source| SessionError::File { file: file.clone(), source }
}

impl TokenSource {
    /// The same, as somebody else or with another identity token.
    pub(in crate::cli) fn with(mut self, identity: Option<String>, token_file: Option<PathBuf>) -> Self {
        self.identity = identity.or(self.identity);
        self.token_file = token_file.or(self.token_file);
        self
    }

    pub(in crate::cli) fn new(registry: &str, provider: Arc<Provider>) -> Self {
        Self { registry: registry.to_owned(), provider, identity: None, token_file: None }
    }
}

impl Diagnose for SessionError {
    fn class(&self) -> Class {
        match self {
            Self::Identity { source, .. } => source.class(),
            Self::Exchange(error) => error.class(),
            _ => Class::Misconfigured,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Identity { source, .. } => source.label(),
            Self::Exchange(exchange::Error::Denied { .. } | exchange::Error::NotAllowed { .. }) => {
                "registry_denied"
            }
            Self::Exchange(error) => error.label(),
            _ => "settings",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Identity { audience, .. } => Some(format!(
                "give a token for audience {audience}: a file by HALLMARK_IDENTITY_TOKEN or --identity-token, or \
                 SIGSTORE_ID_TOKEN"
            )),
            Self::Exchange(error) => error.hint(),
            _ => None,
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

    #[test]
    fn a_kept_token_serves_until_five_minutes_or_half_of_its_life_before_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.json");
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let after = |seconds| now + SignedDuration::from_secs(seconds);
        let write = |life: i64| {
            let kept = Kept { token: Zeroizing::new("t".into()), issued_at: now, expires_at: after(life) };
            private_file::write(&file, &serde_json::to_string(&kept).unwrap()).unwrap();
        };
        write(3600);
        assert!(kept(&file, after(3299)).is_some() && kept(&file, after(3300)).is_none());
        write(60);
        assert!(kept(&file, after(29)).is_some() && kept(&file, after(30)).is_none());
    }

    #[test]
    fn what_cannot_be_read_is_as_good_as_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.json");
        assert!(kept(&file, Timestamp::UNIX_EPOCH).is_none());
        for broken in ["", "{", "{\"token\":\"x\"}", "[]"] {
            std::fs::write(&file, broken).unwrap();
            assert!(kept(&file, Timestamp::UNIX_EPOCH).is_none(), "{broken}");
        }
    }
}
