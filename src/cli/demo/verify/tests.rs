//! The check, on what has to pass and above all on what must not.

use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use p256::pkcs8::{EncodePublicKey as _, LineEnding};
use serde_json::json;

use super::*;
use crate::artifact::digest::Digest;
use crate::cli::demo::world::World;

const STATEMENT: &str = "application/vnd.in-toto+json";

/// Somebody with a key, who signs what is asked.
struct Notary(SigningKey);

impl Notary {
    fn new(seed: u8) -> Self {
        Self(SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    fn public_key(&self) -> String {
        self.0.verifying_key().to_public_key_pem(LineEnding::LF).unwrap()
    }

    fn sign(&self, message: &[u8]) -> String {
        let signature: DerSignature = self.0.sign(message);
        BASE64_STANDARD.encode(signature.as_bytes())
    }

    fn signature(&self, payload: &Value) -> Layer {
        let content = payload.to_string();
        layer(content.clone(), &self.sign(content.as_bytes()))
    }

    fn attestation(&self, statement: &Value) -> Layer {
        let statement = statement.to_string();
        envelope(&statement, &[self.sign(&encoding(STATEMENT, statement.as_bytes()))])
    }

    fn both(&self, image: &Image) -> Pulled {
        Pulled {
            signature: self.signature(&payload(image)),
            attestation: self.attestation(&statement(image)),
        }
    }
}

fn layer(content: String, signature: &str) -> Layer {
    Layer {
        tag: "tag".into(),
        media_type: "type".into(),
        content: content.into(),
        signature: signature.into(),
    }
}

fn envelope(statement: &str, signatures: &[String]) -> Layer {
    let signatures: Vec<_> = signatures.iter().map(|sig| json!({"keyid": "", "sig": sig})).collect();
    let payload = BASE64_STANDARD.encode(statement);
    layer(json!({"payloadType": STATEMENT, "payload": payload, "signatures": signatures}).to_string(), "")
}

fn image(name: &str) -> Image {
    format!("registry.example/{name}@sha256:{}", "a1".repeat(32)).parse().unwrap()
}

fn payload(image: &Image) -> Value {
    json!({"critical": {"identity": {"docker-reference": image.repository.to_string()},
        "image": {"docker-manifest-digest": image.digest.to_string()}, "type": "cosign container image signature"}})
}

fn statement(image: &Image) -> Value {
    json!({"subject": [{"name": "other", "digest": {"sha256": "00"}},
        {"name": image.repository.to_string(), "digest": {"sha256": image.digest.hex()}}]})
}

#[track_caller]
fn refused(pulled: &Pulled, why: &str) {
    let error = check(pulled, &Notary::new(7).public_key(), &image("app")).unwrap_err();
    assert_eq!(error.to_string(), why);
}

#[test]
fn what_was_signed_for_this_image_verifies() {
    let (notary, image) = (Notary::new(7), image("app"));
    check(&notary.both(&image), &notary.public_key(), &image).unwrap();
}

#[test]
fn signatures_by_another_key_do_not_verify() {
    let (ours, other, image) = (Notary::new(7), Notary::new(8), image("app"));
    refused(&other.both(&image), "the signature does not verify");
    let attestation = other.attestation(&statement(&image));
    refused(&Pulled { attestation, ..ours.both(&image) }, "the attestation does not verify");
}

#[test]
fn a_good_signature_over_the_wrong_thing_is_refused() {
    let notary = Notary::new(7);
    let good = || notary.both(&image("app"));
    let other_digest = Image { digest: Digest::of(b"another image"), ..image("app") };
    let signature = |image: &Image| notary.signature(&payload(image));
    refused(&Pulled { signature: signature(&other_digest), ..good() }, "the payload names another digest");
    refused(
        &Pulled { signature: signature(&image("other")), ..good() },
        "the payload names another repository",
    );
    for other in [other_digest, image("other")] {
        let attestation = notary.attestation(&statement(&other));
        refused(&Pulled { attestation, ..good() }, "the image is not among the subjects of the statement");
    }
}

#[test]
fn content_that_was_changed_does_not_verify() {
    let (notary, image) = (Notary::new(7), image("app"));
    let mut pulled = notary.both(&image);
    pulled.signature.content = [&pulled.signature.content[..], b" "].concat().into();
    refused(&pulled, "the signature does not verify");
    let signed = notary.sign(&encoding(STATEMENT, b"{}"));
    let attestation = envelope(&statement(&image).to_string(), &[signed]);
    refused(&Pulled { attestation, ..notary.both(&image) }, "the attestation does not verify");
}

#[test]
fn a_statement_signed_without_its_type_does_not_verify() {
    let (notary, image) = (Notary::new(7), image("app"));
    let statement = statement(&image).to_string();
    let attestation = envelope(&statement, &[notary.sign(statement.as_bytes())]);
    refused(&Pulled { attestation, ..notary.both(&image) }, "the attestation does not verify");
}

#[test]
fn an_envelope_has_one_signature() {
    let (notary, image) = (Notary::new(7), image("app"));
    let statement = statement(&image).to_string();
    let signature = notary.sign(&encoding(STATEMENT, statement.as_bytes()));
    for signatures in [vec![], vec![signature.clone(), signature]] {
        let attestation = envelope(&statement, &signatures);
        refused(
            &Pulled { attestation, ..notary.both(&image) },
            "the envelope does not have exactly one signature",
        );
    }
}

#[test]
fn what_is_no_signature_no_json_or_no_key_is_told_apart() {
    let (notary, image) = (Notary::new(7), image("app"));
    let with = |content: &str, signature: &str| Pulled {
        signature: layer(content.to_owned(), signature),
        ..notary.both(&image)
    };
    refused(&with("{}", "!"), "the signature is not base64");
    refused(&with("{}", "AAAA"), "the signature does not verify");
    refused(&with("no json", &notary.sign(b"no json")), "the payload is not what it should be");
    let error = check(&notary.both(&image), "no key", &image).unwrap_err();
    assert!(matches!(error, VerifyError::Key));
}

#[test]
fn a_check_that_accepts_a_change_is_told() {
    // A message without any byte cannot be changed, so the "changed" one still verifies.
    let notary = Notary::new(7);
    let signature = BASE64_STANDARD.decode(notary.sign(b"")).unwrap();
    let error = notice_a_change("it slept", notary.0.verifying_key(), b"", &signature).unwrap_err();
    assert_eq!(error.to_string(), "it slept");
}

#[test]
fn the_encoding_is_that_of_the_specification() {
    let encoded = encoding("http://example.com/HelloWorld", b"hello world");
    assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
}

#[tokio::test]
async fn an_image_without_signatures_and_a_registry_that_is_gone_are_told() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let place = tempfile::tempdir().unwrap();
    let world = World::build(&place.path().join("demo")).await.unwrap();
    let tag = format!("sha256-{}.sig", world.image().digest.hex());
    let error = pull(world.address(), world.reader(), world.image()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("the registry answered 404 Not Found for manifests/{tag}"));

    let (address, image) = (world.address(), world.image().clone());
    let reader = Account { name: "reader", password: world.reader().password.clone() };
    let stranger = Account { name: "stranger", password: world.reader().password.clone() };
    let error = pull(address, &stranger, &image).await.unwrap_err();
    assert_eq!(error.to_string(), "the registry answered 401 Unauthorized for a token");
    world.stop().await;
    let error = pull(address, &reader, &image).await.unwrap_err();
    assert!(matches!(error, VerifyError::Unreachable(..)), "{error:?}");
}
