//! The verifier before the embedded registry: what is looked up where, by whom, and what each silence means.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::FutureExt as _;
use oci_client::manifest::OCI_IMAGE_MEDIA_TYPE;
use serde_json::{Value, json};

use super::*;
use crate::cli::demo::registry::{EmbeddedRegistry, Right, User};
use crate::client::registry::Registry;
use crate::credential::{Credential, Entry, Key as EntryKey, Keychain, Location, Login, Source as From};
use crate::policy::Rules;
use crate::policy::evaluation::Standing;
use crate::signature::dsse;
use crate::signature::key::Key;

const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

struct World {
    registry: EmbeddedRegistry,
    shared: Registry,
    key: Key,
}

impl World {
    async fn new() -> Self {
        // Fails only when another test was first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let users = [("reader", Right::Pull), ("writer", Right::Push)];
        let users = users.map(|(name, right)| User::new(name, format!("{name}-secret"), right));
        let registry = EmbeddedRegistry::start(users.into()).await.unwrap();
        Self { registry, shared: Registry::new().unwrap(), key: Key::generate("k").unwrap() }
    }

    fn session(&self, user: &str, password: &str) -> Session {
        let login = Login { username: user.into(), password: password.into() };
        let entry = Entry {
            source: From::ServiceAccountSecrets,
            location: Location::ServiceAccount("ci/a".into()),
            key: EntryKey::parse(&self.registry.address().to_string()).unwrap(),
            credential: Arc::new(Credential::Basic(login)),
        };
        let keychain = Keychain { entries: vec![entry], ..Keychain::default() };
        let ready = futures::future::ready(Ok(Arc::new(keychain))).boxed().shared();
        Session::new(&self.shared, "ci", false, ready)
    }

    fn repository(&self, path: &str) -> Repository {
        Repository::parse(&format!("{}/{path}", self.registry.address())).unwrap()
    }

    /// Pushes a manifest with `layers` of media type, content and annotations; answers its digest.
    async fn push(&self, path: &str, tag: &str, layers: &[(&str, Vec<u8>, Value)]) -> Digest {
        let (session, repository) = (self.session("writer", "writer-secret"), self.repository(path));
        let config = session.push_blob(&repository, Bytes::from_static(b"{}")).await.unwrap();
        let mut listed = Vec::new();
        for (media_type, content, annotations) in layers {
            let digest = session.push_blob(&repository, content.clone().into()).await.unwrap();
            listed.push(json!({"mediaType": media_type, "digest": digest.to_string(), "size": content.len(),
                "annotations": annotations}));
        }
        let manifest = json!({"schemaVersion": 2, "mediaType": OCI_IMAGE_MEDIA_TYPE, "layers": listed,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.to_string(), "size": 2}});
        let content = Bytes::from(manifest.to_string());
        let digest = Digest::of(&content);
        session.push_manifest(&repository, tag, OCI_IMAGE_MEDIA_TYPE, content).await.unwrap();
        digest
    }

    async fn image(&self, path: &str) -> Image {
        let digest = self.push(path, "v1", &[("application/x", path.as_bytes().to_vec(), json!({}))]).await;
        Image { repository: self.repository(path), digest }
    }

    fn signature(&self, digest: &Digest) -> (&'static str, Vec<u8>, Value) {
        let payload = json!({"critical": {"identity": {"docker-reference": "r/a"},
            "image": {"docker-manifest-digest": digest.to_string()},
            "type": "cosign container image signature"}, "optional": null})
        .to_string()
        .into_bytes();
        let signature = BASE64_STANDARD.encode(self.key.sign_now(&payload).unwrap());
        (PAYLOAD, payload, json!({"dev.cosignproject.cosign/signature": signature}))
    }

    fn attestation(&self, digest: &Digest, kind: &str) -> (&'static str, Vec<u8>, Value) {
        let statement =
            json!({"_type": "https://in-toto.io/Statement/v1", "predicateType": kind, "predicate": {},
            "subject": [{"name": "a", "digest": {"sha256": digest.hex()}}]})
            .to_string();
        let message = dsse::pre_authentication_encoding("application/vnd.in-toto+json", statement.as_bytes());
        let signature = self.key.sign_now(&message).unwrap();
        (
            ENVELOPE,
            dsse::envelope("application/vnd.in-toto+json", statement.as_bytes(), "", &signature),
            json!({}),
        )
    }

    fn policy(&self, mut authority: Value) -> ClusterImagePolicy {
        if authority.get("static").is_none() {
            authority["key"] = json!({"data": self.key.public_key().to_pem()});
        }
        let document = json!({"apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
            "metadata": {"name": "p"}, "spec": {"images": [{"glob": "**"}], "authorities": [authority]}});
        let reading = ClusterImagePolicy::read(&document, &Rules::default());
        reading.policy.unwrap_or_else(|| panic!("{:?}", reading.notes))
    }

    async fn ask(&self, session: &Session, reference: &str, authority: Value) -> Verdict {
        let verifier = Verifier { session, trust: &Trust::default(), now: Timestamp::UNIX_EPOCH };
        let reference: Reference = reference.parse().unwrap();
        verifier.verify(&reference, &[self.policy(authority)], NoMatch::Deny).await.verdict
    }

    async fn answer(&self, reference: &str, authority: Value) -> (Standing, &'static str) {
        told(&self.ask(&self.session("reader", "reader-secret"), reference, authority).await)
    }
}

fn told(verdict: &Verdict) -> (Standing, &'static str) {
    let reason = verdict.policies[0].authorities[0].answer.reason();
    (verdict.standing(), reason.map_or("", |reason| reason.code()))
}

fn sig(digest: &Digest) -> String {
    format!("sha256-{}.sig", digest.hex())
}

const GOOD: (Standing, &str) = (Standing::Satisfied, "");

#[tokio::test]
async fn a_signed_image_is_verified_by_tag_and_by_digest() {
    let world = World::new().await;
    let image = world.image("team/app").await;
    world.push("team/app", &sig(&image.digest), &[world.signature(&image.digest)]).await;
    assert_eq!(world.answer(&image.to_string(), json!({})).await, GOOD);
    assert_eq!(world.answer(&format!("{}:v1", image.repository), json!({})).await, GOOD);
}

#[tokio::test]
async fn every_silence_has_its_own_name() {
    let world = World::new().await;
    let image = world.image("team/app").await;
    let reference = image.to_string();
    assert_eq!(world.answer(&reference, json!({})).await, (Standing::Refused, "NoSignatures"));
    let unknown = world.session("nobody", "wrong");
    let verdict = world.ask(&unknown, &reference, json!({})).await;
    assert_eq!(told(&verdict), (Standing::Refused, "RegistryAuthFailed"));
    assert!(verdict.denials()[0].contains("ci/a"), "the source is named: {:?}", verdict.denials());
    let absent = format!("{}@{}", image.repository, Digest::of(b"nothing"));
    assert_eq!(world.answer(&absent, json!({})).await, (Standing::Refused, "ImageNotFound"));
    let no_tag = format!("{}:none", image.repository);
    assert_eq!(world.answer(&no_tag, json!({})).await, (Standing::Refused, "ImageNotFound"));
    let address = world.registry.address();
    world.registry.stop().await;
    let session = Session::new(
        &Registry::new().unwrap(),
        "ci",
        false,
        futures::future::ready(Ok(Arc::new(Keychain::default()))).boxed().shared(),
    );
    let verifier = Verifier { session: &session, trust: &Trust::default(), now: Timestamp::UNIX_EPOCH };
    let reference: Reference = format!("{address}/team/app:v1").parse().unwrap();
    let key = json!({"key": {"data": world.key.public_key().to_pem()}});
    let document = json!({"apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
        "metadata": {"name": "p"}, "spec": {"images": [{"glob": "**"}], "authorities": [key]}});
    let policy = ClusterImagePolicy::read(&document, &Rules::default()).policy.unwrap();
    let verdict = verifier.verify(&reference, &[policy], NoMatch::Deny).await.verdict;
    assert_eq!(told(&verdict), (Standing::Undecided, "RegistryUnavailable"));
}

#[tokio::test]
async fn a_static_policy_contacts_no_registry() {
    let world = World::new().await;
    let reference = format!("{}/team/app:v1", world.registry.address());
    assert_eq!(world.answer(&reference, json!({"static": {"action": "pass"}})).await, GOOD);
    let fail = json!({"static": {"action": "fail", "message": "no"}});
    assert_eq!(world.answer(&reference, fail).await, (Standing::Refused, "StaticFail"));
    assert!(world.registry.log().is_empty());
}

#[tokio::test]
async fn signatures_are_looked_up_where_the_source_says() {
    let world = World::new().await;
    let image = world.image("team/app").await;
    let (reference, host) = (image.to_string(), world.registry.address());
    let signature = world.signature(&image.digest);
    world
        .push("signatures/all", &format!("x-{}", sig(&image.digest)), std::slice::from_ref(&signature))
        .await;
    world.push("mirror/team/app", &sig(&image.digest), &[signature]).await;
    let source = |oci: &str, prefix: &str| {
        let mut source = json!({"oci": format!("{host}/{oci}")});
        if !prefix.is_empty() {
            source["tagPrefix"] = json!(prefix);
        }
        json!({"source": [source]})
    };
    assert_eq!(world.answer(&reference, source("signatures/all", "x-")).await, GOOD);
    assert_eq!(world.answer(&reference, source("signatures/all", "")).await.1, "NoSignatures");
    let bare = json!({"source": [{"oci": host.to_string()}]});
    assert_eq!(world.answer(&reference, bare).await.1, "NoSignatures", "the image's own path there");
}

#[tokio::test]
async fn attestations_count_by_type_and_signatures_do_not_stand_in_for_them() {
    let world = World::new().await;
    let image = world.image("team/app").await;
    let digest = image.digest;
    world.push("team/app", &sig(&digest), &[world.signature(&digest)]).await;
    let wants = |kind: &str| json!({"attestations": [{"name": "a", "predicateType": kind}]});
    assert_eq!(world.answer(&image.to_string(), wants("slsaprovenance")).await.1, "NoAttestation");
    let layers = [world.attestation(&digest, "https://slsa.dev/provenance/v0.2")];
    world.push("team/app", &format!("sha256-{}.att", digest.hex()), &layers).await;
    assert_eq!(world.answer(&image.to_string(), wants("slsaprovenance")).await, GOOD);
    assert_eq!(world.answer(&image.to_string(), wants("spdx")).await.1, "NoAttestation");
}

#[tokio::test]
async fn a_moved_tag_has_no_signature_and_a_copied_one_is_of_another_image() {
    let world = World::new().await;
    let signed = world.image("team/app").await;
    world.push("team/app", &sig(&signed.digest), &[world.signature(&signed.digest)]).await;
    let moved = world.push("team/app", "v1", &[("application/x", b"new".to_vec(), json!({}))]).await;
    let reference = format!("{}:v1", signed.repository);
    assert_eq!(world.answer(&reference, json!({})).await.1, "NoSignatures");
    world.push("team/app", &sig(&moved), &[world.signature(&signed.digest)]).await;
    assert_eq!(world.answer(&reference, json!({})).await, (Standing::Refused, "OtherImage"));
}

#[tokio::test]
async fn rubbish_beside_a_good_signature_hides_nothing() {
    let world = World::new().await;
    let image = world.image("team/app").await;
    let good = world.signature(&image.digest);
    let mut layers =
        vec![("application/x", b"rubbish".to_vec(), json!({})), (PAYLOAD, b"{}".to_vec(), json!({}))];
    world.push("team/app", &sig(&image.digest), &layers).await;
    let verdict = world.answer(&image.to_string(), json!({})).await;
    assert_eq!(verdict, (Standing::Refused, "NotVerified"));
    layers.push(good);
    world.push("team/app", &sig(&image.digest), &layers).await;
    assert_eq!(world.answer(&image.to_string(), json!({})).await, GOOD);
}

#[tokio::test]
async fn what_is_no_signature_under_a_signature_tag_is_told() {
    let world = World::new().await;
    let image = world.image("team/app").await;
    let layers = [("application/x", b"x".to_vec(), json!({}))];
    world.push("team/app", &sig(&image.digest), &layers).await;
    assert_eq!(world.answer(&image.to_string(), json!({})).await, (Standing::Refused, "MalformedLayer"));
    let many = vec![layers[0].clone(); 1001];
    world.push("team/app", &sig(&image.digest), &many).await;
    assert_eq!(world.answer(&image.to_string(), json!({})).await, (Standing::Refused, "Unreadable"));
}

#[tokio::test]
async fn a_key_in_a_secret_is_taken_from_those_at_hand() {
    let world = World::new().await;
    let image = world.image("team/app").await;
    world.push("team/app", &sig(&image.digest), &[world.signature(&image.digest)]).await;
    let document = json!({"apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
        "metadata": {"name": "p"}, "spec": {"images": [{"glob": "**"}],
            "authorities": [{"key": {"secretRef": {"name": "keys"}}}]}});
    let policy = ClusterImagePolicy::read(&document, &Rules::default()).policy.unwrap();
    let (session, reference) = (world.session("reader", "reader-secret"), Reference::from(&image));
    let pem = world.key.public_key().to_pem();
    for (texts, expected) in [
        (None, (Standing::Undecided, "SecretNotFound")),
        (Some(vec!["text".to_owned()]), (Standing::Undecided, "SecretInvalid")),
        (Some(vec![pem.clone(), pem.clone()]), (Standing::Undecided, "SecretInvalid")),
        (Some(vec![pem.clone()]), GOOD),
    ] {
        let secrets = texts.map(|texts| BTreeMap::from([("keys".to_owned(), texts)])).unwrap_or_default();
        let trust = Trust { secrets, ..Trust::default() };
        let verifier = Verifier { session: &session, trust: &trust, now: Timestamp::UNIX_EPOCH };
        let verdict = verifier.verify(&reference, std::slice::from_ref(&policy), NoMatch::Deny).await.verdict;
        assert_eq!(told(&verdict), expected);
    }
}
