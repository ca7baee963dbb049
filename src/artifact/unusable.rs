//! Results that name an image and cannot be used. Chains drops them without a word; here each is told with
//! its remedy, so that a run is never called signed while its author believes in a signature that is not there.

use super::hint::{self, IMAGE_DIGEST, IMAGE_URL, IMAGES};
use super::image::MalformedReference;
use super::named::NamedImage;
use crate::tekton::param::{ParamValue, RunResult};

/// So many are told of at most: a hostile run can hold a great number of them.
const MAX_UNUSABLE: usize = 64;

/// Characters of a value that are shown.
const MAX_VALUE: usize = 200;

/// A result that names an image and cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Name of the result.
    pub result: String,
    /// Its value, cut to 200 characters.
    pub value: String,
    /// Why it cannot be used.
    pub reason: Reason,
}

/// Why a result cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A list or an object where a text belongs.
    #[error("the value is not a text")]
    NotText,
    /// A text or a list where an object belongs.
    #[error("the value is not an object with \"uri\" and \"digest\"")]
    NotAnObject,
    /// One half of a pair, without the named other.
    #[error("result {0:?} is missing or empty")]
    Alone(String),
    /// The URL of a pair holds a digest already.
    #[error("the URL has a digest, which belongs into a result of its own")]
    AlreadyPinned,
    /// An output that claims to be a build artifact, without location or digest.
    #[error("the object has no {0:?}")]
    NoProperty(&'static str),
    /// A digest of an output that is none.
    #[error("{0:?} is not a digest of sha1, sha256, sha384 or sha512")]
    Digest(String),
    /// No reference that a registry could hold.
    #[error(transparent)]
    Reference(#[from] MalformedReference),
}

impl Reason {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::NotText => "declare the result with type string and write one reference into it".to_owned(),
            Self::NotAnObject => {
                "declare the result with type object and the properties uri, digest and isBuildArtifact"
                    .to_owned()
            }
            Self::Alone(other) => format!("write result {other} too"),
            Self::AlreadyPinned => "write the URL without \"@sha256:…\", or use the result IMAGES".to_owned(),
            Self::NoProperty(name) => format!("write the property {name}"),
            Self::Digest(_) => "write the digest as algorithm:hex, in lower case".to_owned(),
            Self::Reference(MalformedReference::Scheme(_)) => "remove the scheme".to_owned(),
            Self::Reference(MalformedReference::Digest(_)) => {
                "write the digest as sha256:<64 lower-case hexadecimal digits>".to_owned()
            }
            Self::Reference(MalformedReference::NotPinned(_)) => {
                "write it as repository@sha256:<64 hexadecimal digits>; separate several by commas or lines"
                    .to_owned()
            }
            Self::Reference(MalformedReference::Path(_) | MalformedReference::Host(_)) => {
                "write host/repository in lower case, without spaces".to_owned()
            }
        }
    }
}

/// Results that look like hints for images and cannot be used.
pub(crate) fn unusable(results: &[RunResult<'_>]) -> Vec<Unusable> {
    let paired = hint::pairs(results, IMAGE_URL, IMAGE_DIGEST);
    let listed = hint::listed(results)
        .filter_map(|item| Some(Unusable::new(IMAGES.to_owned(), item, reference(NamedImage::parse(item))?)));
    mistyped(results)
        .chain(paired.iter().filter_map(pair))
        .chain(listed)
        .chain(results.iter().filter_map(output))
        .take(MAX_UNUSABLE)
        .collect()
}

fn mistyped<'a>(results: &'a [RunResult<'a>]) -> impl Iterator<Item = Unusable> {
    results
        .iter()
        .filter(|result| hint::names_images(result) && !matches!(result.value, ParamValue::Text(_)))
        .map(|result| Unusable::of(result, Reason::NotText))
}

fn pair(pair: &hint::Pair<'_>) -> Option<Unusable> {
    let (url, digest) = (format!("{}{IMAGE_URL}", pair.prefix), format!("{}{IMAGE_DIGEST}", pair.prefix));
    if pair.digest.is_empty() {
        return Some(Unusable::new(url, pair.location, Reason::Alone(digest)));
    }
    if pair.location.is_empty() {
        return Some(Unusable::new(digest, pair.digest, Reason::Alone(url)));
    }
    if pair.location.contains('@') {
        return Some(Unusable::new(url, pair.location, Reason::AlreadyPinned));
    }
    match reference(NamedImage::of(pair.location, pair.digest))? {
        reason @ Reason::Reference(MalformedReference::Digest(_)) => {
            Some(Unusable::new(digest, pair.digest, reason))
        }
        reason => Some(Unusable::new(url, pair.location, reason)),
    }
}

/// Outputs may well be something else than images; only a claim that is broken in itself, or a scheme that
/// only images have, is told of.
fn output(result: &RunResult<'_>) -> Option<Unusable> {
    let (uri, digest) = (result.value.property("uri"), result.value.property("digest"));
    let reason = match hint::build_artifact(result) {
        hint::BuildArtifact::Yes if ["oci://", "docker://"].iter().any(|scheme| uri.starts_with(scheme)) => {
            reference(NamedImage::of(uri, digest))?
        }
        hint::BuildArtifact::Yes | hint::BuildArtifact::No => return None,
        hint::BuildArtifact::Malformed => match (&result.value, uri, digest) {
            (ParamValue::Object(_), "", _) => Reason::NoProperty("uri"),
            (ParamValue::Object(_), _, "") => Reason::NoProperty("digest"),
            (ParamValue::Object(_), _, digest) => Reason::Digest(cut(digest)),
            (ParamValue::Text(_) | ParamValue::List(_), _, _) => Reason::NotAnObject,
        },
    };
    Some(Unusable::of(result, reason))
}

fn reference(named: Result<NamedImage, MalformedReference>) -> Option<Reason> {
    named.and_then(|named| named.image).err().map(Reason::Reference)
}

impl Unusable {
    fn new(result: String, value: &str, reason: Reason) -> Self {
        Self { result, value: cut(value), reason }
    }

    fn of(result: &RunResult<'_>, reason: Reason) -> Self {
        let value = match &result.value {
            ParamValue::Text(text) => cut(text),
            ParamValue::List(_) | ParamValue::Object(_) => {
                cut(&result.value.texts().take(4).collect::<Vec<_>>().join(", "))
            }
        };
        Self { result: cut(result.name), value, reason }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_VALUE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const DIGEST: &str = "sha256:05f95b26ed10668b7183c1e2da98610e91372fa9f510046d4ce5812addad86b5";

    fn found(entries: &Value) -> Vec<Unusable> {
        let results: Vec<_> = entries.as_array().unwrap().iter().map(RunResult::of).collect();
        unusable(&results)
    }

    fn pair(url: &str, digest: &str) -> Value {
        json!([{"name": "a-IMAGE_URL", "value": url}, {"name": "a-IMAGE_DIGEST", "value": digest}])
    }

    #[test]
    fn good_results_and_results_that_are_no_hints_are_not_told_of() {
        let output = |uri| json!({"uri": uri, "digest": DIGEST, "isBuildArtifact": "true"});
        assert_eq!(found(&pair("r.io/app:v1", DIGEST)), []);
        assert_eq!(
            found(&json!([{"name": "commit", "value": "x"}, {"name": "IMAGE_URL", "value": ""},
                {"name": "IMAGES", "value": format!("r.io/a1@{DIGEST}\n")},
                {"name": "ARTIFACT_OUTPUTS", "value": output("pkg:maven/a/b@1")},
                {"name": "b-ARTIFACT_OUTPUTS", "value": output("https://example.com/a.tar")},
                {"name": "c-ARTIFACT_OUTPUTS", "value": {"uri": "x"}}])),
            []
        );
    }

    #[test]
    fn each_half_of_a_pair_asks_for_the_other() {
        let alone = found(
            &json!([{"name": "a-IMAGE_URL", "value": "r.io/app"}, {"name": "b-IMAGE_DIGEST", "value": DIGEST}]),
        );
        assert_eq!(alone[0].reason, Reason::Alone("a-IMAGE_DIGEST".into()));
        assert_eq!(alone[0].reason.remedy(), "write result a-IMAGE_DIGEST too");
        assert_eq!(
            (alone[1].result.as_str(), &alone[1].reason),
            ("b-IMAGE_DIGEST", &Reason::Alone("b-IMAGE_URL".into()))
        );
    }

    #[test]
    fn the_result_that_is_wrong_is_the_one_that_is_named() {
        for (url, digest, result, remedy) in [
            ("r.io/app", "sha256:abc", "a-IMAGE_DIGEST", "64 lower-case"),
            ("r.io/app", "sha512:abc", "a-IMAGE_DIGEST", "sha256:"),
            ("https://r.io/app", DIGEST, "a-IMAGE_URL", "remove the scheme"),
            ("oci://r.io/app", DIGEST, "a-IMAGE_URL", "remove the scheme"),
            ("r.io/App", DIGEST, "a-IMAGE_URL", "lower case"),
            ("r.io/app@sha256:abc", DIGEST, "a-IMAGE_URL", "without"),
        ] {
            let found = found(&pair(url, digest));
            assert_eq!(found.len(), 1, "{url}");
            assert_eq!(found[0].result, result, "{url}");
            assert!(found[0].reason.remedy().contains(remedy), "{}", found[0].reason.remedy());
        }
    }

    #[test]
    fn lists_where_a_text_belongs_are_told_of_by_their_type() {
        let found = found(
            &json!([{"name": "IMAGE_URL", "value": ["r.io/app"]}, {"name": "IMAGES", "value": {"a": "b"}},
            {"name": "x-ARTIFACT_OUTPUTS", "value": "r.io/app"}]),
        );
        let reasons: Vec<_> = found.iter().map(|unusable| unusable.reason.clone()).collect();
        assert_eq!(reasons, [Reason::NotText, Reason::NotText, Reason::NotAnObject]);
        assert_eq!(found[0].value, "r.io/app");
    }

    #[test]
    fn broken_claims_of_outputs_are_told_of() {
        let output = |value| json!([{"name": "ARTIFACT_OUTPUTS", "value": value}]);
        for (value, reason) in [
            (json!({"digest": DIGEST, "isBuildArtifact": "true"}), Reason::NoProperty("uri")),
            (json!({"uri": "r.io/a", "isBuildArtifact": "true"}), Reason::NoProperty("digest")),
            (
                json!({"uri": "r.io/a", "digest": "main", "isBuildArtifact": "true"}),
                Reason::Digest("main".into()),
            ),
            (
                json!({"uri": "oci://r.io/a1", "digest": DIGEST, "isBuildArtifact": "true"}),
                Reason::Reference(MalformedReference::Scheme("oci://r.io/a1".into())),
            ),
        ] {
            assert_eq!(found(&output(value))[0].reason, reason);
        }
    }

    #[test]
    fn a_flood_of_unusable_entries_is_cut() {
        let long = "\u{1f600}".repeat(1000);
        let found = found(
            &json!([{"name": "IMAGES", "value": "bad,".repeat(10_000)}, {"name": "IMAGE_URL", "value": long}]),
        );
        assert_eq!(found.len(), MAX_UNUSABLE);
        assert_eq!(found[0].value.chars().count(), MAX_VALUE);
    }
}
