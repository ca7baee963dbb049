//! Against a token service on loopback that answers what each test tells it to and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};

use super::*;
use crate::error::{Class, Diagnose};

/// What the service was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    method: String,
    path: String,
    query: String,
    authorization: String,
    body: String,
}

impl Seen {
    fn parameters(&self, name: &str) -> Vec<String> {
        let text = if self.body.is_empty() { &self.query } else { &self.body };
        let pairs = url::form_urlencoded::parse(text.as_bytes());
        pairs.filter(|(known, _)| known == name).map(|(_, value)| value.into_owned()).collect()
    }
}

type Reply = (u16, Vec<(&'static str, String)>, String);

struct Service {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _serving: JoinSet<()>,
}

impl Service {
    async fn start(reply: impl Fn(&Seen) -> Reply + Clone + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let app = Router::new().fallback(move |request: Request| async move {
            let seen = read(request).await;
            let (status, headers, body) = reply(&seen);
            log.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        });
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, seen, _serving: serving }
    }

    async fn answering(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::start(move |_| (status, Vec::new(), body.clone())).await
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn registry(&self) -> String {
        self.address.to_string()
    }

    fn bearer(&self, rest: &str) -> Vec<Challenge> {
        challenges(&[&format!(r#"Bearer realm="http://{}/token"{rest}"#, self.address)])
    }

    async fn exchange(&self, credential: &Credential) -> Result<Authorization, TokenError> {
        exchange_with(&self.registry(), &self.bearer(r#",service="svc""#), credential).await
    }
}

async fn read(request: Request) -> Seen {
    let (parts, body) = request.into_parts();
    let authorization = parts.headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        authorization: authorization.unwrap_or_default(),
        body: String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap(),
    }
}

fn challenges(values: &[&str]) -> Vec<Challenge> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(http::header::WWW_AUTHENTICATE, value.parse().unwrap());
    }
    Challenge::parse_all(&headers)
}

fn client() -> reqwest::Client {
    // Another test of this process may have installed it already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tls_certs_only([])
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap()
}

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn push_to(path: &str) -> Scope {
    Scope { path: path.into(), push: true }
}

fn request<'a>(
    registry: &'a str,
    challenges: &'a [Challenge],
    scopes: &'a [Scope],
    credential: &'a Credential,
) -> TokenRequest<'a> {
    TokenRequest {
        challenges,
        registry,
        registry_is_plain_http: true,
        registry_address: None,
        scopes,
        credential,
        password_grant: false,
    }
}

async fn exchange_with(
    registry: &str,
    challenges: &[Challenge],
    credential: &Credential,
) -> Result<Authorization, TokenError> {
    exchange(&|_, _| Ok(client()), &request(registry, challenges, &[push_to("sigs")], credential), now())
        .await
}

fn basic() -> Credential {
    Credential::Basic(Login { username: "user".into(), password: "canary-password".into() })
}

fn identity(fallback: Option<Login>) -> Credential {
    Credential::IdentityToken { token: "canary-identity".into(), fallback }
}

fn sent(authorization: &Authorization) -> &str {
    assert!(authorization.header.is_sensitive());
    authorization.header.to_str().unwrap()
}

fn basic_header(login: &str) -> String {
    format!("Basic {}", STANDARD.encode(login))
}

const TOKEN: &str = r#"{"token":"t"}"#;

#[tokio::test]
async fn row_1_negotiate_then_basic_sends_name_and_password() {
    let challenges = challenges(&["Negotiate", r#"Basic realm="x""#]);
    let authorization = exchange_with("reg.example.com", &challenges, &basic()).await.unwrap();
    assert_eq!(sent(&authorization), basic_header("user:canary-password"));
    assert_eq!((authorization.expires_at, authorization.refresh_at), (None, None));
}

#[tokio::test]
async fn row_2_the_scope_of_the_challenge_comes_first_and_ours_is_added() {
    let service = Service::answering(200, TOKEN).await;
    let challenges = challenges(&[&format!(
        r#"Bearer realm="http://{}/x?kept=1",service="s",scope="repository:a:pull""#,
        service.address
    )]);
    let authorization = exchange_with(&service.registry(), &challenges, &basic()).await.unwrap();
    assert_eq!(sent(&authorization), "Bearer t");
    let seen = service.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].method.as_str(), seen[0].path.as_str()), ("GET", "/x"));
    assert_eq!(seen[0].authorization, basic_header("user:canary-password"));
    for (name, expected) in [
        ("kept", &["1"][..]),
        ("service", &["s"]),
        ("scope", &["repository:a:pull", "repository:sigs:pull,push"]),
        ("account", &["user"]),
        ("client_id", &["hallmark"]),
    ] {
        assert_eq!(seen[0].parameters(name), expected, "{name}");
    }
}

#[tokio::test]
async fn row_3_an_unsafe_realm_is_never_asked() {
    let service = Service::answering(200, TOKEN).await;
    let inner = format!("https://{}/token", service.address);
    for realm in ["http://169.254.169.254/latest/meta-data/", "https://[fd00:ec2::254]/", &inner] {
        let challenges = challenges(&[&format!(r#"Bearer realm="{realm}""#)]);
        let credential = basic();
        let scopes = [push_to("sigs")];
        let mut request = request("reg.example.com", &challenges, &scopes, &credential);
        request.registry_is_plain_http = false;
        let error = exchange(&|_, _| Ok(client()), &request, now()).await.unwrap_err();
        assert_eq!(error.code(), "UnsafeRealm", "{realm}");
    }
    assert_eq!(service.seen(), []);
}

#[tokio::test]
async fn row_5_a_token_without_expires_in_is_refreshed_before_a_minute_is_over() {
    let service = Service::answering(200, TOKEN).await;
    let authorization = service.exchange(&basic()).await.unwrap();
    let seconds = |at: Option<Timestamp>| at.unwrap().duration_since(now()).as_secs();
    assert_eq!((seconds(authorization.expires_at), seconds(authorization.refresh_at)), (60, 50));
}

#[tokio::test]
async fn row_6_the_access_token_is_sent() {
    let service = Service::answering(200, r#"{"access_token":"A","token":"B"}"#).await;
    assert_eq!(sent(&service.exchange(&basic()).await.unwrap()), "Bearer A");
}

#[tokio::test]
async fn row_7_an_identity_token_falls_back_to_basic_once_and_is_then_rejected() {
    let service = Service::start(|seen| match seen.method.as_str() {
        "POST" => (404, Vec::new(), String::new()),
        _ => (401, Vec::new(), "no".into()),
    })
    .await;
    let error = service.exchange(&identity(None)).await.unwrap_err();
    assert_eq!((error.code(), error.outcome()), ("Rejected401", crate::credential::Outcome::Rejected));
    let seen = service.seen();
    assert_eq!(seen.iter().map(|seen| seen.method.as_str()).collect::<Vec<_>>(), ["POST", "GET"]);
    assert_eq!(seen[1].authorization, basic_header("<token>:canary-identity"));
    assert_eq!(seen[1].parameters("account"), [""; 0]);
}

#[tokio::test]
async fn row_8_a_slow_down_keeps_the_credential_and_says_how_long() {
    let service = Service::start({
        let answered = Arc::new(Mutex::new(0));
        move |_| {
            let mut answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
            *answered += 1;
            if *answered <= 2 {
                (429, vec![("retry-after", "2".into())], String::new())
            } else {
                (200, Vec::new(), TOKEN.into())
            }
        }
    })
    .await;
    for _ in 0..2 {
        let error = service.exchange(&basic()).await.unwrap_err();
        assert_eq!(error.code(), "RateLimited");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(2)));
        assert!(!error.is_about_the_credential());
        assert_eq!(error.hint(), None);
    }
    assert_eq!(sent(&service.exchange(&basic()).await.unwrap()), "Bearer t");
}

#[tokio::test]
async fn anonymous_that_is_slowed_down_is_told_to_authenticate() {
    let service = Service::answering(429, "").await;
    let error = service.exchange(&Credential::Anonymous).await.unwrap_err();
    assert_eq!(error.hint().as_deref(), Some("authenticate to raise the limit"));
    assert_eq!(error.retry_after(), None);
}

#[tokio::test]
async fn row_10_without_any_challenge_basic_is_tried_if_there_is_something_to_try() {
    let authorization = exchange_with("reg.example.com", &[], &basic()).await.unwrap();
    assert_eq!(sent(&authorization), basic_header("user:canary-password"));
    let unusable = challenges(&["Negotiate", "Bearer service=\"x\""]);
    let error = exchange_with("reg.example.com", &unusable, &Credential::Anonymous).await.unwrap_err();
    assert_eq!(error.code(), "NoChallenge");
}

#[tokio::test]
async fn row_12_a_token_response_may_have_64_kib_and_no_byte_more() {
    let padded = |size: usize| format!("{TOKEN}{}", " ".repeat(size - TOKEN.len()));
    let largest = Service::answering(200, &padded(64 * 1024)).await;
    assert!(largest.exchange(&basic()).await.is_ok());
    let larger = Service::answering(200, &padded(64 * 1024 + 1)).await;
    assert_eq!(larger.exchange(&basic()).await.unwrap_err().code(), "MalformedTokenResponse");
    let refused = Service::answering(429, &padded(64 * 1024 + 1)).await;
    assert_eq!(
        refused.exchange(&basic()).await.unwrap_err().code(),
        "RateLimited",
        "a long refusal is still one"
    );
}

#[tokio::test]
async fn anonymous_fetches_a_token_without_authorization_and_service_is_left_out_when_absent() {
    let service = Service::answering(200, TOKEN).await;
    let challenges = service.bearer("");
    exchange_with(&service.registry(), &challenges, &Credential::Anonymous).await.unwrap();
    let seen = &service.seen()[0];
    assert_eq!(seen.authorization, "");
    assert_eq!(seen.query, "scope=repository%3Asigs%3Apull%2Cpush&client_id=hallmark");
}

#[tokio::test]
async fn an_identity_token_is_exchanged_by_post_and_its_successor_handed_on() {
    let service =
        Service::answering(200, r#"{"access_token":"a","refresh_token":"next","expires_in":3600}"#).await;
    let challenges = service.bearer(r#",service="svc",scope="repository:a:pull""#);
    let authorization = exchange_with(&service.registry(), &challenges, &identity(None)).await.unwrap();
    assert_eq!(sent(&authorization), "Bearer a");
    assert_eq!(authorization.identity_token, Some(Redacted::from("next")));
    let seen = service.seen();
    assert_eq!((seen.len(), seen[0].method.as_str(), seen[0].authorization.as_str()), (1, "POST", ""));
    for (name, expected) in [
        ("grant_type", "refresh_token"),
        ("refresh_token", "canary-identity"),
        ("service", "svc"),
        ("scope", "repository:a:pull repository:sigs:pull,push"),
        ("client_id", "hallmark"),
    ] {
        assert_eq!(seen[0].parameters(name), [expected], "{name}");
    }
}

#[tokio::test]
async fn every_way_to_say_no_oauth_leads_to_the_fallback_login() {
    let unsupported = r#"{"error":"unsupported_grant_type"}"#;
    for (status, body) in [(404, ""), (405, ""), (400, unsupported)] {
        let service = Service::start(move |seen| match seen.method.as_str() {
            "POST" => (status, Vec::new(), body.to_owned()),
            _ => (200, Vec::new(), TOKEN.into()),
        })
        .await;
        let login = Login { username: "user".into(), password: "canary-password".into() };
        service.exchange(&identity(Some(login))).await.unwrap();
        assert_eq!(service.seen()[1].authorization, basic_header("user:canary-password"), "{status}");
    }
}

#[tokio::test]
async fn an_identity_token_that_is_refused_is_not_tried_again_as_a_password() {
    for (status, body) in [(401, ""), (400, r#"{"error":"invalid_grant"}"#)] {
        let service = Service::answering(status, body).await;
        assert_eq!(service.exchange(&identity(None)).await.unwrap_err().code(), "Rejected401");
        assert_eq!(service.seen().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn the_password_grant_needs_a_setting_and_a_refused_get() {
    let service = Service::start(|seen| match seen.method.as_str() {
        "POST" => (200, Vec::new(), TOKEN.into()),
        _ => (401, Vec::new(), String::new()),
    })
    .await;
    assert_eq!(service.exchange(&basic()).await.unwrap_err().code(), "Rejected401");
    let (registry, challenges, scopes, credential) =
        (service.registry(), service.bearer(""), [push_to("sigs")], basic());
    let mut request = request(&registry, &challenges, &scopes, &credential);
    request.password_grant = true;
    exchange(&|_, _| Ok(client()), &request, now()).await.unwrap();
    let seen = service.seen();
    assert_eq!(seen.len(), 3);
    for (name, expected) in
        [("grant_type", "password"), ("username", "user"), ("password", "canary-password")]
    {
        assert_eq!(seen[2].parameters(name), [expected], "{name}");
    }
}

#[tokio::test]
async fn a_registry_token_is_sent_as_it_is_until_it_expires() {
    let jwt = |seconds: i64| {
        let claims = format!(r#"{{"exp":{}}}"#, now().as_second() + seconds);
        format!("e30.{}.canary", URL_SAFE_NO_PAD.encode(claims))
    };
    let challenges = challenges(&[r#"Bearer realm="https://never.asked.example/""#]);
    for token in ["canary-opaque".to_owned(), "canary-opaque\n".to_owned(), jwt(60)] {
        let credential = Credential::RegistryToken(token.as_str().into());
        let authorization = exchange_with("reg.example.com", &challenges, &credential).await.unwrap();
        assert_eq!(sent(&authorization), format!("Bearer {}", token.trim()));
    }
    let expired = Credential::RegistryToken(jwt(0).as_str().into());
    assert_eq!(exchange_with("reg.example.com", &challenges, &expired).await.unwrap_err().code(), "expired");
    let unfit = Credential::RegistryToken("two\nlines".into());
    assert_eq!(exchange_with("reg.example.com", &challenges, &unfit).await.unwrap_err().code(), "skipped");
}

#[tokio::test]
async fn each_status_has_its_outcome_class_and_host() {
    for (status, code, class, away) in [
        (401, "Rejected401", Class::Misconfigured, false),
        (403, "Denied403", Class::Misconfigured, false),
        (404, "UnexpectedStatus", Class::Misconfigured, false),
        (429, "RateLimited", Class::Temporary, false),
        (408, "Unavailable", Class::Temporary, true),
        (500, "Unavailable", Class::Temporary, true),
        (503, "Unavailable", Class::Temporary, true),
        (304, "UnexpectedStatus", Class::Misconfigured, false),
    ] {
        let service = Service::answering(status, "").await;
        let error = service.exchange(&basic()).await.unwrap_err();
        assert_eq!((error.code(), error.class()), (code, class), "{status}");
        assert_eq!(error.host_away(), away.then_some(service.registry().as_str()), "{status}");
    }
}

#[tokio::test]
async fn answers_without_token_or_json_are_told_apart() {
    for (body, code) in [
        ("{}", "NoTokenInResponse"),
        ("<html>", "MalformedTokenResponse"),
        (r#"{"token":"a\nb"}"#, "MalformedTokenResponse"),
    ] {
        let service = Service::answering(200, body).await;
        assert_eq!(service.exchange(&basic()).await.unwrap_err().code(), code, "{body}");
    }
}

#[tokio::test]
async fn no_error_repeats_a_secret_that_the_service_echoes() {
    let service = Service::start(|seen| {
        let filler = "x".repeat(500);
        (401, Vec::new(), format!("{} canary-password {} {filler}", seen.authorization, seen.body))
    })
    .await;
    let login = Login { username: "user".into(), password: "canary-password".into() };
    for credential in [basic(), identity(Some(login))] {
        let error = service.exchange(&credential).await.unwrap_err();
        let text = format!("{error} {error:?} {:?}", error.hint());
        assert!(
            !text.contains("canary") && !text.contains(&STANDARD.encode("user:canary-password")),
            "{text}"
        );
        assert!(text.contains("[redacted]") && error.to_string().len() < 400, "{text}");
    }
}

#[tokio::test]
async fn a_redirect_within_the_realm_keeps_the_credential_and_one_to_elsewhere_loses_it() {
    let elsewhere = Service::answering(200, TOKEN).await;
    let other = format!("http://{}/elsewhere", elsewhere.address);
    let service = Service::start(move |seen| match seen.path.as_str() {
        "/token" => (307, vec![("location", "/second".into())], String::new()),
        "/second" => (302, vec![("location", other.clone())], String::new()),
        _ => (500, Vec::new(), String::new()),
    })
    .await;
    service.exchange(&basic()).await.unwrap();
    let paths: Vec<(String, bool)> =
        service.seen().into_iter().map(|seen| (seen.path, seen.authorization.is_empty())).collect();
    assert_eq!(paths, [("/token".to_owned(), false), ("/second".to_owned(), false)]);
    assert_eq!(elsewhere.seen()[0].authorization, "");
}

#[tokio::test]
async fn an_identity_token_never_leaves_for_another_host_by_a_redirect() {
    let elsewhere = Service::answering(200, TOKEN).await;
    let other = format!("http://{}/elsewhere", elsewhere.address);
    let service = Service::start(move |_| (307, vec![("location", other.clone())], String::new())).await;
    assert_eq!(service.exchange(&identity(None)).await.unwrap_err().code(), "UnsafeRealm");
    assert_eq!(elsewhere.seen(), []);
}

#[tokio::test]
async fn a_redirect_to_a_metadata_address_is_refused() {
    let service =
        Service::start(|_| (302, vec![("location", "http://169.254.169.254/".into())], String::new())).await;
    assert_eq!(service.exchange(&basic()).await.unwrap_err().code(), "UnsafeRealm");
}

#[tokio::test]
async fn the_eleventh_redirect_is_not_followed() {
    let hops = |most: usize| {
        Service::start(move |seen| {
            let hop: usize = seen.path.trim_start_matches("/hop").parse().unwrap_or(0);
            if hop == most {
                (200, Vec::new(), TOKEN.into())
            } else {
                (302, vec![("location", format!("/hop{}", hop + 1))], String::new())
            }
        })
    };
    assert!(hops(10).await.exchange(&basic()).await.is_ok());
    let service = hops(11).await;
    assert_eq!(service.exchange(&basic()).await.unwrap_err().code(), "UnsafeRealm");
    assert_eq!(service.seen().len(), 11);
}

#[tokio::test]
async fn more_rights_than_pulling_and_pushing_are_never_asked_for() {
    let service = Service::answering(200, TOKEN).await;
    let challenges = service.bearer(
        r#",scope="repository:a:* repository:b:pull,delete registry:catalog:* repository:sigs:pull,push""#,
    );
    exchange_with(&service.registry(), &challenges, &basic()).await.unwrap();
    assert_eq!(service.seen()[0].parameters("scope"), ["registry:catalog:*", "repository:sigs:pull,push"]);
}

#[tokio::test]
async fn a_service_that_is_away_and_one_that_speaks_no_tls_are_told_apart() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let away = challenges(&[&format!(r#"Bearer realm="http://{free}/token?x=canary""#)]);
    let error = exchange_with(&free.to_string(), &away, &basic()).await.unwrap_err();
    assert_eq!((error.code(), error.host_away()), ("Unavailable", Some(free.to_string().as_str())));
    assert!(std::error::Error::source(&error).is_some() && !format!("{error:?}").contains("canary"));

    let plain = Service::answering(200, TOKEN).await;
    let tls = challenges(&[&format!(r#"Bearer realm="https://{}/token""#, plain.address)]);
    let error = exchange_with(&plain.registry(), &tls, &basic()).await.unwrap_err();
    assert_eq!((error.code(), error.host_away()), ("Transport", None));
}

#[tokio::test]
async fn basic_without_a_credential_is_a_rejection() {
    let challenges = challenges(&["Basic realm=\"x\""]);
    let error = exchange_with("reg.example.com", &challenges, &Credential::Anonymous).await.unwrap_err();
    assert_eq!(error.code(), "Rejected401");
}

#[test]
fn a_scope_is_spelled_as_registries_expect() {
    assert_eq!(push_to("library/ubuntu").to_string(), "repository:library/ubuntu:pull,push");
    assert_eq!(Scope { path: "a".into(), push: false }.to_string(), "repository:a:pull");
}

#[test]
fn nothing_about_a_request_or_an_authorization_prints_a_secret() {
    let credential = basic();
    let authorization = name_and_password(&request("r", &[], &[], &credential), true).unwrap();
    let text = format!("{:?} {authorization:?}", request("r", &[], &[], &credential));
    assert!(!text.contains("canary") && !text.contains(&STANDARD.encode("user:canary-password")), "{text}");
}

#[tokio::test]
async fn an_identity_token_answers_a_basic_challenge_with_what_it_has() {
    let challenges = challenges(&["Basic realm=\"x\""]);
    let login = Login { username: "user".into(), password: "canary-password".into() };
    for (credential, expected) in
        [(identity(Some(login)), "user:canary-password"), (identity(None), "<token>:canary-identity")]
    {
        let authorization = exchange_with("reg.example.com", &challenges, &credential).await.unwrap();
        assert_eq!(sent(&authorization), basic_header(expected));
    }
}

#[tokio::test]
async fn a_password_is_sent_byte_for_byte_whatever_the_bytes_are() {
    for password in [&b"p:a"[..], b"\xff\xfe", b"{\n  \"client_email\": \"a@b\"\n}\n", b" blank "] {
        let login = Login { username: "_json_key".into(), password: Redacted::from(password) };
        let service = Service::answering(200, TOKEN).await;
        service.exchange(&Credential::Basic(login)).await.unwrap();
        let expected = [b"_json_key:", password].concat();
        assert_eq!(service.seen()[0].authorization, format!("Basic {}", STANDARD.encode(expected)));
    }
}

#[tokio::test]
async fn a_mount_asks_for_the_target_first_and_for_the_source_to_read() {
    let service = Service::answering(200, TOKEN).await;
    let (registry, challenges, credential) = (service.registry(), service.bearer(""), basic());
    let scopes = [push_to("sigs"), Scope { path: "a".into(), push: false }];
    exchange(&|_, _| Ok(client()), &request(&registry, &challenges, &scopes, &credential), now())
        .await
        .unwrap();
    let expected = ["repository:sigs:pull,push", "repository:a:pull"];
    assert_eq!(service.seen()[0].parameters("scope"), expected);
}

#[tokio::test]
async fn without_scopes_none_is_asked_for() {
    let service = Service::answering(200, TOKEN).await;
    let (registry, challenges) = (service.registry(), service.bearer(""));
    for credential in [basic(), identity(None)] {
        exchange(&|_, _| Ok(client()), &request(&registry, &challenges, &[], &credential), now())
            .await
            .unwrap();
    }
    assert!(service.seen().iter().all(|seen| seen.parameters("scope").is_empty()));
}

#[tokio::test]
async fn a_registry_behind_a_name_may_use_a_realm_in_the_network_where_it_was_reached() {
    let service = Service::answering(200, TOKEN).await;
    let (challenges, scopes, credential) = (service.bearer(""), [push_to("sigs")], basic());
    let mut request = request("registry.internal", &challenges, &scopes, &credential);
    assert_eq!(exchange(&|_, _| Ok(client()), &request, now()).await.unwrap_err().code(), "UnsafeRealm");
    request.registry_address = Some(service.address.ip());
    assert!(exchange(&|_, _| Ok(client()), &request, now()).await.is_ok());
    assert_eq!(service.seen().len(), 1);
}

#[tokio::test]
async fn the_token_of_one_tenant_is_never_given_to_another() {
    const TENANTS: usize = 64;
    let service = Service::start(|seen| {
        let (account, scope) = (seen.parameters("account").concat(), seen.parameters("scope").concat());
        let expected = basic_header(&format!("{account}:password-of-{account}"));
        let rightful = seen.authorization == expected && scope == format!("repository:{account}:pull,push");
        if rightful {
            (200, Vec::new(), format!(r#"{{"token":"for-{account}"}}"#))
        } else {
            (401, Vec::new(), String::new())
        }
    })
    .await;
    let (http, registry, challenges) = (client(), service.registry(), service.bearer(""));
    let mut exchanges = JoinSet::new();
    for tenant in 0..TENANTS {
        let (http, registry, challenges) = (http.clone(), registry.clone(), challenges.clone());
        exchanges.spawn(async move {
            let name = format!("tenant-{tenant}");
            let password = format!("password-of-{name}");
            let credential =
                Credential::Basic(Login { username: name.clone(), password: password.as_str().into() });
            let scopes = [push_to(&name)];
            let authorization = exchange(
                &|_, _| Ok(http.clone()),
                &request(&registry, &challenges, &scopes, &credential),
                now(),
            )
            .await
            .unwrap();
            assert_eq!(sent(&authorization), format!("Bearer for-{name}"));
        });
    }
    assert_eq!(exchanges.join_all().await.len(), TENANTS);
    assert_eq!(service.seen().len(), TENANTS);
}

#[tokio::test]
async fn a_service_that_breaks_off_in_the_middle_is_away() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry = listener.local_addr().unwrap().to_string();
    let challenges = challenges(&[&format!(r#"Bearer realm="http://{registry}/token""#)]);
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0, "there is a request");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"token\":").await.unwrap();
    });
    let error = exchange_with(&registry, &challenges, &basic()).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("Unavailable", Class::Temporary));
}

#[tokio::test]
async fn a_redirect_without_a_location_is_no_token() {
    let service = Service::answering(302, TOKEN).await;
    assert_eq!(service.exchange(&basic()).await.unwrap_err().code(), "UnexpectedStatus");
}
