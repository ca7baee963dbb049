//! sigstore-go and in-toto's own schemas judge what the agent stored, in both layouts and every format.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::agent::{Agent, SOON, stopped_well};
use crate::support::{Access, Cosign, Crane, PlainRegistry, PushedImage, binary};

const FORMATS: [(&str, &str); 3] = [
    ("slsa/v1", "https://slsa.dev/provenance/v0.2"),
    ("slsa/v2alpha3", "https://slsa.dev/provenance/v1"),
    ("slsa/v2alpha4", "https://slsa.dev/provenance/v1"),
];

/// What the judge says: the type of the predicate, or why not.
async fn judged(kind: &'static str, key: &Path, digest: &str, content: &str) -> Result<String, String> {
    let mut command = Command::new(binary("bundle-judge"));
    command.arg(kind).arg(key).arg(digest.trim_start_matches("sha256:"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let content = content.to_owned();
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(content.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    });
    let output = output.await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

async fn signed(access: &Access, format: &str) -> (Agent, PushedImage) {
    let image = Crane::new(access).push_random_image("app").await;
    let config = [
        ("artifacts.taskrun.storage", "oci"),
        ("artifacts.taskrun.format", format),
        ("storage.oci.also-bundle", "true"),
    ];
    let agent = Agent::prepare("opinion", access, &config).await;
    let hallmark = agent.start().await;
    agent.build("build", access, &image).await;
    assert_eq!(agent.mark("build", SOON).await, "true");
    stopped_well(hallmark);
    (agent, image)
}

/// The bundles that refer to an image.
async fn bundles(access: &Access, image: &PushedImage) -> Vec<String> {
    let (crane, by_digest) = (Crane::new(access), image.by_digest());
    let repository = by_digest.split('@').next().unwrap();
    let index = crane.manifest(&format!("{repository}:{}", image.digest.replace(':', "-"))).await.unwrap();
    let mut bundles = Vec::new();
    for descriptor in index["manifests"].as_array().unwrap() {
        let digest = descriptor["digest"].as_str().unwrap();
        let manifest = crane.manifest(&format!("{repository}@{digest}")).await.unwrap();
        let layer = manifest["layers"][0]["digest"].as_str().unwrap();
        bundles.push(crane.run(&["blob", &format!("{repository}@{layer}")]).await.succeeded().stdout);
    }
    bundles
}

/// The envelope under the tag of attestations.
async fn envelope(access: &Access, image: &PushedImage) -> String {
    let (crane, tag) = (Crane::new(access), image.cosign_tag("att"));
    let manifest = crane.manifest(&tag).await.unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let repository = tag.rsplit_once(':').unwrap().0;
    crane.run(&["blob", &format!("{repository}@{layer}")]).await.succeeded().stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn sigstore_go_accepts_every_bundle_and_envelope_and_their_predicates_fit_their_schemas() {
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let other = Cosign::new(&access).generate_key_pair("other").await.public;
    for (format, predicate) in FORMATS {
        let (agent, image) = signed(&access, format).await;
        let key = &agent.public_key;
        let mut found = Vec::new();
        for bundle in bundles(&access, &image).await {
            found.push(judged("bundle", key, &image.digest, &bundle).await.unwrap());
            judged("bundle", &other, &image.digest, &bundle).await.unwrap_err();
            judged("bundle", key, &"0".repeat(64), &bundle).await.unwrap_err();
        }
        found.sort();
        assert_eq!(found, ["https://sigstore.dev/cosign/sign/v1", predicate], "{format}");

        let envelope = envelope(&access, &image).await;
        assert_eq!(judged("envelope", key, &image.digest, &envelope).await.unwrap(), predicate);
        judged("envelope", &other, &image.digest, &envelope).await.unwrap_err();
    }
}
