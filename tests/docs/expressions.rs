//! What `config/monitoring` asks Prometheus.

use serde_json::Value;

fn read(file: &str) -> String {
    std::fs::read_to_string(format!("{}/config/monitoring/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// What an updater of pull secrets alone has numbers for.
pub(crate) const OF_THE_UPDATER: [&str; 5] = [
    "HallmarkPullSecretExpired",
    "HallmarkPullSecretEnds",
    "Pull secrets: time left",
    "Exchanges for registry tokens",
    "Time of exchanges",
];

/// Every expression of alerts and dashboard, by what it is called.
pub(crate) fn expressions() -> Vec<(String, String)> {
    let rules: Value = serde_saphyr::from_str(&read("alerts.yaml")).unwrap();
    let board: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut all = Vec::new();
    for group in rules["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            all.push((text(&rule["alert"]), text(&rule["expr"])));
        }
    }
    for panel in board["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            // Grafana's own variable.
            let expression = text(&target["expr"]).replace("$__rate_interval", "2m");
            all.push((text(&panel["title"]), expression));
        }
    }
    all
}
