//! `config/monitoring`: every question to Prometheus is one that it understands, about metrics that there are.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::expressions::{OF_THE_UPDATER, expressions};
use crate::{files, read, root};

/// Names as Prometheus sees them, cut down to what the code declares.
fn named(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("hallmark_") || word.starts_with("watcher_"));
    ours.map(|word| word.trim_end_matches("_total").trim_end_matches("_bucket").to_owned()).collect()
}

#[test]
fn every_metric_that_is_asked_for_is_declared() {
    let declared: String = files(&root().join("src/telemetry"), "rs")
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    for (name, expression) in expressions() {
        let metrics = named(&expression);
        assert!(!metrics.is_empty(), "{name}");
        for metric in metrics {
            let of_kind =
                metric.strip_prefix("watcher_taskrun_").or(metric.strip_prefix("watcher_pipelinerun_"));
            let written = format!("\"{}\"", of_kind.unwrap_or(&metric));
            assert!(declared.contains(&written), "{name}: {metric}");
        }
    }
}

#[test]
fn what_an_updater_alone_answers_is_asked_somewhere() {
    let asked: BTreeSet<String> = expressions().into_iter().map(|(name, _)| name).collect();
    for name in OF_THE_UPDATER {
        assert!(asked.contains(name), "{name} is no panel and no alert");
    }
}

#[test]
fn prometheus_understands_every_expression() {
    if Command::new("promtool").arg("--version").output().is_err() {
        println!("skipped: promtool is not installed (apt-get install prometheus)");
        return;
    }
    let rules: Vec<Value> = expressions()
        .into_iter()
        .enumerate()
        .map(|(n, (name, expr))| json!({"record": format!("test:expression_{n}"), "expr": expr, "labels": {"of": name}}))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yaml");
    let text = json!({"groups": [{"name": "all", "rules": rules}]}).to_string();
    std::fs::write(&file, text).unwrap();
    for file in [&file, &root().join("config/monitoring/alerts.yaml")] {
        let checked = Command::new("promtool").args(["check", "rules"]).arg(file).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(checked.status.success(), "{}: {said}", file.display());
    }
}

/// What alerts say, tried on series of a made-up afternoon.
#[test]
fn alerts_fire_when_they_should_and_only_then() {
    if Command::new("promtool").arg("--version").output().is_err() {
        println!("skipped: promtool is not installed (apt-get install prometheus)");
        return;
    }
    let tested = Command::new("promtool")
        .args(["test", "rules", "alerts_test.yaml"])
        .current_dir(root().join("config/monitoring"))
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&tested.stdout), String::from_utf8_lossy(&tested.stderr));
    assert!(tested.status.success(), "{said}");
    let file = read("config/monitoring/alerts_test.yaml");
    let rules: Value = serde_saphyr::from_str(&read("config/monitoring/alerts.yaml")).unwrap();
    for rule in rules["groups"][0]["rules"].as_array().unwrap() {
        let name = rule["alert"].as_str().unwrap();
        assert!(file.contains(&format!("alertname: {name}\n")), "nothing tries {name}");
    }
}
