//! Nothing is signed twice and nothing is lost, however the agent ends.

use std::time::Duration;

use aws_lc_rs::rand;

use crate::agent::{Agent, SOON, stopped_well};
use crate::main_path::TO_REGISTRY;
use crate::support::{Hallmark, PlainRegistry, PushedImage};

/// One signature and one attestation for each image, neither more nor less.
async fn each_has_one(registry: &PlainRegistry, images: &[PushedImage]) {
    for image in images {
        let layers = (registry.layers(image, "sig").await, registry.layers(image, "att").await);
        assert_eq!(layers, (1, 1), "{}", image.by_digest());
    }
}

/// Creates and completes runs, each with an image of its own.
struct Builds<'a> {
    agent: &'a Agent,
    registry: &'a PlainRegistry,
    images: Vec<PushedImage>,
}

impl<'a> Builds<'a> {
    fn new(agent: &'a Agent, registry: &'a PlainRegistry) -> Self {
        Self { agent, registry, images: Vec::new() }
    }

    async fn add(&mut self, count: usize) {
        for _ in 0..count {
            let number = self.images.len();
            let image = self.registry.put_image(&format!("app-{number}")).await;
            self.agent.build(&format!("build-{number}"), &self.registry.access(), &image).await;
            self.images.push(image);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_under_20_runs_a_second_loses_and_doubles_nothing() {
    let registry = PlainRegistry::start().await;
    let agent = Agent::prepare("restart", &registry.access(), TO_REGISTRY).await;
    let mut builds = Builds::new(&agent, &registry);
    let mut hallmark = agent.start().await;
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    for number in 1..=160 {
        ticks.tick().await;
        builds.add(1).await;
        if number % 50 == 0 {
            stopped_well(hallmark);
            hallmark = agent.start().await;
        }
    }
    agent.all_signed(Duration::from_mins(1)).await;
    each_has_one(&registry, &builds.images).await;

    // An agent that is asked to stop finishes what it has begun, so that no manifest is even put again.
    let requests = registry.requests();
    for image in &builds.images {
        for suffix in ["sig", "att"] {
            let tag = image.cosign_tag(suffix);
            let put = format!("PUT /v2/{}", tag.split_once('/').unwrap().1.replace(':', "/manifests/"));
            assert_eq!(requests.iter().filter(|request| **request == put).count(), 1, "{put}");
        }
    }
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_crashes_during_200_runs_lose_and_double_nothing() {
    let registry = PlainRegistry::start().await;
    // Few at a time, so that every crash finds work that has begun and work that has not.
    let config = [TO_REGISTRY, &[("signing.concurrency", "4")]].concat();
    let agent = Agent::prepare("crash", &registry.access(), &config).await;
    let mut builds = Builds::new(&agent, &registry);
    let (mut lives, mut interrupted) = (Vec::new(), 0);
    for _ in 0..10 {
        builds.add(20).await;
        let hallmark = agent.start().await;
        let life = random_life();
        tokio::time::sleep(life).await;
        hallmark.kill();
        let pending = agent.marks().await.values().filter(|mark| mark.is_none()).count();
        interrupted += usize::from(pending > 0);
        lives.push((life, pending));
    }
    println!("time to live, and runs left: {lives:?}");
    assert!(interrupted > 0, "no crash came in the middle: {lives:?}");
    let hallmark = agent.start().await;
    agent.all_signed(Duration::from_mins(1)).await;
    each_has_one(&registry, &builds.images).await;
    stopped_well(hallmark);
}

/// 100 to 600 ms.
fn random_life() -> Duration {
    let mut bytes = [0; 2];
    rand::fill(&mut bytes).unwrap();
    Duration::from_millis(100 + u64::from(u16::from_le_bytes(bytes)) % 500)
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_work_and_the_rest_takes_over_when_one_dies() {
    let registry = PlainRegistry::start().await;
    let agent = Agent::prepare("replicas", &registry.access(), TO_REGISTRY).await;
    let mut builds = Builds::new(&agent, &registry);
    let two = "\"replicas\":2";
    let (first, second) =
        (agent.start_with(&["--replica", "a"]).await, agent.start_with(&["--replica", "b"]).await);
    first.line(two, SOON).await;
    second.line(two, SOON).await;

    builds.add(60).await;
    agent.all_signed(SOON).await;
    let part = |hallmark: &Hallmark| {
        hallmark.lines().iter().filter(|line| line.contains(r#""message":"signed""#)).count()
    };
    let (of_first, of_second) = (part(&first), part(&second));
    assert!(of_first > 10 && of_second > 10, "{of_first} and {of_second} of 60");

    // Its Lease expires after fifteen seconds; until then its part of the runs waits.
    first.kill();
    builds.add(40).await;
    agent.all_signed(SOON).await;
    each_has_one(&registry, &builds.images).await;
    stopped_well(second);
}
