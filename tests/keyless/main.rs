//! Identities on real servers: tokens of a real kube-apiserver and a real SPIRE, certificates of a real Fulcio, cosign
//! as the judge (`hack/test keyless`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and it uses a part of what all tests share"
)]

#[path = "../core/agent.rs"]
mod agent;
mod conformance;
mod faults;
mod logs;
mod refused;
#[path = "../core/release.rs"]
mod release;
mod services;
mod signing;
#[path = "../support/lib.rs"]
mod support;
mod ten_faults;

mod spire;
mod spire_helper;
mod spire_signing;
mod transparency;
mod trust;

use serde_json::json;
use support::{Cluster, Finished, Fulcio, Hallmark};

/// Runs `hallmark identity` with a token of `build/builder` for `audience`.
async fn identity(cluster: &Cluster, namespace: &str, audience: &str, more: &[&str]) -> Finished {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, cluster.token_for(namespace, "default", audience).await).unwrap();
    let mut arguments = vec!["identity", "--token-file", file.to_str().unwrap()];
    arguments.extend(more);
    Hallmark::run(&arguments, &[]).await
}

#[tokio::test]
async fn a_kubernetes_token_gets_a_certificate_in_the_name_of_its_service_account() {
    let cluster = Cluster::shared().await;
    cluster.lets_anybody_read_the_keys_of_its_issuer().await;
    let (fulcio, namespace) = (Fulcio::start(cluster).await, cluster.namespace("certified").await);
    let finished = identity(cluster, &namespace, "sigstore", &["--fulcio", &fulcio.url]).await.succeeded();
    let name = format!("https://kubernetes.io/namespaces/{namespace}/serviceaccounts/default");
    let certified = format!("certificate  {name} by issuer {}", cluster.issuer());
    assert!(finished.stdout.contains(&certified), "{}", finished.stdout);
}

#[tokio::test]
async fn a_token_for_another_audience_is_not_sent_and_told_with_what_was_wanted() {
    let cluster = Cluster::shared().await;
    let namespace = cluster.namespace("audience").await;
    let nobody = ["--fulcio", "http://127.0.0.1:1"];
    let finished = identity(cluster, &namespace, "somebody-else", &nobody).await.failed();
    assert!(
        finished.stderr.contains("somebody-else") && finished.stderr.contains("sigstore"),
        "{}",
        finished.stderr
    );
}

#[tokio::test]
async fn the_token_that_a_job_of_github_is_given_gets_a_certificate() {
    let cluster = Cluster::shared().await;
    cluster.lets_anybody_read_the_keys_of_its_issuer().await;
    let (fulcio, namespace) = (Fulcio::start(cluster).await, cluster.namespace("job").await);
    // GitHub in name alone; what it gives is a token that a real Fulcio judges.
    let token = cluster.token_for(&namespace, "default", "sigstore").await;
    let answer = move |headers: http::HeaderMap, uri: http::Uri| async move {
        let asked =
            headers["authorization"] == "bearer canary" && uri.query() == Some("v=2&audience=sigstore");
        if asked { Ok(json!({ "value": token }).to_string()) } else { Err(http::StatusCode::FORBIDDEN) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token?v=2", listener.local_addr().unwrap());
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await.unwrap() });
    let job =
        |access| [("ACTIONS_ID_TOKEN_REQUEST_URL", url.as_str()), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", access)];
    let arguments = ["identity", "--fulcio", &fulcio.url];
    let finished = Hallmark::run(&arguments, &job("canary")).await.succeeded();
    let name = format!("https://kubernetes.io/namespaces/{namespace}/serviceaccounts/default");
    for said in ["provider     github-actions", &format!("certificate  {name}")] {
        assert!(finished.stdout.contains(said), "{}", finished.stdout);
    }
    let refused = Hallmark::run(&arguments, &job("canary-of-another")).await.failed();
    assert!(
        refused.stderr.contains("GitHub Actions") && refused.stderr.contains("id-token: write"),
        "{}",
        refused.stderr
    );
    assert!(!refused.stderr.contains("canary"), "{}", refused.stderr);
}
