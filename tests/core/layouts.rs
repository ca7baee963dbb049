//! cosign judges what lies in a registry in both layouts, by key: signatures and provenance of both SLSA versions, as it
//! shows them (`cosign tree`) and as it takes them out of the registry again.

use std::path::Path;

use serde_json::Value;

use crate::agent::{Agent, SOON, stopped_well};
use crate::support::{Access, Cosign, Crane, Expected, OfflineCosign, PlainRegistry, PushedImage};

/// Format of statements, cosign's name of their predicate, and its URI.
const PREDICATES: [(&str, &str, &str); 3] = [
    ("slsa/v1", "slsaprovenance", "https://slsa.dev/provenance/v0.2"),
    ("slsa/v2alpha3", "slsaprovenance1", "https://slsa.dev/provenance/v1"),
    ("slsa/v2alpha4", "slsaprovenance1", "https://slsa.dev/provenance/v1"),
];
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// An image that an agent has signed with statements of this format in this layout.
async fn signed(access: &Access, format: &str, layout: &str) -> (Agent, PushedImage) {
    let image = Crane::new(access).push_random_image("app").await;
    let config = [
        ("artifacts.taskrun.storage", "oci"),
        ("artifacts.taskrun.format", format),
        ("storage.oci.encoding-format", layout),
    ];
    let agent = Agent::prepare("layouts", access, &config).await;
    let hallmark = agent.start().await;
    agent.build("build", access, &image).await;
    assert_eq!(agent.mark("build", SOON).await, "true");
    stopped_well(hallmark);
    (agent, image)
}

/// cosign accepts signature and provenance, refuses them by another key, and knows no other predicate.
async fn judged(cosign: &Cosign, agent: &Agent, image: &PushedImage, predicate: &str, layout: &str) {
    let other = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/cosign.pub"));
    let ours = &agent.public_key;
    let judge = async |command: &[&str], key: &Path| {
        let key = ["--insecure-ignore-tlog=true", layout, "--key", key.to_str().unwrap()];
        cosign.about(&[command, &key].concat(), &image.by_digest()).await
    };
    let attestation = ["verify-attestation", "--type", predicate];
    for command in [&["verify"][..], &attestation] {
        judge(command, ours).await.succeeded();
        judge(command, other).await.failed();
    }
    let absent = if predicate == "slsaprovenance" { "slsaprovenance1" } else { "slsaprovenance" };
    judge(&["verify-attestation", "--type", absent], ours).await.failed();
}

#[tokio::test(flavor = "multi_thread")]
async fn cosign_accepts_and_shows_tags_with_provenance_of_every_format() {
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let cosign = Cosign::new(&access);
    for (format, predicate, uri) in PREDICATES {
        let (agent, image) = signed(&access, format, "dsse").await;
        judged(&cosign, &agent, &image, predicate, "--new-bundle-format=false").await;
        let tree = cosign.about(&["tree"], &image.by_digest()).await.succeeded().stdout;
        for (suffix, what) in [("sig", "Signatures"), ("att", "Attestations")] {
            let tag = image.cosign_tag(suffix);
            assert!(tree.contains(&tag) && tree.contains(what), "{what} at {tag} in:\n{tree}");
        }
        let envelope =
            cosign.about(&["download", "attestation"], &image.by_digest()).await.succeeded().stdout;
        assert_eq!(statement_of(&envelope)["predicateType"], uri);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cosign_accepts_and_shows_bundles_with_provenance_of_every_format() {
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let cosign = Cosign::new(&access);
    for (format, predicate, uri) in PREDICATES {
        let (agent, image) = signed(&access, format, "sigstore-bundle").await;
        judged(&cosign, &agent, &image, predicate, "--new-bundle-format=true").await;
        let tree = cosign.about(&["tree"], &image.by_digest()).await.succeeded().stdout;
        for what in [uri, "https://sigstore.dev/cosign/sign/v1"] {
            assert!(tree.contains(what), "{what} in:\n{tree}");
        }
        judged_alone(&access, &agent, &image, uri).await;
    }
}

/// Each bundle, taken out of the registry, is accepted by cosign as a file for the digest that it is about.
async fn judged_alone(access: &Access, agent: &Agent, image: &PushedImage, uri: &str) {
    let crane = Crane::new(access);
    let (repository, hex) = (image.by_digest(), image.digest.trim_start_matches("sha256:"));
    let repository = repository.split('@').next().unwrap();
    let referrers = crane.manifest(&format!("{repository}:sha256-{hex}")).await.unwrap();
    let mut predicates = Vec::new();
    for descriptor in referrers["manifests"].as_array().unwrap() {
        assert_eq!(descriptor["artifactType"], BUNDLE);
        let digest = descriptor["digest"].as_str().unwrap();
        let manifest = crane.manifest(&format!("{repository}@{digest}")).await.unwrap();
        let layer = manifest["layers"][0]["digest"].as_str().unwrap();
        let bundle = crane.run(&["blob", &format!("{repository}@{layer}")]).await.succeeded().stdout;
        let predicate = manifest["annotations"]["dev.sigstore.bundle.predicateType"].as_str().unwrap();
        let (cosign, key) = (OfflineCosign::new(), Expected::KeyAlone(&agent.public_key));
        let root = cosign.trusted_root(&[]).await;
        let judge = async |digest: &str| {
            cosign.verify_attestation(bundle.as_bytes(), &root, &key, digest, predicate).await
        };
        judge(hex).await.succeeded();
        judge(&"0".repeat(64)).await.failed();
        predicates.push(predicate.to_owned());
    }
    predicates.sort();
    assert_eq!(predicates, ["https://sigstore.dev/cosign/sign/v1", uri]);
}

/// The statement in a DSSE envelope.
fn statement_of(envelope: &str) -> Value {
    use base64::Engine as _;
    let envelope: Value = serde_json::from_str(envelope).unwrap();
    let payload = base64::prelude::BASE64_STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}
