//! Names of images: a repository in its one canonical form, and an image pinned by digest
//! (credentials specification §0, Chains specification §3.1).
//!
//! Own parsing and not `oci_client::Reference`, because the canonical form differs from that crate's:
//! Docker Hub is `index.docker.io` (the name that `.sig` payloads and docker configs use), hosts are
//! lower-cased, one trailing dot is dropped, and a scheme is an error with a remedy.

use std::fmt;
use std::str::FromStr;

use super::digest::{Digest, MalformedDigest};

/// Host under which Docker Hub is known in references, credentials and signatures alike.
pub const DOCKER_HUB: &str = "index.docker.io";

/// Other names that mean Docker Hub (credentials specification §3.4).
pub const DOCKER_HUB_ALIASES: [&str; 4] =
    ["docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com"];

/// A registry host with the path of a repository in it, without tag or digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    registry: String,
    path: String,
}

/// An image that a run built, pinned by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Image {
    /// Where the image lies.
    pub repository: Repository,
    /// What it is.
    pub digest: Digest,
}

/// Why a text is no repository or image reference; the message ends with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedReference {
    /// `https://…`, `oci://…`.
    #[error("{0:?} has a scheme: remove the scheme")]
    Scheme(String),
    /// Characters or lengths that no registry accepts.
    #[error(
        "{0:?} is not a repository: use lower-case letters, digits and the characters \"._-/\" (2 to 255 of them)"
    )]
    Path(String),
    /// Something that is neither a host nor a `host:port`.
    #[error("{0:?} is not a registry host: use a DNS name or address, with a port if needed")]
    Host(String),
    /// Not exactly one `@`.
    #[error("{0:?} is not pinned: write it as repository@sha256:<64 hexadecimal digits>")]
    NotPinned(String),
    /// The part behind the `@`.
    #[error(transparent)]
    Digest(#[from] MalformedDigest),
}

impl Repository {
    /// Host and, if there is one, port, in lower case.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path without a leading slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reads `[registry/]path[:tag]`; the tag is dropped, since content is named by digest only.
    pub fn parse(text: &str) -> Result<Self, MalformedReference> {
        let shown = || text.chars().take(300).collect::<String>();
        if text.contains("://") {
            return Err(MalformedReference::Scheme(shown()));
        }
        let (host, rest) = match text.split_once('/') {
            Some((first, rest)) if is_host(first) => (canonical_host(first), rest),
            _ => (DOCKER_HUB.to_owned(), text),
        };
        // `1.` is a host by its dot alone: without it the text would name another registry.
        if !valid_host(&host) || !is_host(&host) {
            return Err(MalformedReference::Host(shown()));
        }
        let path = without_tag(rest);
        let path = if host == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if !valid_path(&path) {
            return Err(MalformedReference::Path(shown()));
        }
        Ok(Self { registry: host, path })
    }
}

impl FromStr for Repository {
    type Err = MalformedReference;

    fn from_str(text: &str) -> Result<Self, MalformedReference> {
        Self::parse(text)
    }
}

impl FromStr for Image {
    type Err = MalformedReference;

    fn from_str(text: &str) -> Result<Self, MalformedReference> {
        let (name, digest) = text
            .split_once('@')
            .filter(|(_, digest)| !digest.contains('@'))
            .ok_or_else(|| MalformedReference::NotPinned(text.chars().take(300).collect()))?;
        Ok(Self { repository: Repository::parse(name)?, digest: digest.parse()? })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

/// Lower case, one trailing dot dropped, Docker Hub under one name.
pub fn canonical_host(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    let host = match host.split_once(':') {
        Some((name, port)) => format!("{}:{port}", name.strip_suffix('.').unwrap_or(name)),
        None => host.strip_suffix('.').unwrap_or(&host).to_owned(),
    };
    if DOCKER_HUB_ALIASES.contains(&host.as_str()) { DOCKER_HUB.to_owned() } else { host }
}

/// The rule of every container tool: a first segment is a host when it has a dot or a colon, or is `localhost`.
fn is_host(segment: &str) -> bool {
    segment.contains(['.', ':']) || segment.eq_ignore_ascii_case("localhost")
}

fn valid_host(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return address.parse::<std::net::Ipv6Addr>().is_ok()
            && (port.is_empty() || port.strip_prefix(':').is_some_and(valid_port));
    }
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.split('.').all(label) && port.is_none_or(valid_port)
}

fn valid_port(port: &str) -> bool {
    port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

/// A tag follows the last colon, and only behind the last slash.
fn without_tag(path: &str) -> &str {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    path.get(name..)
        .and_then(|last| last.find(':'))
        .and_then(|colon| path.get(..name + colon))
        .unwrap_or(path)
}

fn valid_path(path: &str) -> bool {
    (2..=255).contains(&path.len())
        && path.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/".contains(&b))
        && path
            .split('/')
            .all(|segment| !segment.is_empty() && segment.bytes().any(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_canonical_form_table() {
        for (text, registry, path) in [
            ("ubuntu", DOCKER_HUB, "library/ubuntu"),
            ("docker.io/ubuntu", DOCKER_HUB, "library/ubuntu"),
            ("docker.io/x/y", DOCKER_HUB, "x/y"),
            ("registry-1.docker.io/u/x", DOCKER_HUB, "u/x"),
            ("reg/x", DOCKER_HUB, "reg/x"),
            ("localhost/xy", "localhost", "xy"),
            ("localhost:5000/xy", "localhost:5000", "xy"),
            ("127.0.0.1:8000/a/b", "127.0.0.1:8000", "a/b"),
            ("REG.example.com/xy", "reg.example.com", "xy"),
            ("reg.example.com./xy", "reg.example.com", "xy"),
            ("localhost./xy", "localhost", "xy"),
            ("reg.:5000/xy", "reg:5000", "xy"),
            ("[::1]:5000/xy", "[::1]:5000", "xy"),
            ("ghcr.io", DOCKER_HUB, "library/ghcr.io"),
            ("gcr.io/foo/bar:v1", "gcr.io", "foo/bar"),
            ("localhost:5000/xy:v1", "localhost:5000", "xy"),
        ] {
            let repository = Repository::parse(text).unwrap();
            assert_eq!((repository.registry(), repository.path()), (registry, path), "{text}");
        }
    }

    #[test]
    fn schemes_and_upper_case_paths_are_refused_with_a_remedy() {
        assert!(matches!(Repository::parse("oci://reg.example.com/x"), Err(MalformedReference::Scheme(_))));
        assert!(matches!(Repository::parse("https://reg.example.com/x"), Err(MalformedReference::Scheme(_))));
        assert!(matches!(Repository::parse("Foo/bar"), Err(MalformedReference::Path(_))));
        assert!(matches!(Repository::parse("reg.example.com/a//b"), Err(MalformedReference::Path(_))));
        assert!(matches!(Repository::parse("reg.example.com/../b"), Err(MalformedReference::Path(_))));
        assert!(matches!(Repository::parse("a b.c/xy"), Err(MalformedReference::Host(_))));
        assert!(
            matches!(Repository::parse("1./ap"), Err(MalformedReference::Host(_))),
            "1/ap is Docker Hub's"
        );
        assert!(matches!(Repository::parse("reg.example.com:99999/xy"), Err(MalformedReference::Host(_))));
    }

    #[test]
    fn an_image_needs_exactly_one_digest() {
        let hex = "05f95b26ed10668b7183c1e2da98610e91372fa9f510046d4ce5812addad86b5";
        let image: Image = format!("gcr.io/foo/bar:v1@sha256:{hex}").parse().unwrap();
        assert_eq!(image.to_string(), format!("gcr.io/foo/bar@sha256:{hex}"));
        for text in ["gcr.io/foo/bar".to_owned(), format!("gcr.io/foo/bar@sha256:{hex}@sha256:{hex}")] {
            assert!(matches!(text.parse::<Image>(), Err(MalformedReference::NotPinned(_))), "{text}");
        }
    }
}
