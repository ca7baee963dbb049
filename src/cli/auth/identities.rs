//! `hallmark auth list` and `hallmark auth revoke`: pull tokens are identities of the provider, and the access to its
//! API is a token like any other, exchanged for the API instead of a registry.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::credential_helper::session::{Session, SessionError, TokenSource};
use super::super::output::OutputOption;
use super::super::style::Style;
use super::super::{Exit, environment, fail};
use super::pull_token::{ISSUER, days_until};
use crate::client::exchange;
use crate::client::exchange::identities::{Identities, Identity};
use crate::client::http::Clients;
use crate::credential::registry_config::RegistryConfig;
use crate::identity::provider::{Provider, UnknownProvider};

/// As whom the provider is asked.
#[derive(Debug, Args)]
pub(super) struct AccountOptions {
    /// Registry that the tokens are for.
    #[arg(long, default_value = "cgr.dev", value_name = "HOST")]
    pub(super) registry: String,

    /// Identity to act as, by its UID; without it, the one that was configured for the registry.
    #[arg(long, value_name = "UID")]
    pub(super) identity: Option<String>,

    /// File with the identity token that is exchanged, or - for standard input.
    #[arg(long, value_name = "FILE")]
    pub(super) identity_token: Option<PathBuf>,

    /// The one source of identity tokens, by the name that hallmark identity has for it.
    #[arg(long, value_parser = known_source, value_name = "NAME")]
    pub(super) identity_provider: Option<String>,
}

/// A name that `hallmark identity` knows.
pub(super) fn known_source(name: &str) -> Result<String, UnknownProvider> {
    name.parse::<Provider>().map(|_| name.to_owned())
}

/// List pull tokens.
#[derive(Debug, Args)]
pub struct ListArguments {
    #[command(flatten)]
    pub(super) account: AccountOptions,

    #[command(flatten)]
    pub(super) output: OutputOption,
}

/// Revoke a pull token.
#[derive(Debug, Args)]
pub struct RevokeArguments {
    /// The token's UID, which is its user name.
    #[arg(value_name = "UID")]
    id: String,

    #[command(flatten)]
    account: AccountOptions,

    #[command(flatten)]
    output: OutputOption,
}

/// Access to the API of a provider.
pub(super) struct Account {
    session: Session,
    source: TokenSource,
    api: Identities,
}

/// Why there is no access.
#[derive(Debug, thiserror::Error)]
pub(super) enum AccountError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Api(#[from] exchange::Error),
    #[error("no provider is configured for {0}")]
    NoProvider(String),
    #[error("the provider of {0} has no API for pull tokens")]
    NoApi(String),
    #[error("no identity is known for {0}: give --identity, or log in")]
    NoIdentity(String),
}

impl Account {
    pub(super) async fn open(options: &AccountOptions) -> Result<Self, AccountError> {
        let session = Session::open()?;
        let registry = &options.registry;
        let source = if let Some(source) = session.source(registry) {
            source
        } else {
            let provider = session.provider(registry);
            let provider = provider.ok_or_else(|| AccountError::NoProvider(registry.clone()))?;
            TokenSource::new(registry, provider)
        };
        let (identity, file) = (options.identity.clone(), options.identity_token.clone());
        let source = source.with(identity, file, options.identity_provider.clone());
        if source.identity.is_none() && source.login.is_none() {
            return Err(AccountError::NoIdentity(registry.clone()));
        }
        let api = source.provider.api.clone().ok_or_else(|| AccountError::NoApi(registry.clone()))?;
        let token = session.exchange(&source, api.as_str().trim_end_matches('/')).await?;
        let registries = RegistryConfig::of_environment(environment::proxies());
        let api = Identities::of(&source.provider, &Clients::default(), &registries, token.token);
        let api = api.ok_or_else(|| AccountError::NoApi(registry.clone()))??;
        Ok(Self { session, source, api })
    }

    pub(super) fn api(&self) -> &Identities {
        &self.api
    }

    pub(super) fn identity(&self) -> &str {
        self.source.identity.as_deref().unwrap_or_default()
    }

    /// The group of an identity is what stands before the last slash of its UID.
    pub(super) fn parent(&self) -> Option<String> {
        self.identity().rsplit_once('/').map(|(parent, _)| parent.to_owned())
    }

    /// Whom pull tokens are shown to.
    pub(super) fn provider_audience(&self) -> &str {
        &self.source.provider.subject_audience
    }

    pub(super) fn docker_folder(&self) -> &Path {
        &self.session.folders().docker
    }
}

/// Runs `list`.
pub(super) async fn list(arguments: ListArguments) -> Exit {
    let listed = async { Ok(Account::open(&arguments.account).await?.api().list().await?) };
    match listed.await {
        Ok(identities) => {
            let tokens = pull_tokens(&identities);
            let now = Timestamp::now();
            arguments.output.print(text(&tokens, now, Style::of_stdout()), &json(&tokens, now));
            Exit::Ok
        }
        Err(error) => failed(&error),
    }
}

/// Runs `revoke`.
pub(super) async fn revoke(arguments: RevokeArguments) -> Exit {
    let revoked = async { Ok(Account::open(&arguments.account).await?.api().delete(&arguments.id).await?) };
    match revoked.await {
        Ok(()) => {
            let done = json!({"id": arguments.id, "revoked": true});
            arguments.output.print(format!("revoked {}\n", arguments.id), &done);
            Exit::Ok
        }
        Err(error) => failed(&error),
    }
}

pub(super) fn failed(error: &AccountError) -> Exit {
    match error {
        AccountError::Session(error) => fail(error),
        AccountError::Api(error) => fail(error),
        error => super::super::refuse(error, Exit::Usage),
    }
}

/// Pull tokens with their ends, the next to end first.
fn pull_tokens(identities: &[Identity]) -> Vec<(Timestamp, &Identity)> {
    let mut tokens: Vec<_> = identities
        .iter()
        .filter_map(|identity| Some((identity.fixed.as_ref()?, identity)))
        .filter(|(fixed, _)| fixed.issuer == ISSUER)
        .map(|(fixed, identity)| (fixed.expiration, identity))
        .collect();
    tokens.sort_by_key(|(end, identity)| (*end, identity.id.clone()));
    tokens
}

fn text(tokens: &[(Timestamp, &Identity)], now: Timestamp, style: Style) -> String {
    let rows = tokens.iter().map(|(end, identity)| {
        let created = identity.created_at.map_or_else(String::new, |at| at.strftime("%Y-%m-%d").to_string());
        let left = if *end <= now { "expired".to_owned() } else { days_until(*end, now).to_string() };
        [&identity.id, &identity.name, &identity.description, &created, &left]
            .map(|text| plain(text))
            .to_vec()
    });
    style.table(0, &["ID", "NAME", "DESCRIPTION", "CREATED", "DAYS LEFT"], rows) + "\n"
}

fn json(tokens: &[(Timestamp, &Identity)], now: Timestamp) -> Value {
    let tokens = tokens.iter().map(|(end, identity)| {
        json!({"id": plain(&identity.id), "name": plain(&identity.name),
            "description": plain(&identity.description),
            "createdAt": identity.created_at.map(|at| at.to_string()),
            "expiresAt": end.to_string(), "expired": *end <= now})
    });
    tokens.collect()
}

/// Names are text from outside.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::SignedDuration;

    use super::*;
    use crate::client::exchange::identities::Static;

    #[test]
    fn tokens_are_listed_by_their_end_with_the_days_that_are_left() {
        let now: Timestamp = "2026-01-10T12:00:00Z".parse().unwrap();
        let identity = |id: &str, hours: i64| Identity {
            id: id.into(),
            name: "ci\u{1b}[2J".into(),
            description: "for a mirror".into(),
            created_at: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            fixed: Some(Static {
                issuer: ISSUER.to_owned(),
                subject: String::new(),
                issuer_keys: String::new(),
                expiration: now + SignedDuration::from_hours(hours),
                rest: BTreeMap::new(),
            }),
            claim_match: None,
        };
        let other = Identity { fixed: None, ..identity("org/not-a-token", 0) };
        let all = [identity("org/b", 30 * 24 + 1), identity("org/a", -1), other];
        let tokens = pull_tokens(&all);
        let text = text(&tokens, now, Style::PLAIN);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["org/a", "ci[2J", "for", "a", "mirror", "2026-01-01", "expired"]);
        assert_eq!((lines[2][0], lines[2][6], lines.len()), ("org/b", "30", 3));
        assert_eq!(
            json(&tokens, now)[0],
            json!({"id": "org/a", "name": "ci[2J", "description": "for a mirror",
                "createdAt": "2026-01-01T00:00:00Z", "expiresAt": "2026-01-10T11:00:00Z", "expired": true})
        );
    }
}
