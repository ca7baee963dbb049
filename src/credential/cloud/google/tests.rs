//! What a file of credentials may say. What Google answers is tried on servers in `tests/cloud`.

use std::sync::Arc;

use super::*;
use crate::client::registry::Registry;
use crate::credential::registry_config::RegistryConfig;

async fn refused(document: &str) -> String {
    let web = Web::new(Registry::new().unwrap(), Arc::new(RegistryConfig::default()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials.json");
    std::fs::write(&path, document).unwrap();
    let variables = Variables { credentials: Some(path), ..Variables::default() };
    let failure = Google::new(variables, web).credential("gcr.io", Timestamp::UNIX_EPOCH).await.unwrap_err();
    failure.detail()
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_without_its_content() {
    let source = r#""credential_source":{"executable":{"command":"canary"}}"#;
    let external = |url: &str, source: &str| {
        format!(
            r#"{{"type":"external_account","audience":"a","subject_token_type":"t","token_url":"{url}",{source}}}"#
        )
    };
    for (document, wrong) in [
        ("canary".to_owned(), NO_DOCUMENT),
        (r#"{"type":"gdch_service_account","canary":1}"#.to_owned(), NO_DOCUMENT),
        (r#"{"type":"service_account","client_email":"e"}"#.to_owned(), NO_DOCUMENT),
        (r#"{"type":"service_account","client_email":"e","private_key":"canary"}"#.to_owned(), NO_KEY),
        (external("http://sts.example/", source), NO_TLS),
        (external("https://sts.example/", source), NO_FILE),
    ] {
        let detail = refused(&document).await;
        assert_eq!(detail, format!("GOOGLE_APPLICATION_CREDENTIALS cannot be used: {wrong}"));
    }
}

#[test]
fn an_address_without_tls_is_of_this_machine() {
    for good in ["https://sts.googleapis.com/v1/token", "http://127.0.0.1:1/", "http://[::1]/"] {
        assert!(trusted(good).is_ok(), "{good}");
    }
    for bad in ["http://sts.googleapis.com/", "http://127.0.0.1.evil.test/", "file:///etc", ""] {
        assert!(trusted(bad).is_err(), "{bad}");
    }
    assert!(trusted(&token_service()).is_ok());
}
