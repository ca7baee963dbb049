//! Which key of a docker config is meant for which repository, and how closely (credentials specification §2.3, §3).
//!
//! Pure, and linear in the length of a key: a Secret is written by a tenant, so no pattern may cost more than
//! reading it. The same function serves every source except the registry configuration file, whose names follow
//! rules of their own (§4).

use std::cmp::Reverse;
use std::fmt;

use crate::artifact::image::{DOCKER_HUB, Repository, canonical_host};

/// The key of an entry: a registry host, perhaps with wildcards, perhaps with the beginning of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    shown: String,
    pattern: Pattern,
    spelling: Spelling,
}

/// What a key means once its spelling is taken off; ordered by bytes, so that results never vary.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Pattern {
    host: String,
    port: Option<String>,
    path: String,
}

/// How close the host as written is to its canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Spelling {
    Exact,
    Variant,
    HubAlias,
}

/// How closely a key fits a repository; the smaller, the more specific (§3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Specificity {
    wildcard_labels: usize,
    path: PathClass,
    path_length: Reverse<usize>,
    literal_characters: Reverse<usize>,
}

/// Where the path of a key ends in the path of the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PathClass {
    OnBoundary,
    InsideSegment,
    None,
}

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {shown:?}: {reason}")]
pub struct InvalidKey {
    shown: String,
    reason: &'static str,
}

/// A repository taken apart once, to be matched against many keys.
#[derive(Debug, Clone, Copy)]
pub struct Sought<'a> {
    host: &'a str,
    port: Option<&'a str>,
    path: &'a str,
}

impl Key {
    /// Reads `[https://]host[:port][/path]` and brings it into its one normal form.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let shown = shown(text);
        let (pattern, spelling) =
            normalise(text).map_err(|reason| InvalidKey { shown: shown.clone(), reason })?;
        Ok(Self { shown, pattern, spelling })
    }

    /// How closely the key fits, or `None` when it is not meant for this repository (§3.1).
    pub fn matches(&self, sought: &Sought<'_>) -> Option<Specificity> {
        self.pattern.matches_host(sought).then(|| self.pattern.matches_path(sought.path)).flatten()
    }

    /// Whether host and port fit, whatever the path: the difference that a person has to be told about.
    pub fn matches_host(&self, sought: &Sought<'_>) -> bool {
        self.pattern.matches_host(sought)
    }

    /// Nothing but wildcards in front of the last label, as in `*.io`: other people's registries match too.
    pub fn is_broad(&self) -> bool {
        self.pattern.host.rsplit_once('.').is_some_and(|(front, _)| {
            front.split('.').all(|label| !label.is_empty() && label.bytes().all(|byte| byte == b'*'))
        })
    }

    /// Whether Docker Hub is written under another name than `index.docker.io`; such a key is tried later (§3.4).
    pub fn is_hub_alias(&self) -> bool {
        self.spelling == Spelling::HubAlias
    }

    /// Order inside one document: by meaning; of two that mean the same, the one that is spelled exactly first
    /// (§2.6 row 15).
    pub(super) fn document_order(&self) -> impl Ord + '_ {
        (&self.pattern, self.spelling, self.shown.as_str())
    }
}

/// The key as written, less what may be secret in it (userinfo, query).
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl<'a> Sought<'a> {
    /// Takes a repository apart; port 443 is the default and counts as none.
    pub fn of(repository: &'a Repository) -> Self {
        let (host, port) = split_port(repository.registry());
        Self { host, port: port.filter(|port| *port != "443"), path: repository.path() }
    }
}

impl Pattern {
    fn matches_host(&self, sought: &Sought<'_>) -> bool {
        if self.port.as_deref() != sought.port {
            return false;
        }
        if !self.host.contains('*') {
            return self.host == sought.host;
        }
        let (mut ours, mut theirs) = (self.host.split('.'), sought.host.split('.'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(pattern), Some(label)) if label_matches(pattern, label) => {}
                _ => return false,
            }
        }
    }

    fn matches_path(&self, repository: &str) -> Option<Specificity> {
        let path = match repository.strip_prefix(self.path.as_str()) {
            None => return None,
            Some(_) if self.path.is_empty() => PathClass::None,
            Some(rest) if rest.is_empty() || rest.starts_with('/') => PathClass::OnBoundary,
            Some(_) => PathClass::InsideSegment,
        };
        Some(Specificity {
            wildcard_labels: self.host.split('.').filter(|label| label.contains('*')).count(),
            path,
            path_length: Reverse(self.path.len()),
            literal_characters: Reverse(self.host.bytes().filter(|byte| *byte != b'*').count()),
        })
    }
}

/// `*` stands for any run of characters inside one label. The pieces between the stars are sought from left to
/// right, each at its first place, which needs no going back.
fn label_matches(pattern: &str, label: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == label };
    let Some(mut left) = label.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        match left.split_once(piece) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(last)
}

fn normalise(text: &str) -> Result<(Pattern, Spelling), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("it contains blanks");
    }
    let (scheme, rest) = match text.split_once("://") {
        None => (None, text),
        Some((scheme, rest)) => (Some(scheme), rest),
    };
    let default_port = match scheme.map(str::to_ascii_lowercase).as_deref() {
        None | Some("https") => "443",
        Some("http") => "80",
        Some(_) => return Err("only https:// and http:// may stand in front of a host"),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (written, port) = split_port(authority);
    check_host(written)?;
    if !port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
    {
        return Err("the port is not a number");
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
fn check_host(host: &str) -> Result<(), &'static str> {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
        && address.parse::<std::net::Ipv6Addr>().is_ok()
    {
        return Ok(());
    }
    if host.contains(['[', ']', '?']) {
        return Err("\"*\" is the only wildcard");
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_*".contains(&byte);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.split('.').all(|label| !label.is_empty() && label.bytes().all(legal)) {
        Ok(())
    } else {
        Err("it does not begin with a registry host")
    }
}

/// Without the API version, query, fragment and outer slashes: what repositories are compared with.
fn normalise_path(path: &str) -> Result<String, &'static str> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = ["/v1", "/v2"]
        .iter()
        .find_map(|version| {
            path.strip_prefix(version).filter(|rest| rest.is_empty() || rest.starts_with('/'))
        })
        .unwrap_or(path);
    if path.contains(['*', '[', ']']) {
        return Err("globs are only allowed in the host");
    }
    Ok(path.trim_matches('/').to_owned())
}

/// Parts `host:port`, leaving the colons of a bracketed IPv6 address alone.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// The key for people: no userinfo (up to the last `@`), no query, at most 200 characters.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('@') => (Some(scheme), rest),
        _ => (None, text),
    };
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let query = rest.find('/').and_then(|slash| rest.get(slash..)?.find(['?', '#']).map(|at| slash + at));
    let rest = query.and_then(|at| rest.get(..at)).unwrap_or(rest);
    let whole = scheme.map_or_else(|| rest.to_owned(), |scheme| format!("{scheme}://{rest}"));
    whole.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests;
