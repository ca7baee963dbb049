//! The cases of the credentials specification §6.10 where all goes well.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::support::{Crane, eventually, memory_limit};
use crate::world::{NAME, Running, SOON, World};

const TYPE: &str = "kubernetes.io/dockerconfigjson";

#[tokio::test]
async fn case_1_an_empty_secret_is_filled_within_five_seconds_and_says_what_it_holds() {
    let world = &Running::shared().await.world;
    let tenant = world.tenant("empty", 3600).await;
    tenant.create_pull_secret("{}").await;
    tenant.another_token(None, SOON).await;
    let writer = world.registry.access(Some(("writer".to_owned(), "w".to_owned())));
    let image = Crane::new(&writer).push_random_image("team/one").await;
    let access = world.access(&tenant.config().await);
    assert!(Crane::new(&access).manifest(&image.by_digest()).await.is_some());
    assert_eq!(tenant.annotation("status").await.as_deref(), Some("Ready"));
    let end: Timestamp = tenant.annotation("expires-at").await.unwrap().parse().unwrap();
    let left = end.duration_since(Timestamp::now());
    assert!(left > SignedDuration::from_mins(58) && left <= SignedDuration::from_mins(60), "{left}");
    assert_eq!(tenant.exchanges(), 1);
    assert_eq!(tenant.event("Ready", SOON).await.type_.as_deref(), Some("Normal"));
}

#[tokio::test]
async fn case_2_a_secret_without_the_annotation_is_never_touched() {
    let world = &Running::shared().await.world;
    let tenant = world.tenant("plain", 3600).await;
    tenant.create(NAME, TYPE, Some("{}"), false).await;
    let version = tenant.version().await;
    let other = world.tenant("beside", 3600).await;
    other.create_pull_secret("{}").await;
    other.another_token(None, SOON).await;
    assert_eq!(tenant.version().await, version);
    assert_eq!(tenant.exchanges(), 0);
    let account = "system:serviceaccount:pull-secret-updater:controller";
    let asked = world
        .cluster
        .audited(|event| event.user.username == account && event.object_ref.namespace == tenant.namespace);
    assert!(asked.is_empty(), "not even read: {asked:?}");
}

#[tokio::test]
async fn case_3_and_11_a_restart_costs_no_exchange_while_a_token_is_fresh_and_no_token_is_told() {
    let world = World::start().await;
    let tenant = world.tenant("restart", 3600).await;
    let denied = world.tenant("denied", 3600).await;
    world.sts.fails(&denied.identity, 403, usize::MAX);
    let mut printed = String::new();
    tenant.create_pull_secret("{}").await;
    denied.create_pull_secret("{}").await;
    for _ in 0..2 {
        let reads = world.reads_of(&tenant);
        let updater = world.updater(&["--log", "trace"]).await;
        tenant.another_token(None, Duration::from_secs(20)).await;
        denied.event("ExchangeDenied", Duration::from_secs(20)).await;
        // The second one looks at it too, and exchanges nothing.
        eventually("it is looked at", SOON, async || (world.reads_of(&tenant) > reads).then_some(())).await;
        let (status, lines) = updater.terminate();
        assert!(status.success(), "{status}");
        printed.push_str(&lines.join("\n"));
    }
    assert_eq!(tenant.exchanges(), 1);
    let mut told: Vec<String> = vec![printed];
    for tenant in [&tenant, &denied] {
        told.extend(tenant.events().await.iter().map(|event| format!("{event:?}")));
        told.push(format!("{:?}", tenant.secret().await.metadata));
    }
    let subject = std::fs::read_to_string(world.token_file()).unwrap();
    let mut canaries = world.sts.canaries();
    assert!(!canaries.is_empty());
    canaries.push(subject.trim().to_owned());
    for canary in canaries {
        let signature = canary.rsplit('.').next().unwrap().to_owned();
        for text in &told {
            assert!(!text.contains(&canary) && !text.contains(&signature), "a token was told");
        }
    }
}

#[tokio::test]
async fn case_4_a_token_of_thirty_seconds_is_replaced_before_its_end_once_a_cycle() {
    let world = &Running::shared().await.world;
    let tenant = world.tenant("short", 30).await;
    tenant.create_pull_secret("{}").await;
    let mut tokens = vec![tenant.another_token(None, SOON).await];
    while tokens.len() < 4 {
        let next = tenant.another_token(tokens.last().map(String::as_str), Duration::from_secs(30)).await;
        let end: Timestamp = tenant.annotation("expires-at").await.unwrap().parse().unwrap();
        assert!(end > Timestamp::now());
        tokens.push(next);
    }
    let log = world.sts.log();
    let times: Vec<Timestamp> =
        log.iter().filter(|one| one.identity == tenant.identity).map(|one| one.time).collect();
    assert_eq!(times.len(), 4, "one exchange for each token");
    for pair in times.windows(2) {
        let between = pair[1].duration_since(pair[0]).as_secs_f64();
        assert!((12.0..29.0).contains(&between), "{between} s between two exchanges");
    }
}

#[tokio::test]
async fn case_7_entries_of_other_registries_stay_byte_for_byte() {
    let world = &Running::shared().await.world;
    let tenant = world.tenant("foreign", 3600).await;
    let foreign = "\"other.example\" : {\"auth\":\"dTpw\", \"email\": null }";
    tenant.create_pull_secret(&format!("{{ \"auths\": {{ {foreign} }}, \"x\" : [1,  2]}}")).await;
    tenant.another_token(None, SOON).await;
    let content = tenant.content().await;
    assert!(content.contains(foreign) && content.ends_with(", \"x\" : [1,  2]}"), "{content}");
}

#[tokio::test]
async fn case_10_moments_of_two_hundred_secrets_are_spread_and_all_are_filled() {
    let Running { world, updater } = Running::shared().await;
    let tenant = world.tenant("many", 3600).await;
    // Two hundred namespaces with one Secret each, as a cluster has them.
    let creations = (0..200).map(async |_| {
        let namespace = world.cluster.namespace("many").await;
        let secret = serde_json::json!({"apiVersion": "v1", "kind": "Secret", "type": TYPE,
            "metadata": {"name": NAME, "namespace": namespace,
                "annotations": {format!("{}identity", crate::world::PREFIX): tenant.identity}},
            "stringData": {".dockerconfigjson": "{}"}});
        world.cluster.create(&secret).await.metadata.uid.unwrap()
    });
    let uids = futures::future::join_all(creations).await;
    eventually("all are filled", Duration::from_mins(1), async || (tenant.exchanges() == 200).then_some(()))
        .await;
    // The moment is a function of the uid and of the token's life.
    let mut minutes: BTreeMap<i64, usize> = BTreeMap::new();
    for uid in uids {
        let begin = Timestamp::from_second(1_700_000_000).unwrap();
        let life = hallmark::refresh::schedule::Life { begin, end: begin + SignedDuration::from_hours(1) };
        *minutes.entry(life.refresh_at(None, &uid).duration_since(begin).as_mins()).or_default() += 1;
    }
    assert!(minutes.values().all(|count| *count <= 20), "{minutes:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(tenant.exchanges(), 200, "its own writes cause no exchange");
    let peak = updater.peak_memory();
    println!("200 Secrets and more: {peak} MiB at the peak");
    assert!(peak < memory_limit("config/overlays/pull-secret-updater/400-deployment.yaml"), "{peak} MiB");
}

#[tokio::test]
async fn a_changed_identity_and_an_edited_token_are_replaced_and_a_released_secret_keeps_its_content() {
    let world = &Running::shared().await.world;
    let (tenant, other) = (world.tenant("edited", 3600).await, world.tenant("other", 3600).await);
    tenant.create_pull_secret("{}").await;
    let first = tenant.another_token(None, SOON).await;
    tenant.annotate("identity", Some(&other.identity)).await;
    tenant.another_token(Some(&first), SOON).await;
    assert_eq!((tenant.exchanges(), other.exchanges()), (1, 1));

    tenant.annotate("identity", None).await;
    eventually("the status is gone", SOON, async || {
        tenant.annotation("status").await.is_none().then_some(())
    })
    .await;
    let kept = tenant.content().await;
    assert!(tenant.token().await.is_some());
    tenant.annotate("identity", Some(&other.identity)).await;
    eventually("it is managed again", SOON, async || {
        // The token claims its own end, so none is asked for.
        tokio::time::sleep(Duration::from_millis(500)).await;
        Some(())
    })
    .await;
    assert_eq!((tenant.content().await, other.exchanges()), (kept, 1));
}

#[tokio::test]
async fn a_generic_service_fills_a_secret_as_chainguard_does() {
    let world = &Running::shared().await.world;
    let tenant = world.tenant("generic", 3600).await;
    tenant.create_pull_secret("{}").await;
    tenant.another_token(None, SOON).await;
    tenant.annotate("provider", Some("sts")).await;
    let path = async || {
        let log = world.sts.log();
        log.iter().rev().find(|one| one.identity == tenant.identity && one.path == "/token").cloned()
    };
    let exchanged = eventually("the generic service is asked", SOON, path).await;
    assert_eq!((exchanged.status, exchanged.audience), (200, world.registry.host()));
    let user = async || {
        let config: Value = tenant.config().await;
        Some(world.access(&config).login?.0).filter(|user| user == "oauth2accesstoken")
    };
    eventually("the user is that of the service", SOON, user).await;
}

/// For the whole promise: `HALLMARK_SOAK_SECONDS=300 cargo test --test refresh no_reader`.
#[tokio::test]
async fn no_reader_ever_sees_an_ended_or_half_written_token_and_exchanges_are_what_the_policy_says() {
    let seconds = std::env::var_os("HALLMARK_SOAK_SECONDS")
        .and_then(|text| text.to_str()?.parse().ok())
        .unwrap_or(45_u32);
    let world = World::start().await;
    let updater = world.updater(&[]).await;
    let tenant = world.tenant("soak", 30).await;
    for _ in 0..200 {
        let namespace = world.cluster.namespace("soak").await;
        let secret = serde_json::json!({"apiVersion": "v1", "kind": "Secret", "type": TYPE,
            "metadata": {"name": NAME, "namespace": namespace,
                "annotations": {format!("{}identity", crate::world::PREFIX): tenant.identity}},
            "stringData": {".dockerconfigjson": "{}"}});
        world.cluster.create(&secret).await;
    }
    let secrets = kube::Api::<k8s_openapi::api::core::v1::Secret>::all(tenant.client.clone());
    let named = kube::api::ListParams::default().fields("metadata.name=pull-secret");
    let length = |secret: &k8s_openapi::api::core::v1::Secret| {
        secret.data.as_ref().unwrap()[".dockerconfigjson"].0.len()
    };
    eventually("all are filled", Duration::from_mins(1), async || {
        secrets.list(&named).await.unwrap().items.iter().all(|secret| length(secret) > 2).then_some(())
    })
    .await;
    let (began, before) = (std::time::Instant::now(), tenant.exchanges());
    let mut looks = 0;
    while began.elapsed() < Duration::from_secs(seconds.into()) {
        for secret in secrets.list(&named).await.unwrap() {
            let content = secret.data.unwrap()[".dockerconfigjson"].0.clone();
            let config: Value = serde_json::from_slice(&content).expect("whole JSON");
            let (_, token) = world.access(&config).login.unwrap();
            let end = hallmark::credential::jwt::unverified_expiry(token.as_bytes()).unwrap();
            assert!(end > Timestamp::now(), "an ended token in {:?}", secret.metadata.namespace);
            looks += 1;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let exchanges = tenant.exchanges() - before;
    // A cycle takes from 13.5 s (buffer 6, jitter 10.5) to 24 s, and never less than 15.
    let (fewest, most) = (200 * (seconds / 25) as usize, 200 * (seconds as usize / 15 + 1));
    println!("{looks} looks, {exchanges} exchanges in {seconds} s");
    assert!((fewest..=most).contains(&exchanges), "{exchanges} exchanges, not {fewest} to {most}");
    drop(updater);
}
