//! `hallmark auth status`: which registries are configured, whose tokens they get, what is kept for them, and whether
//! docker asks for it. It contacts nobody and prints no token.

use jiff::Timestamp;

use serde_json::{Value, json};

use super::super::credential_helper::session::{Session, SessionError};
use super::super::output::OutputOption;
use super::super::style::Style;
use super::super::{Exit, fail};
use super::docker_file::DockerFile;

/// A registry that is configured.
struct Managed {
    registry: String,
    provider: String,
    identity: Option<String>,
    /// When the token ends that is kept for it.
    kept_until: Option<Timestamp>,
    /// Docker asks Hallmark for its credentials.
    asked_for: bool,
}

/// Runs the command.
pub(super) fn run(output: OutputOption) -> Exit {
    match managed(Timestamp::now()) {
        Ok(managed) => {
            output.print(text(&managed), &json(&managed));
            Exit::Ok
        }
        Err(error) => fail(&error),
    }
}

fn managed(now: Timestamp) -> Result<Vec<Managed>, SessionError> {
    let session = Session::open()?;
    let docker = DockerFile::open(&session.folders().docker).ok();
    let managed = session.managed();
    let described = managed.keys().filter_map(|registry| {
        let source = session.source(registry)?;
        let asked = docker.as_ref().and_then(|file| file.find(&["credHelpers", registry]).ok().flatten());
        let person = source.login.as_ref().map(|login| {
            session.logged_in(login).unwrap_or_else(|| format!("nobody is logged in at {}", login.issuer))
        });
        Some(Managed {
            registry: registry.clone(),
            kept_until: session.kept_until(&source).filter(|end| *end > now),
            asked_for: asked == Some("\"hallmark\""),
            identity: source.identity.or(person),
            provider: source.provider.name.clone(),
        })
    });
    Ok(described.collect())
}

fn text(managed: &[Managed]) -> String {
    if managed.is_empty() {
        return "no registry is configured: see hallmark auth configure-docker\n".to_owned();
    }
    let rows = managed.iter().map(|one| {
        let kept = one.kept_until.map_or_else(|| "none".to_owned(), |end| format!("until {end}"));
        let asked = if one.asked_for { "asks hallmark" } else { "does not ask" };
        let identity = one.identity.clone().unwrap_or_default();
        vec![one.registry.clone(), one.provider.clone(), identity, kept, asked.to_owned()]
    });
    Style::of_stdout().table(0, &["REGISTRY", "PROVIDER", "IDENTITY", "TOKEN", "DOCKER"], rows) + "\n"
}

fn json(managed: &[Managed]) -> Value {
    let registries = managed.iter().map(|one| {
        json!({"registry": one.registry, "provider": one.provider, "identity": one.identity,
            "tokenUntil": one.kept_until.map(|end| end.to_string()), "dockerAsks": one.asked_for})
    });
    registries.collect()
}
