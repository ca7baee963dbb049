//! The globs by which a policy says which images it governs (credentials specification §8.3).
//!
//! `*` stands for any run without a slash, `**` for any run. A glob is matched whole, against the canonical form of
//! a reference. Docker Hub's short names mean the same as its long ones, where policy-controller lets a short one
//! match nothing at admission.

use std::fmt;

use regex::Regex;

use super::finding::Problem;
use super::reference::Reference;
use crate::artifact::image::{DOCKER_HUB, Repository, canonical_host};

/// Names that are longer are no names.
const LONGEST: usize = 512;

/// A pattern for names of images.
#[derive(Debug, Clone)]
pub struct Glob {
    written: String,
    expanded: String,
    regex: Regex,
}

impl Glob {
    /// Reads a glob; the problem says what to write instead.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if text.contains('$') {
            return Err(Problem::Placeholder(text.chars().take(200).collect()));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_:/*.@".contains(c);
        if text.is_empty() || text.len() > LONGEST || !text.chars().all(allowed) {
            return Err(Problem::Glob(text.chars().take(200).collect()));
        }
        let expanded = expanded(text);
        let regex = Regex::new(&pattern(&expanded)).map_err(|_| Problem::Glob(text.to_owned()))?;
        Ok(Self { written: text.to_owned(), expanded, regex })
    }

    /// Whether it governs the image.
    pub fn matches(&self, image: &Reference) -> bool {
        self.written == image.written() || self.regex.is_match(&image.canonical())
    }

    /// What its author may not have meant.
    pub fn doubt(&self) -> Option<Problem> {
        let last = self.expanded.rsplit('/').next().unwrap_or_default();
        if last.contains('@') {
            return None;
        }
        if last.contains(':') {
            return Some(Problem::TagOnlyGlob);
        }
        (!last.contains('*')).then_some(Problem::GlobWithoutTag)
    }

    /// What `$image` stands for: the part of the image's name behind what the glob spells out (§8.4). A segment
    /// that the glob begins is taken whole.
    pub fn remainder(&self, image: &Repository) -> String {
        let name = image.to_string();
        let literal = match self.expanded.find('*') {
            Some(star) => self.expanded.get(..star).unwrap_or_default(),
            None => return name.rsplit('/').next().unwrap_or_default().to_owned(),
        };
        let spelled = literal.rfind('/').map_or("", |slash| literal.get(..=slash).unwrap_or_default());
        name.strip_prefix(spelled).unwrap_or(&name).to_owned()
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// The glob with the registry that it leaves out.
fn expanded(text: &str) -> String {
    let Some((first, rest)) = text.split_once('/') else {
        return if is_name_alone(text) { format!("{DOCKER_HUB}/library/{text}") } else { text.to_owned() };
    };
    if text == "*/*" {
        return format!("{DOCKER_HUB}/{text}");
    }
    if first.contains('*') {
        return text.to_owned();
    }
    if first.contains(['.', ':']) || first.eq_ignore_ascii_case("localhost") {
        return format!("{}/{rest}", canonical_host(first));
    }
    format!("{DOCKER_HUB}/{text}")
}

/// A glob of one segment is a name at Docker Hub (`ubuntu`, `ubuntu:*`, `*`), unless it is made to reach across
/// slashes from a host on (`ghcr.io**`, `**`).
fn is_name_alone(text: &str) -> bool {
    let (name, tagged) = text.split_once(':').map_or((text, false), |(name, _)| (name, true));
    let is_host = name.contains('.') || name.eq_ignore_ascii_case("localhost");
    let reaches_across = text.starts_with("**") || (tagged && text.contains("**"));
    !is_host && !reaches_across
}

fn pattern(glob: &str) -> String {
    let runs = glob.split("**").map(|run| {
        let literals: Vec<String> = run.split('*').map(regex::escape).collect();
        literals.join("[^/]*")
    });
    format!("^{}$", runs.collect::<Vec<_>>().join(".*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "@sha256:05f95b26ed10668b7183c1e2da98610e91372fa9f510046d4ce5812addad86b5";

    fn matches(glob: &str, image: &str) -> bool {
        let image = image.replace("@…", DIGEST).parse().unwrap();
        Glob::parse(glob).unwrap().matches(&image)
    }

    #[test]
    fn every_row_of_the_table_of_globs() {
        for (glob, image, expected) in [
            ("registry.example.com/*", "registry.example.com/app:1", true),
            ("registry.example.com/*", "registry.example.com/team/app:1", false),
            ("registry.example.com/**", "registry.example.com/team/app:1", true),
            ("privatenamespace/*", "privatenamespace/app", true),
            ("privatenamespace/*", "index.docker.io/privatenamespace/app@…", true),
            ("privatenamespace/*", "docker.io/privatenamespace/app", true),
            ("index.docker.io/privatenamespace/*", "privatenamespace/app", true),
            ("*", "ubuntu", true),
            ("*", "ghcr.io/a-b", false),
            ("*/*", "u/app", true),
            ("**", "anything", true),
            ("**", "ghcr.io/a/b/c@…", true),
            ("ghcr.io/foo/bar", "ghcr.io/foo/bar", true),
            ("ghcr.io/foo/bar", "ghcr.io/foo/bar:latest", false),
            ("ghcr.io/foo/bar*", "ghcr.io/foo/bar@…", true),
            ("ghcr.io/foo/bar:*", "ghcr.io/foo/bar:v1@…", false),
            ("ghcr.io/foo/bar:*", "ghcr.io/foo/bar:v1", true),
            ("*.dkr.ecr.us-west-2.amazonaws.com/*", "1.dkr.ecr.us-west-2.amazonaws.com/team/app", false),
            ("*.dkr.ecr.us-west-2.amazonaws.com/**", "1.dkr.ecr.us-west-2.amazonaws.com/team/app", true),
        ] {
            assert_eq!(matches(glob, image), expected, "{glob} {image}");
        }
    }

    #[test]
    fn more_spellings_of_docker_hub_are_one() {
        for (glob, image, expected) in [
            ("docker.io/team/*", "team/app@…", true),
            ("registry-1.docker.io/team/*", "team/app", true),
            ("ubuntu", "ubuntu", true),
            ("ubuntu*", "docker.io/library/ubuntu:22.04", true),
            ("ubuntu:*", "ubuntu:22.04", true),
            ("library/ubuntu*", "ubuntu:22.04", true),
            ("localhost/*", "localhost/app", true),
            ("localhost:5000/*", "localhost:5000/app", true),
            ("ghcr.io**", "ghcr.io/team/app", true),
            ("team/*", "ghcr.io/team/app", false),
        ] {
            assert_eq!(matches(glob, image), expected, "{glob} {image}");
        }
    }

    #[test]
    fn a_glob_is_matched_whole_and_its_dots_are_dots() {
        assert!(!matches("ghcr.io/app*", "evil.example/ghcr.io/app"));
        assert!(!matches("ghcr.io/app:1", "ghcr.io/app:12"));
        assert!(!matches("registry.example/*", "registryxexample.com/app"));
    }

    #[test]
    fn placeholders_and_other_languages_of_patterns_are_refused() {
        for glob in ["gcr.io/$p/*", "$account.dkr.ecr.us-west-2.amazonaws.com/*", "${x}/*"] {
            let problem = Glob::parse(glob).unwrap_err();
            assert!(problem.to_string().contains("replace the placeholder"), "{problem}");
        }
        for glob in ["a+b", "[a-z]*", ".+", "", "a b", "a\u{e9}", &"a".repeat(513)] {
            assert!(matches!(Glob::parse(glob), Err(Problem::Glob(_))), "{glob}");
        }
    }

    #[test]
    fn globs_that_mean_less_than_they_seem_are_doubted() {
        let doubt = |glob: &str| Glob::parse(glob).unwrap().doubt();
        assert_eq!(doubt("ghcr.io/foo/bar"), Some(Problem::GlobWithoutTag));
        assert_eq!(doubt("ghcr.io/foo/bar:*"), Some(Problem::TagOnlyGlob));
        assert_eq!(doubt("ghcr.io/foo/bar:v1"), Some(Problem::TagOnlyGlob));
        for glob in ["ghcr.io/foo/bar*", "ghcr.io/foo/bar@*", "**", "*", &format!("ghcr.io/foo/bar{DIGEST}")]
        {
            assert_eq!(doubt(glob), None, "{glob}");
        }
    }

    #[test]
    fn the_rest_of_a_name_is_what_the_glob_leaves_open() {
        for (glob, image, expected) in [
            ("privatenamespace/*", "privatenamespace/app", "app"),
            ("ghcr.io/org/**", "ghcr.io/org/team/app", "team/app"),
            ("ghcr.io/org/app-*", "ghcr.io/org/app-one", "app-one"),
            ("ghcr.io/org/app", "ghcr.io/org/app", "app"),
            ("**", "ghcr.io/org/app", "ghcr.io/org/app"),
        ] {
            let image = Repository::parse(image).unwrap();
            assert_eq!(Glob::parse(glob).unwrap().remainder(&image), expected, "{glob}");
        }
    }
}
