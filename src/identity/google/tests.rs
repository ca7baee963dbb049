//! Google Cloud on servers that judge what they are asked.

use axum::Router;
use axum::extract::Request;
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::super::job::tests::{served, web};
use super::super::token::tests::{claims, now, token};
use super::*;
use crate::error::{Class, chain};

const ACCESS: &str = "canary-access-token";
const ACCOUNT: &str = "signer@project.iam.gserviceaccount.com";

fn variables(url: &str) -> Variables {
    let host = url.strip_prefix("http://").unwrap().to_owned();
    Variables {
        credentials: google::Variables { metadata_host: Some(host), ..google::Variables::default() },
        account: Some(ACCOUNT.to_owned()),
        iam_endpoint: Some(url.to_owned()),
    }
}

#[tokio::test]
async fn the_metadata_server_is_asked_for_a_whole_token_of_the_audience() {
    let answer = get(|request: Request| async move {
        assert_eq!(request.headers()["metadata-flavor"], "Google");
        assert_eq!(request.uri().query().unwrap(), "audience=sigstore&format=full");
        token(&claims())
    });
    let path = "/computeMetadata/v1/instance/service-accounts/default/identity";
    let url = served(Router::new().route(path, answer)).await;
    let source = GoogleToken::of_machine(variables(&url), web());
    source.token("sigstore").await.unwrap().check("sigstore", now()).unwrap();
    assert_eq!(source.provider(), Provider::Google);
}

#[tokio::test]
async fn an_account_is_impersonated_with_what_the_machine_is() {
    let access = || async { json!({"access_token": ACCESS, "expires_in": 300}).to_string() };
    let impersonate = |headers: HeaderMap, body: String| async move {
        assert_eq!(headers["authorization"], format!("Bearer {ACCESS}"));
        assert_eq!(body, r#"{"audience":"sigstore","includeEmail":true}"#);
        json!({ "token": token(&claims()) }).to_string()
    };
    let routes = Router::new()
        .route("/computeMetadata/v1/instance/service-accounts/default/token", get(access))
        .route("/v1/projects/-/serviceAccounts/{account}", post(impersonate));
    let url = served(routes).await;
    let source = GoogleToken::of_account(variables(&url), ACCOUNT.into(), web());
    source.token("sigstore").await.unwrap().check("sigstore", now()).unwrap();
    assert_eq!(source.provider(), Provider::GoogleImpersonate);
}

#[tokio::test]
async fn whoever_may_not_impersonate_is_told_the_role_and_the_account_and_never_the_token() {
    let access = || async { json!({"access_token": ACCESS, "expires_in": 300}).to_string() };
    let refuse = || async { (StatusCode::FORBIDDEN, format!("denied for {ACCESS}")) };
    let path = "/computeMetadata/v1/instance/service-accounts/default/token";
    let url = served(Router::new().route(path, get(access)).fallback(refuse)).await;
    let source = GoogleToken::of_account(variables(&url), ACCOUNT.into(), web());
    let error = source.token("sigstore").await.unwrap_err();
    let said = chain(&error);
    assert!(said.contains(ACCOUNT) && said.contains("403") && !said.contains(ACCESS), "{said}");
    assert!(error.hint().unwrap().contains("roles/iam.serviceAccountTokenCreator"));
    assert_eq!(error.class(), Class::Misconfigured);
}

#[tokio::test]
async fn a_machine_without_a_metadata_server_is_one_that_may_come_back() {
    let source = GoogleToken::of_machine(variables("http://127.0.0.1:9"), web());
    let error = source.token("sigstore").await.unwrap_err();
    assert_eq!(error.class(), Class::Temporary, "{}", chain(&error));
    assert!(chain(&error).contains("the Google metadata server"), "{}", chain(&error));
}
