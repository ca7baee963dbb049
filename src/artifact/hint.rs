//! Type hints: results whose names say what a task built or used (Chains specification §3.1 to §3.5).
//! Results that look like hints and cannot be used are the matter of [`super::unusable`].

use std::collections::{HashMap, HashSet};

use super::named::NamedImage;
use crate::tekton::param::{ParamValue, RunResult};

pub(crate) const IMAGE_URL: &str = "IMAGE_URL";
pub(crate) const IMAGE_DIGEST: &str = "IMAGE_DIGEST";
pub(crate) const IMAGES: &str = "IMAGES";
pub(crate) const OUTPUTS: &str = "ARTIFACT_OUTPUTS";
const INPUTS: &str = "ARTIFACT_INPUTS";

/// A location with a digest as the result gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Located<'a> {
    pub(crate) uri: &'a str,
    pub(crate) algorithm: &'a str,
    pub(crate) hex: &'a str,
}

/// Two results with one prefix; what is missing is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) location: &'a str,
    pub(crate) digest: &'a str,
}

/// Whether a result is an output that claims to be what the run was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BuildArtifact {
    /// No such claim.
    No,
    /// It is, with location and digest.
    Yes,
    /// It claims to be, or is named like it, but cannot be.
    Malformed,
}

/// Images that results name, without repetitions: pairs of URL and digest in the order of their first result,
/// then the list `IMAGES`, then outputs that are build artifacts.
pub(crate) fn images(results: &[RunResult<'_>]) -> Vec<NamedImage> {
    let paired = pairs(results, IMAGE_URL, IMAGE_DIGEST);
    let paired = paired.iter().filter(|pair| pair.is_complete());
    let mut seen = HashSet::new();
    paired
        .filter_map(|pair| NamedImage::of(pair.location, pair.digest).ok())
        .chain(listed(results).filter_map(|item| NamedImage::parse(item).ok()))
        .chain(outputs_claimed(results).filter_map(|(uri, digest)| NamedImage::of(uri, digest).ok()))
        .filter(|image| seen.insert((image.name.clone(), image.digest)))
        .collect()
}

/// Results that end in the two suffixes, joined by what is in front of them, in the order of their first.
pub(crate) fn pairs<'a>(results: &'a [RunResult<'a>], location: &str, digest: &str) -> Vec<Pair<'a>> {
    let mut pairs: Vec<Pair<'a>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for result in results {
        let value = result.value.text().trim();
        let (prefix, is_location) =
            match (result.name.strip_suffix(location), result.name.strip_suffix(digest)) {
                (Some(prefix), _) if !value.is_empty() => (prefix, true),
                (_, Some(prefix)) if !value.is_empty() => (prefix, false),
                _ => continue,
            };
        let place = *places.entry(prefix).or_insert_with(|| {
            pairs.push(Pair { prefix, location: "", digest: "" });
            pairs.len() - 1
        });
        match pairs.get_mut(place) {
            Some(pair) if is_location => pair.location = value,
            Some(pair) => pair.digest = value,
            None => {}
        }
    }
    pairs
}

/// Entries of results called `IMAGES`.
pub(crate) fn listed<'a>(results: &'a [RunResult<'a>]) -> impl Iterator<Item = &'a str> {
    results
        .iter()
        .filter(|result| result.name == IMAGES)
        .flat_map(|result| result.value.text().split([',', '\n']))
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// Pairs `*ARTIFACT_URI` and `*ARTIFACT_DIGEST` with a digest of a known algorithm.
pub(crate) fn located_pairs<'a>(results: &'a [RunResult<'a>]) -> impl Iterator<Item = Located<'a>> {
    pairs(results, "ARTIFACT_URI", "ARTIFACT_DIGEST")
        .into_iter()
        .filter(Pair::is_complete)
        .filter_map(|pair| Located::of(pair.location, pair.digest))
}

/// Objects `*ARTIFACT_OUTPUTS`, whether or not they claim to be build artifacts.
pub(crate) fn outputs<'a>(results: &'a [RunResult<'a>]) -> impl Iterator<Item = Located<'a>> {
    objects(results, OUTPUTS)
}

/// Objects `*ARTIFACT_INPUTS`.
pub(crate) fn inputs<'a>(results: &'a [RunResult<'a>]) -> impl Iterator<Item = Located<'a>> {
    objects(results, INPUTS)
}

/// Objects `*ARTIFACT_OUTPUTS` that say that they are what the run was for.
pub(crate) fn build_artifacts<'a>(results: &'a [RunResult<'a>]) -> impl Iterator<Item = Located<'a>> {
    outputs_claimed(results).filter_map(|(uri, digest)| Located::of(uri, digest))
}

/// What a result says of itself.
pub(crate) fn build_artifact(result: &RunResult<'_>) -> BuildArtifact {
    if !result.name.ends_with(OUTPUTS) {
        return BuildArtifact::No;
    }
    if !matches!(result.value, ParamValue::Object(_)) {
        return BuildArtifact::Malformed;
    }
    if result.value.property("isBuildArtifact") != "true" {
        return BuildArtifact::No;
    }
    match Located::of(result.value.property("uri"), result.value.property("digest")) {
        Some(_) => BuildArtifact::Yes,
        None => BuildArtifact::Malformed,
    }
}

/// Whether a result belongs to a hint for images, usable or not.
pub(crate) fn names_images(result: &RunResult<'_>) -> bool {
    result.name.ends_with(IMAGE_URL) || result.name.ends_with(IMAGE_DIGEST) || result.name == IMAGES
}

fn objects<'a>(results: &'a [RunResult<'a>], suffix: &str) -> impl Iterator<Item = Located<'a>> {
    results
        .iter()
        .filter(move |result| result.name.ends_with(suffix))
        .filter_map(|result| Located::of(result.value.property("uri"), result.value.property("digest")))
}

fn outputs_claimed<'a>(results: &'a [RunResult<'a>]) -> impl Iterator<Item = (&'a str, &'a str)> {
    results
        .iter()
        .filter(|result| build_artifact(result) == BuildArtifact::Yes)
        .map(|result| (result.value.property("uri"), result.value.property("digest")))
}

impl Pair<'_> {
    pub(crate) fn is_complete(&self) -> bool {
        !self.location.is_empty() && !self.digest.is_empty()
    }
}

impl<'a> Located<'a> {
    /// Takes a location and a digest `algorithm:hex` of an algorithm that is known here.
    pub(crate) fn of(uri: &'a str, digest: &'a str) -> Option<Self> {
        let (algorithm, hex) = digest.split_once(':').filter(|(_, hex)| !hex.contains(':'))?;
        let digits = match algorithm.trim().to_ascii_lowercase().as_str() {
            "sha1" => 40,
            "sha256" => 64,
            "sha384" => 96,
            "sha512" => 128,
            _ => return None,
        };
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (!uri.is_empty() && hex.trim().len() == digits && hex.trim().bytes().all(lower_hex)).then_some(Self {
            uri,
            algorithm,
            hex,
        })
    }

    /// Algorithm and digits in their normal form, as inputs give them.
    pub(crate) fn normal(&self) -> (String, &'a str) {
        (self.algorithm.trim().to_ascii_lowercase(), self.hex.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const HEX: &str = "05f95b26ed10668b7183c1e2da98610e91372fa9f510046d4ce5812addad86b5";

    fn results(entries: &Value) -> Vec<RunResult<'_>> {
        entries.as_array().unwrap().iter().map(RunResult::of).collect()
    }

    fn names(entries: &Value) -> Vec<String> {
        images(&results(entries)).into_iter().map(|image| image.name).collect()
    }

    #[test]
    fn pairs_are_joined_by_prefix_in_the_order_of_their_first_result() {
        let digest = format!("sha256:{HEX}\n");
        let entries = json!([
            {"name": "z-IMAGE_DIGEST", "value": digest}, {"name": "aIMAGE_URL", "value": "r.io/a1"},
            {"name": "z-IMAGE_URL", "value": " r.io/z1 "}, {"name": "aIMAGE_DIGEST", "value": digest},
            {"name": "aIMAGE_URL", "value": "r.io/a2"}, {"name": "aIMAGE_URL", "value": ""},
            {"name": "image_url", "value": "r.io/lower"}, {"name": "IMAGE_URL", "value": ["r.io/list"]}]);
        assert_eq!(names(&entries), ["r.io/z1", "r.io/a2"]);
    }

    #[test]
    fn a_list_of_images_keeps_its_good_entries() {
        let entries = json!([{"name": "IMAGES", "value": format!("r.io/a1@sha256:{HEX}, bad\nr.io/b1:t@sha256:{HEX},,")},
            {"name": "x-IMAGES", "value": format!("r.io/c1@sha256:{HEX}")}]);
        assert_eq!(names(&entries), ["r.io/a1", "r.io/b1"]);
    }

    #[test]
    fn an_image_named_three_times_is_one() {
        let entries = json!([{"name": "IMAGE_URL", "value": "r.io/a1:v1"}, {"name": "IMAGE_DIGEST", "value": format!("sha256:{HEX}")},
            {"name": "IMAGES", "value": format!("r.io/a1@sha256:{HEX}")},
            {"name": "ARTIFACT_OUTPUTS", "value": {"uri": "r.io/a1", "digest": format!("sha256:{HEX}"), "isBuildArtifact": "true"}}]);
        assert_eq!(names(&entries), ["r.io/a1"]);
    }

    #[test]
    fn outputs_tell_what_they_are() {
        let digest = format!("sha256:{HEX}");
        for (value, expected) in [
            (json!({"uri": "u", "digest": digest, "isBuildArtifact": "true"}), BuildArtifact::Yes),
            (json!({"uri": "u", "digest": digest, "isBuildArtifact": "True"}), BuildArtifact::No),
            (json!({"uri": "u", "digest": digest}), BuildArtifact::No),
            (json!({"digest": digest, "isBuildArtifact": "true"}), BuildArtifact::Malformed),
            (json!({"uri": "u", "digest": "main", "isBuildArtifact": "true"}), BuildArtifact::Malformed),
            (json!("text"), BuildArtifact::Malformed),
        ] {
            let entry = json!({"name": "x-ARTIFACT_OUTPUTS", "value": value});
            assert_eq!(build_artifact(&RunResult::of(&entry)), expected, "{entry}");
        }
    }

    #[test]
    fn digests_of_known_algorithms_only() {
        let sha1 = "7f2f46e1b97df36b2b82d1b1d87c81b8b3d21601";
        for (digest, good) in [
            (format!("sha256:{HEX}"), true),
            (format!(" SHA256 : {HEX}\n"), true),
            (format!("sha1:{sha1}"), true),
            (format!("sha512:{HEX}{HEX}"), true),
            (format!("sha384:{HEX}"), false),
            (format!("sha256:{}", HEX.to_uppercase()), false),
            (format!("sha256:sha256:{HEX}"), false),
            (format!("md5:{HEX}"), false),
            (HEX.to_owned(), false),
        ] {
            assert_eq!(Located::of("u", &digest).is_some(), good, "{digest}");
        }
        let upper = format!(" SHA256 : {HEX}\n");
        let located = Located::of("u", &upper).unwrap();
        assert_eq!((located.algorithm, located.normal()), (" SHA256 ", ("sha256".to_owned(), HEX)));
    }
}
