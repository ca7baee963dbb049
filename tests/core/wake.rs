//! A run that waits for a credential, or was given up for want of one, is signed within fifteen seconds of the
//! change that mends it: a Secret that is patched or created, a service account that gains a pull secret.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::agent::{Agent, SOON, repository, stopped_well};
use crate::main_path::TO_REGISTRY;
use crate::support::{
    Access, Authentication, Completion, Crane, Distribution, PushedImage, TokenUser, eventually,
};

const IN_TIME: Duration = Duration::from_secs(15);

struct World {
    registry: Distribution,
    builder: TokenUser,
    agent: Agent,
    image: PushedImage,
}

impl World {
    async fn new(config: &[(&str, &str)]) -> Self {
        let builder = TokenUser::new("builder", "right").push("team/");
        let registry = Distribution::start(Authentication::Token(vec![builder.clone()])).await;
        let image = Crane::new(&registry.access(Some(builder.login()))).push_random_image("team/app").await;
        let agent = Agent::prepare("wake", &registry.access(None), config).await;
        Self { registry, builder, agent, image }
    }

    fn login(&self, password: &str) -> Access {
        self.registry.access(Some((self.builder.login().0, password.to_owned())))
    }

    async fn secret(&self, name: &str, password: &str) {
        self.agent.cluster.registry_secret(&self.agent.namespace, name, &self.login(password)).await;
    }

    /// Puts the right password into a Secret.
    async fn mend(&self, name: &str) {
        let secrets = Api::<Secret>::namespaced(self.agent.cluster.client().await, &self.agent.namespace);
        let patch = json!({"stringData": {".dockerconfigjson": self.login("right").docker_config()}});
        secrets.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// A completed run of a service account of its own name.
    async fn build(&self, name: &str, secrets: &[&str]) {
        let names: Vec<_> = secrets.iter().map(|name| json!({"name": name})).collect();
        let here = json!({"name": name, "namespace": self.agent.namespace});
        let account =
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": here, "secrets": names});
        self.agent.cluster.create(&account).await;
        let run = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": here, "spec": {
            "serviceAccountName": name, "taskSpec": {"steps": [{"name": "build", "image": "busybox"}]}}});
        self.agent.cluster.create(&run).await;
        let access = self.registry.access(None);
        let completion =
            Completion::success().image("", &repository(&access, &self.image), &self.image.digest);
        self.agent.cluster.complete(&self.agent.namespace, name, &completion).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_runs_are_signed_soon_after_the_object_that_they_consulted_changes() {
    let world = World::new(TO_REGISTRY).await;
    let agent = &world.agent;
    world.secret("wrong", "left").await;
    world.secret("spare", "right").await;
    let hallmark = agent.start().await;
    let runs = ["patched", "created", "gained"];
    for (run, secrets) in runs.into_iter().zip([&["wrong"][..], &["missing"], &[]]) {
        world.build(run, secrets).await;
    }
    // After the third attempt they would wait for a minute: whoever is signed in time was woken.
    for run in runs {
        let key = "chains.tekton.dev/retries";
        eventually("the third attempt has failed", Duration::from_mins(2), async || {
            (agent.annotations(run).await.get(key)? == "2").then_some(())
        })
        .await;
    }
    let mended = Instant::now();
    world.mend("wrong").await;
    world.secret("missing", "right").await;
    agent.cluster.set_pull_secrets(&agent.namespace, "gained", &["spare"]).await;
    for run in runs {
        assert_eq!(agent.mark(run, IN_TIME).await, "true", "{run}");
    }
    assert!(mended.elapsed() < IN_TIME, "{:?}", mended.elapsed());
    let said = stopped_well(hallmark).join("\n");
    for object in ["Secret {}/wrong", "Secret {}/missing", "ServiceAccount {}/gained"] {
        let changed = format!("{} has changed", object.replace("{}", &agent.namespace));
        assert!(said.contains(&changed), "{changed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_given_up_for_its_credential_is_signed_soon_after_that_is_mended() {
    let config = [TO_REGISTRY, &[("signing.retry-window", "1ms")]].concat();
    let world = World::new(&config).await;
    let agent = &world.agent;
    world.secret("wrong", "left").await;
    let hallmark = agent.start().await;
    world.build("given-up", &["wrong"]).await;
    assert_eq!(agent.mark("given-up", SOON).await, "failed");
    world.mend("wrong").await;
    eventually("it is signed after all", IN_TIME, async || {
        (agent.annotations("given-up").await["chains.tekton.dev/signed"] == "true").then_some(())
    })
    .await;
    agent.cosign_accepts(&world.login("right"), &world.image).await;
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_looked_at_by_name_and_only_while_a_run_waits_for_them() {
    let world = World::new(TO_REGISTRY).await;
    let agent = &world.agent;
    world.secret("wrong", "left").await;
    let hallmark = agent.start().await;
    world.build("waits", &["wrong"]).await;
    let looks = || {
        agent.cluster.audited(|event| {
            event.object_ref.resource == "secrets"
                && event.object_ref.namespace == agent.namespace
                && event.user.username.ends_with(":tekton-chains-controller")
        })
    };
    // One read by the attempt, the others between attempts.
    eventually("the Secret is looked at again", SOON, async || (looks().len() > 2).then_some(())).await;
    assert!(
        looks().iter().all(|look| look.verb == "get" && look.object_ref.name == "wrong"),
        "{:?}",
        looks()
    );
    world.mend("wrong").await;
    assert_eq!(agent.mark("waits", IN_TIME).await, "true");
    let reads = looks().len();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(looks().len(), reads, "nothing waits, so nothing is looked at");
    stopped_well(hallmark);
}
