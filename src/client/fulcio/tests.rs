//! A Fulcio on a socket that answers what each test wants, and the promises of §9.3 and §9.4 against it.

use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use http::HeaderMap;
use serde_json::{Value, json};

use super::*;
use crate::credential::registry_config::{Proxies, RegistryConfig, Trust};
use crate::error::{Class, Diagnose as _};
use crate::identity::token::tests::{claims, now, token as token_text};
use crate::signature::certificate::tests::{Leaf, NAME, authority, chain};
use crate::signature::entry::made_log::{MadeLog, listed_authority, trusted_root};
use crate::signature::key::Key;

fn transport() -> Transport {
    Transport::new(&RegistryConfig::of_environment(Proxies::none()), Trust::Insecure)
}

fn fulcio_at(address: &str) -> Result<Fulcio, Error> {
    Fulcio::new(&Clients::default(), &transport(), address, false)
}

type Reply = (StatusCode, HeaderMap, String);

/// A server that answers `reply` and looks at the request with `see`.
async fn serving(reply: Reply, see: impl Fn(Value) + Send + Sync + 'static) -> Fulcio {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let see = Arc::new(see);
    let handler = move |body: String| async move {
        see(serde_json::from_str(&body).unwrap());
        reply
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/base/", listener.local_addr().unwrap());
    let routes = Router::new().route("/base/api/v2/signingCert", post(handler));
    #[expect(clippy::disallowed_methods, reason = "the server ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, routes).await });
    fulcio_at(&address).unwrap()
}

fn token() -> IdentityToken {
    IdentityToken::parse(&token_text(&claims())).unwrap()
}

fn answer(kind: &str, certificates: &[String]) -> Reply {
    let body = json!({kind: {"chain": {"certificates": certificates}, "signedCertificateTimestamp": ""}});
    (StatusCode::OK, HeaderMap::new(), body.to_string())
}

async fn asked(fulcio: &Fulcio, key: &Key) -> Result<Certificate, Error> {
    let token = token();
    let proof = key.sign_now(token.claims().challenge().as_bytes()).unwrap();
    fulcio.certificate(&token, key.public_key(), &proof, now()).await
}

async fn refused(status: u16, headers: HeaderMap, body: &str) -> Error {
    let reply = (StatusCode::from_u16(status).unwrap(), headers, body.to_owned());
    let fulcio = serving(reply, |_| {}).await;
    asked(&fulcio, &Key::generate("run").unwrap()).await.unwrap_err()
}

#[tokio::test]
async fn a_certificate_is_asked_for_with_token_key_and_proof() {
    for kind in ["signedCertificateEmbeddedSct", "signedCertificateDetachedSct"] {
        let key = Key::generate("run").unwrap();
        let public = key.public_key().clone();
        let pems = chain(&authority(), &public, &Leaf::default());
        let fulcio = serving(answer(kind, &pems), move |request| {
            use base64::Engine as _;
            assert_eq!(request["credentials"]["oidcIdentityToken"], token().reveal());
            let asked = &request["publicKeyRequest"];
            assert_eq!(asked["publicKey"]["content"], public.to_pem());
            let proof = asked["proofOfPossession"].as_str().unwrap();
            let proof = base64::prelude::BASE64_STANDARD.decode(proof).unwrap();
            assert!(public.verifies(b"system:serviceaccount:ci:agent", &proof));
        })
        .await;
        let certificate = asked(&fulcio, &key).await.unwrap();
        assert_eq!(certificate.names(), [NAME]);
    }
}

/// What a certificate log says of `leaf`, as Fulcio passes it on.
fn detached(log: &MadeLog, leaf: &[u8], at: Timestamp) -> String {
    use base64::Engine as _;
    let base64 = |bytes: &[u8]| base64::prelude::BASE64_STANDARD.encode(bytes);
    let time = u64::try_from(at.as_millisecond()).unwrap();
    let length = u32::try_from(leaf.len()).unwrap().to_be_bytes();
    let message = [&[0, 0][..], &time.to_be_bytes(), &[0, 0], &length[1..], leaf, &[0, 0]].concat();
    let signature = log.sign(&message);
    let size = u16::try_from(signature.len()).unwrap().to_be_bytes();
    // SHA-256 with ECDSA.
    let signature = [&[4, 3][..], &size, &signature].concat();
    let said = json!({"sct_version": 0, "id": base64(&log.id()), "timestamp": time, "extensions": "",
        "signature": base64(&signature)});
    base64(said.to_string().as_bytes())
}

#[tokio::test]
async fn the_word_of_a_certificate_log_beside_the_certificate_counts_as_one_inside_it() {
    let (issuer, key) = (authority(), Key::generate("run").unwrap());
    let (log, strange) = (MadeLog::v1("https://ct.test"), MadeLog::v1("https://other.test"));
    let pems = chain(&issuer, key.public_key(), &Leaf::default());
    let leaf = pem::parse(&pems[0]).unwrap().into_contents();
    let root = trusted_root(&[listed_authority(&[issuer.der().to_vec()])], &[], &[log.listed()], &[]);
    let root = TrustedRoot::read(root.to_string().as_bytes()).unwrap();
    let unlogged = TrustedRoot::of_authorities(&[vec![issuer.der().to_vec()]]).unwrap();
    for (word, refusal) in [
        (detached(&log, &leaf, now()), None),
        (detached(&log, b"another certificate", now()), Some("does not verify")),
        (detached(&strange, &leaf, now()), Some("of unknown logs")),
        (String::new(), Some("holds no signed certificate timestamp")),
    ] {
        let body = json!({"signedCertificateDetachedSct":
            {"chain": {"certificates": pems}, "signedCertificateTimestamp": word}});
        let fulcio = serving((StatusCode::OK, HeaderMap::new(), body.to_string()), |_| {}).await;
        let certificate = asked(&fulcio, &key).await.unwrap();
        let held = fulcio.must_hold(&certificate, &root);
        let said = held.err().map(|error| crate::error::chain(&error));
        assert_eq!(said.is_some(), refusal.is_some(), "{said:?}");
        assert!(refusal.is_none_or(|text| said.unwrap().contains(text)));
        fulcio.must_hold(&certificate, &unlogged).expect("nobody to ask");
    }
}

#[tokio::test]
async fn a_word_that_does_not_decode_is_no_answer() {
    let (issuer, key) = (authority(), Key::generate("run").unwrap());
    let pems = chain(&issuer, key.public_key(), &Leaf::default());
    for word in ["!", "e30=", "bm8="] {
        let body = json!({"signedCertificateDetachedSct":
            {"chain": {"certificates": pems}, "signedCertificateTimestamp": word}});
        let fulcio = serving((StatusCode::OK, HeaderMap::new(), body.to_string()), |_| {}).await;
        assert!(matches!(asked(&fulcio, &key).await, Err(Error::Unexpected { .. })), "{word}");
    }
}

#[tokio::test]
async fn a_certificate_for_somebody_else_is_not_used() {
    let (key, other) = (Key::generate("run").unwrap(), Key::generate("other").unwrap());
    let pems = chain(&authority(), other.public_key(), &Leaf::default());
    let fulcio = serving(answer("signedCertificateEmbeddedSct", &pems), |_| {}).await;
    let error = asked(&fulcio, &key).await.unwrap_err();
    assert!(error.to_string().ends_with("it is for another key than the one that was sent"), "{error}");
    assert_eq!((error.class(), error.label()), (Class::Misconfigured, "fulcio_certificate"));
}

#[tokio::test]
async fn a_refused_token_is_told_by_its_claims_and_never_shown() {
    let text = token().reveal().to_owned();
    let message = format!("There was an error processing the identity token {text}");
    let error = refused(400, HeaderMap::new(), &json!({"code": 3, "message": message}).to_string()).await;
    assert!(matches!(error, Error::TokenRefused { .. }), "{error}");
    let printed = format!("{error} {error:?} {:?}", error.hint());
    for said in
        ["https://issuer.test", "system:serviceaccount:ci:agent", "aud sigstore", "2023-11-14T22:23:20Z"]
    {
        assert!(error.to_string().contains(said), "{error}");
    }
    assert!(!printed.contains("c2lnbmF0dXJl") && !printed.contains("eyJ"), "{printed}");
    assert_eq!(error.class(), Class::Misconfigured);
}

#[tokio::test]
async fn each_answer_has_its_own_meaning() {
    for (status, body, class, label) in [
        (
            400,
            r#"{"message":"The signature supplied in the request could not be verified"}"#,
            Class::Permanent,
            "fulcio_unexpected",
        ),
        (401, "", Class::Misconfigured, "fulcio_token_refused"),
        (404, "no such page", Class::Misconfigured, "fulcio_unexpected"),
        (413, "", Class::Permanent, "fulcio_unexpected"),
        (429, "", Class::Temporary, "fulcio_unavailable"),
        (500, r#"{"message":"error communicating with CA backend"}"#, Class::Temporary, "fulcio_unavailable"),
        (503, "<html>", Class::Temporary, "fulcio_unavailable"),
        (200, "{}", Class::Permanent, "fulcio_unexpected"),
        (302, "", Class::Permanent, "fulcio_unexpected"),
    ] {
        let error = refused(status, HeaderMap::new(), body).await;
        assert_eq!((error.class(), error.label()), (class, label), "{status}: {error}");
    }
}

#[tokio::test]
async fn the_delay_that_fulcio_asks_for_is_passed_on() {
    let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, "7".parse().unwrap())]);
    let error = refused(429, headers, "").await;
    assert_eq!(error.retry_after(), Some(std::time::Duration::from_secs(7)));
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let error = refused(200, HeaderMap::new(), &" ".repeat(LARGEST_ANSWER + 1)).await;
    assert_eq!(error.label(), "fulcio_unreachable");
    assert!(crate::error::chain(&error).contains("larger than"), "{error}");
}

#[tokio::test]
async fn a_fulcio_that_is_away_will_come_back() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let error =
        asked(&fulcio_at("http://127.0.0.1:9").unwrap(), &Key::generate("run").unwrap()).await.unwrap_err();
    assert_eq!(error.class(), Class::Temporary);
    assert_eq!(error.to_string(), "cannot reach Fulcio at 127.0.0.1:9");
}

/// A Fulcio of two pages: what `path` answers to anybody, and the legacy API, or nothing.
async fn with_page(path: &str, page: &'static str, legacy: Option<String>) -> Fulcio {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut routes = Router::new().route(path, axum::routing::get(move || async move { page }));
    if let Some(chain) = legacy {
        let handler = move |headers: HeaderMap, body: String| async move {
            assert_eq!(headers["authorization"], format!("Bearer {}", token().reveal()));
            let request: Value = serde_json::from_str(&body).unwrap();
            assert!(!body.contains(token().reveal()) && request["publicKey"]["algorithm"] == "ecdsa");
            (StatusCode::CREATED, chain)
        };
        routes = routes.route("/api/v1/signingCert", post(handler));
    }
    #[expect(clippy::disallowed_methods, reason = "the server ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, routes).await });
    fulcio_at(&address).unwrap()
}

#[tokio::test]
async fn a_fulcio_of_the_legacy_api_is_asked_by_it_with_the_token_in_the_header() {
    let key = Key::generate("run").unwrap();
    let pems = chain(&authority(), key.public_key(), &Leaf::default());
    let fulcio = with_page("/none", "", Some(pems.concat())).await;
    assert_eq!(asked(&fulcio, &key).await.unwrap().names(), [NAME]);
}

#[tokio::test]
async fn where_there_is_no_fulcio_the_answer_of_the_newer_api_is_told() {
    let fulcio = with_page("/none", "", None).await;
    let error = asked(&fulcio, &Key::generate("run").unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::NoFulcio { .. }), "{error}");
    assert!(error.to_string().contains("404"), "{error}");
}

#[tokio::test]
async fn a_token_whose_issuer_fulcio_does_not_know_is_not_sent() {
    let page = r#"{"issuers":[{"issuerUrl":"https://other.test","audience":"sigstore"}]}"#;
    let fulcio = with_page("/api/v2/configuration", page, Some("must not be asked".into())).await;
    let error = asked(&fulcio, &Key::generate("run").unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::UnknownIssuer { .. }), "{error}");
    assert!(error.to_string().ends_with("configured: https://other.test"), "{error}");
    assert_eq!((error.class(), error.label()), (Class::Misconfigured, "fulcio_token_refused"));
}

#[tokio::test]
async fn an_audience_that_fulcio_does_not_take_is_told_before_the_token_is_sent() {
    let page = r#"{"issuers":[{"issuerUrl":"https://issuer.test","audience":"corp"}]}"#;
    let fulcio = with_page("/api/v2/configuration", page, None).await;
    let error = asked(&fulcio, &Key::generate("run").unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("for audience \"corp\" only"), "{error}");
    assert!(error.hint().unwrap().contains("client-id: sigstore"));
}

#[tokio::test]
async fn a_certificate_of_an_authority_that_the_trust_root_does_not_have_is_not_used() {
    let ours = authority();
    let page: &'static str = json!({"chains": [{"certificates": [ours.pem()]}]}).to_string().leak();
    let fulcio = with_page("/api/v2/trustBundle", page, None).await;
    let key = Key::generate("run").unwrap();
    let certificate = |of| Certificate::read(&chain(of, key.public_key(), &Leaf::default())).unwrap();
    let root = fulcio.trust_root().await.unwrap();
    fulcio.must_hold(&certificate(&ours), &root).unwrap();
    let error = fulcio.must_hold(&certificate(&authority()), &root).unwrap_err();
    assert!(error.to_string().contains("is not used: by the trust root"), "{error}");
    assert!(error.hint().unwrap().contains("signers.x509.trusted-root"));
}
