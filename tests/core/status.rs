//! `hallmark status`, `explain`, `retry` and `resign` on a real cluster, with runs that a real controller worked on.

use std::time::Duration;

use serde_json::{Value, json};

use crate::agent::{Agent, SOON, stopped_well};
use crate::main_path::TO_REGISTRY;
use crate::support::{
    Authentication, Completion, Cosign, Crane, Distribution, Finished, Hallmark, PlainRegistry, TokenUser,
    eventually,
};

/// Longer than a controller passes over late events of runs that it has finished.
const AFTER_A_MOMENT: Duration = Duration::from_secs(90);

async fn ask(agent: &Agent, arguments: &[&str], more: &[&str]) -> Finished {
    ask_as(agent, "admin", arguments, more).await
}

async fn ask_as(agent: &Agent, user: &str, arguments: &[&str], more: &[&str]) -> Finished {
    let kubeconfig = agent.cluster.kubeconfig(user);
    let place = ["-n", &agent.namespace, "--system-namespace", &agent.namespace];
    let place = [&place[..], &["--kubeconfig", kubeconfig.to_str().unwrap()]].concat();
    Hallmark::run(&[arguments, &place[..], more].concat(), &[]).await
}

fn json_of(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"))
}

async fn explained(agent: &Agent, run: &str) -> (Value, Option<i32>) {
    let finished = ask(agent, &["explain", run], &["-o", "json"]).await;
    (json_of(&finished)[0].clone(), finished.code)
}

/// Rights over TaskRuns of one namespace for a user, and over nothing else.
async fn allow(agent: &Agent, user: &str, verbs: &[&str]) {
    let (namespace, name) = (&agent.namespace, format!("only-{user}"));
    let metadata = json!({"name": name, "namespace": namespace});
    let group = "rbac.authorization.k8s.io";
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata,
        "rules": [{"apiGroups": ["tekton.dev"], "resources": ["taskruns"], "verbs": verbs}]});
    agent.cluster.create(&role).await;
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}]});
    agent.cluster.create(&binding).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_were_given_up_are_counted_explained_and_signed_after_a_retry() {
    let builder = TokenUser::new("builder", "canary").push("team/");
    let registry = Distribution::start(Authentication::Token(vec![builder.clone()])).await;
    let access = registry.access(Some(builder.login()));
    let image = Crane::new(&access).push_random_image("team/app").await;
    let anonymous = registry.access(None);
    let config = [TO_REGISTRY, &[("signing.retry-window", "1s")]].concat();
    let agent = Agent::prepare("status", &anonymous, &config).await;
    let hallmark = agent.start().await;
    agent.build("denied", &anonymous, &image).await;
    agent.cluster.create_task_run(&agent.namespace, "running").await;
    assert_eq!(agent.mark("denied", SOON).await, "failed");

    let status = ask(&agent, &["status"], &["-o", "json"]).await;
    let report = json_of(&status);
    assert_eq!(status.code, Some(1));
    assert_eq!(
        (&report["taskruns"]["failed"], &report["taskruns"]["running"]),
        (&json!(1), &json!(1)),
        "{report}"
    );
    assert_eq!(report["replicas"][0]["alive"], true);
    assert_eq!(report["reasons"][0]["latest"], format!("TaskRun {}/denied", agent.namespace));

    let (told, code) = explained(&agent, "taskrun/denied").await;
    assert_eq!((told["mark"].as_str(), code), (Some("failed"), Some(1)));
    assert!(told["remedy"].as_str().unwrap().contains("hallmark retry taskrun denied"), "{told}");
    assert!(
        !told["outcome"].as_array().unwrap().is_empty() && !told["events"].as_array().unwrap().is_empty()
    );
    let (told, code) = explained(&agent, "running").await;
    assert_eq!((told["takenNow"].as_bool(), code), (Some(false), Some(0)), "{told}");

    agent.cluster.registry_secret(&agent.namespace, "push", &access).await;
    agent.cluster.set_secrets(&agent.namespace, "default", &["push"]).await;
    // The controller finds out by itself that a Secret changed; a person who is quicker may ask.
    ask(&agent, &["retry", "denied"], &[]).await;
    eventually("the run is signed", AFTER_A_MOMENT, async || {
        (agent.annotations("denied").await.get("chains.tekton.dev/signed")? == "true").then_some(())
    })
    .await;
    let (told, code) = explained(&agent, "denied").await;
    assert_eq!((told["settled"].as_bool(), code), (Some(true), Some(0)), "{told}");
    let refused = ask(&agent, &["retry", "denied", "-o", "json"], &[]).await.failed().json();
    assert_eq!(
        (&refused[0]["name"], &refused[0]["unmarked"]),
        (&json!("denied"), &json!(false)),
        "{refused}"
    );
    assert!(refused[0]["reason"].as_str().unwrap().contains("is signed"), "{refused}");
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_takes_up_what_no_secret_would_wake() {
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let agent =
        Agent::prepare("retry", &access, &[TO_REGISTRY, &[("signing.retry-window", "1s")]].concat()).await;
    let image = Crane::new(&access).push_random_image("app").await;
    std::fs::rename(agent.keys().join("x509.pem"), agent.keys().join("hidden")).unwrap();
    let _hallmark = agent.start().await;
    agent.build("keyless", &access, &image).await;
    assert_eq!(agent.mark("keyless", SOON).await, "failed");
    std::fs::rename(agent.keys().join("hidden"), agent.keys().join("x509.pem")).unwrap();

    allow(&agent, "retrier", &["get", "patch"]).await;
    let finished = ask_as(&agent, "retrier", &["retry", "taskrun", "keyless"], &[]).await.succeeded();
    assert!(finished.stdout.contains("its mark is off"), "{}", finished.stdout);
    assert!(finished.stderr.contains("was finished a moment ago"), "{}", finished.stderr);
    eventually("the run is signed", SOON, async || {
        (agent.annotations("keyless").await.get("chains.tekton.dev/signed")? == "true").then_some(())
    })
    .await;
    agent.cosign_accepts(&access, &image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_signed_anew_carries_the_signatures_of_both_keys() {
    let registry = PlainRegistry::start().await;
    let access = registry.access();
    let mut agent = Agent::prepare("resign", &access, TO_REGISTRY).await;
    let image = Crane::new(&access).push_random_image("app").await;
    let hallmark = agent.start().await;
    agent.build("build", &access, &image).await;
    assert_eq!(agent.mark("build", SOON).await, "true");
    stopped_well(hallmark);
    let old = agent.public_key.clone();
    let cosign = Cosign::new(&access);
    let new = cosign.generate_key_pair("new").await;
    cosign.verify(&new.public, &image.by_digest()).await.failed();

    agent.use_cosign_key(&new);
    let _hallmark = agent.start().await;
    let resigned = ask(&agent, &["resign", "build", "--output", "json"], &[]).await.succeeded().json();
    let expected = json!([{"kind": "TaskRun", "namespace": agent.namespace, "name": "build", "unmarked": true,
        "reason": null}]);
    assert_eq!(resigned, expected);
    eventually("the new key's signature is there", SOON, async || {
        (Agent::layers(&access, &image, "sig").await == 2).then_some(())
    })
    .await;
    eventually("the run is marked again", SOON, async || {
        (agent.annotations("build").await.get("chains.tekton.dev/signed")? == "true").then_some(())
    })
    .await;
    for key in [&old, &new.public] {
        cosign.verify(key, &image.by_digest()).await.succeeded();
        cosign.verify_attestation(key, "slsaprovenance", &image.by_digest()).await.succeeded();
    }
}

#[tokio::test]
async fn without_a_controller_a_run_waits_for_ever_and_both_commands_say_so() {
    let agent = Agent::prepare("nobody", &PlainRegistry::start().await.access(), TO_REGISTRY).await;
    let digest = format!("sha256:{}", "a".repeat(64));
    let completion = Completion::success().image("", "registry.test/app", &digest);
    agent.cluster.completed_task_run(&agent.namespace, "waits", &completion).await;
    let status = ask(&agent, &["status"], &[]).await;
    assert!(status.stdout.contains("none is alive, so nothing is signed"), "{}", status.stdout);
    assert!(status.stdout.contains(&format!("Oldest unsigned: TaskRun {}/waits", agent.namespace)));
    assert_eq!(status.code, Some(1));
    let text = ask(&agent, &["explain", "waits"], &[]).await;
    assert!(text.stdout.contains("No controller is alive"), "{}", text.stdout);
    ask(&agent, &["retry", "waits"], &[]).await.failed();
}

#[tokio::test]
async fn runs_are_counted_over_many_pages_and_the_settings_say_which_are_ignored() {
    let config = [TO_REGISTRY, &[("selection.label-selector", "sign=yes")]].concat();
    let agent = Agent::prepare("pages", &PlainRegistry::start().await.access(), &config).await;
    for number in 0..203 {
        agent.cluster.create_task_run(&agent.namespace, &format!("run-{number}")).await;
    }
    let report = json_of(&ask(&agent, &["status"], &["-o", "json"]).await);
    assert_eq!(report["taskruns"]["ignored"], 203, "{report}");
    let (told, code) = explained(&agent, "run-7").await;
    assert!(told["remedy"].as_str().unwrap().contains("selection.label-selector"), "{told}");
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn a_missing_run_and_a_missing_right_are_told_apart() {
    let agent = Agent::prepare("absent", &PlainRegistry::start().await.access(), &[]).await;
    let finished = ask(&agent, &["explain", "nothing"], &[]).await;
    assert_eq!(finished.code, Some(1));
    assert!(finished.stderr.contains("there is no TaskRun or PipelineRun nothing"), "{}", finished.stderr);
    for command in [&["explain", "nothing"][..], &["status"], &["retry", "nothing"], &["resign", "nothing"]] {
        let finished = ask_as(&agent, "nobody", command, &[]).await;
        assert_eq!(finished.code, Some(3), "{finished:?}");
        assert!(finished.stderr.contains("forbidden"), "{}", finished.stderr);
    }
    assert_eq!(ask(&agent, &["explain", "pod/a"], &[]).await.code, Some(2));
}

#[tokio::test]
async fn the_binary_is_a_plugin_of_kubectl_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hallmark"), folder.path().join("kubectl-hallmark"))
        .unwrap();
    let agent = Agent::prepare("plugin", &PlainRegistry::start().await.access(), &[]).await;
    let kubeconfig = agent.cluster.kubeconfig("admin");
    let mut command = std::process::Command::new(crate::support::binary("kubectl"));
    command.env_clear().env("PATH", folder.path()).env("KUBECONFIG", kubeconfig).env("HOME", folder.path());
    command.args(["hallmark", "status", "-n", &agent.namespace]);
    let finished = crate::support::run(command).await.succeeded();
    assert!(finished.stdout.contains("TaskRuns"), "{}", finished.stdout);
}

#[tokio::test]
async fn completions_and_manual_pages_are_those_of_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = Hallmark::run(&["completions", shell], &[]).await.succeeded().stdout;
        for word in ["doctor", "explain", "resign", "kubeconfig"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    Hallmark::run(&["man", folder.path().to_str().unwrap()], &[]).await.succeeded();
    let page = std::fs::read_to_string(folder.path().join("hallmark-doctor.1")).unwrap();
    assert!(page.contains("Exit codes"), "{page}");
    let bash = Hallmark::run(&["completions", "bash"], &[]).await.stdout;
    let mut command = std::process::Command::new("/bin/bash");
    let script = folder.path().join("completion.bash");
    std::fs::write(&script, bash).unwrap();
    command.arg("-n").arg(&script);
    crate::support::run(command).await.succeeded();
}
