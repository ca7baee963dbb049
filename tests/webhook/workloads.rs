//! What is looked at: every kind that runs images, tags that become digests, namespaces that opted in, and what is left
//! alone.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::PlainRegistry;
use crate::world::{World, denied, kubectl, pod};

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "a"}},
        "spec": {"restartPolicy": "Always", "containers": [{"name": "app", "image": image}]}})
}

/// Every workload kind around one image.
fn workloads(namespace: &str, image: &str) -> Vec<Value> {
    let selector = json!({"matchLabels": {"app": "a"}});
    let object = |version: &str, kind: &str, spec: Value| {
        json!({"apiVersion": version, "kind": kind, "spec": spec,
            "metadata": {"name": kind.to_lowercase(), "namespace": namespace}})
    };
    let mut job = template(image);
    job["spec"]["restartPolicy"] = json!("Never");
    vec![
        object("apps/v1", "Deployment", json!({"selector": selector, "template": template(image)})),
        object("apps/v1", "ReplicaSet", json!({"selector": selector, "template": template(image)})),
        object(
            "apps/v1",
            "StatefulSet",
            json!({"serviceName": "a", "selector": selector, "template": template(image)}),
        ),
        object("apps/v1", "DaemonSet", json!({"selector": selector, "template": template(image)})),
        object("batch/v1", "Job", json!({ "template": job })),
        object(
            "batch/v1",
            "CronJob",
            json!({"schedule": "0 0 * * *", "jobTemplate": {"spec": {"template": job}}}),
        ),
    ]
}

#[tokio::test]
async fn every_kind_of_workload_is_denied_and_admitted_by_its_images_with_tags_made_digests() {
    let world = World::shared().await;
    let namespace = world.namespace("kinds").await;
    let (good, bad) = (world.signed_by_key("team/kinds/good").await, world.image("team/kinds/bad").await);
    world
        .policy("kinds", &format!("{}/team/kinds/*", world.host()), json!([World::by_key("p256.pub")]))
        .await;
    for workload in workloads(&namespace, &format!("{}:latest", bad.repository)) {
        let asked = world.create(&workload, &[]).await;
        denied(&asked, &["kinds: authority-0: NoSignatures"]);
    }
    let tag = format!("{}:latest", good.repository);
    for workload in workloads(&namespace, &tag) {
        let admitted = World::admitted(world.create(&workload, &[]).await).to_string();
        assert!(admitted.contains(&format!("\"{tag}@{}\"", good.digest)), "{admitted}");
    }
}

#[tokio::test]
async fn every_image_of_a_pod_counts_and_a_tag_runs_what_was_verified() {
    let world = World::shared().await;
    let namespace = world.namespace("pods").await;
    let (good, bad) = (world.signed_by_key("team/pods/good").await, world.image("team/pods/bad").await);
    world.policy("pods", &format!("{}/team/pods/*", world.host()), json!([World::by_key("p256.pub")])).await;
    let tag = format!("{}:latest", good.repository);
    let admitted = World::admitted(world.run(&namespace, &tag).await);
    assert_eq!(admitted["spec"]["containers"][0]["image"], format!("{tag}@{}", good.digest));

    let mut init = pod(&namespace, "", &tag);
    init["spec"]["initContainers"] = json!([{"name": "init", "image": bad.by_digest()}]);
    denied(&world.create(&init, &[]).await, &["spec.initContainers[0].image", "NoSignatures"]);
    let rubbish = world.run(&namespace, "UPPER/case:tag:tag").await;
    assert_ne!(rubbish.code, Some(0));
}

#[tokio::test]
async fn what_is_added_to_a_running_pod_is_looked_at_and_its_labels_are_not() {
    let world = World::shared().await;
    let namespace = world.namespace("debug").await;
    let (good, bad) = (world.signed_by_key("team/debug/good").await, world.image("team/debug/bad").await);
    world
        .policy("debug", &format!("{}/team/debug/*", world.host()), json!([World::by_key("p256.pub")]))
        .await;
    World::admitted(world.create(&pod(&namespace, "app", &good.by_digest()), &[]).await);
    let pods = Api::<Pod>::namespaced(world.cluster.client().await, &namespace);
    let debug = async |image: &str, name: &str| {
        let patch = json!({"spec": {"ephemeralContainers": [{"name": name, "image": image}]}});
        pods.patch_subresource(
            "ephemeralcontainers",
            "app",
            &PatchParams::default(),
            &Patch::Strategic(patch),
        )
        .await
    };
    let refused = debug(&bad.by_digest(), "bad").await.unwrap_err().to_string();
    assert!(
        refused.contains("spec.ephemeralContainers[0].image") && refused.contains("NoSignatures"),
        "{refused}"
    );
    debug(&good.by_digest(), "good").await.unwrap();
    world
        .policy(
            "debug-closed",
            &format!("{}/team/debug/*", world.host()),
            json!([{"static": {"action": "fail"}}]),
        )
        .await;
    kubectl(world.cluster, &["label", "pod", "app", "-n", &namespace, "a=b"], "").await.succeeded();
    denied(&world.run(&namespace, &good.by_digest()).await, &["debug-closed", "StaticFail"]);
    let end = ["delete", "pod", "app", "-n", &namespace, "--wait=false"];
    kubectl(world.cluster, &end, "").await.succeeded();
}

#[tokio::test]
async fn a_namespace_that_did_not_opt_in_is_left_alone() {
    let world = World::shared().await;
    let namespace = world.cluster.namespace("outside").await;
    let image = "nobody.test/app:v1";
    let admitted = World::admitted(world.run(&namespace, image).await);
    assert_eq!(admitted["spec"]["containers"][0]["image"], image);
}

#[tokio::test]
async fn a_static_pass_contacts_no_registry_and_a_known_digest_is_looked_up_once() {
    let world = World::shared().await;
    let namespace = world.namespace("asked").await;
    let registry = PlainRegistry::start().await;
    let image = registry.put_image("app").await;
    let before = registry.request_count();
    world
        .policy("asked-pass", &format!("{}/pass*", registry.host()), json!([{"static": {"action": "pass"}}]))
        .await;
    World::admitted(world.run(&namespace, &format!("{}/pass:v1", registry.host())).await);
    assert_eq!(registry.request_count(), before);

    let pass_after = json!([{"key": {"data": crate::world::public_key("p256.pub")}}]);
    world.policy("asked-signed", &format!("{}/app*", registry.host()), pass_after).await;
    denied(&world.run(&namespace, &image.by_digest()).await, &["NoSignatures"]);
    let signed = world.signed_by_key("team/asked").await;
    world
        .policy("asked", &format!("{}/team/asked@*", world.host()), json!([World::by_key("p256.pub")]))
        .await;
    let _unchanged = world.settings.read().await;
    World::admitted(world.run(&namespace, &signed.by_digest()).await);
    let asked = || world.registry.log().matches("/v2/team/asked/manifests/").count();
    let before = asked();
    for _ in 0..5 {
        World::admitted(world.run(&namespace, &signed.by_digest()).await);
    }
    assert_eq!(asked(), before);
    // Another policy changes nothing about it.
    world
        .policy(
            "asked-beside",
            &format!("{}/pass*", registry.host()),
            json!([{"static": {"action": "fail"}}]),
        )
        .await;
    denied(&world.run(&namespace, &format!("{}/pass:v1", registry.host())).await, &["asked-beside"]);
    World::admitted(world.run(&namespace, &signed.by_digest()).await);
    assert_eq!(asked(), before);
    // Another tenant is not served by it.
    let other = world.namespace("asked-other").await;
    World::admitted(world.run(&other, &signed.by_digest()).await);
    assert!(asked() > before);
}

#[tokio::test]
async fn a_policy_about_some_workloads_governs_those_alone_and_the_older_version_counts_too() {
    let world = World::shared().await;
    let namespace = world.namespace("match").await;
    let image = format!("{}/team/match/app@sha256:{}", world.host(), "a".repeat(64));
    let policy = json!({"apiVersion": "policy.sigstore.dev/v1alpha1", "kind": "ClusterImagePolicy",
        "metadata": {"name": "match"}, "spec": {"images": [{"glob": format!("{}/team/match/*", world.host())}],
            "match": [{"group": "apps", "version": "v1", "resource": "deployments"}],
            "authorities": [{"static": {"action": "pass"}}]}});
    crate::world::apply(world.cluster, &policy.to_string()).await;
    let mut all = workloads(&namespace, &image);
    let deployment = all.remove(0);
    crate::support::eventually("the policy is in force", crate::world::SOON, async || {
        (world.create(&deployment, &[]).await.code == Some(0)).then_some(())
    })
    .await;
    denied(&world.create(&all[0], &[]).await, &["no policy governs the image"]);
}

#[tokio::test]
async fn a_public_key_in_a_secret_counts_and_its_change_too() {
    let world = World::shared().await;
    let (namespace, image) = (world.namespace("secret").await, world.signed_by_key("team/secret").await);
    let key = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cosign-pub", "namespace": "cosign-system"},
            "stringData": {"cosign.pub": crate::world::public_key(name)}})
        .to_string()
    };
    let authority =
        json!({"key": {"secretRef": {"name": "cosign-pub"}}, "source": World::source("regcreds")});
    world.policy("secret", &format!("{}/team/secret@*", world.host()), json!([authority])).await;
    denied(&world.run(&namespace, &image.by_digest()).await, &["SecretNotFound", "cosign-pub"]);
    for (name, admits) in [("ed25519.pub", false), ("p256.pub", true), ("ed25519.pub", false)] {
        crate::world::apply(world.cluster, &key(name)).await;
        crate::support::eventually("the key counts", crate::world::SOON, async || {
            let asked = world.run(&namespace, &image.by_digest()).await;
            let is_refused = asked.stderr.contains("SignatureMismatch");
            (asked.code == Some(0) && admits || is_refused && !admits).then_some(())
        })
        .await;
    }
}
