//! `hallmark auth status`: which registries are configured, whose tokens they get, what is kept for them, and whether
//! docker asks for it. It contacts nobody and prints no token.

use jiff::Timestamp;

use super::super::credential_helper::session::{Session, SessionError};
use super::super::style::table;
use super::super::{Exit, fail};
use super::docker_file::DockerFile;

/// Runs the command.
pub(super) fn run() -> Exit {
    match shown(Timestamp::now()) {
        Ok(text) => {
            println!("{text}");
            Exit::Ok
        }
        Err(error) => fail(&error),
    }
}

fn shown(now: Timestamp) -> Result<String, SessionError> {
    let session = Session::open()?;
    let managed = session.managed();
    if managed.is_empty() {
        return Ok("no registry is configured: see hallmark auth configure-docker".to_owned());
    }
    let docker = DockerFile::open(&session.folders().docker).ok();
    let rows = managed.keys().filter_map(|registry| {
        let source = session.source(registry)?;
        let kept = session.kept_until(&source).filter(|end| *end > now);
        let kept = kept.map_or_else(|| "none".to_owned(), |end| format!("until {end}"));
        let asked = docker.as_ref().and_then(|file| file.find(&["credHelpers", registry]).ok().flatten());
        let asked = if asked == Some("\"hallmark\"") { "asks hallmark" } else { "does not ask" };
        let person = source.login.as_ref().map(|login| {
            session.logged_in(login).unwrap_or_else(|| format!("nobody is logged in at {}", login.issuer))
        });
        let identity = source.identity.clone().or(person).unwrap_or_default();
        Some(vec![registry.clone(), source.provider.name.clone(), identity, kept, asked.to_owned()])
    });
    Ok(table(&["REGISTRY", "PROVIDER", "IDENTITY", "TOKEN", "DOCKER"], rows))
}
