//! What the dashboard and the alerts ask, asked of a real Prometheus that scraped a real agent at work.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::agent::{Agent, SOON, repository, stopped_well};
use crate::expressions::expressions;
use crate::main_path::TO_REGISTRY;
use crate::pipeline_run::fixture::End;
use crate::support::{Completion, PlainRegistry, Server, eventually, free_port, http_client};

/// What has no answer here, and why.
const EMPTY: [(&str, &str); 8] = [
    ("HallmarkDown", "an agent is scraped"),
    ("HallmarkFreshRunsWait", "runs are signed meanwhile"),
    ("HallmarkSlow", "no run takes a minute"),
    ("HallmarkPullSecretExpired", OF_REFRESH),
    ("HallmarkPullSecretEnds", OF_REFRESH),
    ("Pull secrets: time left", OF_REFRESH),
    ("Exchanges for registry tokens", OF_REFRESH),
    ("Time of exchanges", OF_REFRESH),
];
const OF_REFRESH: &str = "no pull secret is kept fresh here";

struct Prometheus {
    url: String,
    _server: Server,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn scraping(target: &str) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let config = format!(
            "global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}\nscrape_configs:\n\
             - job_name: hallmark\n  static_configs: [{{targets: [\"{target}\"]}}]\n"
        );
        let file = folder.path().join("prometheus.yaml");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new("prometheus");
        command.arg("--config.file").arg(&file).arg("--storage.tsdb.path").arg(folder.path().join("data"));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let server = Server::spawn("prometheus", &mut command, folder.path());
        Self { url: format!("http://127.0.0.1:{port}"), _server: server, _folder: folder }
    }

    /// The series that answer; an error of the expression is one of the test.
    async fn ask(&self, expression: &str) -> Option<Vec<Value>> {
        let url = url::Url::parse_with_params(&format!("{}/api/v1/query", self.url), [("query", expression)]);
        let answer = http_client(None).get(url.unwrap()).send().await.ok()?;
        let answer: Value = serde_json::from_slice(&answer.bytes().await.ok()?).ok()?;
        assert_ne!(answer["errorType"], "bad_data", "{expression}: {answer}");
        Some(answer["data"]["result"].as_array()?.clone())
    }
}

/// Whether there is a number in it.
fn is_data(series: &[Value]) -> bool {
    series.iter().any(|series| series["value"][1].as_str().is_some_and(|value| value != "NaN"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_expression_of_dashboard_and_alerts_is_answered_from_an_agent_at_work() {
    if Command::new("prometheus").arg("--version").output().is_err() {
        println!("skipped: prometheus is not installed (apt-get install prometheus)");
        return;
    }
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let agent = Agent::prepare("monitoring", &access, TO_REGISTRY).await;
    let hallmark = agent.start().await;
    let line: Value = serde_json::from_str(&hallmark.line("--metrics-address", SOON).await).unwrap();
    let prometheus = Prometheus::scraping(line["bound"].as_str().unwrap());
    // Increases are seen only from a first sample on.
    eventually("the agent is scraped", SOON, async || {
        prometheus.ask("watcher_taskrun_marked_signed_total == 0").await.filter(|all| !all.is_empty())
    })
    .await;

    for number in 0..3 {
        let (name, image) = (format!("run-{number}"), registry.put_image("team/app").await);
        agent.build(&name, &access, &image).await;
        agent.create_pipeline_run(&name).await;
        let end = End::well(&[]).result("IMAGE_URL", &repository(&access, &image));
        agent.end_pipeline_run(&name, end.result("IMAGE_DIGEST", &image.digest)).await;
        assert_eq!(agent.mark(&name, SOON).await, "true");
    }
    // A cause is counted from its first failure on, so that only a second one is an increase.
    for (name, host) in [("away", "127.0.0.1:1"), ("gone", "127.0.0.1:2")] {
        let (repository, digest) = (format!("{host}/app"), format!("sha256:{}", "a".repeat(64)));
        let away = Completion::success().image("", &repository, &digest);
        agent.cluster.completed_task_run(&agent.namespace, name, &away).await;
        agent.create_pipeline_run(name).await;
        let end = End::well(&[]).result("IMAGE_URL", &repository).result("IMAGE_DIGEST", &digest);
        agent.end_pipeline_run(name, end).await;
        for kind in ["taskrun", "pipelinerun"] {
            let failures = format!(
                "sum(watcher_{kind}_signing_failures_total) >= {}",
                if name == "away" { 1 } else { 2 }
            );
            eventually(&format!("{kind} {name} is counted"), SOON, async || {
                prometheus.ask(&failures).await.filter(|all| is_data(all))
            })
            .await;
        }
    }
    let unusable = Completion::success().image("", "127.0.0.1:1/app", "sha256:short");
    agent.cluster.completed_task_run(&agent.namespace, "unusable", &unusable).await;
    assert_eq!(agent.mark("unusable", SOON).await, "failed");

    let empty = BTreeMap::from(EMPTY);
    for (name, expression) in expressions() {
        if !empty.contains_key(name.as_str()) {
            eventually(&format!("an answer to {name}: {expression}"), SOON, async || {
                prometheus.ask(&expression).await.filter(|all| is_data(all))
            })
            .await;
        }
    }
    for (name, expression) in expressions() {
        if let Some(reason) = empty.get(name.as_str()) {
            let answer = prometheus.ask(&expression).await.unwrap();
            assert!(!is_data(&answer), "{name} has an answer, though {reason}: {answer:?}");
        }
    }
    stopped_well(hallmark);
}
