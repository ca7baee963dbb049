//! `TrustRoot` objects: policies name them, they are followed while they change, and one with mistakes is refused by field.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::{Finished, Hallmark, OfflineCosign, TufRepository, eventually};
use crate::world::{SOON, World, denied, kubectl};

/// Trusts the Fulcio and the timestamps of the world.
fn object(world: &World, name: &str) -> Value {
    let authority = |file: &std::path::Path| {
        json!([{"subject": {"organization": "o", "commonName": "c"}, "uri": "https://authority.test",
            "certChain": BASE64_STANDARD.encode(std::fs::read(file).unwrap())}])
    };
    json!({"apiVersion": "policy.sigstore.dev/v1alpha1", "kind": "TrustRoot", "metadata": {"name": name},
        "spec": {"sigstoreKeys": {"certificateAuthorities": authority(&world.fulcio.root),
            "timestampAuthorities": authority(world.timestamps())}}})
}

async fn apply(world: &World, object: &Value) -> Finished {
    kubectl(world.cluster, &["apply", "-f", "-"], &object.to_string()).await
}

#[tokio::test]
async fn a_trust_root_counts_by_its_name_as_soon_as_it_is_there_and_no_longer() {
    let world = World::shared().await;
    let (namespace, image) = (world.namespace("root").await, world.signed("team/root").await);
    let mut authority = world.keyless();
    authority["keyless"]["trustRootRef"] = json!("by-name");
    authority["rfc3161timestamp"] = json!({"trustRootRef": "by-name"});
    world.policy("root", &format!("{}/team/root@*", world.host()), json!([authority])).await;
    let asked = world.run(&namespace, &image.by_digest()).await;
    denied(&asked, &["root: authority-0: NoTrustRoot: there is no TrustRoot \"by-name\""]);

    apply(world, &object(world, "by-name")).await.succeeded();
    eventually("the TrustRoot is followed", SOON, async || {
        (world.run(&namespace, &image.by_digest()).await.code == Some(0)).then_some(())
    })
    .await;

    // Another authority under the same name; what was verified before counts no longer.
    let mut other = object(world, "by-name");
    other["spec"]["sigstoreKeys"]["certificateAuthorities"] =
        other["spec"]["sigstoreKeys"]["timestampAuthorities"].clone();
    apply(world, &other).await.succeeded();
    eventually("the change is followed", SOON, async || {
        let asked = world.run(&namespace, &image.by_digest()).await;
        (asked.code != Some(0) && asked.stderr.contains("UntrustedCertificate")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_trust_root_with_mistakes_is_refused_with_their_places() {
    let world = World::shared().await;
    let mut bad = object(world, "bad");
    bad["spec"]["sigstoreKeys"]["certificateAuthorities"][0]["certChain"] = json!("rubbish");
    bad["spec"]["sigstoreKeys"]["tlogs"] = json!([]);
    let asked = apply(world, &bad).await;
    denied(
        &asked,
        &[
            "spec.sigstoreKeys.certificateAuthorities[0].certChain: must be certificates in PEM",
            "spec.sigstoreKeys.tlogs: unknown field",
        ],
    );
    for (spec, said) in [
        (json!({"remote": {"root": "e30=", "mirror": "tuf.test"}}), "spec.remote.mirror: must be an address"),
        (
            json!({"repository": {"root": "e30=", "mirrorFS": "bm8="}}),
            "spec.repository.mirrorFS: must be a tar.gz",
        ),
    ] {
        bad["spec"] = spec;
        denied(&apply(world, &bad).await, &[said]);
    }
}

/// A repository whose trust root has the Fulcio and the timestamps of the world.
async fn repository(world: &World) -> (TufRepository, OfflineCosign) {
    let (repository, cosign) = (TufRepository::start().await, OfflineCosign::new());
    let services = [
        ("fulcio", format!("url={},certificate-chain={}", world.fulcio.url, world.fulcio.root.display())),
        ("tsa", format!("url=https://tsa.test,certificate-chain={}", world.timestamps().display())),
    ];
    repository.publish(&cosign.trusted_root(&services).await, 1).await;
    (repository, cosign)
}

/// An image that a policy admits by the `TrustRoot` of this name.
async fn governed(world: &World, name: &str) -> (String, String) {
    let (namespace, image) = (world.namespace(name).await, world.signed(&format!("team/{name}")).await);
    let mut authority = world.keyless();
    authority["keyless"]["trustRootRef"] = json!(name);
    authority["rfc3161timestamp"] = json!({"trustRootRef": name});
    world.policy(name, &format!("{}/team/{name}@*", world.host()), json!([authority])).await;
    (namespace, image.by_digest())
}

fn named(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "policy.sigstore.dev/v1alpha1", "kind": "TrustRoot", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn a_trust_root_in_a_tuf_mirror_is_verified_followed_and_one_of_strangers_is_told() {
    let world = World::shared().await;
    let (mirror, cosign) = repository(world).await;
    let (namespace, image) = governed(world, "mirrored").await;
    let strangers = TufRepository::start().await;
    strangers.publish(&cosign.trusted_root(&[]).await, 1).await;
    let root = |from: &TufRepository| BASE64_STANDARD.encode(std::fs::read(from.first_root()).unwrap());
    let spec = |root: String| json!({"remote": {"root": root, "mirror": mirror.url}});
    apply(world, &named("mirrored", &spec(root(&strangers)))).await.succeeded();
    eventually("the root of strangers is told", SOON, async || {
        let asked = world.run(&namespace, &image).await;
        (asked.code != Some(0) && asked.stderr.contains("serves a trust root that does not hold"))
            .then_some(())
    })
    .await;
    apply(world, &named("mirrored", &spec(root(&mirror)))).await.succeeded();
    eventually("the mirror is followed", SOON, async || {
        (world.run(&namespace, &image).await.code == Some(0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_trust_root_in_an_archive_needs_no_network_and_counts_until_it_expires() {
    let world = World::shared().await;
    let (repository, cosign) = repository(world).await;
    let (namespace, image) = governed(world, "archived").await;
    let spec = async || {
        let root = BASE64_STANDARD.encode(std::fs::read(repository.first_root()).unwrap());
        json!({"repository": {"root": root, "mirrorFS": BASE64_STANDARD.encode(repository.archive().await)}})
    };
    apply(world, &named("archived", &spec().await)).await.succeeded();
    eventually("the archive counts", SOON, async || {
        (world.run(&namespace, &image).await.code == Some(0)).then_some(())
    })
    .await;
    let root = cosign.trusted_root(&[]).await;
    repository.publish_so(&root, &json!({"version": 2, "days": -1})).await;
    apply(world, &named("archived", &spec().await)).await.succeeded();
    eventually("an archive that has expired counts no longer", SOON, async || {
        let asked = world.run(&namespace, &image).await;
        (asked.code != Some(0) && asked.stderr.contains("timestamp metadata expired")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn hallmark_verify_asks_the_repositories_that_a_policy_names() {
    let world = World::shared().await;
    let (mirror, _cosign) = repository(world).await;
    let image = world.signed("team/command").await.by_digest();
    let root = BASE64_STANDARD.encode(std::fs::read(mirror.first_root()).unwrap());
    let archive = BASE64_STANDARD.encode(mirror.archive().await);
    let mut authority = world.keyless();
    authority.as_object_mut().unwrap().remove("source");
    authority["keyless"]["trustRootRef"] = json!("ours");
    authority["rfc3161timestamp"] = json!({"trustRootRef": "ours"});
    let policy = json!({"apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
        "metadata": {"name": "ours"}, "spec": {"images": [{"glob": "**"}], "authorities": [authority]}});
    let folder = tempfile::tempdir().unwrap();
    let (file, login) = (folder.path().join("policy.yaml"), folder.path().join("login.json"));
    std::fs::write(&login, world.reading().docker_config()).unwrap();
    let ca = world.reading().ca.unwrap();
    for (spec, good) in [
        (json!({"remote": {"root": root, "mirror": mirror.url}}), true),
        (json!({"repository": {"root": root, "mirrorFS": archive}}), true),
        (json!({"remote": {"root": root, "mirror": "http://127.0.0.1:1"}}), false),
    ] {
        std::fs::write(&file, format!("{policy}\n---\n{}\n", named("ours", &spec))).unwrap();
        let arguments = ["verify", &image, "--policy", file.to_str().unwrap(), "-o", "json"];
        let environment = [("SSL_CERT_FILE", ca.to_str().unwrap())];
        let secret = ["--pull-secret", login.to_str().unwrap()];
        let judged = Hallmark::run(&[&arguments[..], &secret].concat(), &environment).await;
        assert_eq!(judged.code == Some(0), good, "{}{}", judged.stdout, judged.stderr);
        assert!(good || judged.stdout.contains("TrustRootUnavailable"), "{}", judged.stdout);
    }
}
