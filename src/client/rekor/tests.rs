//! Logs on a socket that answer what each test wants.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::*;
use crate::credential::registry_config::{Proxies, RegistryConfig, Trust};
use crate::error::{Class, Diagnose as _};
use crate::signature::covered::{Covered, SignedBy};
use crate::signature::entry::made_log::{MadeLog, trusted_root};
use crate::signature::entry::tests::{ENVELOPE, PAYLOAD, SECONDS, now, signed};
use crate::signature::key::Key;

pub(crate) type Reply = (StatusCode, HeaderMap, String);

pub(crate) fn transport() -> Transport {
    Transport::new(&RegistryConfig::of_environment(Proxies::none()), Trust::Insecure)
}

/// Serves `routes`, at an address with a path.
pub(crate) async fn serving(routes: Router) -> String {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://localhost:{}/base/", listener.local_addr().unwrap().port());
    #[expect(clippy::disallowed_methods, reason = "the server ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, Router::new().nest("/base", routes)).await });
    address
}

/// A log that works, and whether it has what it is sent already.
async fn log(version: Version, known: bool) -> (String, Arc<Mutex<MadeLog>>) {
    let made = match version {
        Version::V1 => MadeLog::v1("http://localhost"),
        Version::V2 => MadeLog::v2("http://localhost"),
    };
    let (made, kept) = (Arc::new(Mutex::new(made)), Arc::new(Mutex::new(Value::Null)));
    let (log, entry) = (Arc::clone(&made), Arc::clone(&kept));
    let add = move |body: String| async move {
        let (proposal, mut log) = (serde_json::from_str(&body).unwrap(), log.lock().unwrap());
        let mut answer = match version {
            Version::V1 => log.answer_v1(&proposal, SECONDS),
            Version::V2 => log.answer_v2(&proposal),
        };
        if !known {
            return (StatusCode::CREATED, answer.to_string());
        }
        let id = answer.as_object().unwrap().keys().next().unwrap().clone();
        answer["id"] = id.clone().into();
        *entry.lock().unwrap() = answer;
        let message = format!("an equivalent entry already exists in the transparency log with UUID {id}");
        (StatusCode::CONFLICT, serde_json::json!({ "code": 409, "message": message }).to_string())
    };
    let existing = move |Path(id): Path<String>| async move {
        let kept = kept.lock().unwrap();
        assert_eq!(kept["id"], id);
        serde_json::json!({ &id: kept[&id] }).to_string()
    };
    let key = made.lock().unwrap().key_pem();
    let routes = Router::new()
        .route("/api/v1/log/entries", post(add.clone()))
        .route("/api/v2/log/entries", post(add))
        .route("/api/v1/log/entries/{id}", get(existing))
        .route("/api/v1/log/publicKey", get(|| async move { key }));
    (serving(routes).await, made)
}

fn rekor(address: &str, version: Version, root: Option<&MadeLog>) -> Rekor {
    let root = root.map(|log| {
        let json = trusted_root(&[], &[log.listed()], &[], &[]).to_string();
        Arc::new(TrustedRoot::read(json.as_bytes()).unwrap())
    });
    Rekor::new(&Clients::default(), &transport(), address, version, root).unwrap()
}

async fn recorded(rekor: &Rekor, covered: Covered<'_>) -> Result<Entry, Error> {
    let key = Key::generate("k").unwrap();
    let bytes = signed(&key, covered).await;
    let signature = Signature { covered, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
    rekor.entry(&signature, now()).await
}

#[tokio::test]
async fn signatures_over_bytes_and_over_envelopes_are_recorded_in_both_versions() {
    for version in [Version::V1, Version::V2] {
        for covered in [PAYLOAD, ENVELOPE] {
            let (address, made) = log(version, false).await;
            for root in [Some(&made), None] {
                let rekor = {
                    let made = root.map(|made| made.lock().unwrap());
                    rekor(&address, version, made.as_deref())
                };
                let entry = recorded(&rekor, covered).await.unwrap();
                assert_eq!(entry.version(), version);
                assert_eq!(rekor.warning().is_none(), root.is_some());
                assert!(entry.address(rekor.url()).starts_with(address.trim_end_matches('/')));
            }
        }
    }
}

#[tokio::test]
async fn a_signature_that_a_log_of_version_1_has_already_gets_the_entry_that_exists() {
    let (address, _) = log(Version::V1, true).await;
    let entry = recorded(&rekor(&address, Version::V1, None), ENVELOPE).await.unwrap();
    assert_eq!(entry.index(), 1002);
}

#[tokio::test]
async fn an_entry_that_the_trust_root_does_not_bear_out_is_not_used() {
    for version in [Version::V1, Version::V2] {
        let (address, _) = log(version, false).await;
        let stranger = MadeLog::v1("http://localhost");
        let error = recorded(&rekor(&address, version, Some(&stranger)), PAYLOAD).await.unwrap_err();
        assert_eq!((error.class(), error.label()), (Class::Misconfigured, "log_unproven"), "{error}");
        assert!(error.hint().unwrap().contains("trust root"));
    }
}

/// What comes of an answer to the first request.
async fn refused(version: Version, reply: Reply) -> Error {
    let handler = move || async move { reply };
    let routes = Router::new()
        .route("/api/v1/log/entries", post(handler.clone()))
        .route("/api/v2/log/entries", post(handler));
    let address = serving(routes).await;
    recorded(&rekor(&address, version, None), PAYLOAD).await.unwrap_err()
}

#[tokio::test]
async fn each_answer_has_its_own_meaning() {
    for version in [Version::V1, Version::V2] {
        for (status, class, label) in [
            (400, Class::Misconfigured, "log_refused"),
            (302, Class::Misconfigured, "log_address"),
            (403, Class::Misconfigured, "log_refused"),
            (404, Class::Misconfigured, "log_address"),
            (501, Class::Misconfigured, "log_address"),
            (413, Class::Misconfigured, "log_refused"),
            (418, Class::Misconfigured, "log_unexpected"),
            (429, Class::Temporary, "log_unavailable"),
            (500, Class::Temporary, "log_unavailable"),
            (503, Class::Temporary, "log_unavailable"),
            (200, Class::Misconfigured, "log_unexpected"),
        ] {
            let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, "7".parse().unwrap())]);
            let body = r#"{"code":1,"message":"because\nof"}"#.to_owned();
            let reply = (StatusCode::from_u16(status).unwrap(), headers, body);
            let error = refused(version, reply).await;
            assert_eq!((error.class(), error.label()), (class, label), "{status}: {error}");
            let told = error.to_string();
            assert!(status == 200 || told.contains(&format!("{status} because of")), "{told}");
            let wait = (class == Class::Temporary).then(|| std::time::Duration::from_secs(7));
            assert_eq!(error.retry_after(), wait);
        }
    }
}

#[tokio::test]
async fn a_conflict_without_an_entry_is_told() {
    let conflict = || (StatusCode::CONFLICT, HeaderMap::new(), r#"{"message":"no"}"#.to_owned());
    assert_eq!(refused(Version::V1, conflict()).await.label(), "log_unexpected");
    let error = refused(Version::V2, conflict()).await;
    assert_eq!((error.class(), error.label()), (Class::Temporary, "log_duplicate"));
}

#[tokio::test]
async fn an_answer_without_end_is_not_read() {
    let reply = (StatusCode::CREATED, HeaderMap::new(), "x".repeat(LARGEST_ANSWER + 1));
    let error = refused(Version::V1, reply).await;
    assert_eq!((error.class(), error.label()), (Class::Temporary, "log_unreachable"));
    assert!(crate::error::chain(&error).contains("larger than"), "{error:?}");
}

#[tokio::test]
async fn nobody_at_the_address_is_waited_for() {
    let error = recorded(&rekor("http://127.0.0.1:1", Version::V1, None), PAYLOAD).await.unwrap_err();
    assert_eq!((error.class(), error.label()), (Class::Temporary, "log_unreachable"));
    assert!(error.to_string().contains("Rekor at 127.0.0.1:1"), "{error}");
}

#[test]
fn addresses_that_are_none_are_refused_without_being_shown() {
    for address in ["", "rekor", "ftp://rekor", "https://user:canary@rekor", "http://169.254.169.254"] {
        let made = Rekor::new(&Clients::default(), &transport(), address, Version::V1, None);
        let Err(error) = made else { panic!("{address} is taken") };
        assert_eq!((error.class(), error.label()), (Class::Misconfigured, "log_address"), "{address}");
        assert!(!format!("{error} {error:?}").contains("canary"));
        assert_eq!(error.hint().as_deref(), Some("set transparency.url"));
    }
}
