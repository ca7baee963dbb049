//! What the webhook counts, as Prometheus reads it.

use serde_json::{Value, json};

use crate::support::{http_client, memory_limit};
use crate::world::{SOON, World, denied};

/// The value of one line; 0 without the line.
fn value(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn admissions_policies_and_what_was_known_already_are_counted() {
    let world = World::shared().await;
    let line = world.hallmark.line("--metrics-address", SOON).await;
    let line: Value = serde_json::from_str(&line).unwrap();
    let bound = line.get("bound").or_else(|| line["fields"].get("bound")).unwrap().as_str().unwrap();
    let url = format!("http://{bound}/metrics");
    let read = async || http_client(None).get(&url).send().await.unwrap().text().await.unwrap();

    let (namespace, image) = (world.namespace("counted").await, world.signed_by_key("team/counted").await);
    let glob = format!("{}/team/counted@*", world.host());
    world.policy("counted", &glob, json!([World::by_key("p256.pub")])).await;
    let before = read().await;
    for _ in 0..2 {
        World::admitted(world.run(&namespace, &image.by_digest()).await);
    }
    denied(&world.run(&namespace, "nobody.test/app:1").await, &["no policy governs"]);
    let after = read().await;
    for (name, more) in [
        ("hallmark_admissions_total{request=\"validate\",verdict=\"admitted\"}", 2),
        ("hallmark_admissions_total{request=\"validate\",verdict=\"denied\"}", 1),
        ("hallmark_admission_policies_total{mode=\"enforce\",verdict=\"satisfied\"}", 2),
        ("hallmark_admission_verdicts_verified_total", 1),
        ("hallmark_admission_verdicts_remembered_total", 1),
        ("hallmark_admission_duration_seconds_count{request=\"validate\"}", 3),
    ] {
        let counted = value(&after, name) - value(&before, name);
        // Other tests ask meanwhile.
        assert!(counted >= more, "{name}: {counted} in\n{after}");
    }
    let peak = world.hallmark.peak_memory();
    println!("the webhook: {peak} MiB at the peak");
    assert!(peak < memory_limit("config/overlays/webhook/400-deployment.yaml"), "{peak} MiB");
}
