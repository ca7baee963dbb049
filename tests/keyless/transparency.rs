//! Signatures in a real log (Rekor v2) and with real timestamps, as bundles that cosign accepts offline.

mod versions;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hallmark::artifact::digest::Digest;
use hallmark::artifact::image::Image;
use hallmark::client::fulcio;
use hallmark::client::http::{Clients, Transport};
use hallmark::client::rekor::Rekor;
use hallmark::client::timestamp::TimestampAuthority;
use hallmark::credential::registry_config::{Proxies, RegistryConfig, Trust};
use hallmark::error::{Class, Diagnose as _};
use hallmark::identity::token::IdentityToken;
use hallmark::payload::image_statement;
use hallmark::signature::bundle::{self, Bundle, IMAGE_PREDICATE, STATEMENT};
use hallmark::signature::certificate::Certificate;
use hallmark::signature::covered::{Covered, Signature, SignedBy};
use hallmark::signature::entry::{self, Version};
use hallmark::signature::key::Key;
use hallmark::signature::log::{Evidence, Log as _};
use hallmark::signature::timestamp;
use hallmark::signature::trusted_root::TrustedRoot;
use hallmark::signature::verification::{Demands, Identity, Refusal, Trusted, verify};
use jiff::Timestamp;
use serde_json::json;

use versions::made_log_v1;

use crate::support::{Cluster, Expected, Fulcio, OfflineCosign, PlainRegistry, RekorTiles, TimestampServer};

const DEMANDS: Demands = Demands { entry: true, timestamp: true, time: false, certificate_log: true };

/// A log, a timestamp authority, and a trust root of both.
struct Services {
    rekor: RekorTiles,
    timestamp: TimestampServer,
    cosign: OfflineCosign,
    file: PathBuf,
    root: Arc<TrustedRoot>,
}

impl Services {
    async fn start(fulcio: Option<&Fulcio>) -> Self {
        let (rekor, timestamp) = (RekorTiles::start().await, TimestampServer::start().await);
        let cosign = OfflineCosign::new();
        let from = "start-time=2024-01-01T00:00:00Z";
        let key = rekor.key.display();
        let mut services = vec![
            ("rekor", format!("url={},public-key={key},{from},origin=localhost", rekor.url)),
            ("tsa", format!("url={},certificate-chain={}", timestamp.url, timestamp.chain.display())),
        ];
        services.extend(fulcio.map(|fulcio| {
            ("fulcio", format!("url={},certificate-chain={}", fulcio.url, fulcio.root.display()))
        }));
        let file = cosign.trusted_root(&services).await;
        let root = TrustedRoot::read(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!((root.logs().len(), root.unusable().len()), (1, 0), "{root:?}");
        Self { rekor, timestamp, cosign, file, root: Arc::new(root) }
    }

    fn log(&self) -> Rekor {
        let root = Some(Arc::clone(&self.root));
        Rekor::new(&Clients::default(), &transport(), &self.rekor.url, Version::V2, root).unwrap()
    }

    fn authority(&self) -> TimestampAuthority {
        let root = Some(Arc::clone(&self.root));
        TimestampAuthority::new(&Clients::default(), &transport(), &self.timestamp.url, root).unwrap()
    }

    async fn evidence(&self, signature: &Signature<'_>) -> Evidence {
        let mut evidence = Evidence::default();
        evidence.add(self.log().record(signature, Timestamp::now()).await.unwrap());
        evidence.add(self.authority().record(signature, Timestamp::now()).await.unwrap());
        evidence
    }
}

fn transport() -> Transport {
    Transport::new(&RegistryConfig::of_environment(Proxies::none()), Trust::Insecure)
}

fn generated(folder: &Path, kind: &[&str]) -> (Key, PathBuf) {
    let private = folder.join("signing.pem");
    let arguments = [&["genpkey", "-out", private.to_str().unwrap()], kind].concat();
    assert!(std::process::Command::new("openssl").args(arguments).output().unwrap().status.success());
    let key = Key::from_pem("signing.pem", &std::fs::read(&private).unwrap()).unwrap();
    let public = folder.join("signing.pub");
    std::fs::write(&public, key.public_key().to_pem()).unwrap();
    (key, public)
}

/// What is signed for the image of this digest.
fn statement(digest: &Digest) -> Vec<u8> {
    let repository = "registry.test/app".parse().unwrap();
    image_statement(&Image { repository, digest: *digest }).bytes
}

fn signed(key: &Key, covered: Covered<'_>) -> Vec<u8> {
    let view = Signature { covered, bytes: &[], by: SignedBy::Key(key.public_key()) };
    key.sign_now(&view.message()).unwrap()
}

#[tokio::test]
async fn a_signature_by_a_key_is_logged_stamped_and_accepted_by_cosign_as_a_bundle() {
    let services = Services::start(None).await;
    let folder = tempfile::tempdir().unwrap();
    for kind in [
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..],
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    ] {
        let (key, public) = generated(folder.path(), kind);
        let digest = Digest::of(b"an image manifest");
        let statement = statement(&digest);
        let covered = Covered::Envelope { payload_type: STATEMENT, payload: &statement };
        let bytes = signed(&key, covered);
        let signature = Signature { covered, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
        let evidence = services.evidence(&signature).await;
        assert_eq!((evidence.entries.len(), evidence.timestamps.len()), (1, 1));
        let json = bundle::write(&signature, &evidence).unwrap();

        let judged = |root: PathBuf, json: Vec<u8>, digest: String| {
            let (cosign, public) = (&services.cosign, &public);
            async move {
                let expected = Expected::Key(public);
                cosign.verify_attestation(&json, &root, &expected, &digest, IMAGE_PREDICATE).await
            }
        };
        judged(services.file.clone(), json.clone(), digest.hex()).await.succeeded();
        judged(services.file.clone(), json.clone(), Digest::of(b"another").hex()).await.failed();

        let read = Bundle::read(&json).unwrap();
        let seen = read.signature(None, Some(key.public_key())).unwrap();
        let trusted = Trusted::Key(key.public_key());
        let verified = verify(&seen, &read.evidence, trusted, &services.root, DEMANDS, Timestamp::now());
        let verified = verified.unwrap();
        assert_eq!((verified.entries, verified.times.len()), (1, 1));
    }
}

#[tokio::test]
async fn a_signature_over_bytes_is_accepted_by_cosign_as_a_bundle_and_by_nobody_for_other_bytes() {
    let services = Services::start(None).await;
    let folder = tempfile::tempdir().unwrap();
    let (key, public) =
        generated(folder.path(), &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    let covered = Covered::Payload(b"simple signing");
    let bytes = signed(&key, covered);
    let signature = Signature { covered, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
    let json = bundle::write(&signature, &services.evidence(&signature).await).unwrap();
    let (cosign, expected) = (&services.cosign, Expected::Key(&public));
    cosign.verify_blob(&json, &services.file, &expected, b"simple signing").await.succeeded();
    cosign.verify_blob(&json, &services.file, &expected, b"other bytes").await.failed();
    let read = Bundle::read(&json).unwrap();
    assert!(read.signature(Some(b"other bytes"), Some(key.public_key())).is_none(), "its digest says so");
    let read = Bundle { content: bundle::Content::Message { digest: None }, ..read };
    let other = read.signature(Some(b"other bytes"), Some(key.public_key())).unwrap();
    let trusted = Trusted::Key(key.public_key());
    let refused = verify(&other, &read.evidence, trusted, &services.root, DEMANDS, Timestamp::now());
    assert_eq!(refused.unwrap_err(), Refusal::Signature);
}

#[tokio::test]
async fn an_entry_is_refused_when_the_trust_root_knows_another_log() {
    let (ours, other) = (Services::start(None).await, Services::start(None).await);
    let key = Key::generate("k").unwrap();
    let covered = Covered::Payload(b"bytes");
    let bytes = signed(&key, covered);
    let signature = Signature { covered, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
    let root = Some(Arc::clone(&other.root));
    let log = Rekor::new(&Clients::default(), &transport(), &ours.rekor.url, Version::V2, root).unwrap();
    let error = log.record(&signature, Timestamp::now()).await.unwrap_err();
    assert_eq!((error.class(), error.label()), (Class::Misconfigured, "log_unproven"), "{error}");
    let root = Some(Arc::clone(&other.root));
    let url = &ours.timestamp.url;
    let authority = TimestampAuthority::new(&Clients::default(), &transport(), url, root).unwrap();
    let error = authority.record(&signature, Timestamp::now()).await.unwrap_err();
    assert_eq!((error.class(), error.label()), (Class::Misconfigured, "log_unproven"), "{error}");
}

#[tokio::test]
async fn without_a_trust_root_there_is_proof_and_a_warning() {
    let services = Services::start(None).await;
    let key = Key::generate("k").unwrap();
    let covered = Covered::Payload(b"bytes");
    let bytes = signed(&key, covered);
    let signature = Signature { covered, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
    let url = &services.rekor.url;
    let log = Rekor::new(&Clients::default(), &transport(), url, Version::V2, None).unwrap();
    let entry = log.entry(&signature, Timestamp::now()).await.unwrap();
    assert!(log.warning().is_some() && services.log().warning().is_none());
    assert_eq!(entry.address(url), format!("{url}?logIndex={}", entry.index()));
    entry.verify(services.root.logs(), &signature, Timestamp::now()).unwrap();
    let url = &services.timestamp.url;
    let authority = TimestampAuthority::new(&Clients::default(), &transport(), url, None).unwrap();
    authority.record(&signature, Timestamp::now()).await.unwrap();
    assert!(authority.warning().is_some() && services.authority().warning().is_none());
}

#[tokio::test]
async fn a_key_that_the_log_does_not_take_is_named_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (key, _) = generated(folder.path(), &["-algorithm", "ED25519"]);
    let nobody = "http://127.0.0.1:1";
    let log = Rekor::new(&Clients::default(), &transport(), nobody, Version::V2, None).unwrap();
    let covered = Covered::Payload(b"bytes");
    let bytes = signed(&key, covered);
    let signature = Signature { covered, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
    let error = log.record(&signature, Timestamp::now()).await.unwrap_err();
    assert_eq!((error.class(), error.label()), (Class::Misconfigured, "log_refused"));
    assert!(error.to_string().contains("Ed25519"), "{error}");
}

/// A certificate for a new key, from a real Fulcio for a token of the cluster.
async fn certified(cluster: &Cluster, fulcio: &Fulcio, namespace: &str) -> (Key, Certificate) {
    let token = IdentityToken::parse(&cluster.token_for(namespace, "default", "sigstore").await).unwrap();
    let key = Key::generate("run").unwrap();
    let proof = key.sign_now(token.claims().challenge().as_bytes()).unwrap();
    let client = fulcio::Fulcio::new(&Clients::default(), &transport(), &fulcio.url, false).unwrap();
    let certificate = client.certificate(&token, key.public_key(), &proof, Timestamp::now()).await.unwrap();
    (key, certificate)
}

#[tokio::test]
async fn a_signature_by_a_certificate_is_good_long_after_the_certificate_for_its_name_alone() {
    let cluster = Cluster::shared().await;
    cluster.lets_anybody_read_the_keys_of_its_issuer().await;
    let (fulcio, namespace) = (Fulcio::start(cluster).await, cluster.namespace("logged").await);
    let services = Services::start(Some(&fulcio)).await;
    let (key, certificate) = certified(cluster, &fulcio, &namespace).await;
    let name = format!("https://kubernetes.io/namespaces/{namespace}/serviceaccounts/default");
    let issuer = cluster.issuer();

    let digest = Digest::of(b"an image manifest");
    let statement = statement(&digest);
    let covered = Covered::Envelope { payload_type: STATEMENT, payload: &statement };
    let bytes = signed(&key, covered);
    let signature = Signature { covered, bytes: &bytes, by: SignedBy::Certificate(&certificate) };
    let json = bundle::write(&signature, &services.evidence(&signature).await).unwrap();

    for (name, good) in
        [(name.as_str(), true), ("https://kubernetes.io/namespaces/x/serviceaccounts/y", false)]
    {
        let expected = Expected::Identity(name, &issuer);
        let (cosign, root) = (&services.cosign, &services.file);
        let judged = cosign.verify_attestation(&json, root, &expected, &digest.hex(), IMAGE_PREDICATE).await;
        if good {
            judged.succeeded()
        } else {
            judged.failed()
        };
    }

    let read = Bundle::read(&json).unwrap();
    let seen = read.signature(None, None).unwrap();
    let later = Timestamp::now() + jiff::SignedDuration::from_hours(24 * 365);
    let of = |wanted: &str, evidence: &Evidence, at: Timestamp| {
        let (name, issuer) = (|found: &str| found == wanted, |found: &str| found == issuer);
        let trusted = Trusted::Identity(Identity { name: &name, issuer: &issuer });
        verify(&seen, evidence, trusted, &services.root, Demands { timestamp: false, ..DEMANDS }, at)
    };
    assert!(of(&name, &read.evidence, later).is_ok());
    assert!(matches!(of("somebody else", &read.evidence, later), Err(Refusal::OtherName(_))));
    let untimed = Evidence { timestamps: Vec::new(), ..read.evidence.clone() };
    assert!(of(&name, &untimed, Timestamp::now()).is_ok(), "the certificate is good now");
    assert!(matches!(of(&name, &untimed, later), Err(Refusal::NotThen { .. })));
}

#[tokio::test]
async fn bundles_by_every_kind_of_key_are_accepted_by_cosign() {
    let (folder, cosign) = (tempfile::tempdir().unwrap(), OfflineCosign::new());
    let root = cosign.trusted_root(&[]).await;
    let digest = Digest::of(b"an image manifest");
    let statement = statement(&digest);
    let covered = Covered::Envelope { payload_type: STATEMENT, payload: &statement };
    for kind in [
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..],
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
        &["-algorithm", "ED25519"],
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
    ] {
        let (key, public) = generated(folder.path(), kind);
        let bytes = signed(&key, covered);
        let signature = Signature { covered, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
        let json = bundle::write(&signature, &Evidence::default()).unwrap();
        let expected = Expected::KeyAlone(&public);
        let judged = cosign.verify_attestation(&json, &root, &expected, &digest.hex(), IMAGE_PREDICATE).await;
        judged.succeeded();
    }
}

#[tokio::test]
async fn entry_and_timestamp_are_accepted_by_cosign_as_annotations_under_a_tag() {
    let ((url, log_key), stamps) = (made_log_v1().await, TimestampServer::start().await);
    let (folder, cosign) = (tempfile::tempdir().unwrap(), OfflineCosign::new());
    let file = folder.path().join("log.pub");
    std::fs::write(&file, log_key).unwrap();
    let listed =
        format!("url=http://rekor.test,public-key={},start-time=2024-01-01T00:00:00Z", file.display());
    let stamped = format!("url={},certificate-chain={}", stamps.url, stamps.chain.display());
    let root = cosign.trusted_root(&[("rekor", listed), ("tsa", stamped)]).await;

    let registry = PlainRegistry::start().await;
    let image = registry.put_image("tagged").await;
    let payload = json!({"critical": {
        "identity": {"docker-reference": image.repository},
        "image": {"docker-manifest-digest": image.digest},
        "type": "cosign container image signature",
    }, "optional": null})
    .to_string();
    let (key, public) =
        generated(folder.path(), &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    let covered = Covered::Payload(payload.as_bytes());
    let bytes = signed(&key, covered);
    let signature = Signature { covered, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
    let rekor = Rekor::new(&Clients::default(), &transport(), &url, Version::V1, None).unwrap();
    let entry = rekor.entry(&signature, Timestamp::now()).await.unwrap();
    let authority = TimestampAuthority::new(&Clients::default(), &transport(), &stamps.url, None).unwrap();
    let timestamp = authority.timestamp(&bytes, Timestamp::now()).await.unwrap();
    let good = json!({
        "dev.cosignproject.cosign/signature": BASE64_STANDARD.encode(&bytes),
        entry::ANNOTATION: entry.to_annotation().unwrap(),
        timestamp::ANNOTATION: timestamp.to_annotation(),
    });
    let other = authority.timestamp(b"another signature", Timestamp::now()).await.unwrap();
    for (change, accepted) in [
        (json!({}), true),
        (
            json!({ entry::ANNOTATION: entry.to_annotation().unwrap().replace("integratedTime\":1", "integratedTime\":2") }),
            false,
        ),
        (json!({ timestamp::ANNOTATION: other.to_annotation() }), false),
    ] {
        let mut annotations = good.clone();
        annotations.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        registry.put_signature(&image, &payload, &annotations).await;
        let judged = cosign.verify_image(&image.by_digest(), &root, &Expected::Key(&public)).await;
        if accepted {
            judged.succeeded()
        } else {
            judged.failed()
        };
    }
}
