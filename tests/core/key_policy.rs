//! Keys by namespace (`signing.key-policy`): the key that is named signs and no other, a namespace that is refused is
//! not signed, and a Secret that comes later is waited for.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::agent::{Agent, SOON, repository, stopped_well};
use crate::main_path::TO_REGISTRY;
use crate::support::{Access, Authentication, Completion, Cosign, Crane, Distribution, PushedImage};

/// The first two retries of a cause that somebody has to mend, with the time until a Secret is looked at.
const MENDED: Duration = Duration::from_mins(2);

struct World {
    access: Access,
    image: PushedImage,
    agent: Agent,
    _registry: Distribution,
}

impl World {
    /// The policy with `NS` for the agent's namespace.
    async fn new(policy: &str) -> Self {
        let registry = Distribution::start(Authentication::None).await;
        let access = registry.access(None);
        let image = Crane::new(&access).push_random_image("app").await;
        let agent = Agent::prepare("policy", &access, &[]).await;
        let policy = policy.replace("NS", &agent.namespace);
        let config = [TO_REGISTRY, &[("signing.key-policy", policy.as_str())]].concat();
        agent.configure(&config).await;
        Self { access, image, agent, _registry: registry }
    }

    async fn secret(&self, name: &str) {
        let pem = std::fs::read(fixture("p384.pem")).unwrap();
        let secret = json!({
            "metadata": {"name": name}, "stringData": {"x509.pem": String::from_utf8(pem).unwrap()},
        });
        let secrets = Api::<Secret>::namespaced(self.agent.cluster.client().await, &self.agent.namespace);
        secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    }

    async fn build(&self, name: &str) {
        let completion =
            Completion::success().image("", &repository(&self.access, &self.image), &self.image.digest);
        self.agent.cluster.completed_task_run(&self.agent.namespace, name, &completion).await;
    }

    async fn verified_by(&self, public_key: &str) -> bool {
        let cosign = Cosign::new(&self.access);
        cosign.verify(std::path::Path::new(&fixture(public_key)), &self.image.by_digest()).await.code
            == Some(0)
    }
}

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/keys/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_that_is_named_for_a_namespace_signs_there_and_the_default_key_does_not() {
    let world = World::new("other=refuse,NS=team-key,*=refuse").await;
    world.secret("team-key").await;
    let hallmark = world.agent.start().await;
    world.build("build").await;
    assert_eq!(world.agent.mark("build", SOON).await, "true");
    assert!(world.verified_by("p384.pub").await, "the key of the namespace");
    assert!(!world.verified_by("p256.pub").await, "the default key");
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_nothing_fits_signs_with_the_default_key() {
    let world = World::new("NS-other=team-key").await;
    let hallmark = world.agent.start().await;
    world.build("build").await;
    assert_eq!(world.agent.mark("build", SOON).await, "true");
    assert!(world.verified_by("p256.pub").await);
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_refused_is_not_signed_and_says_why() {
    let world = World::new("*=refuse").await;
    let hallmark = world.agent.start().await;
    world.build("build").await;
    assert_eq!(world.agent.mark("build", SOON).await, "failed");
    let namespace = world.agent.namespace.clone();
    world.agent.event(&["SigningFailed", &namespace, "signing.key-policy refuses"]).await;
    assert_eq!(Agent::layers(&world.access, &world.image, "sig").await, 0);
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_missing_is_waited_for_and_no_other_key_signs_meanwhile() {
    let world = World::new("NS=team-key").await;
    let hallmark = world.agent.start().await;
    world.build("build").await;
    let named = format!("{}/team-key", world.agent.namespace);
    world.agent.event(&["SigningFailed", "no signing key", &named]).await;
    assert_eq!(Agent::layers(&world.access, &world.image, "sig").await, 0);
    world.secret("team-key").await;
    assert_eq!(world.agent.mark("build", MENDED).await, "true");
    assert!(world.verified_by("p384.pub").await);
    stopped_well(hallmark);
}
