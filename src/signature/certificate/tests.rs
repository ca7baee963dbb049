//! Certificates made here, good ones and each of the bad ones.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SignatureAlgorithm,
};

use super::*;
use crate::signature::key::Key;

pub(crate) const NAME: &str = "https://kubernetes.io/namespaces/ci/serviceaccounts/agent";
pub(crate) const TOKEN_ISSUER: &str = "https://issuer.test";

/// An authority as Fulcio's is.
pub(crate) fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// What differs from a good leaf.
#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) name: &'static str,
    pub(crate) raw_issuer: bool,
    pub(crate) purpose: ExtendedKeyUsagePurpose,
    /// The content of its list of signed certificate timestamps.
    pub(crate) scts: Option<Vec<u8>>,
}

impl Default for Leaf {
    fn default() -> Self {
        Self { name: NAME, raw_issuer: false, purpose: ExtendedKeyUsagePurpose::CodeSigning, scts: None }
    }
}

/// A P-256 key as rcgen wants it: the point is the last of its DER.
struct Point<'a>(&'a PublicKey);

impl PublicKeyData for Point<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.0.der()[self.0.der().len() - 65..]
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// A leaf for `key`, valid for ten minutes from 2023-11-14T22:13:20Z, and its authority.
pub(crate) fn chain(
    authority: &CertifiedIssuer<'static, KeyPair>,
    key: &PublicKey,
    leaf: &Leaf,
) -> Vec<String> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(leaf.name.try_into().unwrap())];
    params.extended_key_usages = vec![leaf.purpose.clone()];
    params.not_before = rcgen::date_time_ymd(2023, 11, 14) + std::time::Duration::from_secs(80_000);
    params.not_after = params.not_before + std::time::Duration::from_mins(10);
    let text = Utf8StringRef::new(TOKEN_ISSUER).unwrap().to_der().unwrap();
    params.custom_extensions = vec![if leaf.raw_issuer {
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 1], TOKEN_ISSUER.as_bytes().to_vec())
    } else {
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 8], text)
    }];
    // The same number each time: with and without what a certificate log says, it is one certificate.
    params.serial_number = Some(7_u64.into());
    let scts = leaf
        .scts
        .iter()
        .map(|scts| CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2], scts.clone()));
    params.custom_extensions.extend(scts);
    vec![params.signed_by(&Point(key), authority).unwrap().pem(), authority.pem()]
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn asked(key: &PublicKey) -> Asked<'_> {
    Asked { key, identity: Some(NAME), issuer: Some(TOKEN_ISSUER) }
}

fn checked(leaf: &Leaf) -> Result<(), CertificateError> {
    let key = Key::generate("run").unwrap();
    let certificate = Certificate::read(&chain(&authority(), key.public_key(), leaf)).unwrap();
    certificate.check(&asked(key.public_key()), now())
}

#[test]
fn what_was_asked_for_is_accepted() {
    assert_eq!(checked(&Leaf::default()), Ok(()));
    assert_eq!(checked(&Leaf { raw_issuer: true, ..Leaf::default() }), Ok(()));
}

#[test]
fn a_certificate_for_another_key_is_refused() {
    let (key, other) = (Key::generate("run").unwrap(), Key::generate("other").unwrap());
    let certificate = Certificate::read(&chain(&authority(), other.public_key(), &Leaf::default())).unwrap();
    assert_eq!(certificate.check(&asked(key.public_key()), now()), Err(CertificateError::OtherKey));
}

#[test]
fn a_certificate_with_another_name_or_issuer_is_refused() {
    let other = Leaf { name: "https://kubernetes.io/namespaces/ci/serviceaccounts/other", ..Leaf::default() };
    assert!(matches!(checked(&other), Err(CertificateError::OtherName { .. })));
    let key = Key::generate("run").unwrap();
    let certificate = Certificate::read(&chain(&authority(), key.public_key(), &Leaf::default())).unwrap();
    let wrong = Asked { issuer: Some("https://other.test"), ..asked(key.public_key()) };
    assert!(matches!(certificate.check(&wrong, now()), Err(CertificateError::OtherIssuer { .. })));
    let unknown = Asked { identity: None, issuer: None, ..asked(key.public_key()) };
    assert_eq!(certificate.check(&unknown, now()), Ok(()));
}

#[test]
fn a_name_that_stands_for_no_service_account_is_refused_whatever_was_asked() {
    let key = Key::generate("run").unwrap();
    for name in ["https://kubernetes.io/namespaces//serviceaccounts/", "https://kubernetes.io/namespaces/ci"]
    {
        let leaf = Leaf { name, ..Leaf::default() };
        let certificate = Certificate::read(&chain(&authority(), key.public_key(), &leaf)).unwrap();
        let any = Asked { identity: None, ..asked(key.public_key()) };
        assert_eq!(certificate.check(&any, now()), Err(CertificateError::Nobody(name.to_owned())));
    }
}

#[test]
fn validity_counts_with_five_minutes_for_clocks_that_differ() {
    let key = Key::generate("run").unwrap();
    let certificate = Certificate::read(&chain(&authority(), key.public_key(), &Leaf::default())).unwrap();
    let at = |seconds: i64| {
        certificate.check(&asked(key.public_key()), now() + SignedDuration::from_secs(seconds))
    };
    for (seconds, good) in [(0, true), (-300, true), (-301, false), (600, true), (601, false)] {
        assert_eq!(at(seconds).is_ok(), good, "{seconds}: {:?}", at(seconds));
    }
}

#[test]
fn a_chain_that_does_not_hold_together_is_refused() {
    let key = Key::generate("run").unwrap();
    let good = chain(&authority(), key.public_key(), &Leaf::default());
    let foreign = vec![good[0].clone(), authority().pem()];
    for pems in [foreign, vec![good[0].clone()]] {
        let certificate = Certificate::read(&pems).unwrap();
        let error = certificate.check(&asked(key.public_key()), now()).unwrap_err();
        assert!(matches!(error, CertificateError::Chain(_)), "{error}");
    }
    let server = Leaf { purpose: ExtendedKeyUsagePurpose::ServerAuth, ..Leaf::default() };
    assert!(matches!(checked(&server), Err(CertificateError::Chain(_))), "not for signing code");
}

#[test]
fn what_is_no_certificate_is_refused() {
    let pem = |tag: &str| pem::encode(&pem::Pem::new(tag, b"x".as_slice()));
    for pems in [vec![], vec!["text".to_owned()], vec![pem("PUBLIC KEY")], vec![pem("CERTIFICATE"); 2]] {
        assert!(matches!(Certificate::read(&pems), Err(CertificateError::Malformed(_))));
    }
    let key = Key::generate("run").unwrap();
    let one = chain(&authority(), key.public_key(), &Leaf::default())[1].clone();
    assert!(Certificate::read(&vec![one; 11]).is_err(), "no endless chains");
}

#[test]
fn what_stores_keep_is_the_leaf_and_apart_from_it_the_chain() {
    let key = Key::generate("run").unwrap();
    let pems = chain(&authority(), key.public_key(), &Leaf::default());
    let certificate = Certificate::read(&pems).unwrap();
    let lines = |text: &str| text.replace("\r\n", "\n");
    assert_eq!(certificate.leaf_pem(), lines(&pems[0]));
    assert_eq!(certificate.chain_pem(), lines(&pems[1]));
    assert_eq!((certificate.names(), certificate.issuer()), (&[NAME.to_owned()][..], Some(TOKEN_ISSUER)));
    assert_eq!(certificate.expiry(), now() + SignedDuration::from_mins(10));
}
