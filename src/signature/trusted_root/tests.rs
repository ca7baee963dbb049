//! Trust roots as they should be, and each way in which they should not.

use base64::Engine as _;
use serde_json::{Value, json};

use super::*;
use crate::signature::certificate::tests::authority;
use crate::signature::entry::made_log::{MadeLog, listed_authority, trusted_root};

/// A root of one authority, of a log of each version, and of a certificate log.
fn whole() -> Value {
    let authority = listed_authority(&[authority().der().to_vec()]);
    let logs = [MadeLog::v1("https://one.test").listed(), MadeLog::v2("https://two.test").listed()];
    let certificates = [MadeLog::v1("https://ct.test").listed()];
    trusted_root(std::slice::from_ref(&authority), &logs, &certificates, std::slice::from_ref(&authority))
}

fn read(json: &Value) -> Result<TrustedRoot, TrustedRootError> {
    TrustedRoot::read(json.to_string().as_bytes())
}

#[test]
fn a_root_lists_authorities_logs_and_who_signs_times() {
    let root = read(&whole()).unwrap();
    let urls: Vec<_> = root.logs().iter().map(KnownLog::url).collect();
    assert_eq!(urls, ["https://one.test", "https://two.test"]);
    assert_eq!((root.authorities().len(), root.certificate_logs().len()), (1, 1));
    assert!(root.knows_timestamps() && root.unusable().is_empty());
    let times =
        ["2022-12-31T23:59:59Z", "2023-01-01T00:00:00Z", "2024-01-01T00:00:00Z", "2024-01-01T00:00:01Z"];
    let valid = |text: &&str| root.logs()[0].is_valid(text.parse().unwrap());
    assert_eq!(times.iter().map(valid).collect::<Vec<_>>(), [false, true, true, false]);
    let begun = |text: &&str| root.logs()[0].has_begun(text.parse().unwrap());
    assert_eq!(times.iter().map(begun).collect::<Vec<_>>(), [false, true, true, true]);
}

#[test]
fn a_root_without_anybody_is_one_that_trusts_nobody() {
    let root = read(&json!({ "mediaType": "application/vnd.dev.sigstore.trustedroot.v0.2+json" })).unwrap();
    assert!(root.authorities().is_empty() && root.logs().is_empty() && !root.knows_timestamps());
}

#[test]
fn what_is_no_trust_root_is_refused() {
    for text in ["", "[]", "{}", "{\"mediaType\":1}", "\u{0}"] {
        assert!(matches!(TrustedRoot::read(text.as_bytes()), Err(TrustedRootError::Malformed(_))), "{text}");
    }
    assert!(matches!(TrustedRoot::read(b"\xff"), Err(TrustedRootError::Malformed(_))));
    let other = json!({ "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json" });
    assert!(matches!(read(&other), Err(TrustedRootError::MediaType(_))));
    assert!(matches!(TrustedRoot::read(&vec![b' '; LARGEST + 1]), Err(TrustedRootError::TooLarge)));
}

/// What is said of a root with one part changed.
fn said(change: impl Fn(&mut Value)) -> String {
    let mut json = whole();
    change(&mut json);
    crate::error::chain(&read(&json).unwrap_err())
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let garbage = |json: &mut Value| json["tlogs"][1]["publicKey"]["rawBytes"] = "AAAA".into();
    assert_eq!(
        said(garbage),
        "tlog https://two.test of the trust root cannot be used: its key does not decode"
    );
    let short = |json: &mut Value| json["ctlogs"][0]["logId"]["keyId"] = "AAAA".into();
    assert_eq!(
        said(short),
        "ctlog https://ct.test of the trust root cannot be used: its id has 3 bytes, wanted 32"
    );
    let twice = |json: &mut Value| {
        let first = json["tlogs"][0].clone();
        json["tlogs"].as_array_mut().unwrap().push(first);
    };
    assert!(said(twice).ends_with("another log has the same id"));
    let backwards = json!({ "start": "2024-01-01T00:00:00Z", "end": "2023-01-01T00:00:00Z" });
    let window = |json: &mut Value| json["tlogs"][0]["publicKey"]["validFor"] = backwards.clone();
    assert!(said(window).ends_with("its time ends before it begins"));
    for kind in ["certificateAuthorities", "timestampAuthorities"] {
        let window = |json: &mut Value| json[kind][0]["validFor"] = backwards.clone();
        assert!(said(window).ends_with("its time ends before it begins"));
        let empty = |json: &mut Value| json[kind][0]["certChain"]["certificates"] = json!([]);
        assert!(
            said(empty)
                .ends_with("https://authority.test of the trust root cannot be used: it has no certificates")
        );
        let bad =
            |json: &mut Value| json[kind][0]["certChain"]["certificates"] = json!([{ "rawBytes": "AAAA" }]);
        assert!(said(bad).contains("its certificate 1 does not decode"), "{}", said(bad));
        let long = |json: &mut Value| {
            let one = json[kind][0]["certChain"]["certificates"][0].clone();
            json[kind][0]["certChain"]["certificates"] = vec![one; 11].into();
        };
        assert!(said(long).contains("11 certificates"));
        let many = |json: &mut Value| json[kind] = vec![json[kind][0].clone(); MOST + 1].into();
        assert!(said(many).contains("more than 64"));
    }
}

#[test]
fn a_log_with_a_key_of_tomorrow_is_left_out_and_said() {
    // A key of an algorithm that does not exist: OID 1.2.3.4 with one byte.
    let tomorrow = "300b300506032a03040302000f";
    let der = base64::prelude::BASE64_STANDARD.encode(hex::decode(tomorrow).unwrap());
    let mut json = whole();
    json["tlogs"][1]["publicKey"]["rawBytes"] = der.into();
    let root = read(&json).unwrap();
    assert_eq!(root.logs().len(), 1);
    assert_eq!(root.unusable(), ["tlog https://two.test"]);
}

#[test]
fn a_log_by_its_key_is_identified_by_the_hash_of_it() {
    let log = MadeLog::v1("https://rekor.test");
    let known = KnownLog::of_pem(&log.url, &log.key_pem()).unwrap();
    assert_eq!(known.id(), log.id());
    assert!(known.verifies(b"message", &log.sign(b"message")));
    assert!(!known.verifies(b"other", &log.sign(b"message")));
    assert_eq!(format!("{known:?}"), format!("https://rekor.test {}", hex::encode(log.id())));
    for pem in ["", "text", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(matches!(KnownLog::of_pem("u", pem), Err(KeyError::Malformed)));
    }
}

#[test]
fn addresses_from_outside_are_cut_before_they_are_shown() {
    let address = format!("https://x\u{1b}[31m{}", "y".repeat(1000));
    let long = |json: &mut Value| {
        json["tlogs"][0]["baseUrl"] = address.clone().into();
        json["tlogs"][0]["logId"]["keyId"] = "".into();
    };
    let text = said(long);
    assert!(text.len() < 400 && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn the_roots_that_everybody_uses_are_read_whole() {
    for (json, logs, certificate_logs) in [
        (wire::SIGSTORE_PRODUCTION_TRUSTED_ROOT, 1, 2),
        (wire::SIGSTORE_STAGING_TRUSTED_ROOT, 2, 1),
        (wire::SIGSTORE_GITHUB_TRUSTED_ROOT, 0, 0),
    ] {
        let root = TrustedRoot::read(json.as_bytes()).unwrap();
        assert!(root.logs().len() >= logs && root.certificate_logs().len() >= certificate_logs, "{root:?}");
        assert!(!root.authorities().is_empty() && root.knows_timestamps(), "{root:?}");
        assert_eq!(root.unusable(), [""; 0]);
    }
}

#[tokio::test]
async fn logs_sign_with_rsa_too() {
    let pem = include_bytes!("../../../tests/fixtures/keys/rsa2048.pem");
    let key = crate::signature::key::Key::from_pem("k", pem).unwrap();
    let log = KnownLog::of_pem("u", &key.public_key().to_pem()).unwrap();
    let signature = key.sign_now(b"message").unwrap();
    assert!(log.verifies(b"message", &signature) && !log.verifies(b"other", &signature));
}
