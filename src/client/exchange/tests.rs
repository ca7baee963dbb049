//! The exchange beside a server that answers what a test wants; what a real service answers is in tests/refresh.

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use std::sync::Mutex;
use tokio::net::TcpListener;

use super::*;
use crate::client::exchange::provider::Providers;
use crate::error::{Class, Diagnose as _, chain};
use crate::identity::token::tests::{claims, token};

/// What was asked, as `method path?query`, the authorization and the body.
type Log = Arc<Mutex<Vec<(String, String, String)>>>;

#[derive(Clone)]
struct Service {
    log: Log,
    status: u16,
    body: String,
    delay: Duration,
}

async fn answer(State(service): State<Service>, request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    let authorization =
        request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    service.log.lock().unwrap().push((line, authorization.unwrap_or_default(), body));
    tokio::time::sleep(service.delay).await;
    let status = StatusCode::from_u16(service.status).unwrap();
    (status, [("retry-after", "7"), ("location", "/elsewhere")], service.body).into_response()
}

struct Fake {
    url: String,
    log: Log,
}

async fn serving(status: u16, body: &str) -> Fake {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let log = Log::default();
    let service = Service { log: Arc::clone(&log), status, body: body.to_owned(), delay: Duration::ZERO };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = axum::serve(listener, Router::new().fallback(answer).with_state(service));
    tokio_util::task::TaskTracker::new().spawn(serving.into_future());
    Fake { url, log }
}

fn exchange(toml: &str) -> Exchange {
    let providers = Providers::parse(&format!("[providers.p]\ninsecure = true\n{toml}")).unwrap();
    Exchange::with(providers.named("p").unwrap(), &Clients::default(), &RegistryConfig::default()).unwrap()
}

fn subject() -> IdentityToken {
    IdentityToken::parse(&token(&claims())).unwrap()
}

async fn chainguard(fake: &Fake, style: &str) -> Result<RegistryToken, Error> {
    let toml = format!("kind = \"chainguard\"\nissuer = \"{}\"\nstyle = \"{style}\"", fake.url);
    let asked = Asked { identity: Some("org/a b&c"), audience: "cgr.dev", scope: None };
    exchange(&toml).token(&subject(), &asked, Timestamp::now()).await
}

#[tokio::test]
async fn chainguard_is_asked_by_query_with_the_identity_encoded() {
    let fake = serving(200, r#"{"token":"opaque"}"#).await;
    let token = chainguard(&fake, "query").await.unwrap();
    assert_eq!(token.token.expose(), b"opaque");
    let asked = fake.log.lock().unwrap().clone();
    let line = "POST /sts/exchange?aud=cgr.dev&identity=org%2Fa+b%26c".to_owned();
    assert_eq!(asked, [(line, format!("Bearer {}", subject().reveal()), String::new())]);
}

#[tokio::test]
async fn chainguard_is_asked_by_json_where_the_provider_says_so() {
    let fake = serving(200, r#"{"token":"opaque"}"#).await;
    chainguard(&fake, "json").await.unwrap();
    let (line, _, body) = fake.log.lock().unwrap().remove(0);
    assert_eq!(line, "POST /sts/exchange");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body, json!({"aud": ["cgr.dev"], "identity": "org/a b&c"}));
}

#[tokio::test]
async fn a_generic_service_is_sent_the_form_of_rfc_8693() {
    let fake = serving(200, r#"{"access_token":"opaque","expires_in":60}"#).await;
    let toml = format!(
        "kind = \"rfc8693\"\ntoken-url = \"{}/token\"\nregistries = [\"r\"]\nresource = \"https://r\"",
        fake.url
    );
    let asked = Asked { identity: Some("robot"), audience: "r", scope: Some("pull") };
    let now = Timestamp::now();
    let token = exchange(&toml).token(&subject(), &asked, now).await.unwrap();
    assert_eq!(token.lifetime(), jiff::SignedDuration::from_secs(60));
    let (line, authorization, body) = fake.log.lock().unwrap().remove(0);
    assert_eq!((line.as_str(), authorization.as_str()), ("POST /token", ""));
    let form: Vec<(String, String)> = url::form_urlencoded::parse(body.as_bytes())
        .into_owned()
        .filter(|(k, _)| k != "subject_token")
        .collect();
    let expected = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("audience", "r"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("resource", "https://r"),
        ("scope", "pull"),
        ("identity", "robot"),
    ];
    assert_eq!(form, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
}

#[tokio::test]
async fn each_status_has_its_meaning_and_no_answer_shows_the_token() {
    for (status, label, class) in [
        (400, "exchange_denied", Class::Misconfigured),
        (401, "exchange_denied", Class::Misconfigured),
        (403, "exchange_denied", Class::Misconfigured),
        (404, "exchange_identity", Class::Misconfigured),
        (429, "exchange_throttled", Class::Temporary),
        (500, "exchange_unavailable", Class::Temporary),
        (503, "exchange_unavailable", Class::Temporary),
        (204, "exchange_invalid", Class::Misconfigured),
        (307, "exchange_invalid", Class::Misconfigured),
    ] {
        let echo = format!(r#"{{"message":"bad {}"}}"#, subject().reveal());
        let fake = serving(status, &echo).await;
        let error = chainguard(&fake, "query").await.unwrap_err();
        assert_eq!((error.label(), error.class()), (label, class), "{status}: {error}");
        let text = format!("{} {error:?} {:?}", chain(&error), error.hint());
        assert!(!text.contains("eyJ") && !text.contains("c2lnbmF0dXJl"), "{text}");
        assert_eq!(fake.log.lock().unwrap().len(), 1, "{status}: nothing is followed or repeated");
        let waits = error.retry_after().map(|after| after.as_secs());
        assert_eq!(waits, matches!(status, 429 | 500 | 503).then_some(7), "{status}");
    }
}

#[tokio::test]
async fn a_denial_names_whose_token_was_sent() {
    let fake = serving(403, r#"{"code":7,"message":"subject mismatch"}"#).await;
    let text = chain(&chainguard(&fake, "query").await.unwrap_err());
    for part in ["sub system:serviceaccount:ci:agent", "iss https://issuer.test", "403", "subject mismatch"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let fake = serving(200, &format!(r#"{{"token":"{}"}}"#, "x".repeat(LARGEST_ANSWER))).await;
    let error = chainguard(&fake, "query").await.unwrap_err();
    assert!(chain(&error).contains("larger than 65536 bytes"), "{error:?}");
}

#[tokio::test]
async fn a_host_that_is_away_is_named_and_passes() {
    let fake = Fake { url: "http://127.0.0.1:1".into(), log: Log::default() };
    let error = chainguard(&fake, "query").await.unwrap_err();
    assert_eq!((error.label(), error.class()), ("exchange_unreachable", Class::Temporary));
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}
