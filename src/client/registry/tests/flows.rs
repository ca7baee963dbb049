//! Rows of the table of token flows that a registry has a part in (credentials specification §5.7); the others are in
//! `client::token`.

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

use super::servers::{Authority, Log, Net, Seen, basic, open};
use super::trials::keychain;
use super::*;
use crate::artifact::image::Repository;

const HOST: &str = "registry.test";

/// A session with Secrets of these users, by a registry that `authority` vouches for.
fn session(proxy: &str, authority: &Authority, users: &[&str]) -> Session {
    let keychain = Arc::new(keychain(HOST, users, "1"));
    let keychain = async move { Ok(keychain) }.boxed().shared();
    let config = proxied(proxy, &table("registry.test.", &trusting(authority)));
    Session::new(&Registry::new().unwrap(), "ci", false, keychain).with_config(&config)
}

fn repository() -> Repository {
    Repository::parse(&format!("{HOST}/app")).unwrap()
}

fn sent(log: &Log, method: &str, path: &str) -> Vec<String> {
    let log = log.lock().unwrap();
    let those = log.iter().filter(|seen| seen.method == method && seen.path.starts_with(path));
    those.map(|seen| seen.authorization.clone()).collect()
}

/// Whoever has a password gets a token; only the token of `writer` may push.
fn tokens_with_fewer_rights(seen: &Seen) -> Response {
    if seen.path == "/token" {
        let login = seen.authorization.strip_prefix("Basic ").map(|text| STANDARD.decode(text).unwrap());
        let login = String::from_utf8(login.unwrap_or_default()).unwrap();
        return format!(r#"{{"token":"of-{}"}}"#, login.split(':').next().unwrap()).into_response();
    }
    let challenge = |more: &str| {
        let challenge = format!("Bearer realm=\"https://{HOST}/token\",service=\"s\"{more}");
        (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response()
    };
    match seen.authorization.as_str() {
        "Bearer of-writer" => StatusCode::CREATED.into_response(),
        "Bearer of-reader" => challenge(",error=\"insufficient_scope\""),
        _ => challenge(""),
    }
}

#[tokio::test]
async fn row_4_a_token_with_fewer_rights_than_were_asked_for_leads_to_the_next_candidate() {
    let (mut net, authority) = (Net::default(), Authority::new());
    let log = net.https(HOST, &authority, tokens_with_fewer_rights).await;
    let session = session(&net.proxy().await, &authority, &["reader", "writer"]);
    session.push_blob(&repository(), bytes::Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(sent(&log, "POST", "/v2/app/blobs/"), ["Bearer of-reader", "Bearer of-writer"]);
    let report = session.push_report(&repository()).await.unwrap().to_string();
    assert!(report.contains("1. serviceAccount.secrets ci/reader"), "{report}");
    assert!(report.contains("denied (401"), "{report}");
}

#[tokio::test]
async fn row_9_an_upload_on_another_host_gets_no_credential() {
    let (mut net, authority) = (Net::default(), Authority::new());
    let elsewhere = net.https("storage.test", &authority, |_| StatusCode::CREATED.into_response()).await;
    let begun = |seen: &Seen| match (seen.method.as_str(), basic(seen).status()) {
        ("POST", StatusCode::OK) => {
            (StatusCode::ACCEPTED, [("location", "https://storage.test/upload/1?a=b")]).into_response()
        }
        _ => basic(seen),
    };
    let log = net.https(HOST, &authority, begun).await;
    let proxy = net.proxy().await;
    let tables =
        table("registry.test.", &trusting(&authority)) + &table("storage.test.", &trusting(&authority));
    let config = proxied(&proxy, &tables);
    let session = session(&proxy, &authority, &["builder"]).with_config(&config);
    session.push_blob(&repository(), bytes::Bytes::from_static(b"x")).await.unwrap();
    assert!(sent(&log, "POST", "/v2/").iter().any(|sent| sent.starts_with("Basic ")), "the registry has it");
    assert_eq!(sent(&elsewhere, "PUT", "/upload/1"), [""], "and nobody else");
}

#[tokio::test]
async fn row_11_a_redirect_away_from_tls_is_refused_unless_the_registry_may_be_without() {
    let (mut net, authority) = (Net::default(), Authority::new());
    let to_http =
        |_: &Seen| (StatusCode::TEMPORARY_REDIRECT, [("location", "http://plain.test/v2/")]).into_response();
    net.https(HOST, &authority, to_http).await;
    let (plain, _) = net.http("plain.test", open).await;
    let proxy = net.proxy().await;
    let refused = look(&proxied(&proxy, &table("registry.test.", &trusting(&authority))), HOST).await;
    let text = chain(&refused.unwrap_err());
    assert!(text.contains("a redirect from https to http"), "{text}");
    assert_eq!(plain.lock().unwrap().len(), 0);
    let insecure = proxied(&proxy, &table("registry.test.", "insecure-skip-verify = true"));
    assert!(look(&insecure, HOST).await.unwrap());
    assert!(!plain.lock().unwrap().is_empty());
}
