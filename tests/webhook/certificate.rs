//! The serving certificate: made by itself, the same for every replica, renewed before anybody notices.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::json;

use crate::support::{eventually, http_client};
use crate::world::{SOON, SYSTEM, World, kubectl, pod};

const NAME: &str = "hallmark-webhook-certificate";

async fn held(world: &World, field: &str) -> Option<String> {
    let secrets = Api::<Secret>::namespaced(world.cluster.client().await, SYSTEM);
    let mut data = secrets.get(NAME).await.unwrap().data?;
    String::from_utf8(data.remove(field)?.0).ok()
}

/// Whether the server at `address` is trusted by whoever trusts `authority` alone.
async fn trusts(authority: &str, address: &str) -> bool {
    http_client(Some(authority)).post(format!("https://{address}/validate")).send().await.is_ok()
}

#[tokio::test]
async fn replicas_serve_one_certificate_which_is_renewed_while_pods_are_admitted() {
    let world = World::shared().await;
    let namespace = world.namespace("certificate").await;
    world.policy("certificate", "certificate.test/**", json!([{"static": {"action": "pass"}}])).await;
    let run =
        async || world.create(&pod(&namespace, "", "certificate.test/app:v1"), &["--dry-run=server"]).await;
    let first = held(world, "ca.crt").await.unwrap();
    let (one, replica) = (world.address_of(&world.hallmark).await, world.replica().await);
    let other = world.address_of(&replica).await;
    eventually("both replicas serve it", SOON, async || {
        (trusts(&first, &one).await && trusts(&first, &other).await).then_some(())
    })
    .await;

    // What a damaged key and the end of a certificate come to.
    let patch = json!({"data": {"tls.key": null}}).to_string();
    let arguments = ["patch", "secret", NAME, "-n", SYSTEM, "--type=merge", "-p", &patch];
    kubectl(world.cluster, &arguments, "").await.succeeded();
    let renewed = eventually("it is renewed", SOON, async || {
        run().await.succeeded();
        let now = held(world, "ca.crt").await?;
        (held(world, "tls.key").await.is_some() && now != first).then_some(now)
    })
    .await;
    let newest = pem::parse_many(&renewed).unwrap().remove(0);
    eventually("both replicas serve the new one", SOON, async || {
        run().await.succeeded();
        let newest = pem::encode(&newest);
        (trusts(&newest, &one).await && trusts(&newest, &other).await).then_some(())
    })
    .await;
    let configurations = Api::<ValidatingWebhookConfiguration>::all(world.cluster.client().await);
    let told = configurations.get("hallmark-webhook").await.unwrap().webhooks.unwrap();
    let bundles = told.into_iter().map(|webhook| webhook.client_config.ca_bundle.unwrap().0);
    assert!(bundles.clone().count() == 2 && bundles.clone().all(|bundle| bundle == renewed.as_bytes()));
}

#[tokio::test]
async fn rubbish_at_its_door_is_refused_and_harms_nobody() {
    let world = World::shared().await;
    let authority = held(world, "ca.crt").await.unwrap();
    let (client, address) = (http_client(Some(&authority)), world.address_of(&world.hallmark).await);
    let ask = async |path: &str, body: Vec<u8>| {
        // A client of its own: the connection of a review that is too large is cut.
        let asked =
            http_client(Some(&authority)).post(format!("https://{address}{path}")).body(body).send().await;
        asked.map_or(413, |answer| answer.status().as_u16())
    };
    assert_eq!(ask("/validate", b"{}".to_vec()).await, 400);
    assert_eq!(ask("/validate", vec![b'['; 100_000]).await, 400);
    assert_eq!(ask("/validate", vec![b' '; 9 * 1024 * 1024]).await, 413);
    assert_eq!(ask("/nowhere", Vec::new()).await, 404);
    let stranger = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "CREATE", "resource": {"group": "x", "version": "v1", "resource": "things"}}});
    let answer = client.post(format!("https://{address}/validate")).body(stranger.to_string()).send().await;
    let answer: serde_json::Value = answer.unwrap().json().await.unwrap();
    assert_eq!((&answer["response"]["allowed"], &answer["response"]["uid"]), (&json!(false), &json!("u")));
}
