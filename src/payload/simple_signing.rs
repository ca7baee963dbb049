//! The payload of an image signature, byte for byte as cosign and Chains write it (Chains specification §4.1).

use serde::Serialize;

use super::{Error, Format, Payload, Subject, go_json};
use crate::artifact::Artifact;
use crate::artifact::image::Image;

#[derive(Serialize)]
struct SimpleSigning<'a> {
    critical: Critical<'a>,
    optional: (),
}

#[derive(Serialize)]
struct Critical<'a> {
    identity: Identity<'a>,
    image: Manifest<'a>,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Identity<'a> {
    docker_reference: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Manifest<'a> {
    docker_manifest_digest: &'a str,
}

/// What is signed for an image.
pub fn simple_signing(image: &Image) -> Result<Payload, Error> {
    let (reference, digest) = (image.repository.to_string(), image.digest.to_string());
    let bytes = go_json::to_vec(&SimpleSigning {
        critical: Critical {
            identity: Identity { docker_reference: &reference },
            image: Manifest { docker_manifest_digest: &digest },
            kind: "cosign container image signature",
        },
        optional: (),
    })?;
    let digest = [("sha256".to_owned(), image.digest.hex())].into();
    Ok(Payload {
        artifact: Artifact::Image(image.clone()),
        format: Format::SimpleSigning,
        media_type: "application/vnd.dev.cosign.simplesigning.v1+json",
        predicate_type: None,
        subjects: vec![Subject { name: reference, digest }],
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_cosign() {
        let hex = "05f95b26ed10668b7183c1e2da98610e91372fa9f510046d4ce5812addad86b5";
        let image: Image = format!("registry.example/x/y:v1@sha256:{hex}").parse().unwrap();
        let payload = simple_signing(&image).unwrap();
        assert_eq!(
            String::from_utf8(payload.bytes).unwrap(),
            format!(
                "{{\"critical\":{{\"identity\":{{\"docker-reference\":\"registry.example/x/y\"}},\
                 \"image\":{{\"docker-manifest-digest\":\"sha256:{hex}\"}},\
                 \"type\":\"cosign container image signature\"}},\"optional\":null}}"
            )
        );
        assert_eq!(payload.subjects[0].image(), Some(image));
    }
}
