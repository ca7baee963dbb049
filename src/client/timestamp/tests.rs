//! An authority on a socket that answers what each test wants. Good answers are for the real one to give
//! (tests/keyless): whoever answers has to sign a nonce that was never seen before.

use axum::Router;
use axum::routing::post;
use http::StatusCode;

use super::*;
use crate::client::rekor::tests::{serving, transport};
use crate::error::{Class, Diagnose as _, chain};
use crate::signature::entry::tests::now;
use crate::signature::timestamp::tests::{SIGNED, granted};

async fn asked(status: u16, body: Vec<u8>) -> Error {
    let reply = (StatusCode::from_u16(status).unwrap(), body);
    let address = serving(Router::new().route("/", post(move || async move { reply }))).await;
    let authority = TimestampAuthority::new(&Clients::default(), &transport(), &address, None).unwrap();
    authority.timestamp(SIGNED, now()).await.unwrap_err()
}

#[tokio::test]
async fn an_answer_to_another_request_is_not_used() {
    let error = asked(201, granted().der().to_vec()).await;
    assert_eq!((error.class(), error.label()), (Class::Misconfigured, "log_unproven"));
    assert!(chain(&error).ends_with("it answers another request"), "{}", chain(&error));
}

#[tokio::test]
async fn a_refusal_and_rubbish_are_told_apart() {
    let refusal = chain(&asked(200, vec![0x30, 5, 0x30, 3, 2, 1, 2]).await);
    assert!(refusal.ends_with("the authority refused it with status 2"), "{refusal}");
    let rubbish = chain(&asked(200, b"<html>".to_vec()).await);
    assert!(rubbish.ends_with("it is no answer of a timestamp authority"), "{rubbish}");
}

#[tokio::test]
async fn each_status_has_its_own_meaning() {
    for (status, class, label) in [
        (400, Class::Misconfigured, "log_refused"),
        (404, Class::Misconfigured, "log_address"),
        (500, Class::Temporary, "log_unavailable"),
        (429, Class::Temporary, "log_unavailable"),
    ] {
        let error = asked(status, b"because".to_vec()).await;
        assert_eq!((error.class(), error.label()), (class, label), "{error}");
        assert!(error.to_string().contains("the timestamp authority at localhost"), "{error}");
    }
    let large = asked(200, vec![0x30; LARGEST_ANSWER + 1]).await;
    assert_eq!(large.label(), "log_unreachable");
}

#[test]
fn its_address_is_a_setting_of_its_own() {
    let made = TimestampAuthority::new(&Clients::default(), &transport(), "nonsense", None);
    let Err(error) = made else { panic!("taken") };
    assert_eq!(error.hint().as_deref(), Some("set timestamp.url"));
}
