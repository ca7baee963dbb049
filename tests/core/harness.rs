//! The harness itself: its servers are real, refuse what they should, and end with the test.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use crate::support::{
    Access, Authentication, Cluster, Completion, Cosign, Crane, Distribution, Hallmark, PlainRegistry,
    TokenUser, eventually, kubernetes,
};

fn login(name: &str, password: &str) -> (String, String) {
    (name.to_owned(), password.to_owned())
}

#[tokio::test]
async fn a_task_run_on_the_cluster_is_taken_to_completed() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("completed").await;
    let digest = format!("sha256:{}", "a".repeat(64));
    let completion = Completion::success().image("", "127.0.0.1:1/app", &digest).pod("run-pod");
    let run = cluster.completed_task_run(&namespace, "run", &completion).await;
    let status = &run.data["status"];
    assert_eq!(status["conditions"][0]["status"], "True");
    assert_eq!(status["podName"], "run-pod");
    assert_eq!(status["results"][1]["value"], digest.as_str());
    assert_eq!(status["steps"][0]["name"], "build");
    assert!(status["completionTime"].is_string() && status["taskSpec"].is_object());
}

#[tokio::test]
async fn the_api_server_is_of_the_version_that_was_asked_for() {
    let version = Cluster::shared().await.client().await.apiserver_version().await.unwrap().git_version;
    let asked = kubernetes().unwrap_or_else(|| "1.36".to_owned());
    assert!(version.starts_with(&format!("v{asked}.")), "{version} instead of {asked}");
}

#[tokio::test]
async fn a_service_account_has_the_rights_that_rbac_gives_and_is_counted_in_the_audit_log() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("account").await;
    let kubeconfig = cluster.service_account_kubeconfig(&namespace, "default").await;
    let config = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let secrets = Api::<Secret>::namespaced(client, &namespace);
    let refused = secrets.get("any").await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 403));

    let account = format!("system:serviceaccount:{namespace}:default");
    let asked = async || cluster.audited(|event| event.user.username == account).pop();
    let event = eventually("the request is audited", Duration::from_secs(10), asked).await;
    assert_eq!((event.verb.as_str(), event.object_ref.resource.as_str()), ("get", "secrets"));
    assert_eq!((event.object_ref.name.as_str(), event.response_status.code), ("any", 403));
    assert!(cluster.count(&event.user_agent, "get") > 0);
    assert_eq!(cluster.count("no client calls itself so", "get"), 0);
}

#[tokio::test]
async fn the_registry_with_tokens_refuses_nobody_and_the_reader_and_takes_the_writer() {
    let reader = TokenUser::new("reader", "r").pull("team/app");
    let writer = TokenUser::new("writer", "w").push("team/");
    let users = vec![reader.clone(), writer.clone()];
    let registry = Distribution::start(Authentication::Token(users)).await;
    for refused in [None, Some(login("writer", "wrong")), Some(reader.login())] {
        let push = Crane::new(&registry.access(refused)).try_push_random_image("team/app").await.failed();
        assert!(push.stderr.to_uppercase().contains("UNAUTHORIZED"), "{}", push.stderr);
    }
    let image = Crane::new(&registry.access(Some(writer.login()))).push_random_image("team/app").await;
    let read = Crane::new(&registry.access(Some(reader.login()))).manifest(&image.by_digest()).await;
    assert_eq!(read.unwrap()["schemaVersion"], 2);

    let asked = registry.asked();
    assert!(asked.iter().any(|a| a.user.is_empty() && !a.known));
    assert!(asked.iter().any(|a| a.user == "writer" && !a.known), "a wrong password");
    let pushing =
        |a: &crate::support::Asked| a.user == "writer" && a.known && a.scope.contains("team/app:push");
    assert!(asked.iter().any(pushing), "{asked:?}");
}

#[tokio::test]
async fn the_registry_with_passwords_takes_the_right_one_only() {
    let users = vec![("user".to_owned(), "right".to_owned())];
    let registry = Distribution::start(Authentication::Htpasswd(users)).await;
    Crane::new(&registry.access(Some(login("user", "wrong")))).try_push_random_image("app").await.failed();
    Crane::new(&registry.access(Some(login("user", "right")))).push_random_image("app").await;
}

#[tokio::test]
async fn the_registry_keeps_its_content_through_an_outage() {
    let mut registry = Distribution::start(Authentication::None).await;
    let crane = Crane::new(&registry.access(None));
    let image = crane.push_random_image("app").await;
    registry.stop();
    crane.run(&["manifest", &image.by_digest()]).await.failed();
    registry.restart().await;
    assert!(crane.manifest(&image.by_digest()).await.is_some());
    assert_eq!(crane.tags("app").await, ["latest"]);
    assert_eq!(crane.manifest(&image.cosign_tag("sig")).await, None);
}

#[tokio::test]
async fn the_plain_registry_counts_requests() {
    let registry = PlainRegistry::start().await;
    assert_eq!(registry.requests(), Vec::<String>::new());
    Crane::new(&registry.access()).push_random_image("app").await;
    let puts = registry.requests().into_iter().filter(|r| r.starts_with("PUT /v2/app/manifests/"));
    assert_eq!(puts.collect::<Vec<_>>(), ["PUT /v2/app/manifests/latest"]);
}

async fn cosign_signs_and_judges(access: &Access) {
    let image = Crane::new(access).push_random_image("team/app").await;
    let cosign = Cosign::new(access);
    let (ours, other) = (cosign.generate_key_pair("ours").await, cosign.generate_key_pair("other").await);
    cosign.verify(&ours.public, &image.by_digest()).await.failed();
    cosign.sign(&ours.private, &image).await.succeeded();
    let verified = cosign.verify(&ours.public, &image.by_digest()).await.succeeded();
    assert!(verified.stdout.contains(&image.digest), "{}", verified.stdout);
    cosign.verify(&other.public, &image.by_digest()).await.failed();
    cosign.verify_attestation(&ours.public, "slsaprovenance", &image.by_digest()).await.failed();
}

#[tokio::test]
async fn cosign_signs_and_verifies_over_tls_with_a_token() {
    let writer = TokenUser::new("writer", "w").push("team/app");
    let registry = Distribution::start(Authentication::Token(vec![writer.clone()])).await;
    cosign_signs_and_judges(&registry.access(Some(writer.login()))).await;
}

#[tokio::test]
async fn cosign_signs_and_verifies_over_plain_http() {
    let registry = PlainRegistry::start().await;
    cosign_signs_and_judges(&registry.access()).await;
}

#[tokio::test]
async fn the_binary_under_test_runs_with_an_environment_of_its_own() {
    let finished = Hallmark::run(&["--version"], &[("SOME", "variable")]).await;
    assert!(finished.code.is_some(), "{finished:?}");
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let registry = PlainRegistry::start().await;
    let host = registry.host().to_owned();
    drop(registry);
    assert!(tokio::net::TcpStream::connect(host).await.is_err());
}

/// This test binary as a child that runs one of its tests, ignored ones too.
async fn run_alone(test: &str, environment: &[(&str, &Path)]) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--include-ignored", "--exact", "--nocapture", test]).envs(environment.iter().copied());
    tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_missing_server_is_said_in_one_sentence_with_the_remedy() {
    let empty = tempfile::tempdir().unwrap();
    let output = run_alone("harness::a_dropped_server_is_gone", &[("HALLMARK_CACHE", empty.path())]).await;
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("bin/registry is missing: run hack/install"), "{said}");
}

#[tokio::test]
async fn a_service_account_names_registry_secrets() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("secrets").await;
    let access = Access { host: "127.0.0.1:1".to_owned(), ca: None, login: Some(login("user", "word")) };
    cluster.registry_secret(&namespace, "push", &access).await;
    cluster.set_pull_secrets(&namespace, "default", &["push"]).await;
    cluster.set_secrets(&namespace, "default", &["other", "push"]).await;
    let client = cluster.client().await;
    let secret = Api::<Secret>::namespaced(client.clone(), &namespace).get("push").await.unwrap();
    let config: Value = serde_json::from_slice(&secret.data.unwrap()[".dockerconfigjson"].0).unwrap();
    assert_eq!(config["auths"]["127.0.0.1:1"]["auth"], "dXNlcjp3b3Jk");
    let account = Api::<ServiceAccount>::namespaced(client, &namespace).get("default").await.unwrap();
    assert_eq!(account.image_pull_secrets.unwrap()[0].name, "push");
    assert_eq!(account.secrets.unwrap()[1].name.as_deref(), Some("push"));
}

#[tokio::test]
async fn a_run_of_the_older_version_is_taken_and_completed_too() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("older").await;
    let run = json!({
        "apiVersion": "tekton.dev/v1beta1", "kind": "TaskRun",
        "metadata": {"name": "mytaskrun", "namespace": namespace, "annotations": {"a/b": "c"}},
        "spec": {"taskRef": {"name": "mytask"}, "podTemplate": {"imagePullSecrets": [{"name": "creds"}]}},
    });
    cluster.create(&run).await;
    let run = cluster.complete(&namespace, "mytaskrun", &Completion::failure()).await;
    assert_eq!(run.data["spec"]["podTemplate"]["imagePullSecrets"][0]["name"], "creds");
    assert_eq!(run.data["status"]["conditions"][0]["status"], "False");
    assert_eq!(run.data["status"]["taskSpec"]["steps"][0]["name"], "build");
    assert_eq!(cluster.annotation(&namespace, "mytaskrun", "a/b", Duration::from_secs(5)).await, "c");
}

/// Runs only as the child of the test below: it starts a server and dies without any clean-up.
#[tokio::test]
#[ignore = "the other half of a_server_ends_when_the_test_process_is_killed"]
async fn start_a_server_and_abort() {
    let registry = PlainRegistry::start().await;
    println!("listening on {}.", registry.host());
    std::process::abort();
}

#[tokio::test]
async fn a_server_ends_when_the_test_process_is_killed() {
    let output = run_alone("harness::start_a_server_and_abort", &[]).await;
    assert!(!output.status.success());
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = printed.split("listening on ").nth(1).unwrap().split_once(".\n").unwrap().0.to_owned();
    eventually("the server is gone", Duration::from_secs(10), async || {
        tokio::net::TcpStream::connect(&host).await.err().map(drop)
    })
    .await;
}
