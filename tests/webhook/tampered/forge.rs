//! Everything that stands behind a signature without a key, with keys of the test: authorities, a certificate log, a
//! transparency log, and two real timestamp authorities, of which the trust root knows one.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hallmark::client::http::{Clients, Transport};
use hallmark::client::timestamp::TimestampAuthority;
use hallmark::credential::registry_config::{Proxies, RegistryConfig, Trust};
use hallmark::signature::key::Key;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SignatureAlgorithm,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use x509_cert::der::{Decode as _, Encode as _, asn1};

use crate::support::{MadeLog, OfflineCosign, TimestampServer};

pub const NAME: &str = "https://kubernetes.io/namespaces/ci/serviceaccounts/agent";
pub const ISSUER: &str = "https://issuer.test";
/// How long ago signatures were made that a log entry proves the time of.
const AGO: i64 = 3600;

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// An authority with the one below it, which issues.
pub struct Chain {
    issuer: Issuer,
    root: String,
}

/// What a leaf is made with; the constant is a good one.
#[derive(Clone, Copy)]
pub struct Leaf {
    pub name: &'static str,
    pub issuer: &'static str,
    /// From how many seconds before signing it is valid, for ten minutes.
    pub before: i64,
    pub by: By,
    pub for_servers: bool,
    pub word: Word,
}

#[derive(Clone, Copy, PartialEq)]
pub enum By {
    Known,
    /// The one between it and the root ended long ago.
    Ended,
    Stranger,
}

/// What a certificate log says in it.
#[derive(Clone, Copy, PartialEq)]
pub enum Word {
    Good,
    Missing,
    OfStranger,
    OfAnother,
    Rubbish,
}

impl Leaf {
    pub const GOOD: Self =
        Self { name: NAME, issuer: ISSUER, before: 60, by: By::Known, for_servers: false, word: Word::Good };
}

pub struct Forge {
    known: Chain,
    ended: Chain,
    stranger: Chain,
    words: MadeLog,
    strange_words: MadeLog,
    log: Mutex<MadeLog>,
    strange_log: Mutex<MadeLog>,
    pub stamps: TimestampServer,
    pub strange_stamps: TimestampServer,
    pub cosign: OfflineCosign,
    /// Knows all but the strangers.
    pub root: PathBuf,
    /// Knows the strange authority in place of the known one.
    pub wrong_root: PathBuf,
    folder: TempDir,
}

impl Chain {
    fn new(name: &str, ended: bool) -> Self {
        let params = |name: String, from: i32, to: i32| {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            params.distinguished_name.push(DnType::CommonName, name);
            params.distinguished_name.push(DnType::OrganizationName, "test");
            (params.not_before, params.not_after) =
                (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(to, 1, 1));
            params
        };
        let root = params(format!("{name} root"), 2020, 2050);
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
        let mut between = params(format!("{name} between"), 2020, if ended { 2021 } else { 2050 });
        between.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let issuer = CertifiedIssuer::signed_by(between, KeyPair::generate().unwrap(), &root).unwrap();
        Self { root: root.pem(), issuer }
    }

    pub fn pem(&self) -> String {
        format!("{}{}", self.issuer.pem(), self.root)
    }
}

/// A P-256 key as rcgen wants it: the point is the last of its DER.
struct Point<'a>(&'a Key);

impl PublicKeyData for Point<'_> {
    fn der_bytes(&self) -> &[u8] {
        let der = self.0.public_key().der();
        &der[der.len() - 65..]
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl Forge {
    pub async fn start() -> Self {
        let chain = |name, ended| Chain::new(name, ended);
        let (known, ended, stranger) =
            (chain("known", false), chain("ended", true), chain("stranger", false));
        let (words, log) = (MadeLog::v1("http://words.test"), MadeLog::v1("http://rekor.test"));
        let (stamps, strange_stamps) = (TimestampServer::start().await, TimestampServer::start().await);
        let (folder, cosign) = (tempfile::tempdir().unwrap(), OfflineCosign::new());
        let file = |name: &str, content: String| {
            let file = folder.path().join(name);
            std::fs::write(&file, content).unwrap();
            file
        };
        let from = "start-time=2024-01-01T00:00:00Z";
        let public = |log: &MadeLog, name| format!("public-key={}", file(name, log.key_pem()).display());
        let fulcio = |name: &str, chain: &Chain| {
            let file = file(&format!("{name}.pem"), chain.pem());
            ("fulcio", format!("url=http://{name}.test,certificate-chain={}", file.display()))
        };
        let others = [
            ("ctfe", format!("url=http://words.test,{},{from}", public(&words, "words.pub"))),
            ("rekor", format!("url=http://rekor.test,{},{from}", public(&log, "rekor.pub"))),
            ("tsa", format!("url={},certificate-chain={}", stamps.url, stamps.chain.display())),
        ];
        let known_ones = [fulcio("known", &known), fulcio("ended", &ended)];
        let root = cosign.trusted_root(&[&known_ones[..], &others].concat()).await;
        let root = file("root.json", std::fs::read_to_string(root).unwrap());
        let wrong = cosign.trusted_root(&[&[fulcio("stranger", &stranger)][..], &others].concat()).await;
        let wrong_root = file("wrong-root.json", std::fs::read_to_string(wrong).unwrap());
        Self {
            strange_words: MadeLog::v1("http://strange-words.test"),
            strange_log: Mutex::new(MadeLog::v1("http://strange-rekor.test")),
            log: Mutex::new(log),
            known,
            ended,
            stranger,
            words,
            stamps,
            strange_stamps,
            cosign,
            root,
            wrong_root,
            folder,
        }
    }

    /// When signatures were made that an entry proves the time of.
    pub fn then() -> i64 {
        Timestamp::now().as_second() - AGO
    }

    /// A certificate for `key`, good around `at`, with the certificates above it.
    pub fn certificate(&self, key: &Key, leaf: &Leaf, at: i64) -> (String, String) {
        let chain = match leaf.by {
            By::Known => &self.known,
            By::Ended => &self.ended,
            By::Stranger => &self.stranger,
        };
        let word = match leaf.word {
            Word::Missing => None,
            Word::Rubbish => Some(vec![4, 2, 0, 9]),
            Word::Good | Word::OfStranger => {
                let log = if leaf.word == Word::Good { &self.words } else { &self.strange_words };
                Some(word(log, &chain.issuer, issue(chain, key, leaf, at, None).der(), at))
            }
            Word::OfAnother => {
                let another = Leaf { name: "https://kubernetes.io/another", ..*leaf };
                let another = issue(chain, key, &another, at, None);
                Some(word(&self.words, &chain.issuer, another.der(), at))
            }
        };
        (issue(chain, key, leaf, at, word).pem(), chain.pem())
    }

    /// What the log, or a strange one, answers to an entry of a signature over a payload by a certificate.
    pub fn logged(&self, payload: &[u8], signature: &[u8], certificate: &str, known: bool) -> Value {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, payload);
        self.answer(
            known,
            &json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": hex::encode(hash)}},
                "signature": {"content": BASE64_STANDARD.encode(signature),
                    "publicKey": {"content": BASE64_STANDARD.encode(certificate)}}}}),
        )
    }

    /// The same for an envelope.
    pub fn logged_envelope(&self, envelope: &str, certificate: &str, known: bool) -> Value {
        self.answer(
            known,
            &json!({"apiVersion": "0.0.1", "kind": "dsse", "spec": {"proposedContent": {
                "envelope": envelope, "verifiers": [BASE64_STANDARD.encode(certificate)]}}}),
        )
    }

    fn answer(&self, known: bool, proposal: &Value) -> Value {
        let log = if known { &self.log } else { &self.strange_log };
        let answer = log.lock().unwrap().answer_v1(proposal, Self::then());
        answer.as_object().unwrap().values().next().unwrap().clone()
    }

    /// A timestamp over `signature`, as the annotation beside it.
    pub async fn stamp(&self, signature: &[u8], known: bool) -> String {
        let server = if known { &self.stamps } else { &self.strange_stamps };
        let authority =
            TimestampAuthority::new(&Clients::default(), &transport(), &server.url, None).unwrap();
        authority.timestamp(signature, Timestamp::now()).await.unwrap().to_annotation()
    }

    /// What the trust root knows, as an object of the cluster.
    pub fn trust_root_object(&self, name: &str) -> Value {
        let encoded = |text: String| BASE64_STANDARD.encode(text);
        let authority = |uri: &str, chain: String| {
            json!({"subject": {"organization": "test", "commonName": "test"}, "uri": uri,
            "certChain": encoded(chain)})
        };
        let log = |log: &MadeLog| json!({"baseURL": log.url, "hashAlgorithm": "sha-256", "publicKey": encoded(log.key_pem())});
        let stamps = std::fs::read_to_string(&self.stamps.chain).unwrap();
        json!({"apiVersion": "policy.sigstore.dev/v1alpha1", "kind": "TrustRoot", "metadata": {"name": name}, "spec": {
            "sigstoreKeys": {"certificateAuthorities": [authority("http://known.test", self.known.pem())],
                "tLogs": [log(&self.log.lock().unwrap())], "ctLogs": [log(&self.words)],
                "timestampAuthorities": [authority(&self.stamps.url, stamps)]}}})
    }

    pub fn key_file(&self, key: &Key, name: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        std::fs::write(&file, key.public_key().to_pem()).unwrap();
        file
    }
}

fn issue(chain: &Chain, key: &Key, leaf: &Leaf, at: i64, word: Option<Vec<u8>>) -> rcgen::Certificate {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(leaf.name.try_into().unwrap())];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let (code, server) = (ExtendedKeyUsagePurpose::CodeSigning, ExtendedKeyUsagePurpose::ServerAuth);
    params.extended_key_usages = vec![if leaf.for_servers { server } else { code }];
    let begins = u64::try_from(at - leaf.before).unwrap();
    params.not_before = (SystemTime::UNIX_EPOCH + Duration::from_secs(begins)).into();
    params.not_after = params.not_before + Duration::from_mins(10);
    let issuer = asn1::Utf8StringRef::new(leaf.issuer).unwrap().to_der().unwrap();
    // In both forms, as Fulcio has it: for tags cosign reads the first.
    params.custom_extensions = vec![
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 1], leaf.issuer.as_bytes().to_vec()),
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 8], issuer),
    ];
    // The same number each time: with and without what a certificate log says, it is one certificate.
    params.serial_number = Some(7_u64.into());
    let word = word.map(|word| CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2], word));
    params.custom_extensions.extend(word);
    params.signed_by(&Point(key), &chain.issuer).unwrap()
}

/// The content of a list with one word of `log` about a certificate (RFC 6962 §3.3).
fn word(log: &MadeLog, issuer: &Issuer, certificate: &[u8], at: i64) -> Vec<u8> {
    let plain = x509_cert::Certificate::from_der(certificate).unwrap().tbs_certificate.to_der().unwrap();
    let issuer = x509_cert::Certificate::from_der(issuer.der()).unwrap();
    let issuer = issuer.tbs_certificate.subject_public_key_info.to_der().unwrap();
    let issuer = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &issuer);
    let time = u64::try_from(at * 1000).unwrap().to_be_bytes();
    let length = u32::try_from(plain.len()).unwrap().to_be_bytes();
    let message = [&[0, 0][..], &time, &[0, 1], issuer.as_ref(), &length[1..], &plain, &[0, 0]].concat();
    let signature = log.sign(&message);
    let size = u16::try_from(signature.len()).unwrap().to_be_bytes();
    // SHA-256 with ECDSA.
    let word = [&[0][..], &log.id(), &time, &[0, 0], &[4, 3], &size, &signature].concat();
    let framed = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    asn1::OctetStringRef::new(&framed(&framed(&word))).unwrap().to_der().unwrap()
}

fn transport() -> Transport {
    Transport::new(&RegistryConfig::of_environment(Proxies::none()), Trust::Insecure)
}

/// A key of a signer.
pub fn new_key() -> Arc<Key> {
    Arc::new(Key::generate("run").unwrap())
}
