//! A registry that takes connections and answers nothing holds up nobody but the runs that need it, is asked by one
//! probe at a time while it is away, and its runs are signed soon after it answers again.

use std::time::Duration;

use crate::agent::{Agent, SOON, repository, stopped_well};
use crate::main_path::TO_REGISTRY;
use crate::support::{Authentication, Completion, Crane, Distribution, Door, Passage, PushedImage};

/// More than may be held up with this `signing.concurrency`.
const SICK: usize = 40;
const CONCURRENCY: (&str, &str) = ("signing.concurrency", "4");
const HEALTHY: usize = 10;
const FOR_EVER: Duration = Duration::from_hours(1);
/// All of them are about one image, so that their statements go to one tag, one after the other: a second each on a
/// machine with much other work.
const AFTER_ITS_RETURN: Duration = Duration::from_mins(2);

struct World {
    registry: Distribution,
    door: Door,
    agent: Agent,
    image: PushedImage,
}

impl World {
    async fn new() -> Self {
        let registry = Distribution::start(Authentication::None).await;
        let access = registry.access(None);
        let image = Crane::new(&access).push_random_image("app").await;
        let door = Door::before(&format!("http://{}", access.host)).await;
        let agent = Agent::prepare("silent", &access, &[TO_REGISTRY, &[CONCURRENCY]].concat()).await;
        Self { registry, door, agent, image }
    }

    /// A completed run whose image is behind the door.
    async fn sick(&self, name: &str) {
        let host = self.door.url.trim_start_matches("http://");
        let completion = Completion::success().image("", &format!("{host}/app"), &self.image.digest);
        self.agent.cluster.completed_task_run(&self.agent.namespace, name, &completion).await;
    }

    async fn healthy(&self, name: &str) {
        let access = self.registry.access(None);
        let completion =
            Completion::success().image("", &repository(&access, &self.image), &self.image.digest);
        self.agent.cluster.completed_task_run(&self.agent.namespace, name, &completion).await;
    }

    async fn marked(&self, prefix: &str) -> usize {
        let marks = self.agent.marks().await;
        marks.iter().filter(|(name, mark)| name.starts_with(prefix) && mark.is_some()).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_registry_holds_up_no_run_for_another_and_its_own_are_signed_when_it_answers() {
    let world = World::new().await;
    world.door.set(Passage::Slow(FOR_EVER));
    let hallmark = world.agent.start().await;
    for number in 0..SICK {
        world.sick(&format!("sick-{number}")).await;
    }
    for number in 0..HEALTHY {
        let name = format!("healthy-{number}");
        world.healthy(&name).await;
        assert_eq!(world.agent.mark(&name, SOON).await, "true", "{name}");
    }
    assert_eq!(world.marked("sick").await, 0, "nobody answered them");

    world.agent.event(&["SigningFailed", "does not answer", "Tried again as soon as"]).await;
    world.door.set(Passage::Open);
    world.agent.all_signed(AFTER_ITS_RETURN).await;
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_away_is_asked_by_one_probe_for_all_runs_that_wait_for_it() {
    let world = World::new().await;
    world.door.set(Passage::Slow(FOR_EVER));
    let hallmark = world.agent.start().await;
    for number in 0..SICK {
        world.sick(&format!("sick-{number}")).await;
    }
    // By then those that were let in have waited in vain, and the others wait for the host.
    tokio::time::sleep(Duration::from_secs(25)).await;
    let asked = world.door.count();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let probes = world.door.count() - asked;
    // A probe is two connections, with and without TLS, and comes every ten seconds at most.
    assert!((1..SICK / 2).contains(&probes), "{probes} connections in twenty seconds for {SICK} runs");
    world.door.set(Passage::Open);
    world.agent.all_signed(AFTER_ITS_RETURN).await;
    stopped_well(hallmark);
}
