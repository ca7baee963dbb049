//! `hallmark creds explain` against a cluster: who sees `UNAUTHORIZED` learns from its output alone what to mend, as a
//! table and as JSON, and no secret is in either.

use serde_json::{Value, json};

use crate::agent::{Agent, repository};
use crate::main_path::TO_REGISTRY;
use crate::support::{
    Access, Authentication, Completion, Crane, Distribution, Finished, Hallmark, PushedImage, TokenUser,
};

struct World {
    registry: Distribution,
    agent: Agent,
    image: PushedImage,
    builder: TokenUser,
    kubeconfig: String,
}

impl World {
    /// A service account with a Secret that may read, one whose password is wrong, one for elsewhere, and one that is
    /// not there; a run of that account.
    async fn new() -> Self {
        let builder = TokenUser::new("builder", "canary-right").push("team/");
        let reader = TokenUser::new("reader", "canary-reader").pull("team/");
        let registry =
            Distribution::start(Authentication::Token(vec![builder.clone(), reader.clone()])).await;
        let image = Crane::new(&registry.access(Some(builder.login()))).push_random_image("team/app").await;
        let agent = Agent::prepare("explain", &registry.access(None), TO_REGISTRY).await;
        let namespace = &agent.namespace;
        let wrong = ("builder".to_owned(), "canary-wrong".to_owned());
        let elsewhere = Access { host: "elsewhere.test".to_owned(), ..registry.access(Some(wrong.clone())) };
        for (name, access) in [
            ("reads", registry.access(Some(reader.login()))),
            ("wrong", registry.access(Some(wrong))),
            ("elsewhere", elsewhere),
        ] {
            agent.cluster.registry_secret(namespace, name, &access).await;
        }
        agent.cluster.set_secrets(namespace, "default", &["reads", "wrong", "elsewhere", "missing"]).await;
        let completion =
            Completion::success().image("", &repository(&registry.access(None), &image), &image.digest);
        agent.cluster.completed_task_run(namespace, "build", &completion).await;
        let kubeconfig = agent.cluster.kubeconfig("admin").to_str().unwrap().to_owned();
        Self { registry, agent, image, builder, kubeconfig }
    }

    async fn explain(&self, more: &[&str]) -> Finished {
        let namespace = &self.agent.namespace;
        let mut arguments = vec!["creds", "explain", "--kubeconfig", &self.kubeconfig, "-n", namespace];
        arguments.extend(["--system-namespace", namespace, "--log", "trace"]);
        arguments.extend(more);
        let ca = self.registry.access(None).ca.unwrap();
        let finished = Hallmark::run(&arguments, &[("SSL_CERT_FILE", ca.to_str().unwrap())]).await;
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(!said.contains("canary"), "{said}");
        finished
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_may_not_push_is_explained_as_a_table_and_mended_by_what_it_says() {
    let world = World::new().await;
    let namespace = &world.agent.namespace;
    let untried = world.explain(&["--taskrun", "build"]).await.succeeded().stdout;
    assert!(untried.contains("not-tried"), "{untried}");

    let probed = world.explain(&["--taskrun", "build", "--probe"]).await;
    assert_eq!(probed.code, Some(3), "{}", probed.stderr);
    let table = &probed.stdout;
    for text in [
        &format!("push {}", world.image.repository),
        "serviceAccount.secrets",
        &format!("{namespace}/reads"),
        &format!("{namespace}/wrong"),
        "denied (401 UNAUTHORIZED)",
        "rejected (Rejected401)",
        "elsewhere.test",
        "no: other registries",
        &format!("secret {namespace}/missing: SecretNotFound"),
    ] {
        assert!(table.contains(text), "{text:?} is not in\n{table}");
    }

    let access = world.registry.access(Some(world.builder.login()));
    world.agent.cluster.registry_secret(namespace, "missing", &access).await;
    let mended = world.explain(&["--taskrun", "build", "--probe"]).await.succeeded().stdout;
    assert!(mended.contains("used"), "{mended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_and_an_image_are_explained_as_the_object_of_the_report() {
    let world = World::new().await;
    let image = world.image.by_digest();
    let arguments = ["--service-account", "default", "--image", &image, "--probe", "-o", "json"];
    let printed = world.explain(&arguments).await;
    assert_eq!(printed.code, Some(3), "{}", printed.stderr);
    let reports: Vec<Value> = serde_json::from_str(&printed.stdout).unwrap();
    let [pull, push] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!(pull["target"]["operation"], "pull");
    assert_eq!((&pull["selected"], &pull["candidates"][0]["outcome"]), (&json!(1), &json!("used")));
    assert_eq!(push["target"]["registry"], world.registry.host());
    assert_eq!(push["selected"], Value::Null);
    let outcomes: Vec<_> = push["candidates"].as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert_eq!(outcomes, ["denied", "rejected"]);
    let missing = format!("{}/missing", world.agent.namespace);
    let problem = |one: &Value| one["code"] == "SecretNotFound" && one["secret"] == missing.as_str();
    assert!(push["problems"].as_array().unwrap().iter().any(problem), "{push}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_agents_own_account_would_lend_is_explained_too() {
    let world = World::new().await;
    let namespace = &world.agent.namespace;
    let access = world.registry.access(Some(world.builder.login()));
    world.agent.cluster.registry_secret(namespace, "of-agent", &access).await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "the-agent", "namespace": namespace}, "secrets": [{"name": "of-agent"}]});
    world.agent.cluster.create(&account).await;
    let arguments = ["--taskrun", "build", "--operation", "push", "--agent-account", "the-agent", "--probe"];
    let table = world.explain(&arguments).await.succeeded().stdout;
    assert!(table.contains("controller.serviceAccount.secrets"), "{table}");
    world.agent.configure(&[("registry.controller-credentials", "never")]).await;
    let refused = world.explain(&arguments).await;
    assert_eq!(refused.code, Some(3), "{}", refused.stdout);
}
