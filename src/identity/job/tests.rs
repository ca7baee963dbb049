//! Jobs on servers that judge what they are asked.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::super::token::tests::{claims, now, token};
use super::*;
use crate::client::registry::Registry;
use crate::error::{Class, chain};

const CANARY: &str = "canary-of-the-job";

pub(in crate::identity) async fn served(routes: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "the server ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

pub(in crate::identity) fn web() -> Web {
    Web::new(Registry::new().unwrap(), Arc::default())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).unwrap().to_str().unwrap()
}

fn github(endpoint: String) -> JobToken {
    JobToken::of(Job::Github(Github { endpoint, access: CANARY.into() }), web())
}

fn buildkite(endpoint: String) -> JobToken {
    let job = Buildkite { endpoint: Some(endpoint), job: "018f-job".into(), access: CANARY.into() };
    JobToken::of(Job::Buildkite(job), web())
}

#[tokio::test]
async fn github_is_asked_for_the_audience_beside_its_own_query_and_with_the_credential_of_the_job() {
    let answer = get(|request: Request| async move {
        assert_eq!(request.uri().query().unwrap(), "api-version=2.0&audience=sigstore");
        assert_eq!(header(request.headers(), "authorization"), format!("bearer {CANARY}"));
        json!({"count": 1, "value": token(&claims())}).to_string()
    });
    let url = served(Router::new().route("/token", answer)).await;
    let source = github(format!("{url}/token?api-version=2.0"));
    source.token("sigstore").await.unwrap().check("sigstore", now()).unwrap();
    assert_eq!(source.provider(), Provider::Github);
}

#[tokio::test]
async fn buildkite_is_asked_for_a_token_of_its_job() {
    let answer = post(|headers: HeaderMap, body: String| async move {
        assert_eq!(header(&headers, "authorization"), format!("Token {CANARY}"));
        assert_eq!(body, r#"{"audience":"sigstore"}"#);
        (StatusCode::CREATED, json!({ "token": token(&claims()) }).to_string())
    });
    let url = served(Router::new().route("/v3/jobs/018f-job/oidc/tokens", answer)).await;
    for endpoint in [format!("{url}/v3"), format!("{url}/v3/")] {
        buildkite(endpoint).token("sigstore").await.unwrap().check("sigstore", now()).unwrap();
    }
}

#[tokio::test]
async fn a_refusal_names_the_service_and_the_remedy_and_repeats_no_credential() {
    let refuse = || async { (StatusCode::FORBIDDEN, format!("{CANARY} may not ask")) };
    let url = served(Router::new().fallback(refuse)).await;
    for (source, remedy) in
        [(github(url.clone()), "id-token: write"), (buildkite(url), "the agent is one of this job")]
    {
        let error = source.token("sigstore").await.unwrap_err();
        let said = chain(&error);
        assert!(said.contains(&format!("provider {} gives no identity token", source.provider())), "{said}");
        assert!(said.contains("403 [redacted] may not ask") && !said.contains(CANARY), "{said}");
        assert!(error.hint().unwrap().contains(remedy));
        assert_eq!((error.class(), error.label()), (Class::Misconfigured, "identity_service"));
        assert!(!format!("{error:?}").contains(CANARY));
    }
}

#[tokio::test]
async fn a_service_that_is_away_comes_back_and_one_that_talks_nonsense_does_not() {
    let away = github("http://127.0.0.1:9/".into()).token("sigstore").await.unwrap_err();
    assert_eq!(away.class(), Class::Temporary, "{}", chain(&away));
    let busy = served(Router::new().fallback(|| async { StatusCode::SERVICE_UNAVAILABLE })).await;
    assert_eq!(buildkite(busy).token("sigstore").await.unwrap_err().class(), Class::Temporary);
    let empty = served(Router::new().fallback(|| async { "{}" })).await;
    let error = github(empty).token("sigstore").await.unwrap_err();
    assert!(chain(&error).contains("has no credential"), "{}", chain(&error));
    let odd = served(Router::new().fallback(|| async { json!({"value": CANARY}).to_string() })).await;
    let error = github(odd).token("sigstore").await.unwrap_err();
    assert!(matches!(error, Error::Token { provider: Provider::Github, .. }));
    assert!(!chain(&error).contains(CANARY));
    let flood = served(Router::new().fallback(|| async { "x".repeat(100_000) })).await;
    assert!(chain(&github(flood).token("sigstore").await.unwrap_err()).contains("larger than"));
}

#[tokio::test]
async fn the_credential_of_a_job_leaves_the_machine_over_tls_alone() {
    for endpoint in ["http://runner.test/token", "ftp://127.0.0.1/", "token", "https:"] {
        for source in [github(endpoint.into()), buildkite(endpoint.into())] {
            let error = source.token("sigstore").await.unwrap_err();
            assert!(matches!(error, Error::Variable { .. }), "{endpoint}: {error}");
            assert_eq!(error.class(), Class::Misconfigured);
        }
    }
}
