//! A real Prometheus (Debian's) that scrapes what runs in a test, as the dashboard and the alerts want it.

use std::process::Command;

use serde_json::Value;

use super::http_client;
use super::process::{Server, free_port};

/// See the module.
pub struct Prometheus {
    url: String,
    _server: Server,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// One that scrapes `host:port` four times a second; none, told in a line, where it is not installed.
    pub fn scraping(target: &str) -> Option<Self> {
        if Command::new("prometheus").arg("--version").output().is_err() {
            println!("skipped: prometheus is not installed (apt-get install prometheus)");
            return None;
        }
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
        Some(Self { url: format!("http://127.0.0.1:{port}"), _server: server, _folder: folder })
    }

    /// The series that answer; an error of the expression is one of the test.
    pub async fn ask(&self, expression: &str) -> Option<Vec<Value>> {
        let url = url::Url::parse_with_params(&format!("{}/api/v1/query", self.url), [("query", expression)]);
        let answer = http_client(None).get(url.unwrap()).send().await.ok()?;
        let answer: Value = serde_json::from_slice(&answer.bytes().await.ok()?).ok()?;
        assert_ne!(answer["errorType"], "bad_data", "{expression}: {answer}");
        Some(answer["data"]["result"].as_array()?.clone())
    }

    /// The series that answer, if there is a number in them.
    pub async fn number(&self, expression: &str) -> Option<Vec<Value>> {
        self.ask(expression).await.filter(|series| is_data(series))
    }
}

/// Whether there is a number in it.
fn is_data(series: &[Value]) -> bool {
    series.iter().any(|series| series["value"][1].as_str().is_some_and(|value| value != "NaN"))
}
