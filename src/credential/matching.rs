//! Which key of a docker config is meant for which repository, and how closely (credentials specification §2.3, §3).
//!
//! Pure, and linear in the length of a key: a Secret is written by a tenant, so no pattern may cost more than
//! reading it. The same function serves every source except the registry configuration file, whose names follow
//! rules of their own (§4).

mod spelling;

use std::cmp::Reverse;
use std::fmt;

pub(super) use self::spelling::shown;
use self::spelling::{Defect, Spelling, split_port};
use crate::artifact::image::Repository;

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
#[error("key {shown:?}: {defect}")]
pub struct InvalidKey {
    shown: String,
    defect: Defect,
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
        match spelling::normalise(text) {
            Ok((pattern, spelling)) => Ok(Self { shown, pattern, spelling }),
            Err(defect) => Err(InvalidKey { shown, defect }),
        }
    }

    /// The key that a name of the registry configuration file stands for: of the host of `repository`, `labels` labels
    /// from the right are fixed and all others are open.
    pub(super) fn of_suffix(shown: &str, repository: &Repository, labels: usize) -> Self {
        let (host, port) = split_port(repository.registry());
        let open = host.split('.').count().saturating_sub(labels);
        let pattern = host.split('.').enumerate().map(|(n, label)| if n < open { "*" } else { label });
        let pattern = Pattern {
            host: pattern.collect::<Vec<_>>().join("."),
            port: port.filter(|port| *port != "443").map(str::to_owned),
            path: String::new(),
        };
        Self { shown: shown.to_owned(), pattern, spelling: Spelling::Exact }
    }

    /// Whether both stand for the same registry and path, however they are written.
    pub(super) fn means_the_same_as(&self, other: &Self) -> bool {
        self.pattern == other.pattern
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

#[cfg(test)]
mod tests;
