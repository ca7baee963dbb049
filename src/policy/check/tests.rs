//! Good signatures pass, and every way to tamper with one is refused with a reason that names what is wrong.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::SignedDuration;
use rcgen::ExtendedKeyUsagePurpose;
use serde_json::{Value, json};

use super::*;
use crate::policy::identity::Matcher;
use crate::policy::material::Annotations;
use crate::signature::certificate::tests::{Leaf, NAME, TOKEN_ISSUER, authority, chain, now};
use crate::signature::dsse;
use crate::signature::key::Key;
use crate::signature::trusted_root::TrustedRoot;
use crate::signature::verification::Demands;

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const ENTRY: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";
const IN_TOTO: &str = "application/vnd.in-toto+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";

type Result<T> = std::result::Result<T, Flaw>;

fn image() -> Digest {
    Digest::of(b"image")
}

fn payload(digest: &str) -> String {
    json!({"critical": {"identity": {"docker-reference": "r/a"}, "image": {"docker-manifest-digest": digest},
        "type": "cosign container image signature"}, "optional": null})
    .to_string()
}

fn statement(kind: &str, hex: &str) -> String {
    json!({"_type": kind, "subject": [{"name": "a", "digest": {"sha256": hex}}],
        "predicateType": "https://slsa.dev/provenance/v1", "predicate": {}})
    .to_string()
}

/// A layer: its content and its annotations.
#[derive(Clone)]
struct Layer {
    content: Vec<u8>,
    annotations: Annotations,
}

impl Layer {
    fn signature(key: &Key, payload: &str) -> Self {
        let signature = key.sign_now(payload.as_bytes()).unwrap();
        let annotations = Annotations::from([(SIGNATURE.into(), BASE64_STANDARD.encode(signature))]);
        Self { content: payload.as_bytes().to_vec(), annotations }
    }

    fn attestation(key: &Key, kind: &str, payload: &str) -> Self {
        let message = dsse::pre_authentication_encoding(kind, payload.as_bytes());
        let signature = key.sign_now(&message).unwrap();
        let content = dsse::envelope(kind, payload.as_bytes(), "", &signature);
        Self { content, annotations: Annotations::new() }
    }

    fn with(&self, name: &str, text: &str) -> Self {
        let mut layer = self.clone();
        layer.annotations.insert(name.into(), text.into());
        layer
    }

    fn without(&self, name: &str) -> Self {
        let mut layer = self.clone();
        layer.annotations.remove(name);
        layer
    }

    fn changed(&self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut layer = self.clone();
        change(&mut layer.content);
        layer
    }

    /// The envelope with another value of one of its fields.
    fn field(&self, name: &str, value: Value) -> Self {
        self.changed(|content| {
            let mut envelope: Value = serde_json::from_slice(content).unwrap();
            envelope[name] = value;
            *content = envelope.to_string().into_bytes();
        })
    }

    fn certified(&self, pems: &[String]) -> Self {
        self.with(CERTIFICATE, &pems[0]).with(CHAIN, &pems[1..].concat())
    }

    fn as_signature(&self, trusted: &Trusted, now: Timestamp) -> Result<Verified> {
        check(&Material::signature(&self.content, &self.annotations)?, &image(), trusted, now)
    }

    fn as_attestation(&self, trusted: &Trusted, now: Timestamp) -> Result<Verified> {
        check(&Material::attestation(&self.content, &self.annotations)?, &image(), trusted, now)
    }
}

fn by_key(key: &Key) -> Trusted {
    let by = TrustedSigner::Key(key.public_key().clone());
    Trusted { by, root: Arc::default(), demands: Demands::default(), proof_of_time: false }
}

fn by_identity(root: &str, name: &str, issuer: &str) -> Trusted {
    let identity = Identity { issuer: Matcher::Exact(issuer.into()), subject: Matcher::Exact(name.into()) };
    Trusted {
        by: TrustedSigner::Identities(vec![identity]),
        root: Arc::new(TrustedRoot::of_pem(root).unwrap()),
        demands: Demands { certificate_log: true, ..Demands::default() },
        proof_of_time: false,
    }
}

/// Fails with every case that is not refused as expected.
#[track_caller]
fn refused(cases: Vec<(&str, &str, Result<Verified>)>) {
    let wrong: Vec<String> = cases
        .into_iter()
        .filter_map(|(name, code, result)| match result {
            Ok(_) => Some(format!("{name}: accepted")),
            Err(flaw) if flaw.code() != code => Some(format!("{name}: {} ({flaw}), not {code}", flaw.code())),
            Err(_) => None,
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_good_signature_says_who_made_it() {
    let key = Key::generate("k").unwrap();
    let layer = Layer::signature(&key, &payload(&image().to_string()));
    let verified = layer.as_signature(&by_key(&key), now()).unwrap();
    assert_eq!(verified.by, Signer::Key { id: key.public_key().id().to_owned() });
    assert!(verified.statement.is_none() && verified.at.is_none());

    let layer = Layer::attestation(&key, IN_TOTO, &statement(STATEMENT, &image().hex()));
    let verified = layer.as_attestation(&by_key(&key), now()).unwrap();
    assert_eq!(verified.statement.unwrap().predicate_type, "https://slsa.dev/provenance/v1");
}

#[tokio::test]
async fn a_good_certificate_says_whose_signature_it_is() {
    let (key, authority) = (Key::generate("k").unwrap(), authority());
    let pems = chain(&authority, key.public_key(), &Leaf::default());
    let layer = Layer::signature(&key, &payload(&image().to_string())).certified(&pems);
    let trusted = by_identity(&authority.pem(), NAME, TOKEN_ISSUER);
    let verified = layer.as_signature(&trusted, now()).unwrap();
    assert_eq!(verified.by, Signer::Identity { names: vec![NAME.into()], issuer: TOKEN_ISSUER.into() });
    let without_chain = layer.without(CHAIN);
    assert!(without_chain.as_signature(&trusted, now()).is_ok(), "the way to the root is known");
    // Who trusts the key by itself does not care for the certificate.
    assert!(layer.as_signature(&by_key(&key), now() + SignedDuration::from_hours(1)).is_ok());
}

#[tokio::test]
async fn every_tampered_signature_is_refused_by_name() {
    let (key, other) = (Key::generate("k").unwrap(), Key::generate("o").unwrap());
    let digest = image().to_string();
    let good_payload = payload(&digest);
    let good = Layer::signature(&key, &good_payload);
    let trusted = by_key(&key);
    let sign = async |payload: &str| Layer::signature(&key, payload).as_signature(&trusted, now());
    let read = |layer: Layer| layer.as_signature(&trusted, now());
    let raw = BASE64_STANDARD.decode(&good.annotations[SIGNATURE]).unwrap();
    let flipped: Vec<u8> = raw.iter().enumerate().map(|(n, b)| if n == 20 { b ^ 1 } else { *b }).collect();
    let short = BASE64_STANDARD.encode(&raw[..raw.len() - 1]);
    let twice = good_payload
        .replace("\"docker-manifest-digest\"", "\"docker-manifest-digest\":\"x\",\"docker-manifest-digest\"");
    refused(vec![
        ("a changed byte of the payload", "SignatureMismatch", read(good.changed(|c| c[30] ^= 1))),
        ("a cut payload", "SignatureMismatch", read(good.changed(|c| c.truncate(40)))),
        ("an empty payload", "SignatureMismatch", read(good.changed(Vec::clear))),
        ("a line more", "SignatureMismatch", read(good.changed(|c| c.push(b'\n')))),
        ("a huge payload", "SignatureMismatch", read(good.changed(|c| c.resize(1 << 20, b' ')))),
        (
            "a changed signature",
            "SignatureMismatch",
            read(good.with(SIGNATURE, &BASE64_STANDARD.encode(flipped))),
        ),
        ("a cut signature", "SignatureMismatch", read(good.with(SIGNATURE, &short))),
        ("an empty signature", "MalformedLayer", read(good.with(SIGNATURE, ""))),
        ("no signature", "MalformedLayer", read(good.without(SIGNATURE))),
        ("a signature that is not base64", "MalformedLayer", read(good.with(SIGNATURE, "***"))),
        (
            "another key",
            "SignatureMismatch",
            Layer::signature(&other, &good_payload).as_signature(&trusted, now()),
        ),
        ("another image's signature", "OtherImage", sign(&payload(&Digest::of(b"other").to_string())).await),
        ("a digest in other letters", "OtherImage", sign(&payload(&digest.to_uppercase())).await),
        ("no digest", "OtherImage", sign(&payload("")).await),
        ("two digests", "MalformedPayload", sign(&twice).await),
        ("another type", "MalformedPayload", sign(&good_payload.replace("cosign container", "atomic")).await),
        ("no JSON", "MalformedPayload", sign("text").await),
        ("no claims", "MalformedPayload", sign("{}").await),
        ("two payloads", "MalformedPayload", sign(&format!("{good_payload}{good_payload}")).await),
        (
            "an attestation as a signature",
            "MalformedPayload",
            sign(&statement(STATEMENT, &image().hex())).await,
        ),
    ]);
}

#[tokio::test]
async fn every_tampered_attestation_is_refused_by_name() {
    let (key, other) = (Key::generate("k").unwrap(), Key::generate("o").unwrap());
    let good_statement = statement(STATEMENT, &image().hex());
    let good = Layer::attestation(&key, IN_TOTO, &good_statement);
    let trusted = by_key(&key);
    let sign = async |kind: &str, payload: &str| {
        Layer::attestation(&key, kind, payload).as_attestation(&trusted, now())
    };
    let read = |layer: Layer| layer.as_attestation(&trusted, now());
    let bare = dsse::envelope(
        IN_TOTO,
        good_statement.as_bytes(),
        "",
        &key.sign_now(good_statement.as_bytes()).unwrap(),
    );
    let about_other = statement(STATEMENT, &Digest::of(b"other").hex());
    let twice = good_statement.replace("\"predicateType\"", "\"predicateType\":\"x\",\"predicateType\"");
    let text = String::from_utf8(good.content.clone()).unwrap();
    let payload_twice = text.replacen("\"payload\"", "\"payload\":\"e30=\",\"payload\"", 1).into_bytes();
    refused(vec![
        (
            "another payload",
            "SignatureMismatch",
            read(good.field("payload", json!(BASE64_STANDARD.encode(&about_other)))),
        ),
        ("another payload type", "SignatureMismatch", read(good.field("payloadType", json!("text/plain")))),
        ("a signature over the bare payload", "SignatureMismatch", read(good.changed(|c| *c = bare))),
        ("no signatures", "MalformedLayer", read(good.field("signatures", json!([])))),
        (
            "a signature that is not base64",
            "MalformedLayer",
            read(good.field("signatures", json!([{"sig": "***"}]))),
        ),
        ("a cut envelope", "MalformedLayer", read(good.changed(|c| c.truncate(100)))),
        ("an empty envelope", "MalformedLayer", read(good.changed(Vec::clear))),
        ("a payload that stands twice", "MalformedLayer", read(good.changed(|c| *c = payload_twice))),
        ("a payload that is not base64", "MalformedLayer", read(good.field("payload", json!("***")))),
        (
            "another key",
            "SignatureMismatch",
            Layer::attestation(&other, IN_TOTO, &good_statement).as_attestation(&trusted, now()),
        ),
        ("another image's attestation", "OtherImage", sign(IN_TOTO, &about_other).await),
        ("no subject", "OtherImage", sign(IN_TOTO, &statement(STATEMENT, "")).await),
        ("a predicate type that stands twice", "MalformedPayload", sign(IN_TOTO, &twice).await),
        (
            "an unknown kind of statement",
            "MalformedPayload",
            sign(IN_TOTO, &statement("https://in-toto.io/Statement/v9", &image().hex())).await,
        ),
        ("another payload type, signed", "MalformedPayload", sign("text/plain", &good_statement).await),
        (
            "simple signing in an envelope",
            "MalformedPayload",
            sign(IN_TOTO, &payload(&image().to_string())).await,
        ),
        ("no JSON", "MalformedPayload", sign(IN_TOTO, "text").await),
    ]);
}

#[tokio::test]
async fn every_tampered_certificate_and_proof_is_refused_by_name() {
    let (key, other) = (Key::generate("k").unwrap(), Key::generate("o").unwrap());
    let (own, stranger) = (authority(), authority());
    let layer = Layer::signature(&key, &payload(&image().to_string()));
    let pems = chain(&own, key.public_key(), &Leaf::default());
    let good = layer.certified(&pems);
    let trusted = by_identity(&own.pem(), NAME, TOKEN_ISSUER);
    assert!(good.as_signature(&trusted, now()).is_ok());
    let read = |layer: &Layer| layer.as_signature(&trusted, now());
    let at = |hours: i64| good.as_signature(&trusted, now() + SignedDuration::from_hours(hours));
    let with = |name: &str, issuer: &str| good.as_signature(&by_identity(&own.pem(), name, issuer), now());
    let leaf = |leaf: Leaf| layer.certified(&chain(&own, key.public_key(), &leaf));
    let of_stranger = layer.certified(&chain(&stranger, key.public_key(), &Leaf::default()));
    let of_other_key = layer.certified(&chain(&own, other.public_key(), &Leaf::default()));
    let server = leaf(Leaf { purpose: ExtendedKeyUsagePurpose::ServerAuth, ..Leaf::default() });
    let strict = Trusted { proof_of_time: true, ..trusted.clone() };
    let proved = |layer: &Layer| layer.as_signature(&strict, now());
    let cut = pems[0].replace('A', "");
    refused(vec![
        ("no certificate", "NoCertificate", read(&layer)),
        ("somebody else's certificate", "SignatureMismatch", read(&of_other_key)),
        ("a stranger's authority, brought along", "UntrustedCertificate", read(&of_stranger)),
        (
            "another trust root",
            "UntrustedCertificate",
            good.as_signature(&by_identity(&stranger.pem(), NAME, TOKEN_ISSUER), now()),
        ),
        ("a certificate that is over", "CertificateNotValid", at(1)),
        ("a certificate that is to come", "CertificateNotValid", at(-1)),
        ("a certificate for servers", "UntrustedCertificate", read(&server)),
        (
            "another name",
            "IdentityMismatch",
            with("https://kubernetes.io/namespaces/ci/serviceaccounts/other", TOKEN_ISSUER),
        ),
        ("another issuer", "IdentityMismatch", with(NAME, "https://other.test")),
        (
            "a certificate that is no PEM",
            "MalformedCertificate",
            read(&good.with(CERTIFICATE, "-----BEGIN x")),
        ),
        ("a damaged certificate", "MalformedCertificate", read(&good.with(CERTIFICATE, &cut))),
        (
            "a public key for a certificate",
            "MalformedCertificate",
            read(&good.with(CERTIFICATE, &key.public_key().to_pem())),
        ),
        ("a chain of eleven", "MalformedCertificate", read(&good.with(CHAIN, &own.pem().repeat(11)))),
        ("a huge chain", "MalformedCertificate", read(&good.with(CHAIN, &own.pem().repeat(1000)))),
        ("no proof of time", "NoProofOfTime", proved(&good)),
        ("a log entry that is none", "LogEntryInvalid", proved(&good.with(ENTRY, "{}"))),
        ("a timestamp that is none", "TimestampInvalid", proved(&good.with(TIMESTAMP, "{}"))),
    ]);
}

#[test]
fn what_is_no_bundle_is_refused_by_name() {
    let huge = vec![b' '; 33 * 1024 * 1024];
    for json in [&b""[..], b"{}", b"{\"mediaType\":", b"[]", &huge] {
        assert_eq!(Material::bundle(json).unwrap_err().code(), "MalformedBundle");
    }
}

#[tokio::test]
async fn who_signed_is_shown_to_whom_expected_somebody_else() {
    let (key, authority) = (Key::generate("k").unwrap(), authority());
    let pems = chain(&authority, key.public_key(), &Leaf::default());
    let layer = Layer::signature(&key, &payload(&image().to_string())).certified(&pems);
    let trusted = by_identity(&authority.pem(), NAME, "https://other.test");
    let told = layer.as_signature(&trusted, now()).unwrap_err().to_string();
    for text in [NAME, TOKEN_ISSUER, "https://other.test"] {
        assert!(told.contains(text), "{told}");
    }
}
