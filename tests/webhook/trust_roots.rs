//! `TrustRoot` objects: policies name them, they are followed while they change, and one with mistakes is refused by field.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::{Finished, eventually};
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
    let mut remote = object(world, "remote");
    remote["spec"] = json!({"remote": {"root": "e30=", "mirror": "https://tuf.test"}});
    denied(&apply(world, &remote).await, &["spec.remote: UnsupportedField: TUF repositories are not read"]);
}
