//! The cases of the credentials specification §6.7 and §6.10 where something fails: the content stays, the owner is
//! told, and nobody asks too often.

use std::time::Duration;

use serde_json::json;

use crate::support::{Known, block, eventually};
use crate::world::{NAME, Running, SOON, World, kubectl};

const TYPE: &str = "kubernetes.io/dockerconfigjson";
const LONG: Duration = Duration::from_mins(1);

#[tokio::test]
async fn case_5_a_service_that_fails_three_times_leaves_the_content_until_it_answers() {
    let world = &Running::shared().await.world;
    let tenant = world.tenant("flaky", 3600).await;
    let old = format!("{{\"auths\":{{\"{}\":{{\"auth\":\"b2xkOm9sZA==\"}}}}}}", world.registry.host());
    world.sts.fails(&tenant.identity, 500, 3);
    tenant.create_pull_secret(&old).await;
    tenant.event("ExchangeUnavailable", SOON).await;
    while tenant.exchanges() < 3 {
        assert_eq!(tenant.content().await, old);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(tenant.content().await, old);
    // 5, 10 and 20 seconds after the first.
    tenant.another_token(Some("b2xkOm9sZA=="), LONG).await;
    assert_eq!(tenant.exchanges(), 4);
    assert_eq!(tenant.annotation("status").await.as_deref(), Some("Ready"));
}

#[tokio::test]
async fn case_6_a_denial_is_told_with_the_subject_and_not_repeated_in_a_hot_loop() {
    let world = &Running::shared().await.world;
    let tenant = world.tenant("denied", 3600).await;
    world.sts.knows(&tenant.identity, Known::account(&world.cluster, "somebody", "else", 3600));
    tenant.create_pull_secret("{}").await;
    let event = tenant.event("ExchangeDenied", SOON).await;
    let message = event.message.unwrap();
    assert!(message.contains("system:serviceaccount:pull-secret-updater:controller"), "{message}");
    assert!(message.contains("subject mismatch"), "{message}");
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(tenant.exchanges(), 1, "the next is due after 30 s; ten minutes are a unit test");
    assert_eq!(tenant.content().await, "{}");
    assert_eq!(tenant.annotation("status").await.as_deref(), Some("ExchangeDenied"));
    // Whoever mends it by another identity need not wait.
    let other = world.tenant("mended", 3600).await;
    tenant.annotate("identity", Some(&other.identity)).await;
    tenant.another_token(None, SOON).await;
}

#[tokio::test]
async fn an_unknown_identity_and_a_throttling_service_have_their_own_words() {
    let world = &Running::shared().await.world;
    let (unknown, throttled) = (world.tenant("unknown", 3600).await, world.tenant("throttled", 3600).await);
    unknown.create_pull_secret("{}").await;
    unknown.another_token(None, SOON).await;
    unknown.annotate("identity", Some("org/nobody")).await;
    unknown.event("IdentityNotFound", SOON).await;
    assert!(unknown.token().await.is_some(), "the old content is kept");
    world.sts.answers(&throttled.identity, 429, Some(2), Duration::ZERO, 1);
    throttled.create_pull_secret("{}").await;
    throttled.event("ExchangeThrottled", SOON).await;
    throttled.another_token(None, SOON).await;
    let log = world.sts.log();
    let times: Vec<_> =
        log.iter().filter(|one| one.identity == throttled.identity).map(|one| one.time).collect();
    let between = times[1].duration_since(times[0]).as_secs_f64();
    assert!((1.9..4.0).contains(&between), "{between}");
}

#[tokio::test]
async fn case_8_and_12_a_secret_of_another_type_without_data_is_told_and_not_written() {
    let world = &Running::shared().await.world;
    let tenant = world.tenant("opaque", 3600).await;
    tenant.create(NAME, "Opaque", None, true).await;
    let version = tenant.version().await;
    tenant.event("WrongType", SOON).await;
    assert_eq!((tenant.version().await, tenant.exchanges()), (version, 0));
}

#[tokio::test]
async fn immutable_and_malformed_secrets_are_told_and_not_written() {
    let world = &Running::shared().await.world;
    let (immutable, malformed) =
        (world.tenant("immutable", 3600).await, world.tenant("malformed", 3600).await);
    let annotation = json!({format!("{}identity", crate::world::PREFIX): immutable.identity});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": TYPE, "immutable": true,
        "metadata": {"name": NAME, "namespace": immutable.namespace, "annotations": annotation},
        "stringData": {".dockerconfigjson": "{}"}});
    world.cluster.create(&secret).await;
    immutable.event("Immutable", SOON).await;
    malformed.create_pull_secret("{\"auths\": 5}").await;
    malformed.event("MalformedExisting", SOON).await;
    assert_eq!(
        (immutable.content().await, malformed.content().await),
        ("{}".into(), "{\"auths\": 5}".into())
    );
    assert_eq!(immutable.exchanges() + malformed.exchanges(), 0);
    malformed.annotate("overwrite", Some("true")).await;
    malformed.another_token(None, SOON).await;
}

#[tokio::test]
async fn case_9_a_secret_of_a_name_without_a_right_is_told_and_not_tried_again_at_once() {
    let world = World::start().await;
    let overlay = concat!(env!("CARGO_MANIFEST_DIR"), "/config/overlays/pull-secret-updater-watch-all");
    let admin = world.cluster.kubeconfig("admin");
    kubectl(&admin, &["apply", "-k", overlay]).await.succeeded();
    let arguments = [
        "get",
        "deployment",
        "controller",
        "-n",
        "pull-secret-updater",
        "-o=jsonpath={.spec.template.spec.containers[0].args}",
    ];
    let arguments = kubectl(&admin, &arguments).await.succeeded().stdout;
    assert_eq!(arguments, r#"["refresh","--watch-all"]"#);
    let updater = world.updater(&["--watch-all"]).await;
    let tenant = world.tenant("forbidden", 3600).await;
    tenant.create("other-secret", TYPE, Some("{}"), true).await;
    let message = tenant.event("UpdateForbidden", SOON).await.message.unwrap();
    assert!(
        message.contains(&format!("grant patch on secrets/other-secret in {}", tenant.namespace)),
        "{message}"
    );
    tenant.create_pull_secret("{}").await;
    tenant.another_token(None, SOON).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(tenant.exchanges(), 2, "one for each Secret");
    let content = tenant.secrets.get("other-secret").await.unwrap().data.unwrap();
    assert_eq!(content[".dockerconfigjson"].0, b"{}");

    // The right on that name is all that it takes; the next try is due after ten minutes, or when the Secret changes.
    for command in ["kubectl create clusterrole ", "kubectl create clusterrolebinding "] {
        let command =
            block("docs/short-lived.md", command).replace("\\\n", " ").replace("regcred", "other-secret");
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        kubectl(&admin, &words).await.succeeded();
    }
    let other = world.tenant("granted", 3600).await;
    let annotation = format!("{}identity={}", crate::world::PREFIX, other.identity);
    let annotate =
        ["annotate", "secret", "other-secret", "--overwrite", "-n", &tenant.namespace, &annotation];
    kubectl(&admin, &annotate).await.succeeded();
    eventually("other-secret is filled", SOON, async || {
        let content = tenant.secrets.get("other-secret").await.unwrap().data.unwrap();
        (content[".dockerconfigjson"].0.len() > 2).then_some(())
    })
    .await;
    drop(updater);
}

#[tokio::test]
async fn a_missing_identity_token_is_told_and_its_coming_is_noticed() {
    let world = World::start().await;
    std::fs::remove_file(world.token_file()).unwrap();
    let updater = world.updater(&[]).await;
    let tenant = world.tenant("tokenless", 3600).await;
    tenant.create_pull_secret("{}").await;
    let message = tenant.event("SubjectTokenUnavailable", SOON).await.message.unwrap();
    assert!(message.contains("audience issuer.enforce.dev"), "{message}");
    assert_eq!(tenant.exchanges(), 0);
    world.write_token().await;
    // The pause is 30 s; the file is looked at every two.
    tenant.another_token(None, Duration::from_secs(8)).await;
    drop(updater);
}

#[tokio::test]
async fn an_outage_raises_the_severity_when_the_token_ends_and_recovery_takes_one_step() {
    let world = &Running::shared().await.world;
    let tenant = world.tenant("outage", 12).await;
    tenant.create_pull_secret("{}").await;
    let old = tenant.another_token(None, SOON).await;
    let before = tenant.exchanges();
    world.sts.fails(&tenant.identity, 503, usize::MAX);
    let event = tenant.event("Expired", LONG).await;
    assert!(event.message.unwrap().contains("503"));
    eventually("the status says so too", SOON, async || {
        tenant.annotation("status").await.filter(|status| status == "Expired")
    })
    .await;
    let content = tenant.token().await;
    assert!(content.is_some() && content.as_deref() != Some(""), "the old content is kept");
    tokio::time::sleep(Duration::from_secs(15)).await;
    let tried = tenant.exchanges() - before;
    assert!(tried <= 6, "{tried} exchanges in an outage of half a minute");
    world.sts.recovers(&tenant.identity);
    // A back-off step is 5, 10, 20, … s; after four failures at most 40.
    tenant.another_token(content.as_deref().or(Some(&old)), Duration::from_secs(45)).await;
    eventually("it is ready again", SOON, async || {
        tenant.annotation("status").await.filter(|status| status == "Ready")
    })
    .await;
}
