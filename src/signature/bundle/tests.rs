//! Bundles written here, read back, and held against somebody else's types.

use serde_json::Value;

use serde_json::json;

use super::*;
use crate::artifact::image::Image;
use crate::payload::image_statement;
use crate::signature::certificate::tests::{Leaf, authority, chain};
use crate::signature::entry::Version;
use crate::signature::entry::made_log::MadeLog;
use crate::signature::entry::tests::{ENVELOPE, PAYLOAD, URL, logged, signed};
use crate::signature::key::Key;
use crate::signature::timestamp::tests::granted;

fn evidence(signature: &Signature<'_>) -> Evidence {
    let (mut one, mut two) = (MadeLog::v1(URL), MadeLog::v2(URL));
    Evidence {
        stamped: None,
        entries: vec![logged(&mut one, signature, Version::V1), logged(&mut two, signature, Version::V2)],
        timestamps: vec![granted()],
    }
}

#[tokio::test]
async fn a_bundle_by_a_key_holds_a_hint_and_reads_back() {
    let key = Key::generate("k").unwrap();
    let bytes = signed(&key, ENVELOPE).await;
    let signature = Signature { covered: ENVELOPE, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
    let evidence = evidence(&signature);
    let json = write(&signature, &evidence).unwrap();
    let read = Bundle::read(&json).unwrap();
    assert_eq!(read.evidence.entries, evidence.entries);
    assert_eq!(read.evidence.timestamps, evidence.timestamps);
    assert_eq!(read.signature, bytes);
    assert!(matches!(&read.by, Material::KeyHint(hint) if *hint == key_hint(key.public_key())));
    let seen = read.signature(None, Some(key.public_key())).unwrap();
    assert_eq!(seen.message(), signature.message());
    assert!(read.signature(None, None).is_none(), "a hint is no key");

    let value: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(value["mediaType"], MEDIA_TYPE);
    assert_eq!(value["dsseEnvelope"]["signatures"].as_array().unwrap().len(), 1);
    assert!(value["dsseEnvelope"]["signatures"][0].get("keyid").is_none());
}

#[tokio::test]
async fn a_bundle_by_a_certificate_holds_its_leaf_alone() {
    let key = Key::generate("k").unwrap();
    let certificate = Certificate::read(&chain(&authority(), key.public_key(), &Leaf::default())).unwrap();
    let bytes = signed(&key, PAYLOAD).await;
    let signature = Signature { covered: PAYLOAD, bytes: &bytes, by: SignedBy::Certificate(&certificate) };
    let json = write(&signature, &Evidence::default()).unwrap();
    let value: Value = serde_json::from_slice(&json).unwrap();
    let leaf = BASE64_STANDARD.encode(certificate.leaf_der());
    assert_eq!(value["verificationMaterial"]["certificate"]["rawBytes"], leaf);
    assert_eq!(value["messageSignature"]["messageDigest"]["algorithm"], "SHA2_256");
    let read = Bundle::read(&json).unwrap();
    let digest = Digest::of(b"a payload").as_bytes().to_vec();
    assert!(matches!(&read.content, Content::Message { digest: Some(found) } if *found == digest));
    assert!(read.signature(None, None).is_none(), "a digest is no message");
    assert!(read.signature(Some(b"another"), None).is_none(), "nor is another message that of the digest");
    let seen = read.signature(Some(b"a payload"), None).unwrap();
    assert_eq!((seen.key(), seen.der()), (key.public_key(), certificate.leaf_der()));
    // An older form, with the chain.
    let mut old = value;
    let ders: Vec<_> = [leaf, BASE64_STANDARD.encode(&certificate.chain_ders()[0])]
        .into_iter()
        .map(|der| json!({ "rawBytes": der }))
        .collect();
    old["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1".into();
    old["verificationMaterial"] = json!({ "x509CertificateChain": { "certificates": ders } });
    let read = Bundle::read(old.to_string().as_bytes()).unwrap();
    let Material::Certificate(read) = read.by else { panic!("no certificate") };
    assert_eq!(read.chain_pem(), certificate.chain_pem());
}

#[test]
fn the_statement_of_an_image_is_the_one_that_cosign_makes() {
    let digest = Digest::of(b"manifest");
    let statement: Value = serde_json::from_slice(&statement_about(&digest)).unwrap();
    let expected = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "digest": { "sha256": digest.hex() } }],
        "predicateType": "https://sigstore.dev/cosign/sign/v1",
        "predicate": {},
    });
    assert_eq!(statement, expected);
}

#[tokio::test]
async fn what_is_no_bundle_is_refused() {
    for text in ["", "{}", "[]", r#"{"mediaType":"text/plain"}"#] {
        assert!(matches!(Bundle::read(text.as_bytes()), Err(BundleError::Malformed(_))), "{text}");
    }
    assert!(matches!(Bundle::read(&vec![b' '; LARGEST + 1]), Err(BundleError::TooLarge)));
    let key = Key::generate("k").unwrap();
    let bytes = signed(&key, ENVELOPE).await;
    let signature = Signature { covered: ENVELOPE, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
    let good = write(&signature, &evidence(&signature)).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut value = serde_json::from_slice(&good).unwrap();
        change(&mut value);
        Bundle::read(value.to_string().as_bytes()).unwrap_err()
    };
    let many = with(&|value| {
        let entry = value["verificationMaterial"]["tlogEntries"][0].clone();
        value["verificationMaterial"]["tlogEntries"] = vec![entry; MOST].into();
    });
    assert!(matches!(many, BundleError::TooMuchEvidence(33)), "{many}");
    let unproven = with(&|value| {
        let entry = value["verificationMaterial"]["tlogEntries"][0].as_object_mut().unwrap();
        entry.remove("inclusionProof").unwrap();
    });
    assert!(matches!(unproven, BundleError::NoInclusionProof), "{unproven}");
    let two = with(&|value| {
        let one = value["dsseEnvelope"]["signatures"][0].clone();
        value["dsseEnvelope"]["signatures"] = vec![one; 2].into();
    });
    assert!(matches!(two, BundleError::Malformed(_)), "which of them was logged?");
    let certificate = with(&|value| {
        value["verificationMaterial"]["publicKey"].take();
        let material = value["verificationMaterial"].as_object_mut().unwrap();
        material.remove("publicKey");
        material.insert("certificate".to_owned(), json!({ "rawBytes": "AAAA" }));
    });
    assert!(matches!(certificate, BundleError::Certificate(_)), "{certificate}");
    let stamp = with(&|value| {
        let stamps = &mut value["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"];
        stamps[0]["signedTimestamp"] = "AAAA".into();
    });
    assert!(matches!(stamp, BundleError::Timestamp(_)), "{stamp}");
}

fn statement_about(digest: &Digest) -> Vec<u8> {
    image_statement(&Image { repository: "registry.test/app".parse().unwrap(), digest: *digest }).bytes
}
