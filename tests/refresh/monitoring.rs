//! What the dashboard and the alerts ask of an updater of pull secrets, asked of a real Prometheus that scraped a real one.

use std::time::Duration;

use serde_json::Value;

use crate::expressions::{OF_THE_UPDATER, expressions};
use crate::support::{Prometheus, eventually};
use crate::world::{SOON, World};

/// A short-lived token ends meanwhile.
const LONG: Duration = Duration::from_mins(1);

#[tokio::test]
async fn every_panel_and_alert_about_pull_secrets_is_answered_from_an_updater_at_work() {
    let world = World::start().await;
    let updater = world.updater(&[]).await;
    let line: Value = serde_json::from_str(&updater.line("--metrics-address", SOON).await).unwrap();
    let Some(prometheus) = Prometheus::scraping(line["bound"].as_str().unwrap()) else { return };

    // Its token lives shorter than the alert wants, and cannot be replaced when it ends.
    let ending = world.tenant("ending", 12).await;
    ending.create_pull_secret("{}").await;
    ending.another_token(None, SOON).await;
    eventually("the exchange is scraped", LONG, async || prometheus.number("hallmark_exchanges_total").await)
        .await;
    world.sts.fails(&ending.identity, 503, usize::MAX);
    // A rate wants one more.
    let fresh = world.tenant("fresh", 250).await;
    fresh.create_pull_secret("{}").await;
    fresh.another_token(None, SOON).await;

    let asked: Vec<_> =
        expressions().into_iter().filter(|(name, _)| OF_THE_UPDATER.contains(&name.as_str())).collect();
    assert_eq!(asked.len(), OF_THE_UPDATER.len());
    for (name, expression) in asked {
        let what = format!("an answer to {name}: {expression}");
        eventually(&what, LONG, async || prometheus.number(&expression).await).await;
    }
    drop(updater);
}
