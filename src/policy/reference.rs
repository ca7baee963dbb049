//! The name of an image as a person or a pod writes it, and its one canonical form, which globs are matched
//! against (credentials specification §8.3).

use std::fmt;
use std::str::FromStr;

use crate::artifact::digest::Digest;
use crate::artifact::image::{Image, MalformedReference, Repository};

/// A repository with a tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    written: String,
    repository: Repository,
    version: Version,
}

/// What of the repository is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Version {
    /// Whatever the tag points to now.
    Tag(String),
    /// This and nothing else.
    Digest(Digest),
}

impl Reference {
    /// As it was written.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Where the image lies.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Tag or digest; a digest makes the tag beside it meaningless.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// `registry/repository:tag`, with `latest` where nothing is said, or `registry/repository@sha256:…`.
    pub fn canonical(&self) -> String {
        format!("{}{}", self.repository, self.version)
    }
}

impl FromStr for Reference {
    type Err = MalformedReference;

    fn from_str(text: &str) -> Result<Self, MalformedReference> {
        let written = text.to_owned();
        if text.contains('@') {
            let Image { repository, digest } = text.parse()?;
            return Ok(Self { written, repository, version: Version::Digest(digest) });
        }
        let repository = Repository::parse(text)?;
        let name = text.rfind('/').and_then(|slash| text.get(slash + 1..)).unwrap_or(text);
        let tag = name.split_once(':').map_or("latest", |(_, tag)| tag);
        if !is_tag(tag) {
            return Err(MalformedReference::Path(text.chars().take(300).collect()));
        }
        Ok(Self { written, repository, version: Version::Tag(tag.to_owned()) })
    }
}

impl From<&Image> for Reference {
    fn from(image: &Image) -> Self {
        let (repository, version) = (image.repository.clone(), Version::Digest(image.digest));
        Self { written: image.to_string(), repository, version }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.repository, self.version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, ":{tag}"),
            Self::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

/// The distribution specification's rule for tags.
fn is_tag(tag: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().all(|b| plain(b) || b == b'.' || b == b'-')
        && tag.bytes().next().is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "05f95b26ed10668b7183c1e2da98610e91372fa9f510046d4ce5812addad86b5";

    #[test]
    fn every_spelling_has_one_canonical_form() {
        for (written, canonical) in [
            ("ubuntu", "index.docker.io/library/ubuntu:latest".to_owned()),
            ("docker.io/team/app:1", "index.docker.io/team/app:1".to_owned()),
            ("localhost:5000/app", "localhost:5000/app:latest".to_owned()),
            ("REG.example/app:V1", "reg.example/app:V1".to_owned()),
            (&format!("reg.example/app:v1@sha256:{HEX}"), format!("reg.example/app@sha256:{HEX}")),
        ] {
            let reference: Reference = written.parse().unwrap();
            assert_eq!(reference.canonical(), canonical, "{written}");
            assert_eq!(reference.written(), written);
        }
    }

    #[test]
    fn what_is_no_tag_or_digest_is_refused() {
        for text in [
            "reg.example/app:",
            "reg.example/app:-x",
            "reg.example/app:a b",
            "reg.example/app@sha256:1",
            "reg.example/app@sha512:1",
            "https://reg.example/app",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
