//! The statement that is signed for an image where signatures lie in bundles, as `cosign sign` makes it. Simple signing
//! in an envelope, as Chains writes it there, is what no verifier accepts (D1 of the Chains specification, §8.1).

use std::collections::BTreeMap;

use serde_json::json;

use super::{Format, Payload, Subject};
use crate::artifact::Artifact;
use crate::artifact::image::Image;

/// The predicate type of an image signature.
pub const IMAGE_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

/// What is signed for an image.
pub fn image_statement(image: &Image) -> Payload {
    let digest = BTreeMap::from([("sha256".to_owned(), image.digest.hex())]);
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "digest": digest }],
        "predicateType": IMAGE_PREDICATE,
        "predicate": {},
    });
    Payload {
        artifact: Artifact::Image(image.clone()),
        format: Format::ImageStatement,
        media_type: "application/vnd.in-toto+json",
        predicate_type: Some(IMAGE_PREDICATE),
        subjects: vec![Subject { name: image.repository.to_string(), digest }],
        bytes: statement.to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_digest_alone_as_cosign_does() {
        let digest = "sha256:".to_owned() + &"ab".repeat(32);
        let image = Image { repository: "r.test/app".parse().unwrap(), digest: digest.parse().unwrap() };
        let payload = image_statement(&image);
        let statement: serde_json::Value = serde_json::from_slice(&payload.bytes).unwrap();
        assert_eq!(statement["subject"], json!([{"digest": {"sha256": "ab".repeat(32)}}]));
        assert_eq!(statement["predicateType"], IMAGE_PREDICATE);
        assert_eq!(payload.images(), [image]);
    }
}
