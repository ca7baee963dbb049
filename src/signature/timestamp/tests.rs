//! A timestamp of a real authority (see the README beside it), and what is none.

use super::*;
use crate::signature::entry::made_log::{listed_authority, trusted_root};

pub(crate) const SIGNED: &[u8] = b"a signature";
const NONCE: [u8; 8] = [0xa3, 0xc1, 0x15, 0xe4, 0xe4, 0xde, 0xb2, 0x46];
const CHAIN: &str = include_str!("../../../tests/fixtures/timestamp/chain.pem");
const GRANTED: &[u8] = include_bytes!("../../../tests/fixtures/timestamp/granted.tsr");

pub(crate) fn granted() -> SignedTimestamp {
    SignedTimestamp::read(GRANTED.to_vec()).unwrap()
}

pub(crate) fn at() -> Timestamp {
    "2026-11-21T08:39:13Z".parse().unwrap()
}

/// The authority as a trust root lists it.
pub(crate) fn listed() -> serde_json::Value {
    let ders: Vec<_> = pem::parse_many(CHAIN).unwrap().into_iter().map(pem::Pem::into_contents).collect();
    listed_authority(&ders)
}

fn root(listed: &[serde_json::Value]) -> TrustedRoot {
    TrustedRoot::read(trusted_root(&[], &[], &[], listed).to_string().as_bytes()).unwrap()
}

#[test]
fn a_timestamp_by_a_known_authority_proves_its_time() {
    let root = root(&[listed()]);
    assert!(root.knows_timestamps());
    assert_eq!(granted().verify(&root, SIGNED, at()), Ok(at()));
    let later = at() + SignedDuration::from_hours(24 * 365 * 50);
    assert_eq!(granted().verify(&root, SIGNED, later), Ok(at()), "for ever");
}

#[test]
fn a_timestamp_over_anything_else_is_refused() {
    let error = granted().verify(&root(&[listed()]), b"another", at());
    assert_eq!(error, Err(TimestampError::OtherSignature));
    assert_eq!(granted().is_over(SIGNED), Ok(()));
}

#[test]
fn a_timestamp_counts_by_its_own_authority_in_its_time_alone() {
    let refused = |listed: &[serde_json::Value]| granted().verify(&root(listed), SIGNED, at()).unwrap_err();
    assert_eq!(refused(&[]), TimestampError::NoAuthority);
    let mut old = listed();
    old["validFor"] = serde_json::json!({ "start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z" });
    assert_eq!(refused(std::slice::from_ref(&old)), TimestampError::OutOfUse(at()));
    let authority = crate::signature::certificate::tests::authority();
    let stranger = listed_authority(&[authority.der().to_vec()]);
    let error = refused(std::slice::from_ref(&stranger));
    assert!(matches!(error, TimestampError::Untrusted(_)), "{error}");
    // A stranger's window lends nothing.
    assert_eq!(refused(&[stranger, old]), TimestampError::OutOfUse(at()));
}

#[test]
fn a_time_that_is_still_to_come_is_refused() {
    let root = root(&[listed()]);
    let early = |seconds| granted().verify(&root, SIGNED, at() - SignedDuration::from_secs(seconds));
    assert_eq!(early(300), Ok(at()));
    assert_eq!(early(301), Err(TimestampError::Future(at())));
}

#[test]
fn an_answer_is_told_by_its_nonce() {
    assert!(granted().answers(Nonce::new(NONCE)));
    assert!(!granted().answers(Nonce::new([0; 8])));
}

#[test]
fn a_request_is_what_openssl_makes() {
    let made = include_bytes!("../../../tests/fixtures/timestamp/query.tsq");
    assert_eq!(request(SIGNED, Nonce::new(NONCE)).unwrap(), made);
    let request = |random| hex::encode(request(SIGNED, Nonce::new(random)).unwrap());
    assert!(request([0; 8]).ends_with("0201000101ff"), "{}", request([0; 8]));
    assert!(request([0, 0, 0, 0, 0, 0, 0, 0x35]).ends_with("0201350101ff"));
}

#[test]
fn the_annotation_of_cosign_reads_back() {
    let text = granted().to_annotation();
    assert!(text.starts_with(r#"{"SignedRFC3161Timestamp":"MII"#), "{text}");
    assert_eq!(SignedTimestamp::of_annotation(&text), Ok(granted()));
    for text in ["", "{}", r#"{"SignedRFC3161Timestamp":null}"#, r#"{"SignedRFC3161Timestamp":"AAAA"}"#] {
        assert!(SignedTimestamp::of_annotation(text).is_err(), "{text}");
    }
    assert!(SignedTimestamp::of_annotation(&"x".repeat(3 * LARGEST)).is_err());
}

#[test]
fn what_is_no_timestamp_is_refused() {
    // A refusal: status 2, and nothing else.
    let refusal = [0x30, 5, 0x30, 3, 2, 1, 2];
    let read = |der: &[u8]| SignedTimestamp::read(der.to_vec()).unwrap_err();
    assert_eq!(read(&refusal), TokenError::Refused(2).into());
    assert_eq!(
        read(&[0x30, 5, 0x30, 3, 2, 1, 0]),
        TokenError::Malformed.into(),
        "granted, and nothing there"
    );
    for length in [0, 1, 10, 100, GRANTED.len() - 1] {
        assert_eq!(read(&GRANTED[..length]), TokenError::Malformed.into(), "cut at {length}");
    }
    assert_eq!(read(&vec![0x30; LARGEST + 1]), TokenError::TooLarge.into());
    let more = [GRANTED, &[0]].concat();
    assert_eq!(read(&more), TokenError::Malformed.into(), "nothing may follow");
}

#[test]
fn a_timestamp_with_any_byte_changed_proves_nothing() {
    let root = root(&[listed()]);
    let mut harmless = 0;
    for index in (0..GRANTED.len()).step_by(7) {
        let mut der = GRANTED.to_vec();
        der[index] ^= 1;
        let verified = SignedTimestamp::read(der).and_then(|read| read.verify(&root, SIGNED, at()));
        // The certificates inside are not what is trusted, and the status text is signed by nobody.
        harmless += usize::from(verified == Ok(at()));
        assert!(verified.is_err() || verified == Ok(at()), "byte {index}: {verified:?}");
    }
    assert!(harmless < GRANTED.len() / 7, "something has to matter");
}
