//! The cases of the credentials specification, §8.8, in its order.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use crate::support::eventually;
use crate::world::{SOON, SYSTEM, World, denied, kubectl, pod, timed};

#[tokio::test]
async fn one_and_two_an_image_of_the_right_identity_is_admitted_and_another_issuer_is_shown() {
    let world = World::shared().await;
    let (namespace, image) = (world.namespace("case-1").await, world.signed("team/case-1").await);
    world.policy("case-1", &format!("{}/team/case-1@*", world.host()), json!([world.keyless()])).await;
    World::admitted(world.run(&namespace, &image.by_digest()).await);

    let other = world.signed("team/case-2").await;
    let mut authority = world.keyless();
    authority["keyless"]["identities"][0]["issuer"] = json!("https://accounts.example.test");
    world.policy("case-2", &format!("{}/team/case-2@*", world.host()), json!([authority])).await;
    let asked = world.run(&namespace, &other.by_digest()).await;
    denied(&asked, &["case-2", "IdentityMismatch", &world.name(), &world.cluster.issuer()]);
}

#[tokio::test]
async fn three_an_unsigned_image_has_no_signatures() {
    let world = World::shared().await;
    let (namespace, image) = (world.namespace("case-3").await, world.image("team/case-3").await);
    world
        .policy("case-3", &format!("{}/team/case-3@*", world.host()), json!([World::by_key("p256.pub")]))
        .await;
    let asked = world.run(&namespace, &image.by_digest()).await;
    denied(&asked, &["case-3: authority-0: NoSignatures", "spec.containers[0].image"]);
}

#[tokio::test]
async fn four_missing_credentials_are_named_with_where_they_were_looked_for_and_found_when_they_come() {
    let world = World::shared().await;
    let (namespace, image) = (world.namespace("case-4").await, world.signed_by_key("team/case-4").await);
    let mut authority = World::by_key("p256.pub");
    authority["source"] = World::source("case-4");
    world.policy("case-4", &format!("{}/team/case-4@*", world.host()), json!([authority])).await;
    let asked = world.run(&namespace, &image.by_digest()).await;
    let said = format!("signaturePullSecrets[0] \"case-4\" not found in cosign-system or {namespace}");
    denied(&asked, &["SecretNotFound", &said]);
    world.cluster.registry_secret(&namespace, "case-4", &world.reading()).await;
    World::admitted(world.run(&namespace, &image.by_digest()).await);

    let stranger = world.namespace("case-4-stranger").await;
    let asked = world.run(&stranger, &image.by_digest()).await;
    denied(&asked, &[&format!("not found in cosign-system or {stranger}")]);
}

#[tokio::test]
async fn five_a_wrong_password_is_told_with_its_source_and_answer() {
    let world = World::shared().await;
    let (namespace, image) = (world.namespace("case-5").await, world.signed_by_key("team/case-5").await);
    let wrong = world.registry.access(Some(("reader".to_owned(), "canary-password".to_owned())));
    world.cluster.registry_secret(SYSTEM, "case-5", &wrong).await;
    let mut authority = World::by_key("p256.pub");
    authority["source"] = World::source("case-5");
    world.policy("case-5", &format!("{}/team/case-5@*", world.host()), json!([authority])).await;
    let asked = world.run(&namespace, &image.by_digest()).await;
    denied(&asked, &["RegistryAuthFailed", "401", "policy.signaturePullSecrets cosign-system/case-5"]);
    assert!(!asked.stderr.contains("canary-password"), "{}", asked.stderr);
    assert!(!world.hallmark.lines().concat().contains("canary-password"));
}

#[tokio::test]
async fn six_a_bare_registry_means_the_path_of_the_image() {
    let world = World::shared().await;
    let (namespace, image) = (world.namespace("case-6").await, world.signed_by_key("team/case-6/app").await);
    let mut authority = World::by_key("p256.pub");
    authority["source"][0]["oci"] = json!(world.host());
    world.policy("case-6", &format!("{}/team/case-6/**", world.host()), json!([authority])).await;
    World::admitted(world.run(&namespace, &image.by_digest()).await);
}

#[tokio::test]
async fn seven_the_variable_stands_for_what_the_glob_leaves_open() {
    let world = World::shared().await;
    let namespace = world.namespace("case-7").await;
    let (image, other) =
        (world.image("team/case-7/app").await, world.signed_by_key("team/case-7/other").await);
    let settings = json!({"storage.oci.repository": format!("{}/signatures/case-7/app", world.host()),
        "artifacts.taskrun.storage": "oci"});
    world.sign(&image, &settings, &["--key", &crate::world::key("p256.pem")]).await;
    let mut authority = World::by_key("p256.pub");
    authority["source"][0]["oci"] = json!(format!("{}/signatures/case-7/$image", world.host()));
    world.policy("case-7", &format!("{}/team/case-7/*", world.host()), json!([authority])).await;
    World::admitted(world.run(&namespace, &image.by_digest()).await);
    denied(&world.run(&namespace, &other.by_digest()).await, &["case-7", "NoSignatures"]);
}

#[tokio::test]
async fn eight_and_nine_every_policy_must_be_satisfied_and_any_authority_satisfies_one() {
    let world = World::shared().await;
    let (namespace, image) = (world.namespace("case-8").await, world.signed_by_key("team/case-8").await);
    let glob = format!("{}/team/case-8@*", world.host());
    let either = json!([World::by_key("ed25519.pub"), World::by_key("p256.pub")]);
    world.policy("case-9", &glob, either).await;
    World::admitted(world.run(&namespace, &image.by_digest()).await);
    world.policy("case-8", &glob, json!([World::by_key("ed25519.pub")])).await;
    let asked = world.run(&namespace, &image.by_digest()).await;
    denied(&asked, &["case-8: authority-0: SignatureMismatch"]);
    assert!(!asked.stderr.contains("case-9"), "what is satisfied is no reason: {}", asked.stderr);
}

#[tokio::test]
async fn ten_a_failing_warn_policy_never_softens_a_failing_enforced_one() {
    let world = World::shared().await;
    let (namespace, image) = (world.namespace("case-10").await, world.signed_by_key("team/case-10").await);
    let glob = format!("{}/team/case-10@*", world.host());
    let wrong = json!([World::by_key("ed25519.pub")]);
    let warning = json!({"mode": "warn", "images": [{"glob": glob}], "authorities": wrong});
    for name in ["case-10-a", "case-10-z"] {
        world.policy_of(name, &warning).await.succeeded();
    }
    let admitted = world.run(&namespace, &image.by_digest()).await;
    assert!(
        admitted.stderr.contains("Warning") && admitted.stderr.contains("case-10-a"),
        "{}",
        admitted.stderr
    );
    World::admitted(admitted);

    world.policy("case-10-m", &glob, wrong).await;
    let pods = Api::<Pod>::namespaced(world.cluster.client().await, &namespace);
    let mut denials = 0;
    for number in 0..100 {
        let asked =
            serde_json::from_value(pod(&namespace, &format!("p-{number}"), &image.by_digest())).unwrap();
        let Err(kube::Error::Api(status)) = pods.create(&PostParams::default(), &asked).await else {
            continue;
        };
        let is_ours = status.message.contains("case-10-m") && !status.message.contains("case-10-a");
        denials += usize::from(is_ours);
    }
    assert_eq!(denials, 100);
}

#[tokio::test]
async fn eleven_a_registry_that_hangs_leads_to_a_denial_before_the_api_server_gives_up() {
    let world = World::shared().await;
    let namespace = world.namespace("case-11").await;
    // Connections are taken by the kernel, and nobody says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = silent.local_addr().unwrap().to_string();
    world
        .policy(
            "case-11",
            &format!("{host}/**"),
            json!([{"key": {"data": crate::world::public_key("p256.pub")}}]),
        )
        .await;
    let pods = Api::<Pod>::namespaced(world.cluster.client().await, &namespace);
    for image in [format!("{host}/app@sha256:{}", "a".repeat(64)), format!("{host}/app:v1")] {
        let asked = serde_json::from_value(pod(&namespace, "hangs", &image)).unwrap();
        let (asked, took) = timed(pods.create(&PostParams::default(), &asked)).await;
        let Err(kube::Error::Api(status)) = asked else { panic!("{image} is not denied") };
        let said = status.message;
        assert!(said.contains("case-11") && said.contains("OutOfTime"), "{said}");
        assert!(took < Duration::from_secs(10), "{image}: {took:?}");
    }
}

#[tokio::test]
async fn twelve_the_short_name_governs_the_whole_one() {
    let world = World::shared().await;
    let namespace = world.namespace("case-12").await;
    let refuse = json!([{"static": {"action": "fail", "message": "it is governed"}}]);
    world.policy("case-12", "privatenamespace/*", refuse).await;
    let image = format!("index.docker.io/privatenamespace/app@sha256:{}", "a".repeat(64));
    for image in [image.as_str(), "privatenamespace/app:v1", "docker.io/privatenamespace/app"] {
        denied(&world.run(&namespace, image).await, &["case-12", "StaticFail", "it is governed"]);
    }
}

#[tokio::test]
async fn thirteen_a_pattern_matches_anywhere_with_a_warning_until_settings_anchor_it() {
    let world = World::shared().await;
    let (namespace, image) = (world.namespace("case-13").await, world.signed("team/case-13").await);
    let mut authority = world.keyless();
    let issuer = world.cluster.issuer();
    authority["keyless"]["identities"] = json!([{"issuer": issuer, "subjectRegExp": "/serviceaccounts/"}]);
    let spec =
        json!({"images": [{"glob": format!("{}/team/case-13@*", world.host())}], "authorities": [authority]});
    let applied = world.policy_of("case-13", &spec).await.succeeded();
    assert!(applied.stderr.contains("UnanchoredRegex"), "{}", applied.stderr);
    World::admitted(world.run(&namespace, &image.by_digest()).await);

    let _changed = world.settings.write().await;
    settings(world, &json!({"policy.anchor-regexes": "true"})).await;
    eventually("the pattern is anchored", SOON, async || {
        let asked = world.run(&namespace, &image.by_digest()).await;
        (asked.code != Some(0) && asked.stderr.contains("IdentityMismatch")).then_some(())
    })
    .await;
    settings(world, &json!({"policy.anchor-regexes": null})).await;
    eventually("the pattern matches anywhere again", SOON, async || {
        (world.run(&namespace, &image.by_digest()).await.code == Some(0)).then_some(())
    })
    .await;
}

/// Sets keys of the agent's ConfigMap; who calls it holds [`World::settings`].
async fn settings(world: &World, keys: &Value) {
    let patch = json!({ "data": keys }).to_string();
    let arguments = ["patch", "configmap", "chains-config", "-n", SYSTEM, "--type=merge", "-p", &patch];
    kubectl(world.cluster, &arguments, "").await.succeeded();
}

#[tokio::test]
async fn fourteen_a_policy_with_mistakes_is_refused_with_their_places() {
    let world = World::shared().await;
    let identity = json!({"issuer": "i", "issuerRegExp": "i", "subject": "s"});
    let spec = json!({"images": [{"glob": "registry.example.com/case-14"}], "moed": "warn",
        "authorities": [{"keyless": {"identities": [identity]}}]});
    let asked = world.policy_of("case-14", &spec).await;
    denied(
        &asked,
        &[
            "spec.authorities[0].keyless.identities[0]: exactly one of issuer and issuerRegExp must be set",
            "spec.moed: unknown field",
        ],
    );
}
