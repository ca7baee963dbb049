//! `docker-credential-hallmark`: the protocol of docker's credential helpers (credentials specification §7.1).
//!
//! # Guarantees
//!
//! - Every answer, an error too, is on standard output; the exit code is 0 or 1; standard error is for people.
//! - It answers within ten seconds, unless it waits for a person to log in, which it does on a terminal only. Fifty at
//!   once make one exchange; one that is killed leaves nothing broken.
//! - No secret is in any text but the answer to `get`.

pub(super) mod session;
mod store;

use std::io::Read as _;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Exit;
use super::auth::login;
use crate::error::{Diagnose as _, chain};
use session::{Session, SessionError};
use store::Store;

/// Docker and others know this sentence: it means that there is no credential, and is no failure.
const NOT_FOUND: &str = "credentials not found in native keychain";
const NO_SERVER: &str = "no credentials server URL";
const NO_USERNAME: &str = "no credentials username";
const DEADLINE: Duration = Duration::from_secs(10);
const LARGEST_INPUT: u64 = 1024 * 1024;

/// Speak the protocol of docker's credential helpers.
#[derive(Debug, Args)]
pub struct Arguments {
    /// store, get, erase, list or version.
    #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
    verb: Vec<String>,
}

/// What goes to standard output.
type Answer = Result<Zeroizing<String>, String>;

/// A credential in the words of the protocol.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    #[serde(rename = "ServerURL", default)]
    server: String,
    #[serde(default)]
    username: String,
    #[serde(default, with = "secret_text")]
    secret: Zeroizing<String>,
}

/// Text that is wiped, in JSON.
mod secret_text {
    use serde::{Deserialize as _, Deserializer, Serializer};
    use zeroize::Zeroizing;

    pub(super) fn serialize<S: Serializer>(
        text: &Zeroizing<String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Zeroizing<String>, D::Error> {
        String::deserialize(deserializer).map(Zeroizing::new)
    }
}

/// Runs one verb.
pub async fn run(arguments: Arguments) -> Exit {
    match answer(&arguments.verb).await {
        Ok(text) if text.is_empty() => Exit::Ok,
        Ok(text) => {
            println!("{}", *text);
            Exit::Ok
        }
        Err(text) => {
            println!("{text}");
            Exit::Failed
        }
    }
}

async fn answer(verb: &[String]) -> Answer {
    let [verb] = verb else {
        return Err("Usage: docker-credential-hallmark <store, get, erase, list or version>".to_owned());
    };
    match verb.as_str() {
        "get" => get(&input()?).await,
        "store" => store(&input()?),
        "erase" => erase(&input()?),
        "list" => list(),
        "version" | "--version" | "-v" => {
            Ok(Zeroizing::new(concat!("docker-credential-hallmark ", env!("CARGO_PKG_VERSION")).to_owned()))
        }
        other => Err(format!("Unknown credential action `{}`", other.escape_debug())),
    }
}

/// §7.1: a stored credential, else one of a provider, else nothing.
async fn get(input: &str) -> Answer {
    let server = server(input)?;
    let session = Session::open().map_err(|error| told(&error))?;
    if let Some((username, secret)) =
        Store::of(session.folders()).find(server).map_err(|error| told(&error))?
    {
        return Ok(written(server, &username, secret));
    }
    let Some(source) = session.source(server) else { return Err(NOT_FOUND.to_owned()) };
    let mut token = in_time(session.token(&source)).await?;
    if let Err(SessionError::NotLoggedIn { .. } | SessionError::LoginEnded { .. }) = &token
        && let Some(login) = &source.login
        && login::somebody_looks_on()
    {
        login::for_a_tool(&session, login).await.map_err(|error| chain(&error))?;
        token = in_time(session.token(&source)).await?;
    }
    if let Err(error @ SessionError::NotLoggedIn { .. }) = &token {
        // What is open to everybody stays open to whoever has never logged in.
        eprintln!("hallmark: {}", chain(error));
        return Err(NOT_FOUND.to_owned());
    }
    let token = token.map_err(|error| told(&error))?;
    let secret = Zeroizing::new(token.token.expose_text().into_owned());
    Ok(written(server, &source.provider.username, secret))
}

async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(DEADLINE, answer).await.map_err(|_| format!("no answer within {DEADLINE:?}"))
}

fn store(input: &str) -> Answer {
    let no_json = || "the input is no JSON object with ServerURL, Username and Secret".to_owned();
    let credentials: Credentials = serde_json::from_str(input).map_err(|_| no_json())?;
    let server = server(&credentials.server)?;
    if credentials.username.is_empty() {
        return Err(NO_USERNAME.to_owned());
    }
    let session = Session::open().map_err(|error| told(&error))?;
    if session.source(server).is_some() {
        eprintln!("hallmark: tokens for {server} are made when they are needed; nothing is stored");
        return Ok(Zeroizing::default());
    }
    let store = Store::of(session.folders());
    store.put(server, &credentials.username, &credentials.secret).map_err(|error| told(&error))?;
    Ok(Zeroizing::default())
}

/// Clients erase what a registry has refused, so a token that is kept goes too.
fn erase(input: &str) -> Answer {
    let server = server(input)?;
    let session = Session::open().map_err(|error| told(&error))?;
    if let Some(source) = session.source(server) {
        session.forget(&source);
    }
    Store::of(session.folders()).remove(server).map_err(|error| told(&error))?;
    Ok(Zeroizing::default())
}

fn list() -> Answer {
    let session = Session::open().map_err(|error| told(&error))?;
    let mut known = session.managed();
    known.extend(Store::of(session.folders()).names().map_err(|error| told(&error))?);
    Ok(Zeroizing::new(serde_json::to_string(&known).unwrap_or_default()))
}

fn written(server: &str, username: &str, secret: Zeroizing<String>) -> Zeroizing<String> {
    let credentials = Credentials { server: server.to_owned(), username: username.to_owned(), secret };
    Zeroizing::new(serde_json::to_string(&credentials).unwrap_or_default())
}

fn server(input: &str) -> Result<&str, String> {
    let server = input.trim();
    if server.is_empty() { Err(NO_SERVER.to_owned()) } else { Ok(server) }
}

fn input() -> Result<Zeroizing<String>, String> {
    let mut text = Zeroizing::new(String::new());
    let read = std::io::stdin().take(LARGEST_INPUT).read_to_string(&mut text);
    read.map_err(|_| "cannot read standard input".to_owned())?;
    Ok(text)
}

/// On standard output for the client, with what to do on standard error for a person.
fn told(error: &SessionError) -> String {
    if let Some(hint) = error.hint() {
        eprintln!("hallmark: {hint}");
    }
    chain(error)
}
