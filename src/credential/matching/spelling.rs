//! The many spellings of a key and the one normal form behind them (credentials specification §2.3, §3.4).
//!
//! Guarantees: what is shown of a key never holds its userinfo or query, sound or not.

use super::Pattern;
use crate::artifact::image::{DOCKER_HUB, canonical_host};

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Defect {
    #[error("it is empty")]
    Empty,
    #[error("it contains blanks")]
    Blanks,
    #[error("only https:// and http:// may stand in front of a host")]
    Scheme,
    #[error("it does not begin with a registry host")]
    Host,
    #[error("\"*\" is the only wildcard")]
    Wildcard,
    #[error("the port is not a number")]
    Port,
    #[error("globs are only allowed in the host")]
    GlobInPath,
    /// Not in the query either. No repository has one, and what is in front of it might be userinfo with a slash or a
    /// question mark in its password: it is not shown, so that what were shown would be another key.
    #[error("\"@\" may only stand in front of the host")]
    AtInPath,
}

/// How close the host as written is to its canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Spelling {
    Exact,
    Variant,
    HubAlias,
}

/// The pattern that a key means, and how it was spelled; or why it is no key.
pub(super) fn normalise(text: &str) -> Result<(Pattern, Spelling), Defect> {
    if text.is_empty() {
        return Err(Defect::Empty);
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(Defect::Blanks);
    }
    let (scheme, rest) = match text.split_once("://") {
        None => (None, text),
        Some((scheme, rest)) => (Some(scheme), rest),
    };
    let default_port = match scheme.map(str::to_ascii_lowercase).as_deref() {
        None | Some("https") => "443",
        Some("http") => "80",
        Some(_) => return Err(Defect::Scheme),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (written, port) = split_port(authority);
    check_host(written)?;
    if !port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
    {
        return Err(Defect::Port);
    }
    let port = port.filter(|port| *port != default_port);
    let (host, spelling) = spell(written, port);
    let path = normalise_path(path)?;
    Ok((Pattern { host, port: port.map(str::to_owned), path }, spelling))
}

/// The canonical host, and how far the written one is from it. A host with a port is never Docker Hub.
fn spell(written: &str, port: Option<&str>) -> (String, Spelling) {
    let lower = written.to_ascii_lowercase();
    let lower = lower.strip_suffix('.').unwrap_or(&lower);
    let host = if port.is_none() { canonical_host(lower) } else { lower.to_owned() };
    let spelling = if host == DOCKER_HUB && lower != DOCKER_HUB {
        Spelling::HubAlias
    } else if host == written {
        Spelling::Exact
    } else {
        Spelling::Variant
    };
    (host, spelling)
}

/// Labels of letters, digits, `-`, `_` and `*`, or an IPv6 address in brackets.
fn check_host(host: &str) -> Result<(), Defect> {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
        && address.parse::<std::net::Ipv6Addr>().is_ok()
    {
        return Ok(());
    }
    if host.contains(['[', ']', '?']) {
        return Err(Defect::Wildcard);
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_*".contains(&byte);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.split('.').all(|label| !label.is_empty() && label.bytes().all(legal)) {
        Ok(())
    } else {
        Err(Defect::Host)
    }
}

/// Without the API version, query, fragment and outer slashes: what repositories are compared with.
fn normalise_path(path: &str) -> Result<String, Defect> {
    if path.contains('@') {
        return Err(Defect::AtInPath);
    }
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = ["/v1", "/v2"]
        .iter()
        .find_map(|version| {
            path.strip_prefix(version).filter(|rest| rest.is_empty() || rest.starts_with('/'))
        })
        .unwrap_or(path);
    if path.contains(['*', '[', ']']) {
        return Err(Defect::GlobInPath);
    }
    Ok(path.trim_matches('/').to_owned())
}

/// Parts `host:port`, leaving the colons of a bracketed IPv6 address alone.
pub(super) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// The key for people: no userinfo (up to the last `@`), no query, at most 200 characters on one line.
pub(in crate::credential) fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('@') => (Some(scheme), rest),
        _ => (None, text),
    };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let query = rest.find('/').and_then(|slash| rest.get(slash..)?.find(['?', '#']).map(|at| slash + at));
    let rest = query.and_then(|at| rest.get(..at)).unwrap_or(rest);
    let whole = scheme.map_or_else(|| rest.to_owned(), |scheme| format!("{scheme}://{rest}"));
    whole
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .take(LONGEST)
        .collect()
}
