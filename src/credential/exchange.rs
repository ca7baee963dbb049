//! Registry tokens by exchange as credentials of the agent: a provider of `providers.toml` that says what the agent assumes
//! (`agent-identity`) is the source `controller.sts:NAME` for its registries (credentials specification §1.2 source 10,
//! §6.8).
//!
//! # Guarantees
//!
//! - Nobody is asked before the trial comes to a registry of the provider; what was granted is kept until shortly before
//!   it ends, and one request for it is on its way at a time.
//! - The identity token is read anew for each exchange and kept nowhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use super::cloud::Granted;
use super::cloud::grants::Grants;
use super::{Credential, Fetch, Fetcher, Key, Location, Login, Problem, ProblemCode, Source};
use crate::artifact::image::Repository;
use crate::client::exchange::provider::{Provider, Providers, WriteAs};
use crate::client::exchange::{self, Asked, Exchange};
use crate::client::http::Clients;
use crate::credential::registry_config::RegistryConfig;
use crate::error::{Class, Diagnose, chain};
use crate::identity::file::TokenFile;
use crate::identity::{self, TokenSource as _};

/// A provider that serves runs.
struct Sts {
    provider: Arc<Provider>,
    identity: String,
    token_file: PathBuf,
    clients: Clients,
    registries: Arc<RegistryConfig>,
    grants: Grants,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no identity token to exchange")]
    Subject(#[from] identity::Error),
    #[error(transparent)]
    Exchange(#[from] exchange::Error),
}

/// The sources that `providers` make; the identity token lies in `token_file`, unless a provider has one of its own.
pub fn sources(providers: &Providers, token_file: &Path, registries: &Arc<RegistryConfig>) -> Vec<Fetcher> {
    let serving = providers.all().filter_map(|provider| {
        Some(Fetcher::new(Sts {
            identity: provider.agent_identity.clone()?,
            token_file: provider.subject_token_file.clone().unwrap_or_else(|| token_file.to_owned()),
            provider: Arc::clone(provider),
            clients: Clients::default(),
            registries: Arc::clone(registries),
            grants: Grants::default(),
        }))
    });
    serving.collect()
}

impl Sts {
    async fn ask(&self, registry: &str) -> Result<Granted, Problem> {
        self.granted(registry).await.map_err(|failure| {
            let hint = failure.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            Problem {
                source: self.source(),
                location: self.location(),
                code: failure.code(),
                detail: format!("{}{hint}", chain(&failure)),
            }
        })
    }

    async fn granted(&self, registry: &str) -> Result<Granted, Failure> {
        let provider = &self.provider;
        let subject = TokenFile::at(&self.token_file).token(&provider.subject_audience).await?;
        let exchange = Exchange::with(provider, &self.clients, &self.registries)?;
        let asked = Asked {
            identity: Some(&self.identity),
            audience: provider.audience.as_deref().unwrap_or(registry),
            scope: provider.scope.as_deref(),
        };
        let now = Timestamp::now();
        let token = exchange.token(&subject, &asked, now).await?;
        let credential = match provider.write_as {
            WriteAs::Auth => {
                Credential::Basic(Login { username: provider.username.clone(), password: token.token })
            }
            WriteAs::IdentityToken => Credential::IdentityToken { token: token.token, fallback: None },
            WriteAs::RegistryToken => Credential::RegistryToken(token.token),
        };
        Ok(Granted::until(credential, now, token.expires_at))
    }
}

#[async_trait]
impl Fetch for Sts {
    fn source(&self) -> Source {
        Source::ControllerSts(self.provider.name.clone())
    }

    fn location(&self) -> Location {
        Location::Ambient
    }

    fn key(&self, repository: &Repository) -> Option<Key> {
        let registry = repository.registry();
        let own = self.provider.registries.iter().any(|known| known == registry);
        own.then(|| Key::parse(registry).ok()).flatten()
    }

    async fn fetch(&self, repository: &Repository) -> Result<Credential, Problem> {
        let registry = repository.registry();
        self.grants.obtain(registry, self.ask(registry)).await
    }
}

impl Failure {
    fn code(&self) -> ProblemCode {
        match self.class() {
            Class::Temporary => ProblemCode::CloudUnavailable,
            _ => ProblemCode::CloudDenied,
        }
    }
}

impl Diagnose for Failure {
    fn class(&self) -> Class {
        match self {
            Self::Subject(error) => error.class(),
            Self::Exchange(error) => error.class(),
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Subject(error) => error.label(),
            Self::Exchange(error) => error.label(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Subject(error) => error.hint(),
            Self::Exchange(error) => error.hint(),
        }
    }
}
