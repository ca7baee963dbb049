//! `hallmark auth login` and `logout`: a person's own identity instead of a workload's (credentials specification §7.2,
//! source 000). The authorization code comes back to this machine; where there is no browser, the person types a code
//! on another one.
//!
//! Guarantees: no token and no code is printed or in any argument; what is kept is for its owner alone; a login that
//! somebody else's page sends here is refused, since it cannot know `state`.

mod browser;
mod loopback;

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::super::credential_helper::session::{
    LoginSetting, Session, SessionError, Setting, Settings, login_name,
};
use super::super::output::OutputOption;
use super::super::{Exit, fail, refuse};
use crate::client::openid::attempt::Attempt;
use crate::client::openid::{Granted, OpenId, Progress, Relation};
use crate::credential::Redacted;
use loopback::{Loopback, LoopbackError};

/// How long a person may take.
const PATIENCE: Duration = Duration::from_mins(5);
/// The same, while a tool waits for the helper.
const PATIENCE_OF_TOOLS: Duration = Duration::from_mins(2);

/// Log in with a browser, so that tokens are yours and not a workload's.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  hallmark auth login --issuer https://login.example --client-id hallmark
  hallmark auth login --registry registry.example --headless")]
pub struct LoginArguments {
    /// Registry whose tokens are exchanged for this login; may be repeated.
    #[arg(long, default_value = "cgr.dev", value_name = "HOST")]
    registry: Vec<String>,

    /// The OpenID Connect issuer that knows you and that the token service trusts; kept for the next time.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,

    /// The public client that Hallmark is there; kept for the next time.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,

    /// Log in by a code on another machine.
    #[arg(long, conflicts_with = "port")]
    headless: bool,

    /// Port of this machine that the browser comes back to, where the issuer wants to know it before.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    port: u16,

    #[command(flatten)]
    output: OutputOption,
}

/// Forget a login and the registry tokens that came of it, and end it at the issuer where that is offered.
#[derive(Debug, Args)]
#[command(
    after_help = "What is kept on this machine goes first, whether or not the issuer can be reached. An issuer that
publishes a revocation_endpoint (RFC 7009) is asked to end the login too; with others, such as Dex, whoever has copied
it before can use it until it ends by itself.

Examples:
  hallmark auth logout
  hallmark auth logout --registry registry.example"
)]
pub struct LogoutArguments {
    /// Registry; may be repeated. Without it, every one.
    #[arg(long, value_name = "HOST")]
    registry: Vec<String>,

    #[command(flatten)]
    output: OutputOption,
}

/// A login that was forgotten.
#[derive(Serialize)]
struct Ended {
    issuer: String,
    /// Whether the issuer ended it too; unknown where there was nothing to end.
    revoked: Option<bool>,
    /// Why it did not.
    reason: Option<String>,
}

/// Why nobody is logged in.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum LoginError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Loopback(#[from] LoopbackError),
    #[error("nobody has logged in for {0:?}")]
    TooLate(Duration),
    #[error("no issuer of logins is known for {0}: give --issuer and --client-id")]
    NoIssuer(String),
    #[error(
        "no provider of tokens is known for {0}: name it in providers.toml, or by configure-docker --provider"
    )]
    NoProvider(String),
}

impl From<crate::client::openid::Error> for LoginError {
    fn from(error: crate::client::openid::Error) -> Self {
        Self::Session(SessionError::Login(error))
    }
}

/// Runs `login`.
pub(super) async fn login(arguments: LoginArguments) -> Exit {
    match logged_in(&arguments).await {
        Ok(()) => Exit::Ok,
        Err(LoginError::Session(error)) => fail(&error),
        Err(error @ (LoginError::NoIssuer(_) | LoginError::NoProvider(_))) => refuse(&error, Exit::Usage),
        Err(error @ LoginError::TooLate(_)) => refuse(&error, Exit::Temporary),
        Err(error @ LoginError::Loopback(_)) => refuse(&error, Exit::Failed),
    }
}

async fn logged_in(arguments: &LoginArguments) -> Result<(), LoginError> {
    let session = Session::open()?;
    let relation = relation(&session, arguments)?;
    let openid = session.openid(&relation).await?;
    let granted = if arguments.headless {
        elsewhere(&openid).await?
    } else {
        here(&openid, arguments.port, PATIENCE).await?
    };
    session.keep_login(&relation, &granted)?;
    remember(&session, &relation, &arguments.registry)?;
    let name = login_name(&granted.identity);
    let told = json!({"issuer": relation.issuer, "clientId": relation.client, "identity": name,
        "registries": arguments.registry});
    arguments.output.print(format!("logged in at {} as {name}\n", relation.issuer), &told);
    Ok(())
}

/// Where: as the arguments say, else as it was the last time.
fn relation(session: &Session, arguments: &LoginArguments) -> Result<Relation, LoginError> {
    let settings = Settings::read(session.folders())?;
    let first = arguments.registry.first().cloned().unwrap_or_default();
    for registry in &arguments.registry {
        let named = settings.registries.get(registry).is_some_and(|setting| setting.provider.is_some());
        if !named && session.provider(registry).is_none() {
            return Err(LoginError::NoProvider(registry.clone()));
        }
    }
    let old = settings.registries.get(&first).and_then(|setting| setting.login.clone());
    let (issuer, client) = old.map(|old| (old.issuer, old.client_id)).unzip();
    match (arguments.issuer.clone().or(issuer), arguments.client_id.clone().or(client)) {
        (Some(issuer), Some(client)) => Ok(Relation { issuer, client }),
        _ => Err(LoginError::NoIssuer(first)),
    }
}

/// Has the helper use the login; tokens of whoever was logged in before are dropped.
fn remember(session: &Session, relation: &Relation, registries: &[String]) -> Result<(), SessionError> {
    let mut settings = Settings::read(session.folders())?;
    let login = LoginSetting { issuer: relation.issuer.clone(), client_id: relation.client.clone() };
    for registry in registries {
        let old = settings.registries.remove(registry).unwrap_or_default();
        settings.registries.insert(registry.clone(), Setting { login: Some(login.clone()), ..old });
    }
    settings.write(session.folders())?;
    let session = Session::open()?;
    for source in registries.iter().filter_map(|registry| session.source(registry)) {
        session.forget(&source);
    }
    Ok(())
}

/// For the credential helper, which a tool has called: asks the person, if there is one.
pub(in crate::cli) async fn for_a_tool(session: &Session, relation: &Relation) -> Result<(), LoginError> {
    let ask = async |openid: &OpenId| here(openid, 0, PATIENCE_OF_TOOLS).await;
    let asked = session.login_once(relation, ask);
    tokio::time::timeout(PATIENCE_OF_TOOLS, asked)
        .await
        .unwrap_or(Err(LoginError::TooLate(PATIENCE_OF_TOOLS)))
}

/// Whether somebody looks on who could log in. A tool reads the helper's standard output, and writes its input.
pub(in crate::cli) fn somebody_looks_on() -> bool {
    std::io::stderr().is_terminal()
}

/// With a browser of this machine.
async fn here(openid: &OpenId, port: u16, patience: Duration) -> Result<Granted, LoginError> {
    let attempt = Attempt::new()?;
    let loopback = Loopback::listen(port).await?;
    let redirect = loopback.redirect().to_owned();
    let address = openid.authorization(&redirect, &attempt);
    let shown = browser::open(&address);
    eprintln!("{} to log in:\n  {address}", if shown { "A browser opens" } else { "Open this in a browser" });
    let returned = tokio::time::timeout(patience, loopback.returned(attempt.state())).await;
    let code = returned.map_err(|_| LoginError::TooLate(patience))??;
    Ok(openid.redeem(&code, &redirect, &attempt, Timestamp::now()).await?)
}

/// With a browser of another machine.
async fn elsewhere(openid: &OpenId) -> Result<Granted, LoginError> {
    let device = openid.device().await?;
    eprintln!("Open this on any machine, and see that it shows {}:\n  {}", device.user_code, device.address);
    let mut interval = device.interval;
    let poll = async {
        loop {
            tokio::time::sleep(interval).await;
            match openid.poll(&device, Timestamp::now()).await {
                Ok(Progress::Done(granted)) => return Ok(granted),
                Ok(Progress::Pending) => {}
                // RFC 8628 §3.5: five seconds more, for good.
                Ok(Progress::Slower) => interval += Duration::from_secs(5),
                Err(crate::client::openid::Error::Away { .. }) => interval *= 2,
                Err(error) => return Err(error.into()),
            }
        }
    };
    let limit = device.expires_in;
    tokio::time::timeout(limit, poll).await.unwrap_or(Err(LoginError::TooLate(limit)))
}

/// Runs `logout`.
pub(super) async fn logout(arguments: LogoutArguments) -> Exit {
    match logged_out(&arguments).await {
        Ok(ended) => {
            arguments.output.print(text(&ended), &json!(ended));
            Exit::Ok
        }
        Err(error) => fail(&error),
    }
}

async fn logged_out(arguments: &LogoutArguments) -> Result<Vec<Ended>, SessionError> {
    let session = Session::open()?;
    let settings = Settings::read(session.folders())?;
    let mut logins = Vec::new();
    for (registry, setting) in &settings.registries {
        let Some(login) = &setting.login else { continue };
        if !arguments.registry.is_empty() && !arguments.registry.contains(registry) {
            continue;
        }
        if let Some(source) = session.source(registry) {
            session.forget(&source);
        }
        let relation = login.relation();
        if let Some(renewal) = session.forget_login(&relation)? {
            logins.push(ended(&session, relation, &renewal).await);
        }
    }
    Ok(logins)
}

/// What became of the login at the issuer.
async fn ended(session: &Session, relation: Relation, renewal: &Redacted) -> Ended {
    if renewal.is_empty() {
        return Ended { issuer: relation.issuer, revoked: None, reason: None };
    }
    let revoked = async { Ok::<_, SessionError>(session.openid(&relation).await?.revoke(renewal).await?) };
    let (revoked, reason) = match revoked.await {
        Ok(true) => (true, None),
        Ok(false) => (false, Some("the issuer offers no way to end it there".to_owned())),
        Err(error) => (false, Some(format!("it could not be ended there: {}", crate::error::chain(&error)))),
    };
    Ended { issuer: relation.issuer, revoked: Some(revoked), reason }
}

fn text(logins: &[Ended]) -> String {
    if logins.is_empty() {
        return "nobody was logged in\n".to_owned();
    }
    let lines = logins.iter().flat_map(|login| {
        let there = (login.revoked == Some(true)).then(|| "it was ended there too".to_owned());
        [Some(format!("logged out at {}", login.issuer)), there, login.reason.clone()].into_iter().flatten()
    });
    lines.map(|line| line + "\n").collect()
}
