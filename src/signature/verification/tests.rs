//! One question, and each way to answer it with no.

use rcgen::{CertifiedIssuer, KeyPair};
use serde_json::Value;

use super::*;
use crate::signature::certificate::tests::{Leaf, NAME, TOKEN_ISSUER, authority, chain};
use crate::signature::entry::made_log::{MadeLog, listed_authority, trusted_root};
use crate::signature::entry::tests::{ENVELOPE, PAYLOAD, URL, logged, now, signed};
use crate::signature::entry::{Entry, Version};
use crate::signature::key::Key;
use crate::signature::timestamp::tests as stamps;

type Issuer = CertifiedIssuer<'static, KeyPair>;

const NOTHING: Demands = Demands { entry: false, timestamp: false, time: false, certificate_log: false };
const ENTRY: Demands = Demands { entry: true, ..NOTHING };
const TIME: Demands = Demands { time: true, ..NOTHING };
const LOGGED: Demands = Demands { certificate_log: true, ..NOTHING };

fn root(issuer: Option<&Issuer>, logs: &[&MadeLog], certificate_logs: &[&MadeLog]) -> TrustedRoot {
    let authorities: Vec<Value> =
        issuer.iter().map(|issuer| listed_authority(&[issuer.der().to_vec()])).collect();
    let listed = |logs: &[&MadeLog]| logs.iter().map(|log| log.listed()).collect::<Vec<_>>();
    let json = trusted_root(&authorities, &listed(logs), &listed(certificate_logs), &[stamps::listed()]);
    TrustedRoot::read(json.to_string().as_bytes()).unwrap()
}

fn of(entry: Entry) -> Evidence {
    Evidence { entries: vec![entry], timestamps: Vec::new(), stamped: None }
}

fn long_after() -> Timestamp {
    "2033-01-01T00:00:00Z".parse().unwrap()
}

/// A signature by a certificate over the envelope, asked for by the name that the certificate has.
struct Case {
    issuer: Issuer,
    certificate: Certificate,
    bytes: Vec<u8>,
}

impl Case {
    async fn new(leaf: &Leaf) -> Self {
        let (issuer, key) = (authority(), Key::generate("run").unwrap());
        let certificate = Certificate::read(&chain(&issuer, key.public_key(), leaf)).unwrap();
        let bytes = signed(&key, ENVELOPE).await;
        Self { issuer, certificate, bytes }
    }

    fn signature(&self) -> Signature<'_> {
        let by = SignedBy::Certificate(&self.certificate);
        Signature { covered: ENVELOPE, bytes: &self.bytes, by }
    }

    fn verify(&self, evidence: &Evidence, root: &TrustedRoot, demands: Demands, at: Timestamp) -> Answer {
        let (name, issuer) = (|found: &str| found == NAME, |found: &str| found == TOKEN_ISSUER);
        let trusted = Trusted::Identity(Identity { name: &name, issuer: &issuer });
        verify(&self.signature(), evidence, trusted, root, demands, at)
    }
}

type Answer = Result<Verified, Refusal>;

#[tokio::test]
async fn a_key_that_is_trusted_needs_nothing_else() {
    let (key, other) = (Key::generate("k").unwrap(), Key::generate("o").unwrap());
    let bytes = signed(&key, PAYLOAD).await;
    let signature = Signature { covered: PAYLOAD, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
    let (none, root) = (Evidence::default(), TrustedRoot::default());
    let ask = |signature: &Signature<'_>, key: &Key, demands| {
        verify(signature, &none, Trusted::Key(key.public_key()), &root, demands, now())
    };
    assert_eq!(ask(&signature, &key, NOTHING), Ok(Verified::default()));
    assert_eq!(ask(&signature, &other, NOTHING), Err(Refusal::OtherKey));
    let covered = crate::signature::covered::Covered::Payload(b"other");
    assert_eq!(ask(&Signature { covered, ..signature }, &key, NOTHING), Err(Refusal::Signature));
    assert_eq!(ask(&signature, &key, ENTRY), Err(Refusal::NoEntry));
    assert_eq!(ask(&signature, &key, Demands { timestamp: true, ..NOTHING }), Err(Refusal::NoTimestamp));
    let anybody = |_: &str| true;
    let identity = Trusted::Identity(Identity { name: &anybody, issuer: &anybody });
    let refused = verify(&signature, &none, identity, &root, NOTHING, now());
    assert_eq!(refused, Err(Refusal::NoCertificate));
}

#[tokio::test]
async fn a_certificate_counts_at_the_time_that_its_entry_proves() {
    let (case, mut log) = (Case::new(&Leaf::default()).await, MadeLog::v1(URL));
    let evidence = of(logged(&mut log, &case.signature(), Version::V1));
    let root = root(Some(&case.issuer), &[&log], &[]);
    let verified = case.verify(&evidence, &root, ENTRY, long_after()).unwrap();
    assert_eq!((verified.entries, verified.times), (1, vec![now()]));
    assert!(case.verify(&evidence, &root, TIME, long_after()).is_ok());
    let alone = Evidence::default();
    assert!(case.verify(&alone, &root, NOTHING, now()).is_ok(), "it is good now");
    let late = case.verify(&alone, &root, NOTHING, long_after());
    assert!(matches!(late, Err(Refusal::NotThen { at, .. }) if at == long_after()), "{late:?}");
}

#[tokio::test]
async fn an_entry_of_version_2_proves_no_time() {
    let (case, mut log) = (Case::new(&Leaf::default()).await, MadeLog::v2(URL));
    let evidence = of(logged(&mut log, &case.signature(), Version::V2));
    let root = root(Some(&case.issuer), &[&log], &[]);
    assert!(case.verify(&evidence, &root, ENTRY, now()).is_ok());
    let late = case.verify(&evidence, &root, ENTRY, long_after());
    assert!(matches!(late, Err(Refusal::NotThen { .. })), "{late:?}");
    for at in [now(), long_after()] {
        assert_eq!(
            case.verify(&evidence, &root, TIME, at),
            Err(Refusal::NoTime),
            "said before anything else"
        );
    }
}

#[tokio::test]
async fn somebody_else_is_refused_by_name_and_by_issuer() {
    let case = Case::new(&Leaf::default()).await;
    let root = root(Some(&case.issuer), &[], &[]);
    let ask = |name: &'static str, issuer: &'static str| {
        let (name, issuer) = (move |found: &str| found == name, move |found: &str| found == issuer);
        let trusted = Trusted::Identity(Identity { name: &name, issuer: &issuer });
        verify(&case.signature(), &Evidence::default(), trusted, &root, NOTHING, now())
    };
    assert!(ask(NAME, TOKEN_ISSUER).is_ok());
    assert_eq!(ask("x", TOKEN_ISSUER), Err(Refusal::OtherName(vec![NAME.to_owned()])));
    assert_eq!(ask(NAME, "x"), Err(Refusal::OtherIssuer(Some(TOKEN_ISSUER.to_owned()))));
}

#[tokio::test]
async fn a_certificate_of_a_strange_authority_is_refused() {
    let case = Case::new(&Leaf::default()).await;
    let ask = |root: &TrustedRoot, at| case.verify(&Evidence::default(), root, NOTHING, at);
    let stranger = ask(&root(Some(&authority()), &[], &[]), now());
    assert!(matches!(stranger, Err(Refusal::Chain { .. })), "{stranger:?}");
    assert_eq!(ask(&TrustedRoot::default(), now()), Err(Refusal::NoAuthority(now())));
    let server = rcgen::ExtendedKeyUsagePurpose::ServerAuth;
    let case = Case::new(&Leaf { purpose: server, ..Leaf::default() }).await;
    let refused = case.verify(&Evidence::default(), &root(Some(&case.issuer), &[], &[]), NOTHING, now());
    assert!(matches!(refused, Err(Refusal::Chain { .. })), "not for signing code: {refused:?}");
}

#[tokio::test]
async fn entries_by_strangers_count_for_nothing_and_those_by_known_logs_must_hold() {
    let (case, mut log, mut stranger) =
        (Case::new(&Leaf::default()).await, MadeLog::v1(URL), MadeLog::v1(URL));
    let root = root(Some(&case.issuer), &[&log], &[]);
    let strange = of(logged(&mut stranger, &case.signature(), Version::V1));
    assert_eq!(case.verify(&strange, &root, NOTHING, now()).unwrap().entries, 0);
    let refused = case.verify(&strange, &root, ENTRY, now());
    assert!(matches!(refused, Err(Refusal::Entry(EntryError::UnknownLog(_)))), "{refused:?}");
    assert!(matches!(case.verify(&strange, &root, NOTHING, long_after()), Err(Refusal::NotThen { .. })));
    let other = Case::new(&Leaf::default()).await;
    let borrowed = of(logged(&mut log, &other.signature(), Version::V1));
    let refused = case.verify(&borrowed, &root, NOTHING, long_after());
    assert!(matches!(refused, Err(Refusal::Entry(EntryError::Mismatch(_)))), "{refused:?}");
}

#[tokio::test]
async fn timestamps_are_over_the_signature_or_refused() {
    let case = Case::new(&Leaf::default()).await;
    let root = root(Some(&case.issuer), &[], &[]);
    let evidence = Evidence { entries: Vec::new(), timestamps: vec![stamps::granted()], stamped: None };
    let refused = case.verify(&evidence, &root, NOTHING, stamps::at());
    assert_eq!(refused, Err(Refusal::Timestamp(TimestampError::OtherSignature)));
}

/// The content of a list with one word of `log` about the certificate that `leaf` describes.
fn word(log: &MadeLog, issuer: &Issuer, certificate: &Certificate, at: Timestamp) -> Vec<u8> {
    use x509_cert::der::{Decode as _, Encode as _};
    let plain = x509_cert::Certificate::from_der(certificate.leaf_der()).unwrap();
    let plain = plain.tbs_certificate.to_der().unwrap();
    let issuer = x509_cert::Certificate::from_der(issuer.der()).unwrap();
    let issuer = issuer.tbs_certificate.subject_public_key_info.to_der().unwrap();
    let time = u64::try_from(at.as_millisecond()).unwrap().to_be_bytes();
    let issuer = sigstore_crypto::sha256(&issuer);
    let length = u32::try_from(plain.len()).unwrap().to_be_bytes();
    let message = [&[0, 0][..], &time, &[0, 1], issuer.as_bytes(), &length[1..], &plain, &[0, 0]].concat();
    let signature = log.sign(&message);
    let size = u16::try_from(signature.len()).unwrap().to_be_bytes();
    // SHA-256 with ECDSA.
    let word = [&[0][..], &log.id(), &time, &[0, 0], &[4, 3], &size, &signature].concat();
    let framed = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let list = framed(&framed(&word));
    x509_cert::der::asn1::OctetStringRef::new(&list).unwrap().to_der().unwrap()
}

/// A case whose certificate brings a word of `log`; `other` is what the word is really about, if not the certificate.
async fn with_word(log: &MadeLog, at: Timestamp, other: Option<&'static str>) -> Case {
    let (issuer, key) = (authority(), Key::generate("run").unwrap());
    let plain = Leaf { name: other.unwrap_or(NAME), ..Leaf::default() };
    let plain = Certificate::read(&chain(&issuer, key.public_key(), &plain)).unwrap();
    let leaf = Leaf { scts: Some(word(log, &issuer, &plain, at)), ..Leaf::default() };
    let certificate = Certificate::read(&chain(&issuer, key.public_key(), &leaf)).unwrap();
    let bytes = signed(&key, ENVELOPE).await;
    Case { issuer, certificate, bytes }
}

#[tokio::test]
async fn the_word_of_a_certificate_log_counts_when_the_root_knows_one() {
    let (log, other) = (MadeLog::v1("https://ct.test"), MadeLog::v1("https://ct2.test"));
    let case = with_word(&log, now(), None).await;
    let ask = |case: &Case, logs: &[&MadeLog], demands| {
        case.verify(&Evidence::default(), &root(Some(&case.issuer), &[], logs), demands, now())
    };
    assert!(ask(&case, &[&log], LOGGED).unwrap().certificate_logged);
    assert!(!ask(&case, &[], LOGGED).unwrap().certificate_logged, "nobody to ask");
    assert!(!ask(&case, &[&other], NOTHING).unwrap().certificate_logged, "nobody asks");
    assert_eq!(ask(&case, &[&other], LOGGED), Err(Refusal::Sct(SctError::UnknownLog)));
    let plain = Case::new(&Leaf::default()).await;
    assert_eq!(ask(&plain, &[&log], LOGGED), Err(Refusal::Sct(SctError::Missing)));
    let lent = with_word(&log, now(), Some("https://kubernetes.io/namespaces/x/serviceaccounts/y")).await;
    assert_eq!(ask(&lent, &[&log], LOGGED), Err(Refusal::Sct(SctError::Signature)));
    let old: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
    let early = with_word(&log, old, None).await;
    assert_eq!(ask(&early, &[&log], LOGGED), Err(Refusal::Sct(SctError::OutOfUse(old))));
    let garbage = Case::new(&Leaf { scts: Some(vec![4, 2, 0, 9]), ..Leaf::default() }).await;
    assert_eq!(ask(&garbage, &[&log], LOGGED), Err(Refusal::Sct(SctError::Malformed)));
}

#[test]
fn every_refusal_has_a_word_for_scripts() {
    let refusals = [Refusal::Signature, Refusal::OtherKey, Refusal::NoEntry, Refusal::Sct(SctError::Missing)];
    let labels: Vec<_> = refusals.iter().map(Refusal::label).collect();
    assert_eq!(labels, ["bad_signature", "other_key", "no_log_entry", "bad_sct"]);
    let text = refusals[3].to_string();
    assert_eq!(
        text,
        "the certificate is in no certificate log of the trust root: it holds no signed certificate timestamp"
    );
}
