//! Which resource a path of the distribution API names. Pure: text in, [`Target`] out; a path that names
//! nothing is `None` and never an error of its own.

use std::str::FromStr;

use crate::artifact::digest::Digest;

/// Longest repository name that distribution accepts.
const LONGEST_REPOSITORY: usize = 255;

/// A resource of one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) repository: String,
    pub(super) resource: Resource,
}

/// What of the repository is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    Blob(Digest),
    /// Where uploads begin.
    Uploads,
    /// One upload that has begun.
    Upload(String),
    Manifest(Reference),
    Tags,
    Referrers(Digest),
    /// The path has the form of the API, but its digest or tag is none.
    Malformed,
}

/// How a manifest is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reference {
    Tag(String),
    Digest(Digest),
}

impl Target {
    /// Reads the part of the path after `/v2/`.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let (rest, last) = path.rsplit_once('/')?;
        let (repository, resource) = if let Some(repository) = rest.strip_suffix("/blobs/uploads") {
            (repository, if last.is_empty() { Resource::Uploads } else { Resource::Upload(last.to_owned()) })
        } else if let (Some(repository), "uploads") = (rest.strip_suffix("/blobs"), last) {
            (repository, Resource::Uploads)
        } else if let Some(repository) = rest.strip_suffix("/blobs") {
            (repository, digest_or_malformed(last, Resource::Blob))
        } else if let Some(repository) = rest.strip_suffix("/manifests") {
            (repository, Reference::from_str(last).map_or(Resource::Malformed, Resource::Manifest))
        } else if let Some(repository) = rest.strip_suffix("/referrers") {
            (repository, digest_or_malformed(last, Resource::Referrers))
        } else if let (Some(repository), "list") = (rest.strip_suffix("/tags"), last) {
            (repository, Resource::Tags)
        } else {
            return None;
        };
        is_repository(repository).then(|| Self { repository: repository.to_owned(), resource })
    }
}

impl FromStr for Reference {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.contains(':') {
            return text.parse().map(Self::Digest).map_err(drop);
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let well_formed = text.len() <= 128
            && text.starts_with(word)
            && text.chars().all(|c| word(c) || c == '.' || c == '-');
        well_formed.then(|| Self::Tag(text.to_owned())).ok_or(())
    }
}

fn digest_or_malformed(text: &str, resource: fn(Digest) -> Resource) -> Resource {
    text.parse().map_or(Resource::Malformed, resource)
}

fn is_repository(name: &str) -> bool {
    let component = |part: &str| {
        let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(alphanumeric)
            && part.ends_with(alphanumeric)
            && part.chars().all(|c| alphanumeric(c) || matches!(c, '.' | '_' | '-'))
    };
    name.len() <= LONGEST_REPOSITORY && name.split('/').all(component)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(path: &str) -> Option<(String, Resource)> {
        Target::parse(path).map(|t| (t.repository, t.resource))
    }

    #[test]
    fn every_resource_of_the_api_is_found_in_nested_repositories() {
        let digest = Digest::of(b"x");
        for (path, expected) in [
            (format!("blobs/{digest}"), Resource::Blob(digest)),
            ("blobs/uploads/".to_owned(), Resource::Uploads),
            ("blobs/uploads".to_owned(), Resource::Uploads),
            ("blobs/uploads/abc".to_owned(), Resource::Upload("abc".to_owned())),
            ("manifests/v1.0".to_owned(), Resource::Manifest(Reference::Tag("v1.0".to_owned()))),
            (format!("manifests/{digest}"), Resource::Manifest(Reference::Digest(digest))),
            ("tags/list".to_owned(), Resource::Tags),
            (format!("referrers/{digest}"), Resource::Referrers(digest)),
        ] {
            for repository in ["app", "team/app", "a/blobs/b"] {
                let found = resource(&format!("{repository}/{path}"));
                assert_eq!(found, Some((repository.to_owned(), expected.clone())), "{repository}/{path}");
            }
        }
    }

    #[test]
    fn a_digest_or_tag_that_is_none_is_malformed_and_not_another_resource() {
        for path in [
            "app/blobs/sha256:12",
            "app/manifests/sha256:12",
            "app/manifests/-tag",
            "app/manifests/",
            "app/referrers/x",
        ] {
            assert_eq!(resource(path).map(|(_, r)| r), Some(Resource::Malformed), "{path}");
        }
    }

    #[test]
    fn paths_outside_the_api_and_bad_repository_names_name_nothing() {
        let long = format!("{}/tags/list", "a".repeat(256));
        for path in
            ["", "app", "app/tags/other", "/tags/list", "App/tags/list", "a//b/tags/list", "../tags/list"]
                .into_iter()
                .chain([long.as_str()])
        {
            assert_eq!(resource(path), None, "{path}");
        }
    }
}
