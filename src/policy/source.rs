//! `source`: where the signatures of an image lie when they do not lie beside it (credentials specification §8.4).
//!
//! A bare registry means the image's own path there. upstream takes it for a name at Docker Hub and finds nothing,
//! without a word; that is not copied. `$image` stands for what the glob of the policy leaves open.

use super::field::Fields;
use super::finding::{Notes, Problem};
use super::glob::Glob;
use crate::artifact::image::{MalformedReference, Repository, canonical_host};

/// The one source of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where; beside the image without it.
    pub place: Option<Place>,
    /// Names of Secrets that open it.
    pub pull_secrets: Vec<String>,
    /// Stands before the tag.
    pub tag_prefix: Option<String>,
}

/// Where signatures lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the repository of the same path on another registry.
    Registry(String),
    /// In one repository for all images.
    Repository(Repository),
    /// In a repository for each image: the text with `$image` in it.
    PerImage(String),
}

const IMAGE: &str = "$image";

impl Source {
    /// Reads the `source` of an authority.
    pub(super) fn read(authority: &Fields<'_>, notes: &mut Notes) -> Option<Self> {
        let field = authority.get("source")?;
        let path = field.path.clone();
        let mut items = field.items(notes).into_iter();
        let first = items.next()?;
        if items.next().is_some() {
            notes.error(&path, Problem::SingleSource);
        }
        let fields = first.fields(&["oci", "signaturePullSecrets", "tagPrefix"], notes)?;
        let mut pull_secrets = Vec::new();
        for item in fields.items("signaturePullSecrets", notes) {
            let name = item.fields(&["name"], notes).and_then(|fields| fields.require("name", notes));
            pull_secrets.extend(name.and_then(|name| name.text(notes).map(str::to_owned)));
        }
        let place = fields.get("oci").and_then(|oci| {
            let place = Place::parse(oci.text(notes)?);
            place.map_err(|problem| notes.error(&oci.path, problem)).ok()
        });
        Some(Self { place, pull_secrets, tag_prefix: fields.text("tagPrefix", notes) })
    }
}

impl Place {
    /// Reads `source[].oci`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.contains('*') {
            return Err(Problem::Pattern);
        }
        let (times, without) = (text.matches(IMAGE).count(), text.replace(IMAGE, ""));
        if without.contains('$') {
            return Err(Problem::Placeholder(text.chars().take(200).collect()));
        }
        if times > 0 {
            if times > 1 || !text.split('/').skip(1).any(|segment| segment == IMAGE) {
                return Err(Problem::ImageVariable);
            }
            // Whether the rest is a name shows with any image.
            Repository::parse(&text.replace(IMAGE, "image"))?;
            return Ok(Self::PerImage(text.to_owned()));
        }
        let is_host = text.contains(['.', ':']) || text == "localhost";
        if is_host && !text.contains('/') {
            let probe = Repository::parse(&format!("{text}/image"))?;
            return Ok(Self::Registry(probe.registry().to_owned()));
        }
        Ok(Self::Repository(Repository::parse(text)?))
    }

    /// Where the signatures of `image` lie, that `glob` has made the policy's.
    pub fn of(&self, image: &Repository, glob: &Glob) -> Result<Repository, MalformedReference> {
        match self {
            Self::Repository(repository) => Ok(repository.clone()),
            Self::Registry(host) => Repository::parse(&format!("{}/{}", canonical_host(host), image.path())),
            Self::PerImage(text) => Repository::parse(&text.replace(IMAGE, &glob.remainder(image))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(oci: &str, glob: &str, image: &str) -> String {
        let (glob, image) = (Glob::parse(glob).unwrap(), Repository::parse(image).unwrap());
        Place::parse(oci).unwrap().of(&image, &glob).unwrap().to_string()
    }

    #[test]
    fn each_form_names_the_repository_that_its_author_means() {
        for (oci, glob, image, expected) in [
            (
                "registry.example.com",
                "registry.example.com/**",
                "registry.example.com/a/b",
                "registry.example.com/a/b",
            ),
            ("sigs.example:5000", "**", "registry.example.com/a/b", "sigs.example:5000/a/b"),
            ("localhost", "**", "registry.example.com/a/b", "localhost/a/b"),
            ("sigs.example/all", "**", "registry.example.com/a/b", "sigs.example/all"),
            ("team/signatures", "**", "registry.example.com/a/b", "index.docker.io/team/signatures"),
            (
                "index.docker.io/privatenamespace/$image",
                "privatenamespace/*",
                "privatenamespace/app",
                "index.docker.io/privatenamespace/app",
            ),
            ("sigs.example/$image", "ghcr.io/org/**", "ghcr.io/org/team/app", "sigs.example/team/app"),
            (
                "sigs.example/$image/signatures",
                "ghcr.io/org/app*",
                "ghcr.io/org/app",
                "sigs.example/app/signatures",
            ),
        ] {
            assert_eq!(place(oci, glob, image), expected, "{oci}");
        }
    }

    #[test]
    fn patterns_and_variables_of_examples_are_refused() {
        assert_eq!(Place::parse("registry.example.com/*"), Err(Problem::Pattern));
        assert!(matches!(Place::parse("gcr.io/$project/app"), Err(Problem::Placeholder(_))));
        assert!(matches!(Place::parse("gcr.io/$images"), Err(Problem::ImageVariable)));
        for text in ["$image", "gcr.io/app-$image", "gcr.io/$image/$image", "$image/app"] {
            assert_eq!(Place::parse(text), Err(Problem::ImageVariable), "{text}");
        }
        assert!(matches!(Place::parse("https://gcr.io/app"), Err(Problem::Repository(_))));
        assert!(matches!(Place::parse("gcr.io/UPPER"), Err(Problem::Repository(_))));
    }
}
