//! What a verified payload says: which image it is about, and, for attestations, of which type.
//!
//! Fields that count are read strictly: one that stands twice is a mistake and not a choice.

use serde::Deserialize;
use serde_json::Value;

use super::Flaw;
use crate::artifact::digest::Digest;

/// A statement of in-toto whose signature was verified.
#[derive(Debug, Clone)]
pub struct Statement {
    /// What kind of predicate it has.
    pub predicate_type: String,
    /// The predicate.
    pub predicate: Value,
    /// The statement as it was signed.
    pub bytes: Vec<u8>,
}

/// What cosign writes; Chains and Hallmark write the same.
const SIMPLE_SIGNING: &str = "cosign container image signature";
const IN_TOTO: &str = "application/vnd.in-toto+json";
const STATEMENTS: [&str; 2] = ["https://in-toto.io/Statement/v0.1", "https://in-toto.io/Statement/v1"];

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

/// Whether a simple-signing payload is about `image`.
pub(super) fn payload(bytes: &[u8], image: &Digest) -> Result<(), Flaw> {
    let payload: Payload = serde_json::from_slice(bytes)
        .map_err(|_| Flaw::Payload("it does not decode, or names a field twice"))?;
    if payload.critical.kind != SIMPLE_SIGNING {
        return Err(Flaw::Payload("critical.type is not that of an image signature"));
    }
    let found = payload.critical.image.digest;
    if found == image.to_string() { Ok(()) } else { Err(other_image(&found, image)) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    #[serde(default)]
    predicate: Value,
}

#[derive(Deserialize)]
struct Subject {
    digest: SubjectDigest,
}

#[derive(Deserialize)]
struct SubjectDigest {
    #[serde(default)]
    sha256: String,
}

/// The statement in an envelope, if it is about `image`.
pub(super) fn statement(payload_type: &str, bytes: &[u8], image: &Digest) -> Result<Statement, Flaw> {
    if payload_type != IN_TOTO {
        return Err(Flaw::NotAStatement("the envelope gives another payload type"));
    }
    let document: Document = serde_json::from_slice(bytes)
        .map_err(|_| Flaw::NotAStatement("it does not decode, or names a field twice"))?;
    if !STATEMENTS.contains(&document.kind.as_str()) {
        return Err(Flaw::NotAStatement("_type is not that of a statement"));
    }
    let about = document.subject.iter().any(|subject| subject.digest.sha256 == image.hex());
    if !about {
        let found = document.subject.first().map(|subject| format!("sha256:{}", subject.digest.sha256));
        return Err(other_image(&found.unwrap_or_else(|| "nothing".to_owned()), image));
    }
    let Document { predicate_type, predicate, .. } = document;
    Ok(Statement { predicate_type, predicate, bytes: bytes.to_vec() })
}

fn other_image(found: &str, wanted: &Digest) -> Flaw {
    Flaw::OtherImage { found: found.chars().take(100).collect(), wanted: *wanted }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn image() -> Digest {
        Digest::of(b"image")
    }

    fn simple(digest: &str) -> String {
        json!({"critical": {"identity": {"docker-reference": "r/a"}, "image": {"docker-manifest-digest": digest},
            "type": SIMPLE_SIGNING}, "optional": null})
        .to_string()
    }

    #[test]
    fn a_payload_is_about_the_digest_that_it_names() {
        let digest = image().to_string();
        assert_eq!(payload(simple(&digest).as_bytes(), &image()), Ok(()));
        let other = Digest::of(b"other").to_string();
        for found in [other.as_str(), &digest.to_uppercase(), &image().hex(), ""] {
            let flaw = payload(simple(found).as_bytes(), &image()).unwrap_err();
            assert_eq!(flaw.code(), "OtherImage", "{found}");
        }
    }

    #[test]
    fn a_payload_that_is_none_or_says_two_things_is_refused() {
        let digest = image().to_string();
        let good = simple(&digest);
        let twice = good.replace(
            "\"docker-manifest-digest\"",
            "\"docker-manifest-digest\":\"x\",\"docker-manifest-digest\"",
        );
        let other_type = good.replace(SIMPLE_SIGNING, "atomic container signature");
        let two_images = good.replace("\"image\"", "\"image\":{\"docker-manifest-digest\":\"x\"},\"image\"");
        for text in
            [twice, other_type, two_images, "{}".into(), "[]".into(), String::new(), format!("{good}{good}")]
        {
            assert_eq!(payload(text.as_bytes(), &image()).unwrap_err().code(), "MalformedPayload", "{text}");
        }
    }

    fn stated(document: &Value) -> Result<Statement, Flaw> {
        statement(IN_TOTO, document.to_string().as_bytes(), &image())
    }

    fn document(kind: &str, subjects: &[&str]) -> Value {
        let subjects: Vec<Value> =
            subjects.iter().map(|hex| json!({"name": "a", "digest": {"sha256": hex}})).collect();
        json!({"_type": kind, "subject": subjects, "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {"a": 1}})
    }

    #[test]
    fn a_statement_is_about_any_of_its_subjects() {
        for kind in STATEMENTS {
            let statement = stated(&document(kind, &["00", &image().hex()])).unwrap();
            assert_eq!(statement.predicate_type, "https://slsa.dev/provenance/v1");
            assert_eq!(statement.predicate["a"], 1);
        }
        for subjects in [&["00"][..], &[]] {
            let flaw = stated(&document(STATEMENTS[0], subjects)).unwrap_err();
            assert_eq!(flaw.code(), "OtherImage");
        }
    }

    #[test]
    fn what_is_no_statement_is_refused() {
        let good = document(STATEMENTS[1], &[&image().hex()]);
        assert_eq!(stated(&json!({})).unwrap_err().code(), "MalformedPayload");
        assert_eq!(
            stated(&document("https://in-toto.io/Statement/v9", &[])).unwrap_err().code(),
            "MalformedPayload"
        );
        let text = good.to_string();
        let twice = text.replacen("\"predicateType\"", "\"predicateType\":\"x\",\"predicateType\"", 1);
        for (kind, text) in [(IN_TOTO, &twice), ("text/plain", &text)] {
            assert_eq!(statement(kind, text.as_bytes(), &image()).unwrap_err().code(), "MalformedPayload");
        }
    }
}
