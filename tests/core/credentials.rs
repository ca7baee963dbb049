//! The right credential is found among those of pod, template and service account, the others are named with the
//! reason why they did not serve, and tenants never share any; in [`told`] what is said where none serves, in
//! [`canaries`] that no secret is ever said.

mod canaries;
mod told;

use std::sync::Arc;

use futures::FutureExt as _;
use hallmark::artifact::image::Repository;
use hallmark::client::registry::{Registry, Session};
use hallmark::credential::registry_config::{Proxies, RegistryConfig};
use hallmark::credential::{Credential, Entry, Key, Keychain, Location, Login, Source};
use serde_json::{Value, json};

pub use self::told::account;
use crate::agent::{Agent, SOON, repository, stopped_well};
use crate::main_path::TO_REGISTRY;
use crate::pipeline_run::fixture::{End, reference};
use crate::support::{Access, Authentication, Completion, Crane, Distribution, PushedImage, TokenUser};

/// The Secrets that a run names, by the way it names them.
#[derive(Default)]
struct Named<'a> {
    pod: &'a [&'a str],
    template: &'a [&'a str],
    account_secrets: &'a [&'a str],
    account_pull_secrets: &'a [&'a str],
}

fn references(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name})).collect()
}

impl Agent {
    /// A run with a pod and a service account of its own, completed with these images.
    async fn build_with(&self, name: &str, named: &Named<'_>, access: &Access, images: &[&PushedImage]) {
        let here = json!({"name": name, "namespace": self.namespace});
        let (pod, template) = (references(named.pod), references(named.template));
        let (secrets, pull_secrets) =
            (references(named.account_secrets), references(named.account_pull_secrets));
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": here,
            "secrets": secrets, "imagePullSecrets": pull_secrets});
        self.cluster.create(&account).await;
        let container = json!({"name": "step-build", "image": "busybox"});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": here,
            "spec": {"serviceAccountName": name, "imagePullSecrets": pod, "containers": [container]}});
        // Kubernetes gives a pod without pull secrets those of its account, so such a pod is left out: it was pruned.
        if !named.pod.is_empty() {
            self.cluster.create(&pod).await;
        }
        let run = json!({"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": here, "spec": {
            "serviceAccountName": name, "podTemplate": {"imagePullSecrets": template},
            "taskSpec": {"steps": [{"name": "build", "image": "busybox", "script": "true"}]}}});
        self.cluster.create(&run).await;
        let mut completion = Completion::success().pod(name);
        for (number, image) in images.iter().enumerate() {
            completion = completion.image(&format!("I{number}_"), &repository(access, image), &image.digest);
        }
        self.cluster.complete(&self.namespace, name, &completion).await;
    }

    async fn secret(&self, name: &str, access: &Access, user: &TokenUser) {
        let access = Access { login: Some(user.login()), ..access.clone() };
        self.cluster.registry_secret(&self.namespace, name, &access).await;
    }
}

/// Requests to begin an upload to `repository` that the registry refused.
fn refused_pushes(registry: &Distribution, repository: &str) -> usize {
    let begun = format!("\"POST /v2/{repository}/blobs/uploads/");
    let log = registry.log();
    log.lines().filter(|line| line.contains(&begun) && line.contains("\" 401 ")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credential_that_may_push_is_found_and_the_refused_one_is_named_with_the_reason() {
    let reader = TokenUser::new("reader", "reads only").pull("team/");
    let builder = TokenUser::new("builder", "may push").push("team/");
    let registry = Distribution::start(Authentication::Token(vec![reader.clone(), builder.clone()])).await;
    let access = registry.access(None);
    let agent = Agent::prepare("trial", &access, TO_REGISTRY).await;
    agent.secret("pull", &access, &reader).await;
    agent.secret("push", &access, &builder).await;
    let (pull, push): (&[&str], &[&str]) = (&["pull"], &["push"]);
    let cases = [
        (
            Named { pod: pull, account_secrets: push, ..Named::default() },
            ["pod.imagePullSecrets", "serviceAccount.secrets"],
        ),
        (
            Named { template: pull, account_pull_secrets: push, ..Named::default() },
            ["podTemplate.imagePullSecrets", "serviceAccount.imagePullSecrets"],
        ),
        (
            Named { pod: pull, template: push, account_secrets: pull, ..Named::default() },
            ["pod.imagePullSecrets", "podTemplate.imagePullSecrets"],
        ),
    ];
    let hallmark = agent.start().await;
    let pushing = Crane::new(&registry.access(Some(builder.login())));
    for (number, (named, [refused, used])) in cases.into_iter().enumerate() {
        let names = [format!("team/app-{number}"), format!("team/tool-{number}")];
        let images = [pushing.push_random_image(&names[0]).await, pushing.push_random_image(&names[1]).await];
        let before = names.each_ref().map(|name| refused_pushes(&registry, name));
        let run = format!("build-{number}");
        agent.build_with(&run, &named, &access, &[&images[0], &images[1]]).await;
        assert_eq!(agent.mark(&run, SOON).await, "true");
        for image in &images {
            agent.cosign_accepts(&registry.access(Some(builder.login())), image).await;
        }
        let annotations = agent.annotations(&run).await;
        let (namespace, host) = (&agent.namespace, &access.host);
        assert_eq!(
            annotations["chains.tekton.dev/registry-credential"],
            format!("{used} {namespace}/push ({host})")
        );
        let outcome = &annotations["chains.tekton.dev/outcome"];
        let reason = format!("{refused} {namespace}/pull ({host}), basic: denied (401 ");
        assert!(outcome.contains(&reason), "{reason} is not in {outcome}");
        let refused = names.each_ref().map(|name| refused_pushes(&registry, name));
        assert_eq!(refused, before.map(|count| count + 1), "one refused push for each repository");
    }
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_namespaces_with_credentials_for_one_host_never_share_them() {
    let users = ["anna", "bert"].map(|name| TokenUser::new(name, "same password").push(&format!("{name}/")));
    let registry = Distribution::start(Authentication::Token(users.to_vec())).await;
    let access = registry.access(None);
    let first = Agent::prepare("tenant", &registry.access(Some(users[0].login())), TO_REGISTRY).await;
    let second = Agent::prepare("tenant", &registry.access(Some(users[1].login())), TO_REGISTRY).await;
    let hallmark = first.start_with(&["--namespace", &second.namespace]).await;
    let push = users.each_ref().map(|user| Crane::new(&registry.access(Some(user.login()))));
    // What bert owns and a run of anna's claims to have built.
    let stolen = push[1].push_random_image("bert/stolen").await;
    let before = registry.asked().len();
    first.build("thief", &access, &stolen).await;
    for number in 0..5 {
        for (agent, crane, name) in [(&first, &push[0], "anna"), (&second, &push[1], "bert")] {
            let image = crane.push_random_image(&format!("{name}/app-{number}")).await;
            agent.build(&format!("build-{number}"), &access, &image).await;
        }
    }
    for number in 0..5 {
        for agent in [&first, &second] {
            assert_eq!(agent.mark(&format!("build-{number}"), SOON).await, "true");
        }
    }
    first.event(&["RegistryAuthFailed", "bert/stolen", &format!("{}/push", first.namespace)]).await;
    let asked = &registry.asked()[before..];
    let of = |repository: &'static str| asked.iter().filter(move |asked| asked.scope.contains(repository));
    assert!(of("bert/stolen").next().is_some(), "{asked:?}");
    assert!(of("bert/stolen").all(|asked| ["anna", ""].contains(&asked.user.as_str())), "{asked:?}");
    assert!(of("anna/").chain(of("bert/app")).count() >= 20, "{asked:?}");
    assert!(of("anna/").all(|asked| asked.user == "anna"), "{asked:?}");
    assert!(of("bert/app").all(|asked| asked.user == "bert"), "{asked:?}");
    let sig = Agent::layers(&registry.access(Some(users[1].login())), &stolen, "sig").await;
    assert_eq!(sig, 0, "nobody else's run signs bert's image");
    stopped_well(hallmark);
}

/// Must be true at the server: whoever asks for a token asks for a repository of his own, and each repository costs one
/// token, however many push to it at once.
#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_pushes_of_two_tenants_at_once_never_meet_each_others_token() {
    const PUSHES: usize = 64;
    const REPOSITORIES: usize = 4;
    let users = ["anna", "bert"].map(|name| TokenUser::new(name, "same password").push(&format!("{name}/")));
    let server = Distribution::start(Authentication::Token(users.to_vec())).await;
    let access = server.access(None);
    let ca = std::fs::read_to_string(access.ca.as_ref().unwrap()).unwrap();
    let text = format!("[registries.\".\"]\nca-certs = '''\n{ca}'''\n");
    let config =
        RegistryConfig::parse("r.toml", &text, &Proxies::none(), jiff::Timestamp::now()).config.unwrap();
    let (config, client) = (Arc::new(config), Registry::new().unwrap());
    let push = async |number: usize| {
        let user = &users[number % 2];
        let (name, password) = user.login();
        let login = Login { username: name.clone(), password: password.as_str().into() };
        let entry = Entry {
            source: Source::ServiceAccountSecrets,
            location: Location::ServiceAccount(format!("{name}/builder")),
            key: Key::parse(&access.host).unwrap(),
            credential: Arc::new(Credential::Basic(login)),
        };
        let keychain = Arc::new(Keychain { entries: vec![entry], ..Keychain::default() });
        let keychain = async move { Ok(keychain) }.boxed().shared();
        // A session for each push, as each run has one; what is shared is shared by the process.
        let session = Session::new(&client, &name, false, keychain).with_config(&config);
        let repository = format!("{}/{name}/app-{}", access.host, number / 2 % REPOSITORIES);
        let content = format!("layer {number}").into_bytes();
        session.push_blob(&Repository::parse(&repository).unwrap(), content.into()).await.unwrap();
    };
    futures::future::join_all((0..PUSHES).map(push)).await;
    let asked = server.asked();
    for asked in &asked {
        let own = format!("repository:{}/", asked.user);
        assert!(asked.scope.starts_with(&own), "{asked:?}");
    }
    assert_eq!(asked.len(), 2 * REPOSITORIES, "a token for each repository of each tenant: {asked:?}");
    let log = server.log();
    let pushed =
        log.lines().filter(|line| line.contains("/blobs/uploads/") && line.contains("\" 201 ")).count();
    assert_eq!(pushed, PUSHES);
}

/// R3: whatever pushed in a pipeline did so with the credentials of its own TaskRun.
#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_run_pushes_with_the_credentials_of_the_task_run_that_pushed() {
    let config = [("artifacts.pipelinerun.storage", "oci"), ("artifacts.taskrun.storage", "")];
    let (registry, builder, image, agent) = without_credentials(&config).await;
    let access = registry.access(None);
    agent.secret("push", &access, &builder).await;
    let hallmark = agent.start().await;
    let uid = agent.create_pipeline_run("release").await;
    agent.create_child("release", &uid, "push").await;
    let container = json!({"name": "step", "image": "busybox"});
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "release-push-pod", "namespace": agent.namespace},
        "spec": {"serviceAccountName": "default", "imagePullSecrets": [{"name": "push"}], "containers": [container]}});
    agent.cluster.create(&pod).await;
    let completion = Completion::success().pod("release-push-pod");
    agent.cluster.complete(&agent.namespace, "release-push", &completion).await;
    let end = End::well(&[reference("TaskRun", "release-push", "push")])
        .result("IMAGE_URL", &repository(&access, &image))
        .result("IMAGE_DIGEST", &image.digest);
    agent.end_pipeline_run("release", end).await;
    assert_eq!(agent.pipeline_mark("release").await, "true");
    let used = agent.pipeline_annotation("release", "registry-credential").await;
    assert_eq!(used, format!("pod.imagePullSecrets {}/push ({})", agent.namespace, access.host));
    stopped_well(hallmark);
}

/// What a credential costs: an account is read once a run, a Secret that has not changed once a minute, and a token is
/// fetched once for a repository and a right.
#[tokio::test(flavor = "multi_thread")]
async fn runs_of_one_service_account_share_what_was_read_and_what_was_granted() {
    const RUNS: usize = 6;
    let (registry, builder, image, agent) = without_credentials(TO_REGISTRY).await;
    let access = registry.access(None);
    agent.secret("push", &access, &builder).await;
    agent.cluster.set_secrets(&agent.namespace, "default", &["push"]).await;
    let asked_before = registry.asked().len();
    let hallmark = agent.start().await;
    for number in 0..RUNS {
        let name = format!("build-{number}");
        agent.build(&name, &access, &image).await;
        assert_eq!(agent.mark(&name, SOON).await, "true");
    }
    let reads = |resource: &str, name: &str| {
        let of_agent = agent.cluster.audited(|event| {
            event.verb == "get"
                && event.object_ref.resource == resource
                && event.object_ref.namespace == agent.namespace
                && event.object_ref.name == name
        });
        of_agent.len()
    };
    let (secrets, accounts) = (reads("secrets", "push"), reads("serviceaccounts", "default"));
    let tokens: Vec<String> =
        registry.asked()[asked_before..].iter().map(|asked| asked.scope.clone()).collect();
    println!(
        "of {RUNS} runs: {secrets} reads of Secrets, {accounts} of service accounts, tokens: {tokens:?}"
    );
    assert_eq!(secrets, 1, "one Secret, read once a minute");
    assert!(accounts <= RUNS, "{accounts}");
    let mut once = tokens.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), tokens.len(), "each right once: {tokens:?}");
    stopped_well(hallmark);
}

/// A registry with one builder, an image of theirs, and an agent without any credential yet.
async fn without_credentials(config: &[(&str, &str)]) -> (Distribution, TokenUser, PushedImage, Agent) {
    let builder = TokenUser::new("builder", "may push").push("team/");
    let registry = Distribution::start(Authentication::Token(vec![builder.clone()])).await;
    let image = Crane::new(&registry.access(Some(builder.login()))).push_random_image("team/app").await;
    let agent = Agent::prepare("lacking", &registry.access(None), config).await;
    (registry, builder, image, agent)
}
