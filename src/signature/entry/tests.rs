//! Entries of both versions by a log made here, good, and broken in each place by itself.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::made_log::{MadeLog, trusted_root};
use super::*;
use crate::artifact::digest::Digest;
use crate::signature::covered::{Covered, SignedBy};
use crate::signature::key::Key;
use crate::signature::trusted_root::TrustedRoot;

/// Within the time of the log and of the certificates of tests.
pub(crate) const SECONDS: i64 = 1_700_000_100;
pub(crate) const URL: &str = "https://rekor.test";
pub(crate) const PAYLOAD: Covered<'_> = Covered::Payload(b"a payload");
pub(crate) const ENVELOPE: Covered<'_> =
    Covered::Envelope { payload_type: "application/vnd.in-toto+json", payload: b"{}" };

pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(SECONDS).unwrap()
}

pub(crate) fn root_of(log: &MadeLog) -> TrustedRoot {
    TrustedRoot::read(trusted_root(&[], &[log.listed()], &[], &[]).to_string().as_bytes()).unwrap()
}

pub(crate) async fn signed(key: &Key, covered: Covered<'_>) -> Vec<u8> {
    let view = Signature { covered, bytes: &[], by: SignedBy::Key(key.public_key()) };
    key.sign_now(&view.message()).unwrap()
}

fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// The entry that `log` gives for `signature`.
pub(crate) fn logged(log: &mut MadeLog, signature: &Signature<'_>, version: Version) -> Entry {
    let (sig, pem) = (base64(signature.bytes), base64(signature.pem().as_bytes()));
    let digest = Digest::of(&signature.message());
    let answer = match (version, signature.covered) {
        (Version::V2, _) => {
            let by = match signature.by {
                SignedBy::Key(_) => "publicKey",
                SignedBy::Certificate(_) => "x509Certificate",
            };
            let verifier = json!({ by: { "rawBytes": base64(signature.der()) },
                "keyDetails": "PKIX_ECDSA_P256_SHA_256" });
            let signature = json!({ "content": sig, "verifier": verifier });
            let request = json!({ "digest": base64(digest.as_bytes()), "signature": signature });
            let answer = log.answer_v2(&json!({ "hashedRekordRequestV002": request }));
            return Entry::of_rekor_v2(answer.to_string().as_bytes()).unwrap();
        }
        (Version::V1, Covered::Payload(_)) => {
            let hash = json!({ "hash": { "algorithm": "sha256", "value": digest.hex() } });
            let signature = json!({ "content": sig, "publicKey": { "content": pem } });
            let spec = json!({ "data": hash, "signature": signature });
            log.answer_v1(&json!({ "kind": "hashedrekord", "spec": spec }), SECONDS)
        }
        (Version::V1, Covered::Envelope { payload, .. }) => {
            let envelope = json!({ "payload": base64(payload), "signatures": [{ "sig": sig }] });
            let content = json!({ "envelope": envelope.to_string(), "verifiers": [pem] });
            log.answer_v1(&json!({ "kind": "dsse", "spec": { "proposedContent": content } }), SECONDS)
        }
    };
    Entry::of_rekor_v1(answer.to_string().as_bytes()).unwrap()
}

fn log(version: Version) -> MadeLog {
    match version {
        Version::V1 => MadeLog::v1(URL),
        Version::V2 => MadeLog::v2(URL),
    }
}

/// The entry with one of its parts changed.
fn with(entry: &Entry, change: impl Fn(&mut Value)) -> Entry {
    let mut parts = serde_json::to_value(&entry.0).unwrap();
    change(&mut parts);
    Entry(serde_json::from_value(parts).unwrap())
}

const ALL: [(Version, Covered<'_>); 4] =
    [(Version::V1, PAYLOAD), (Version::V1, ENVELOPE), (Version::V2, PAYLOAD), (Version::V2, ENVELOPE)];

#[tokio::test]
async fn good_entries_verify_and_only_version_1_proves_a_time() {
    let key = Key::generate("k").unwrap();
    for (version, covered) in ALL {
        let bytes = signed(&key, covered).await;
        let signature = Signature { covered, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
        let mut log = log(version);
        let entry = logged(&mut log, &signature, version);
        let proven = entry.verify(root_of(&log).logs(), &signature, now()).unwrap();
        assert_eq!(proven.at, (version == Version::V1).then(now), "{version:?}");
        assert_eq!(entry.holds_together(), Ok(()));
        let address =
            if version == Version::V1 { "/api/v1/log/entries?logIndex=1002" } else { "?logIndex=2" };
        assert_eq!(entry.address("https://rekor.test/"), format!("{URL}{address}"));
    }
}

#[tokio::test]
async fn an_entry_about_anything_else_is_refused() {
    let (key, other) = (Key::generate("k").unwrap(), Key::generate("other").unwrap());
    for (version, covered) in ALL {
        let bytes = signed(&key, covered).await;
        let signature = Signature { covered, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
        let mut log = log(version);
        let root = root_of(&log);
        let entry = logged(&mut log, &signature, version);
        let again = signed(&key, covered).await;
        let elsewhere = match covered {
            Covered::Payload(_) => Covered::Payload(b"another payload"),
            Covered::Envelope { payload_type, .. } => Covered::Envelope { payload_type, payload: b"[]" },
        };
        for (signature, mismatch) in [
            (Signature { bytes: &again, ..signature }, Mismatch::Signature),
            (Signature { covered: elsewhere, ..signature }, Mismatch::Digest),
            (Signature { by: SignedBy::Key(other.public_key()), ..signature }, Mismatch::Verifier),
        ] {
            let refused = entry.verify(root.logs(), &signature, now()).unwrap_err();
            assert_eq!(refused, EntryError::Mismatch(mismatch), "{version:?}");
        }
    }
}

#[tokio::test]
async fn an_entry_of_an_envelope_is_none_of_bytes() {
    let key = Key::generate("k").unwrap();
    let bytes = signed(&key, ENVELOPE).await;
    let signature = Signature { covered: ENVELOPE, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
    let entry = logged(&mut log(Version::V1), &signature, Version::V1);
    let covered = Covered::Payload(b"{}");
    assert_eq!(entry.is_about(&Signature { covered, ..signature }), Err(Mismatch::Kind));
    // The body of one kind under the name of another.
    let renamed = with(&entry, |parts| parts["kindVersion"]["kind"] = "hashedrekord".into());
    assert_eq!(renamed.is_about(&signature), Err(Mismatch::Kind));
    let empty = with(&entry, |parts| parts["canonicalizedBody"] = base64(b"[]").into());
    assert_eq!(empty.is_about(&signature), Err(Mismatch::Body));
}

/// What is wrong when one part of an entry of this version is changed.
async fn broken(version: Version, change: impl Fn(&mut Value)) -> EntryError {
    let key = Key::generate("k").unwrap();
    let bytes = signed(&key, PAYLOAD).await;
    let signature = Signature { covered: PAYLOAD, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
    let mut log = log(version);
    let entry = with(&logged(&mut log, &signature, version), change);
    entry.verify(root_of(&log).logs(), &signature, now()).unwrap_err()
}

#[tokio::test]
async fn every_proof_that_is_there_has_to_hold() {
    let zero = || base64(&[0; 32]);
    let forged = |parts: &mut Value| {
        parts["inclusionPromise"]["signedEntryTimestamp"] = base64(b"forged").into();
    };
    assert_eq!(broken(Version::V1, forged).await, EntryError::Promise);
    let later = |parts: &mut Value| parts["integratedTime"] = (SECONDS + 1).to_string().into();
    assert_eq!(broken(Version::V1, later).await, EntryError::Promise, "the time is signed");
    let moved = |parts: &mut Value| parts["logIndex"] = "7".into();
    assert_eq!(broken(Version::V1, moved).await, EntryError::Promise, "the place is signed");
    let moved = broken(Version::V2, moved).await;
    assert!(matches!(moved, EntryError::Inclusion(_)), "{moved}");
    for version in [Version::V1, Version::V2] {
        let path = |parts: &mut Value| parts["inclusionProof"]["hashes"][0] = zero().into();
        let error = broken(version, path).await;
        assert!(matches!(error, EntryError::Inclusion(_)), "{error}");
        let unsigned = |parts: &mut Value| {
            let envelope = &mut parts["inclusionProof"]["checkpoint"]["envelope"];
            *envelope = envelope.as_str().unwrap().replace("\n3\n", "\n4\n").into();
        };
        let error = broken(version, unsigned).await;
        assert_eq!(error, EntryError::Checkpoint("its log did not sign it"), "{version:?}");
        let stranger = |parts: &mut Value| parts["logId"]["keyId"] = zero().into();
        assert_eq!(broken(version, stranger).await, EntryError::UnknownLog("0".repeat(64)));
        let bare = |parts: &mut Value| {
            parts["inclusionProof"] = Value::Null;
            parts["inclusionPromise"] = Value::Null;
        };
        assert_eq!(broken(version, bare).await, EntryError::NoProof);
    }
    let other_root = |parts: &mut Value| parts["inclusionProof"]["rootHash"] = zero().into();
    assert_eq!(broken(Version::V1, other_root).await, EntryError::Checkpoint("it is of another tree"));
    let no_checkpoint = |parts: &mut Value| parts["inclusionProof"]["checkpoint"]["envelope"] = "".into();
    assert_eq!(broken(Version::V2, no_checkpoint).await, EntryError::Checkpoint("there is none"));
}

#[tokio::test]
async fn a_log_counts_for_its_time_and_never_for_the_future() {
    let key = Key::generate("k").unwrap();
    let bytes = signed(&key, PAYLOAD).await;
    let signature = Signature { covered: PAYLOAD, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
    let mut log = log(Version::V1);
    let entry = logged(&mut log, &signature, Version::V1);
    let listed = |start: &str, end: &str| {
        let mut listed = log.listed();
        listed["publicKey"]["validFor"] = json!({ "start": start, "end": end });
        TrustedRoot::read(trusted_root(&[], &[listed], &[], &[]).to_string().as_bytes()).unwrap()
    };
    let over = listed("2020-01-01T00:00:00Z", "2023-01-01T00:00:00Z");
    assert_eq!(entry.verify(over.logs(), &signature, now()), Err(EntryError::OutOfUse(now())));
    let root = listed("2023-01-01T00:00:00Z", "2024-01-01T00:00:00Z");
    let at = |seconds| now() - jiff::SignedDuration::from_secs(seconds);
    assert!(entry.verify(root.logs(), &signature, at(300)).is_ok());
    assert_eq!(entry.verify(root.logs(), &signature, at(301)), Err(EntryError::Future(now())));
}

#[tokio::test]
async fn a_checkpoint_of_another_log_with_the_same_key_is_refused_in_version_2() {
    let key = Key::generate("k").unwrap();
    let bytes = signed(&key, PAYLOAD).await;
    let signature = Signature { covered: PAYLOAD, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
    let mut log = log(Version::V2);
    let entry = logged(&mut log, &signature, Version::V2);
    log.url = "https://other.test".to_owned();
    let refused = entry.verify(root_of(&log).logs(), &signature, now());
    assert_eq!(refused, Err(EntryError::Checkpoint("it is of another log")));
}

#[tokio::test]
async fn the_annotation_of_cosign_holds_the_promise_and_reads_back() {
    let key = Key::generate("k").unwrap();
    let bytes = signed(&key, PAYLOAD).await;
    let signature = Signature { covered: PAYLOAD, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
    let mut log = log(Version::V1);
    let entry = logged(&mut log, &signature, Version::V1);
    let text = entry.to_annotation().unwrap();
    let read = Entry::of_annotation(&text).unwrap();
    assert_eq!(read.verify(root_of(&log).logs(), &signature, now()), Ok(Logged { at: Some(now()) }));
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["Payload"]["logID"], hex::encode(log.id()));
    assert_eq!(json["Payload"]["integratedTime"], SECONDS);
    let v2 = logged(&mut MadeLog::v2(URL), &signature, Version::V2);
    assert_eq!(v2.to_annotation(), None, "there is no promise in version 2");
    for text in ["", "{}", "[]", &text.replace("SignedEntry", "Signed"), &text.replace("logID", "id")] {
        assert_eq!(Entry::of_annotation(text), Err(ReadError));
    }
}

#[test]
fn what_is_no_answer_of_a_log_is_none() {
    let two = json!({ "a": {}, "b": {} }).to_string();
    for json in ["", "{}", "[]", "null", &two, r#"{"a":{"body":"e30=","logID":"zz","logIndex":1}}"#] {
        assert!(Entry::of_rekor_v1(json.as_bytes()).is_none(), "{json}");
        assert!(Entry::of_rekor_v2(json.as_bytes()).is_none(), "{json}");
    }
}

#[tokio::test]
async fn an_older_entry_of_an_attestation_is_understood() {
    let key = Key::generate("k").unwrap();
    let bytes = signed(&key, ENVELOPE).await;
    let signature = Signature { covered: ENVELOPE, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
    // As cosign 2 recorded attestations: the signature is encoded twice.
    let logged =
        json!({ "sig": base64(base64(&bytes).as_bytes()), "publicKey": base64(signature.pem().as_bytes()) });
    let hash = json!({ "algorithm": "sha256", "value": Digest::of(b"{}").hex() });
    let body = |signatures: &[&Value]| {
        let envelope = json!({ "payloadType": "application/vnd.in-toto+json", "signatures": signatures });
        let content = json!({ "envelope": envelope, "hash": hash, "payloadHash": hash });
        json!({ "apiVersion": "0.0.2", "kind": "intoto", "spec": { "content": content } }).to_string()
    };
    let matches = |body: &str| body::matches(KindVersion::IntotoV002, body.as_bytes(), &signature);
    assert_eq!(matches(&body(&[&logged])), Ok(()));
    assert_eq!(matches(&body(&[&logged, &logged])), Err(Mismatch::Signature), "which of them is it?");
    assert_eq!(matches(&body(&[])), Err(Mismatch::Body));
    assert_eq!(matches(&body(&[&logged]).replace("sha256", "sha1")), Err(Mismatch::Digest));
}

#[tokio::test]
async fn an_answer_with_any_byte_changed_is_refused_or_says_the_same() {
    let key = Key::generate("k").unwrap();
    let bytes = signed(&key, PAYLOAD).await;
    let signature = Signature { covered: PAYLOAD, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
    for version in [Version::V1, Version::V2] {
        let mut log = log(version);
        let (root, entry) = (root_of(&log), logged(&mut log, &signature, version));
        let answer = serde_json::to_vec(&entry.0).unwrap();
        for index in 0..answer.len() {
            let mut changed = answer.clone();
            changed[index] ^= 1;
            let Some(read) = Entry::of_rekor_v2(&changed) else { continue };
            if read.verify(root.logs(), &signature, now()).is_ok() {
                assert_eq!(read.0.canonicalized_body, entry.0.canonicalized_body, "byte {index}");
                assert_eq!(read.0.integrated_time, entry.0.integrated_time, "byte {index}");
            }
        }
    }
}

#[tokio::test]
async fn trees_of_impossible_sizes_are_refused() {
    for size in ["0", "1", "2", "4", "9223372036854775807"] {
        let sized = |parts: &mut Value| parts["inclusionProof"]["treeSize"] = size.into();
        let error = broken(Version::V1, sized).await;
        assert!(matches!(error, EntryError::Inclusion(_)), "{size}: {error}");
        // The third of three it is.
        if size != "2" {
            let placed = |parts: &mut Value| parts["inclusionProof"]["logIndex"] = size.into();
            let error = broken(Version::V1, placed).await;
            assert!(matches!(error, EntryError::Inclusion(_)), "{size}: {error}");
        }
    }
}
