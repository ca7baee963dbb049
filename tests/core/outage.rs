//! A registry that goes away and comes back costs no run its signature, and no run is called signed before it is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::agent::{Agent, SOON, stopped_well};
use crate::main_path::TO_REGISTRY;
use crate::support::{Authentication, Crane, Distribution, eventually};

const RUNS: usize = 20;

async fn survives(outage: Duration) {
    let mut registry = Distribution::start(Authentication::None).await;
    let access = registry.access(None);
    let crane = Crane::new(&access);
    let mut images = Vec::new();
    for number in 0..RUNS {
        images.push(crane.push_random_image(&format!("app-{number}")).await);
    }
    let agent = Agent::prepare("outage", &access, TO_REGISTRY).await;
    let hallmark = agent.start().await;

    // Some complete before, so that the outage comes while the agent is at work.
    let (before, during) = images.split_at(RUNS / 4);
    for (number, image) in before.iter().enumerate() {
        agent.build(&format!("build-{number}"), &access, image).await;
    }
    registry.stop();
    let down_since = Instant::now();
    for (number, image) in (before.len()..).zip(during) {
        agent.build(&format!("build-{number}"), &access, image).await;
    }
    while down_since.elapsed() < outage {
        let marks = agent.marks().await;
        let late = during.iter().zip(before.len()..).map(|(_, number)| &marks[&format!("build-{number}")]);
        assert!(late.flatten().next().is_none(), "marked while the registry was away: {marks:?}");
        assert!(!marks.values().flatten().any(|mark| mark == "failed"), "{marks:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    registry.restart().await;

    let back_since = Instant::now();
    agent.all_signed(Duration::from_mins(1)).await;
    println!("after {outage:?} of outage all were signed {:?} after the return", back_since.elapsed());
    for image in &images {
        let layers = (Agent::layers(&access, image, "sig").await, Agent::layers(&access, image, "att").await);
        assert_eq!(layers, (1, 1), "{}", image.by_digest());
    }
    agent.event(&["SigningFailed", &access.host, "Tried again as soon as"]).await;
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_away_for_two_seconds_loses_no_run() {
    survives(Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_away_for_thirty_seconds_loses_no_run() {
    survives(Duration::from_secs(30)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes three minutes"]
async fn a_registry_that_is_away_for_two_minutes_loses_no_run() {
    survives(Duration::from_mins(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_store_is_away_the_other_has_everything_and_each_gets_it_once() {
    let mut registry = Distribution::start(Authentication::None).await;
    let access = registry.access(None);
    let image = Crane::new(&access).push_random_image("app").await;
    let both = [("artifacts.taskrun.storage", "oci,tekton"), ("artifacts.oci.storage", "oci,tekton")];
    let agent = Agent::prepare("two-stores", &access, &both).await;
    let hallmark = agent.start().await;
    let kept = async || -> BTreeMap<String, String> {
        let annotations = agent.annotations("build").await.into_iter();
        annotations.filter(|(name, _)| name.starts_with("chains.tekton.dev/signature-")).collect()
    };

    registry.stop();
    agent.build("build", &access, &image).await;
    let at_once = eventually("the annotations have both signatures", SOON, async || {
        Some(kept().await).filter(|kept| kept.len() == 2)
    })
    .await;
    assert_eq!(agent.marks().await["build"], None, "signed waits for both stores");
    registry.restart().await;
    assert_eq!(agent.mark("build", Duration::from_mins(1)).await, "true");
    let layers = (Agent::layers(&access, &image, "sig").await, Agent::layers(&access, &image, "att").await);
    assert_eq!(layers, (1, 1));
    assert_eq!(kept().await, at_once, "what was there was not written again");
    stopped_well(hallmark);
}
