//! What the dashboard and the alerts ask, asked of a real Prometheus that scraped a real agent at work. What they ask of an
//! updater of pull secrets is asked of one in the group `refresh`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::agent::{Agent, SOON, repository, stopped_well};
use crate::expressions::{OF_THE_UPDATER, expressions};
use crate::main_path::TO_REGISTRY;
use crate::pipeline_run::fixture::End;
use crate::support::{Access, Completion, PlainRegistry, Prometheus, eventually};

/// What has no answer here, and why.
const EMPTY: [(&str, &str); 3] = [
    ("HallmarkDown", "an agent is scraped"),
    ("HallmarkFreshRunsWait", "runs are signed meanwhile"),
    ("HallmarkSlow", "no run takes a minute"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_expression_of_dashboard_and_alerts_is_answered_from_an_agent_at_work() {
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let agent = Agent::prepare("monitoring", &access, TO_REGISTRY).await;
    let hallmark = agent.start().await;
    let line: Value = serde_json::from_str(&hallmark.line("--metrics-address", SOON).await).unwrap();
    let Some(prometheus) = Prometheus::scraping(line["bound"].as_str().unwrap()) else { return };
    // Increases are seen only from a first sample on.
    eventually("the agent is scraped", SOON, async || {
        prometheus.ask("watcher_taskrun_marked_signed_total == 0").await.filter(|all| !all.is_empty())
    })
    .await;

    sign_some(&agent, &registry, &access).await;
    // A cause is counted from its first failure on, so that only a second one is an increase.
    for (failures, host) in [(1, "127.0.0.1:1"), (2, "127.0.0.1:2")] {
        fail(&agent, host, failures, &prometheus).await;
    }
    let unusable = Completion::success().image("", "127.0.0.1:1/app", "sha256:short");
    agent.cluster.completed_task_run(&agent.namespace, "unusable", &unusable).await;
    assert_eq!(agent.mark("unusable", SOON).await, "failed");
    all_are_answered(&prometheus).await;
    stopped_well(hallmark);
}

/// Three runs of each kind.
async fn sign_some(agent: &Agent, registry: &PlainRegistry, access: &Access) {
    for number in 0..3 {
        let (name, image) = (format!("run-{number}"), registry.put_image("team/app").await);
        agent.build(&name, access, &image).await;
        agent.create_pipeline_run(&name).await;
        let end = End::well(&[]).result("IMAGE_URL", &repository(access, &image));
        agent.end_pipeline_run(&name, end.result("IMAGE_DIGEST", &image.digest)).await;
        assert_eq!(agent.mark(&name, SOON).await, "true");
    }
}

/// A run of each kind whose registry is nowhere, until Prometheus has seen that many failures.
async fn fail(agent: &Agent, host: &str, failures: usize, prometheus: &Prometheus) {
    let name = format!("away-{failures}");
    let (repository, digest) = (format!("{host}/app"), format!("sha256:{}", "a".repeat(64)));
    let away = Completion::success().image("", &repository, &digest);
    agent.cluster.completed_task_run(&agent.namespace, &name, &away).await;
    agent.create_pipeline_run(&name).await;
    let end = End::well(&[]).result("IMAGE_URL", &repository).result("IMAGE_DIGEST", &digest);
    agent.end_pipeline_run(&name, end).await;
    for kind in ["taskrun", "pipelinerun"] {
        let counted = format!("sum(watcher_{kind}_signing_failures_total) >= {failures}");
        let what = format!("{kind} {name} is counted");
        eventually(&what, SOON, async || prometheus.number(&counted).await).await;
    }
}

/// Each expression, but those that must not be.
async fn all_are_answered(prometheus: &Prometheus) {
    let empty = BTreeMap::from(EMPTY);
    let of_others = |name: &String| OF_THE_UPDATER.contains(&name.as_str());
    let asked: Vec<_> = expressions().into_iter().filter(|(name, _)| !of_others(name)).collect();
    for (name, expression) in asked.iter().filter(|(name, _)| !empty.contains_key(name.as_str())) {
        let what = format!("an answer to {name}: {expression}");
        eventually(&what, SOON, async || prometheus.number(expression).await).await;
    }
    for (name, expression) in &asked {
        if let Some(reason) = empty.get(name.as_str()) {
            let answer = prometheus.number(expression).await;
            assert!(answer.is_none(), "{name} has an answer, though {reason}: {answer:?}");
        }
    }
}
