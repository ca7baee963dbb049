//! Several stores for one artifact: one that is away holds up and hides no other, and has everything once after its return.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::agent::{Agent, SOON, stopped_well};
use crate::support::{Access, Completion, FakeGcs, eventually};
use crate::world::Servers;

const RUNS: usize = 5;

fn nowhere() -> Access {
    Access { host: "127.0.0.1:1".to_owned(), ca: None, login: None }
}

/// How long it is away: seconds, or as many as `HALLMARK_OUTAGE` says.
fn outage() -> Duration {
    let seconds = std::env::var_os("HALLMARK_OUTAGE").and_then(|text| text.to_str()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(8))
}

/// The names of objects of a run, less their endings.
fn keys(name: &str, hex: &str, repository: &str) -> Vec<String> {
    [format!("{repository}@sha256:{hex}"), hex[..12].to_owned()]
        .map(|key| format!("taskrun-{name}/{key}"))
        .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_bucket_is_away_the_other_store_has_everything_at_once_and_each_gets_it_once() {
    let (mut gcs, servers) = (FakeGcs::away(), Servers::start());
    let (bucket, archivista) = (gcs.url(), format!("{}/archivista", servers.url));
    let config = [
        ("artifacts.taskrun.storage", "gcs,archivista"),
        ("artifacts.oci.storage", "archivista,gcs"),
        ("storage.gcs.bucket", "signatures"),
        ("storage.gcs.endpoint", &bucket),
        ("storage.archivista.url", &archivista),
    ];
    let agent = Agent::prepare("stores", &nowhere(), &config).await;
    let kubeconfig =
        agent.cluster.service_account_kubeconfig("tekton-chains", "tekton-chains-controller").await;
    let hallmark = agent.start_in(&kubeconfig, &[], &servers.clouds());

    let away_since = Instant::now();
    for number in 0..RUNS {
        let hex = format!("{number:064x}");
        let completion = Completion::success().image("", "registry.test/app", &format!("sha256:{hex}"));
        agent.cluster.completed_task_run(&agent.namespace, &format!("build-{number}"), &completion).await;
    }
    let uploads = async || servers.count("POST /archivista/upload").await;
    let at_once = eventually("archivista has all of them", SOON, async || {
        Some(uploads().await).filter(|count| *count == 2 * RUNS)
    })
    .await;
    agent
        .event(&[
            "SigningFailed",
            "gs://signatures/taskrun-",
            "Cloud Storage at 127.0.0.1",
            "does not answer",
        ])
        .await;
    while away_since.elapsed() < outage() {
        let marks = agent.marks().await;
        assert!(marks.values().flatten().next().is_none(), "signed waits for both: {marks:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    gcs.arrive().await;
    agent.all_signed(Duration::from_mins(1)).await;

    assert_eq!(uploads().await, at_once, "what was there was not uploaded again");
    let objects = gcs.objects().await;
    assert_eq!(objects.len(), RUNS * 3 * 4, "{objects:?}");
    for number in 0..RUNS {
        let run = format!("{}-build-{number}", agent.namespace);
        for key in keys(&run, &format!("{number:064x}"), "registry.test/app") {
            let has = |ending: &str| objects.iter().any(|(name, _)| *name == format!("{key}.{ending}"));
            assert!(["payload", "signature", "cert", "chain"].into_iter().all(has), "{key} in {objects:?}");
        }
    }
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_never_answers_holds_up_no_other() {
    let (gcs, servers) = (FakeGcs::start().await, Servers::start());
    let (bucket, archivista) = (gcs.url(), format!("{}/archivista", servers.url));
    servers.control(json!({"hang": ["/archivista"]})).await;
    let config = [
        ("artifacts.taskrun.storage", "archivista,gcs"),
        ("artifacts.oci.storage", ""),
        ("storage.gcs.bucket", "signatures"),
        ("storage.gcs.endpoint", &bucket),
        ("storage.archivista.url", &archivista),
    ];
    let agent = Agent::prepare("silent-store", &nowhere(), &config).await;
    let kubeconfig =
        agent.cluster.service_account_kubeconfig("tekton-chains", "tekton-chains-controller").await;
    let hallmark = agent.start_in(&kubeconfig, &[], &servers.clouds());
    let completion =
        Completion::success().image("", "registry.test/app", &format!("sha256:{}", "a".repeat(64)));
    agent.cluster.completed_task_run(&agent.namespace, "build", &completion).await;
    eventually("the bucket has the statement, while the other one was asked", SOON, async || {
        let asked = servers.count("POST /archivista").await > 0;
        (asked && gcs.objects().await.len() == 4).then_some(())
    })
    .await;
    assert!(agent.marks().await["build"].is_none(), "signed waits for both");
    let before = gcs.objects().await;
    servers.control(json!({"hang": []})).await;
    assert_eq!(agent.mark("build", Duration::from_mins(1)).await, "true");
    assert_eq!(gcs.objects().await, before, "what was there was not written again");
    assert_eq!(servers.count("POST /archivista/upload").await, 1);
    stopped_well(hallmark);
}
