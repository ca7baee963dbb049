//! Chains and Hallmark at work on one cluster at the same time, which nobody should want, and which ends in peace all the
//! same: Chains holds every run that it sees, and what Hallmark does not select it leaves to Chains.

use std::time::Duration;

use serde_json::json;

use crate::chains::{self, Chains};
use crate::installed::{SYSTEM, fill};
use crate::support::{Cluster, Completion, Hallmark, eventually};

const PATIENCE: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_only_chains_wants_are_held_by_chains_and_not_fought_for() {
    let cluster = Cluster::start().await;
    chains::apply_release(&cluster).await;
    fill(&cluster).await;
    // A key that Chains does not know and passes over.
    let selector =
        json!({"data": {"selection.label-selector": "sign=yes", "artifacts.taskrun.storage": "tekton"}});
    let patch =
        ["patch", "-n", SYSTEM, "configmap/chains-config", "--type=merge", "-p", &selector.to_string()];
    cluster.kubectl(&patch, "").await.succeeded();
    let chains = Chains::start(&cluster).await;
    let everything =
        ["create", "clusterrolebinding", "hallmark", "--clusterrole=cluster-admin", "--user=hallmark"];
    cluster.kubectl(&everything, "").await.succeeded();
    let kubeconfig = cluster.kubeconfig("hallmark");
    let arguments =
        ["controller", "--kubeconfig", kubeconfig.to_str().unwrap(), "--system-namespace", SYSTEM];
    let addresses =
        ["--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0", "--replica", "one"];
    let hallmark = Hallmark::start(&[&arguments[..], &addresses].concat(), &[]);

    hallmark.line("replicas that share the work", PATIENCE).await;

    let namespace = cluster.namespace("beside").await;
    for name in ["one", "two", "three"] {
        cluster.create_task_run(&namespace, name).await;
        eventually(&format!("{name} comes to rest, held"), PATIENCE, async || {
            let before = cluster.got(&["taskrun", name, "-n", &namespace]).await;
            // Either would answer the other within milliseconds.
            tokio::time::sleep(Duration::from_secs(2)).await;
            let after = cluster.got(&["taskrun", name, "-n", &namespace]).await;
            let is_held = after["metadata"]["finalizers"] == json!(["chains.tekton.dev/taskrun"]);
            let versions = [before, after].map(|run| run["metadata"]["resourceVersion"].clone());
            let let_go = cluster.audited(|event| {
                let run = &event.object_ref;
                event.user.username == "hallmark"
                    && (event.verb.as_str(), run.resource.as_str(), run.name.as_str())
                        == ("patch", "taskruns", name)
            });
            assert!(let_go.len() < 10, "{name} is fought for");
            (is_held && versions[0] == versions[1] && !let_go.is_empty()).then_some(())
        })
        .await;
    }
    cluster.complete(&namespace, "one", &Completion::success()).await;
    eventually("Chains marks the run that it holds", PATIENCE, async || {
        let run = cluster.got(&["taskrun", "one", "-n", &namespace]).await;
        (run["metadata"]["annotations"]["chains.tekton.dev/signed"] == "true").then_some(())
    })
    .await;
    drop(hallmark);
    chains.stop();
}
