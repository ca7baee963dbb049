//! The store by itself: limits, digests, uploads, referrers.

use super::*;

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

fn small() -> Content {
    Content::with_limits(Limits { blob: 10, manifest: 1000, total: 25, uploads: 2, entries: 8 })
}

fn put(content: &mut Content, blob: &'static [u8]) -> Result<Digest, Refusal> {
    let digest = Digest::of(blob);
    content.put_blob("app", digest, Bytes::from_static(blob)).map(|()| digest)
}

fn descriptor(media_type: &str, digest: &Digest) -> Value {
    json!({"mediaType": media_type, "digest": digest.to_string(), "size": 1})
}

fn put_manifest(content: &mut Content, tag: &str, document: &Value) -> Result<Digest, Refusal> {
    let reference = Reference::Tag(tag.to_owned());
    content.put_manifest("app", &reference, IMAGE, document.to_string().into()).map(|(digest, _)| digest)
}

#[test]
fn a_blob_is_stored_only_under_its_own_digest_and_in_its_own_repository() {
    let mut content = Content::default();
    let digest = put(&mut content, b"one").unwrap();
    assert_eq!(content.blob("app", &digest).unwrap(), "one");
    assert_eq!(content.blob("other", &digest), Err(Refusal::BlobUnknown));
    let wrong = content.put_blob("app", Digest::of(b"x"), Bytes::from_static(b"y"));
    assert_eq!(wrong, Err(Refusal::DigestInvalid));
}

#[test]
fn blobs_and_everything_together_are_bounded() {
    let mut content = small();
    assert_eq!(put(&mut content, b"eleven byte"), Err(Refusal::TooLarge));
    for blob in [b"0123456789", b"1234567890"] {
        put(&mut content, blob).unwrap();
    }
    put(&mut content, b"0123456789").expect("the same again takes no room");
    assert_eq!(put(&mut content, b"234567"), Err(Refusal::TooMany));
}

#[test]
fn chunks_follow_one_another_and_become_a_blob() {
    let mut content = small();
    content.begin_upload("app", "u".to_owned()).unwrap();
    assert_eq!(content.append("app", "u", None, b"abc"), Ok(3));
    assert_eq!(content.append("app", "u", Some(2), b"x"), Err(Refusal::RangeInvalid));
    assert_eq!(content.append("app", "u", Some(3), b"def"), Ok(6));
    assert_eq!(content.append("app", "u", None, b"01234"), Err(Refusal::TooLarge));
    assert_eq!(content.append("other", "u", None, b"x"), Err(Refusal::UploadUnknown));
    content.finish_upload("app", "u", Digest::of(b"abcdef")).unwrap();
    assert_eq!(content.blob("app", &Digest::of(b"abcdef")).unwrap(), "abcdef");
    assert_eq!(content.uploaded("app", "u"), Err(Refusal::UploadUnknown));
}

#[test]
fn unfinished_uploads_are_bounded_and_give_their_room_back() {
    let mut content = small();
    for id in ["a", "b"] {
        content.begin_upload("app", id.to_owned()).unwrap();
        content.append("app", id, None, b"0123456789").unwrap();
    }
    assert_eq!(content.begin_upload("app", "c".to_owned()), Err(Refusal::TooMany));
    assert_eq!(put(&mut content, b"234567"), Err(Refusal::TooMany));
    content.cancel_upload("app", "a").unwrap();
    put(&mut content, b"234567").unwrap();
    content.begin_upload("app", "c".to_owned()).unwrap();
}

#[test]
fn a_manifest_is_refused_until_everything_it_names_is_there() {
    let mut content = Content::default();
    let config = put(&mut content, b"{}").unwrap();
    let layer = Digest::of(b"layer");
    let document = json!({"schemaVersion": 2, "mediaType": IMAGE, "config": descriptor("c", &config),
        "layers": [descriptor("l", &layer)]});
    let refused = put_manifest(&mut content, "v1", &document);
    assert_eq!(refused, Err(Refusal::ManifestBlobUnknown(layer.to_string())));
    put(&mut content, b"layer").unwrap();
    let digest = put_manifest(&mut content, "v1", &document).unwrap();
    for reference in [Reference::Tag("v1".to_owned()), Reference::Digest(digest)] {
        assert_eq!(content.manifest("app", &reference).unwrap().digest, digest);
    }
    assert_eq!(content.tags("app", None).unwrap(), ["v1"]);
    assert_eq!(content.tags("app", Some("v1")).unwrap(), Vec::<String>::new());
    assert_eq!(content.tags("other", None), Err(Refusal::NameUnknown));
}

#[test]
fn a_manifest_must_have_its_own_digest_and_media_type() {
    let mut content = Content::default();
    let other = Reference::Digest(Digest::of(b"other"));
    let refused = content.put_manifest("app", &other, IMAGE, Bytes::from_static(b"{}"));
    assert_eq!(refused, Err(Refusal::DigestInvalid));
    let refused = put_manifest(&mut content, "v1", &json!({"mediaType": OCI_INDEX}));
    assert!(matches!(refused, Err(Refusal::ManifestInvalid(_))));
    let tag = Reference::Tag("v1".to_owned());
    let refused = content.put_manifest("app", &tag, IMAGE, Bytes::from_static(b"not json"));
    assert!(matches!(refused, Err(Refusal::ManifestInvalid(_))));
}

#[test]
fn referrers_are_found_by_subject_and_filtered_by_artifact_type() {
    let mut content = Content::default();
    let config = put(&mut content, b"{}").unwrap();
    let subject = Digest::of(b"an image that need not be here");
    let referrer = |kind: Option<&str>| {
        json!({"mediaType": IMAGE, "artifactType": kind, "config": descriptor("config/type", &config),
            "layers": [], "subject": descriptor(IMAGE, &subject), "annotations": {"by": "test"}})
    };
    let signature = put_manifest(&mut content, "a", &referrer(Some("sig"))).unwrap();
    let plain = put_manifest(&mut content, "b", &referrer(None)).unwrap();
    let all = content.referrers("app", &subject, None);
    assert_eq!(all["manifests"].as_array().unwrap().len(), 2);
    let only = |wanted| content.referrers("app", &subject, Some(wanted))["manifests"].clone();
    assert_eq!(only("sig")[0]["digest"], signature.to_string());
    assert_eq!(only("sig")[0]["annotations"]["by"], "test");
    assert_eq!(only("config/type")[0]["digest"], plain.to_string());
    assert_eq!(only("none"), json!([]));
    assert_eq!(content.referrers("nowhere", &subject, None)["manifests"], json!([]));
}
