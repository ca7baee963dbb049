//! ConfigMaps are followed live, and what is wrong with them is told on them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use k8s_openapi::api::core::v1::{ConfigMap, Event};
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::agent::{Agent, SOON, stopped_well};
use crate::support::{Access, Completion, eventually};

fn nowhere() -> Access {
    Access { host: "127.0.0.1:1".to_owned(), ca: None, login: None }
}

impl Agent {
    async fn write_map(&self, name: &str, entries: &[(&str, &str)]) {
        let entries: BTreeMap<&str, &str> = entries.iter().copied().collect();
        let maps = Api::<ConfigMap>::namespaced(self.cluster.client().await, &self.namespace);
        let map =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": entries});
        maps.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(map)).await.unwrap();
    }

    async fn events_on(&self, map: &str) -> Vec<Event> {
        let events = self.event_objects().await;
        events.into_iter().filter(|event| event.involved_object.name.as_deref() == Some(map)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_the_map_is_told_once_on_the_map_however_many_replicas_there_are() {
    let agent = Agent::prepare("mistakes", &nowhere(), &[("artifacts.oci.storge", "tekton")]).await;
    let replicas = [agent.start_with(&["--replica", "a"]).await, agent.start_with(&["--replica", "b"]).await];
    for replica in &replicas {
        replica.line("artifacts.oci.storge", SOON).await;
    }
    agent.event(&["ConfigWarning", "did you mean \"artifacts.oci.storage\"? In effect is \"oci\""]).await;
    let events = agent.events_on("chains-config").await;
    assert_eq!(events.len(), 1, "{events:#?}");
    assert!(events[0].involved_object.uid.is_some(), "kubectl describe finds it");

    agent.configure(&[("artifacts.taskrun.signer", "X509"), ("artifacts.oci.format", "x")]).await;
    agent.event(&["ConfigRefused", "artifacts.taskrun.signer", "artifacts.oci.format"]).await;
    agent.configure(&[]).await;
    for replica in &replicas {
        replica.line("new settings are in force", SOON).await;
    }
    assert_eq!(agent.events_on("chains-config").await.len(), 2, "a good map is told nothing about");
    for replica in replicas {
        stopped_well(replica);
    }
}

/// A registry that knows no image, and takes a while to say so.
struct SlowRegistry {
    host: String,
    /// The most requests that it had at the same time.
    most: Arc<AtomicUsize>,
    _server: JoinSet<()>,
}

impl SlowRegistry {
    async fn start() -> Self {
        let (most, under_way) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::clone(&most);
        let routes = Router::new().fallback(move || {
            let (seen, under_way) = (Arc::clone(&seen), Arc::clone(&under_way));
            async move {
                seen.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(300)).await;
                under_way.fetch_sub(1, Ordering::SeqCst);
                StatusCode::NOT_FOUND
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { host, most, _server: server }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_attempts_at_the_same_time_is_taken_up_live() {
    let registry = SlowRegistry::start().await;
    let config = |concurrency| [("signing.concurrency", concurrency), ("artifacts.taskrun.storage", "")];
    let agent = Agent::prepare("concurrency", &nowhere(), &config("1")).await;
    for number in 10..40 {
        let digest = format!("sha256:{}", number.to_string().repeat(32));
        let image = Completion::success().image("", &format!("{}/app", registry.host), &digest);
        agent.cluster.completed_task_run(&agent.namespace, &format!("run-{number}"), &image).await;
    }
    let hallmark = agent.start().await;
    let begun = async |count: usize| {
        let lines = hallmark.lines();
        let begun = lines.iter().filter(|line| line.contains(r#""decision":"Sign""#)).count();
        (begun >= count).then_some(())
    };
    eventually("some have had their turn", SOON, async || begun(4).await).await;
    assert_eq!(registry.most.load(Ordering::SeqCst), 1, "one at a time");
    agent.configure(&config("3")).await;
    eventually("three at a time", SOON, async || (registry.most.load(Ordering::SeqCst) == 3).then_some(()))
        .await;
    hallmark.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_level_of_the_log_follows_its_map_and_the_maps_of_chains_are_told_what_has_no_effect() {
    let agent = Agent::prepare("companions", &nowhere(), &[]).await;
    let election = [("lease-duration", "60s"), ("buckets", "3"), ("_example", "nothing")];
    agent.write_map("leader-election", &election).await;
    agent.write_map("observability", &[("metrics-protocol", "prometheus")]).await;
    let names = ["--config-logging", "logging", "--config-leader-election", "leader-election"];
    let more = [&names[..], &["--config-observability", "observability"]].concat();
    let agent_kubeconfig = agent.cluster.service_account_kubeconfig(&agent.namespace, "default").await;
    // The names are this test's own, and so is who may read them.
    let rights = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": agent.namespace}, "subjects": [{"kind": "ServiceAccount", "name": "default",
        "namespace": agent.namespace}], "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
        "name": "cluster-admin"}});
    agent.cluster.create(&rights).await;
    let hallmark = agent.start_as(&agent_kubeconfig, &more);
    agent.event(&["LeaderElectionUnused", "without effect: buckets, lease-duration; replicas share"]).await;
    assert_eq!(agent.events_on("leader-election").await[0].type_.as_deref(), Some("Normal"));
    assert!(agent.events_on("observability").await.is_empty());

    let debug = |lines: Vec<String>| lines.iter().any(|line| line.contains(r#""level":"DEBUG""#));
    assert!(!debug(hallmark.lines()));
    agent.write_map("logging", &[("loglevel.watcher", "debug")]).await;
    eventually("debug lines are printed", SOON, async || {
        agent.cluster.completed_task_run(&agent.namespace, &name(), &Completion::success()).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        debug(hallmark.lines()).then_some(())
    })
    .await;
    agent.write_map("logging", &[("loglevel.watcher", "loud")]).await;
    agent.event(&["LoggingConfig", "\"loud\" is no level"]).await;
    stopped_well(hallmark);
}

/// A name that no other run has.
fn name() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("run-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
