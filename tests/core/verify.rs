//! Verification on real registries, of what Hallmark and cosign signed: every case has its answer and exit code.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Access, Authentication, Cosign, Crane, Distribution, Finished, Hallmark, PlainRegistry, PushedImage,
    TokenUser, http_client,
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn key(name: &str) -> String {
    format!("{}/tests/fixtures/keys/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A registry as one user reaches it, from a machine with that user's docker configuration.
struct Machine {
    access: Access,
    folder: TempDir,
}

impl Machine {
    fn new(access: Access) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), access.docker_config()).unwrap();
        Self { access, folder }
    }

    async fn run(&self, arguments: &[&str]) -> Finished {
        let docker = self.folder.path().to_str().unwrap();
        let ca = self.access.ca.as_deref().map(Path::to_str).map(Option::unwrap);
        let mut environment = vec![("DOCKER_CONFIG", docker)];
        environment.extend(ca.map(|ca| ("SSL_CERT_FILE", ca)));
        Hallmark::run(arguments, &environment).await
    }

    async fn verify(&self, image: &str, key: &str, more: &[&str]) -> Finished {
        self.run(&[&["verify", image, "--key", key], more].concat()).await
    }

    /// Signs and attests a run of this image, with the login of the machine as the run's own credentials.
    async fn sign(&self, image: &PushedImage) {
        let mut documents = vec![json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun",
            "metadata": {"name": "build", "namespace": "ci", "uid": "u"}, "spec": {},
            "status": {"conditions": [{"type": "Succeeded", "status": "True"}], "results": [
                {"name": "IMAGE_URL", "type": "string", "value": image.repository},
                {"name": "IMAGE_DIGEST", "type": "string", "value": image.digest}]}})];
        documents.push(json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "ci"}, "secrets": [{"name": "push"}]}));
        documents.push(
            json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": "push", "namespace": "ci"},
            "stringData": {".dockerconfigjson": self.access.docker_config()}}),
        );
        let file = self
            .file("run.json", &json!({"apiVersion": "v1", "kind": "List", "items": documents}).to_string());
        self.run(&["sign", "-f", &file, "--key", &key("p256.pem")]).await.succeeded();
    }

    fn file(&self, name: &str, content: &str) -> String {
        let file = self.folder.path().join(name);
        fs::write(&file, content).unwrap();
        file.to_str().unwrap().to_owned()
    }
}

/// The exit code, and every one of these texts in what was printed.
#[track_caller]
fn said(finished: &Finished, code: i32, texts: &[&str]) {
    let printed = format!("{}{}", finished.stdout, finished.stderr);
    assert_eq!(finished.code, Some(code), "{}: {printed}", finished.command);
    for text in texts {
        assert!(printed.contains(text), "{text:?} is not in {printed}");
    }
}

struct World {
    registry: Distribution,
    writer: Machine,
    reader: Machine,
}

impl World {
    async fn new() -> Self {
        let writer = TokenUser::new("writer", "the writer's password").push("team/");
        let reader = TokenUser::new("reader", "the reader's password").pull("team/");
        let users = vec![writer.clone(), reader.clone()];
        let registry = Distribution::start(Authentication::Token(users)).await;
        let machine = |user: &TokenUser| Machine::new(registry.access(Some(user.login())));
        let (writer, reader) = (machine(&writer), machine(&reader));
        Self { registry, writer, reader }
    }

    async fn image(&self, name: &str) -> PushedImage {
        Crane::new(&self.writer.access).push_random_image(name).await
    }

    fn stranger(&self, login: Option<(&str, &str)>) -> Machine {
        Machine::new(self.registry.access(login.map(|(name, word)| (name.to_owned(), word.to_owned()))))
    }
}

#[tokio::test]
async fn what_hallmark_signed_is_verified_by_tag_digest_type_and_policy() {
    let world = World::new().await;
    let image = world.image("team/app").await;
    world.writer.sign(&image).await;
    let (by_tag, public) = (format!("{}:latest", image.repository), key("p256.pub"));
    said(
        &world.reader.verify(&by_tag, &public, &[]).await,
        0,
        &["verified", &image.digest, "signed by key SHA256:"],
    );
    let attested = world.reader.verify(&image.by_digest(), &public, &["--type", "slsaprovenance"]).await;
    said(&attested, 0, &["slsa.dev/provenance/v0.2"]);
    let policy = json!({"apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
        "metadata": {"name": "signed"}, "spec": {"images": [{"glob": format!("{}/**", world.registry.host())}],
            "authorities": [{"name": "ours", "key": {"data": fs::read_to_string(&public).unwrap()}}]}});
    let file = world.reader.file("policy.json", &policy.to_string());
    let finished = world.reader.run(&["verify", &by_tag, "--policy", &file, "-o", "json"]).await.succeeded();
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    let authority = &report["images"][0]["policies"][0]["authorities"][0];
    assert_eq!((&authority["authority"], &authority["result"]), (&json!("ours"), &json!("verified")));
    said(
        &world.reader.run(&["verify", "ghcr.io/other/app", "--policy", &file]).await,
        3,
        &["no policy governs the image"],
    );
    let online = world.reader.run(&["policy", "test", &file, &by_tag, "--online"]).await;
    said(&online, 0, &["policy signed (enforce): verified", "✓ ours"]);
}

#[tokio::test]
async fn what_cosign_signed_and_attested_is_verified_in_both_its_layouts() {
    let world = World::new().await;
    let cosign = Cosign::new(&world.writer.access);
    let pair = cosign.generate_key_pair("pair").await;
    let public = pair.public.to_str().unwrap();
    let (legacy, bundled) = (world.image("team/legacy").await, world.image("team/bundled").await);
    let predicate = world.writer.file("predicate.json", r#"{"builder":{"id":"https://builder.test"}}"#);
    cosign.sign(&pair.private, &legacy).await.succeeded();
    cosign.attest(&pair.private, &predicate, &legacy, false).await.succeeded();
    cosign.sign_as_bundle(&pair.private, &bundled).await.succeeded();
    cosign.attest(&pair.private, &predicate, &bundled, true).await.succeeded();
    for image in [&legacy, &bundled] {
        let reference = image.by_digest();
        said(&world.reader.verify(&reference, public, &[]).await, 0, &["verified"]);
        said(
            &world.reader.verify(&reference, public, &["--type", "slsaprovenance"]).await,
            0,
            &["slsa.dev/provenance/v0.2"],
        );
        said(&world.reader.verify(&reference, &key("p256.pub"), &[]).await, 3, &["SignatureMismatch"]);
        let provenance = world.reader.run(&["provenance", &reference, "--key", public]).await;
        said(&provenance, 0, &["signed by key", "built by https://builder.test", "predicateType"]);
        said(
            &world.reader.run(&["provenance", &reference, "--key", &key("p256.pub")]).await,
            3,
            &["no verified provenance"],
        );
        let tree = world.reader.run(&["tree", &reference, "--key", public]).await;
        said(&tree, 0, &["✓ signed by key", "attestation slsaprovenance", "built by https://builder.test"]);
        said(&world.reader.run(&["tree", &reference]).await, 0, &["signed by a key (not verified)"]);
    }
}

#[tokio::test]
async fn every_reason_not_to_verify_has_its_own_answer() {
    let mut world = World::new().await;
    let (signed, unsigned) = (world.image("team/signed").await, world.image("team/unsigned").await);
    world.writer.sign(&signed).await;
    let public = key("p256.pub");
    let verify = async |machine: &Machine, image: &str, key: &str| machine.verify(image, key, &[]).await;
    said(&verify(&world.reader, &signed.by_digest(), &key("ed25519.pub")).await, 3, &["SignatureMismatch"]);
    said(&verify(&world.reader, &unsigned.by_digest(), &public).await, 3, &["NoSignatures"]);
    for stranger in [world.stranger(Some(("reader", "wrong"))), world.stranger(None)] {
        let finished = verify(&stranger, &signed.by_digest(), &public).await;
        said(&finished, 3, &["RegistryAuthFailed", "401"]);
        assert!(!finished.stdout.contains("NoSignatures"), "{}", finished.stdout);
    }
    let absent = format!("{}:absent", signed.repository);
    said(&verify(&world.reader, &absent, &public).await, 3, &["ImageNotFound"]);
    // The same tag leads to another image now.
    let moved = world.image("team/signed").await;
    let by_tag = format!("{}:latest", signed.repository);
    said(&verify(&world.reader, &by_tag, &public).await, 3, &["NoSignatures", &moved.digest]);
    // Somebody hangs the old signature on the new image.
    let (from, to) = (signed.cosign_tag("sig"), moved.cosign_tag("sig"));
    Crane::new(&world.writer.access).run(&["copy", &from, &to]).await.succeeded();
    said(&verify(&world.reader, &by_tag, &public).await, 3, &["OtherImage", &signed.digest]);
    world.registry.stop();
    said(&verify(&world.reader, &signed.by_digest(), &public).await, 4, &["RegistryUnavailable"]);
}

#[tokio::test]
async fn tampered_content_in_a_registry_is_refused_with_what_is_wrong() {
    let registry = PlainRegistry::start().await;
    let machine = Machine::new(registry.access());
    let image = Crane::new(&machine.access).push_random_image("app").await;
    machine.sign(&image).await;
    let verify = async || machine.verify(&image.by_digest(), &key("p256.pub"), &[]).await;
    said(&verify().await, 0, &["verified"]);

    let tag = image.cosign_tag("sig");
    let manifest = Crane::new(&machine.access).manifest(&tag).await.unwrap();
    let put = async |content: String| {
        let url = format!("http://{}/v2/app/manifests/{}", registry.host(), tag.rsplit_once(':').unwrap().1);
        let sent = http_client(None).put(url).header("Content-Type", MANIFEST).body(content).send().await;
        sent.unwrap().error_for_status().unwrap();
    };
    let mut other_signature = manifest.clone();
    other_signature["layers"][0]["annotations"]["dev.cosignproject.cosign/signature"] = json!("MEUCIQ==");
    put(other_signature.to_string()).await;
    said(&verify().await, 3, &["SignatureMismatch"]);

    let mut no_signature = manifest.clone();
    no_signature["layers"][0]["annotations"] = json!({});
    put(no_signature.to_string()).await;
    said(&verify().await, 3, &["MalformedLayer"]);

    // A blob that is there under its own digest, and signed by nobody.
    let mut other_payload = manifest.clone();
    other_payload["layers"][0]["digest"] = manifest["config"]["digest"].clone();
    put(other_payload.to_string()).await;
    said(&verify().await, 3, &["SignatureMismatch"]);

    let mut gone = manifest.clone();
    gone["layers"][0]["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
    put(gone.to_string()).await;
    said(&verify().await, 3, &["Unreadable"]);

    put(manifest.to_string()[..200].to_owned()).await;
    said(&verify().await, 3, &["Unreadable", "does not decode"]);

    put(manifest.to_string()).await;
    said(&verify().await, 0, &["verified"]);
}

#[tokio::test]
async fn policies_are_tried_without_any_registry() {
    let machine = Machine::new(Access { host: "127.0.0.1:1".into(), ca: None, login: None });
    let policy = |name: &str| format!("{}/tests/fixtures/policies/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    let test = async |name: &str, image: &str| machine.run(&["policy", "test", &policy(name), image]).await;
    let finished = test("images-from-private-namespace-are-signed", "privatenamespace/app").await;
    said(&finished, 0, &["usable", "MatchesEverything", "index.docker.io/privatenamespace/app"]);
    let finished = test("images-from-private-registry-are-signed", "registry.example.com/team/app").await;
    said(&finished, 0, &["none"]);
    for name in ["gcr-is-signed", "ecr-is-signed"] {
        said(&test(name, "gcr.io/p/app").await, 2, &["spec.images[0].glob: replace the placeholder"]);
    }
    said(&machine.run(&["verify", "localhost/app"]).await, 2, &["say whose signatures count"]);
    said(
        &machine.run(&["verify", "localhost/app", "--key", &key("p256.pem")]).await,
        2,
        &["is not a PUBLIC KEY"],
    );
}
