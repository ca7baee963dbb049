//! An image as a result names it. Statements keep the name that Chains would give it, down to a scheme in
//! front or a host in capitals (Chains specification §3.1); what is signed and pushed is the canonical
//! [`Image`], and there may be none.

use super::digest::Digest;
use super::image::{DOCKER_HUB, Image, MalformedReference, Repository};

/// A name with a digest out of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedImage {
    /// Repository without tag, as statements name it.
    pub(crate) name: String,
    pub(crate) digest: Digest,
    /// What can be signed, or why nothing can.
    pub(crate) image: Result<Image, MalformedReference>,
}

impl NamedImage {
    /// Reads `repository[:tag]@sha256:…`.
    pub(crate) fn parse(text: &str) -> Result<Self, MalformedReference> {
        match text.split_once('@') {
            Some((repository, digest)) => Self::of(repository, digest),
            None => Err(MalformedReference::NotPinned(shown(text))),
        }
    }

    /// Puts together a repository, which may have a tag, and its digest.
    pub(crate) fn of(repository: &str, digest: &str) -> Result<Self, MalformedReference> {
        if repository.contains('@') || digest.contains('@') {
            return Err(MalformedReference::NotPinned(shown(repository)));
        }
        let digest = digest.parse()?;
        let name = stated_name(repository)?;
        let image = Repository::parse(repository).map(|repository| Image { repository, digest });
        Ok(Self { name, digest, image })
    }
}

/// The name of the repository in statements.
fn stated_name(text: &str) -> Result<String, MalformedReference> {
    let path = || MalformedReference::Path(shown(text));
    let segment = text.rfind('/').map_or(0, |slash| slash + 1);
    let untagged = match text.get(segment..).and_then(|last| last.rfind(':')) {
        Some(colon) => {
            let (name, tag) = text.split_at_checked(segment + colon).ok_or_else(path)?;
            if !tag.bytes().skip(1).all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
                || tag.len() > 129
            {
                return Err(path());
            }
            name
        }
        None => text,
    };
    let (host, rest) = match untagged.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => (DOCKER_HUB, untagged),
    };
    let host = if host == "docker.io" { DOCKER_HUB } else { host };
    if !rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-./".contains(&b))
        || !(2..=255).contains(&rest.len())
    {
        return Err(path());
    }
    if !is_authority(host) {
        return Err(MalformedReference::Host(shown(text)));
    }
    let library = if host == DOCKER_HUB && !rest.contains('/') { "library/" } else { "" };
    Ok(format!("{host}/{library}{rest}"))
}

/// What the host of a URL may look like, an empty port included.
fn is_authority(host: &str) -> bool {
    let (name, port) = match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => host.split_at(colon),
        _ => (host, ":"),
    };
    port.bytes().skip(1).all(|b| b.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~[]:".contains(&b))
        && (name.starts_with('[') || !name.contains(':'))
}

fn shown(text: &str) -> String {
    text.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:05f95b26ed10668b7183c1e2da98610e91372fa9f510046d4ce5812addad86b5";

    #[test]
    fn statements_keep_the_name_that_the_peer_gives() {
        for (text, name, signed) in [
            ("gcr.io/foo/bar", "gcr.io/foo/bar", true),
            ("gcr.io/foo/bar:v1", "gcr.io/foo/bar", true),
            ("ubuntu", "index.docker.io/library/ubuntu", true),
            ("docker.io/u/app", "index.docker.io/u/app", true),
            ("localhost:5000/app", "localhost:5000/app", true),
            ("localhost:5000", "index.docker.io/library/localhost", true),
            ("REG.example.com/app", "REG.example.com/app", true),
            ("[::1]:5000/app", "[::1]:5000/app", true),
            ("https://gcr.io/foo/bar", "https://gcr.io/foo/bar", false),
            ("oci://gcr.io/foo/bar:v1", "oci://gcr.io/foo/bar", false),
        ] {
            let named = NamedImage::of(text, DIGEST).unwrap();
            assert_eq!((named.name.as_str(), named.image.is_ok()), (name, signed), "{text}");
        }
    }

    #[test]
    fn the_host_of_a_signed_image_is_canonical() {
        let named = NamedImage::of("REG.example.com/app", DIGEST).unwrap();
        assert_eq!(named.image.unwrap().repository.registry(), "reg.example.com");
    }

    #[test]
    fn what_no_registry_could_hold_is_refused() {
        for text in [
            "gcr.io/Foo/bar",
            "a",
            "gcr.io/a b",
            "gcr.io/foo:bad tag",
            "ex%ample.com/foo",
            "",
            "a@b/cc",
            "h.x:y/ab",
        ] {
            assert!(NamedImage::of(text, DIGEST).is_err(), "{text}");
        }
        assert!(matches!(NamedImage::parse("gcr.io/foo"), Err(MalformedReference::NotPinned(_))));
        assert!(matches!(NamedImage::parse("gcr.io/foo@sha256:ab"), Err(MalformedReference::Digest(_))));
        assert!(NamedImage::parse(&format!("gcr.io/foo@{DIGEST}@{DIGEST}")).is_err());
    }
}
