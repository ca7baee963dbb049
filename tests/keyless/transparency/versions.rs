//! Logs of version 1, and what both versions say of a signature that they have already.

use std::sync::Arc;

use hallmark::artifact::digest::Digest;
use hallmark::client::http::Clients;
use hallmark::client::rekor::Rekor;
use hallmark::error::{Class, Diagnose as _};
use hallmark::signature::bundle::{self, IMAGE_PREDICATE, STATEMENT};
use hallmark::signature::covered::{Covered, Signature, SignedBy};
use hallmark::signature::entry::Version;
use hallmark::signature::log::{Evidence, Log as _};
use hallmark::signature::trusted_root::TrustedRoot;
use jiff::Timestamp;

use super::{Services, generated, signed, statement, transport};
use crate::support::{Expected, MadeLog, OfflineCosign, RekorV1};

/// Starts a log of the test's own; gives its address and its key. Trust roots know it as `http://rekor.test`.
pub(super) async fn made_log_v1() -> (String, String) {
    let made = Arc::new(std::sync::Mutex::new(MadeLog::v1("http://rekor.test")));
    let key = made.lock().unwrap().key_pem();
    let add = move |body: String| async move {
        let (proposal, now) = (serde_json::from_str(&body).unwrap(), Timestamp::now().as_second());
        (http::StatusCode::CREATED, made.lock().unwrap().answer_v1(&proposal, now).to_string())
    };
    let shown = key.clone();
    let routes = axum::Router::new()
        .route("/api/v1/log/entries", axum::routing::post(add))
        .route("/api/v1/log/publicKey", axum::routing::get(|| async move { shown }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "the server ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, key)
}

/// The forms of version 1, whose real server needs a database: a log of the test's own, and cosign as the judge of what
/// the client sends, of what the log answers, and of what is written.
#[tokio::test]
async fn entries_of_version_1_are_accepted_by_cosign_in_a_bundle() {
    let (url, key) = made_log_v1().await;

    let (folder, cosign) = (tempfile::tempdir().unwrap(), OfflineCosign::new());
    let file = folder.path().join("log.pub");
    std::fs::write(&file, key).unwrap();
    let listed =
        format!("url=http://rekor.test,public-key={},start-time=2024-01-01T00:00:00Z", file.display());
    let root = cosign.trusted_root(&[("rekor", listed)]).await;
    for kind in [
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"][..],
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    ] {
        let (key, public) = generated(folder.path(), kind);
        let rekor = Rekor::new(&Clients::default(), &transport(), &url, Version::V1, None).unwrap();
        let digest = Digest::of(b"an image manifest");
        let statement = statement(&digest);
        for covered in
            [Covered::Envelope { payload_type: STATEMENT, payload: &statement }, Covered::Payload(b"bytes")]
        {
            let bytes = signed(&key, covered);
            let signature = Signature { covered, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
            let mut evidence = Evidence::default();
            evidence.add(rekor.record(&signature, Timestamp::now()).await.unwrap());
            let json = bundle::write(&signature, &evidence).unwrap();
            let expected = Expected::Key(&public);
            let judged = match covered {
                Covered::Payload(_) => cosign.verify_blob(&json, &root, &expected, b"bytes").await,
                Covered::Envelope { .. } => {
                    let hex = digest.hex();
                    cosign.verify_attestation(&json, &root, &expected, &hex, IMAGE_PREDICATE).await
                }
            };
            judged.succeeded();
        }
    }
}

#[tokio::test]
async fn a_signature_that_a_log_of_version_2_has_already_is_told_as_such() {
    let services = Services::start(None).await;
    let folder = tempfile::tempdir().unwrap();
    let (key, _) = generated(folder.path(), &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let covered = Covered::Payload(b"the same each time");
    let bytes = signed(&key, covered);
    let signature = Signature { covered, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
    let log = services.log();
    log.record(&signature, Timestamp::now()).await.unwrap();
    let again = log.record(&signature, Timestamp::now()).await.unwrap_err();
    assert_eq!((again.class(), again.label()), (Class::Temporary, "log_duplicate"), "{again}");
}

#[tokio::test]
#[ignore = "needs hack/install rekor-v1; run by hack/test rekor-v1"]
async fn a_real_rekor_v1_gives_the_entry_that_it_has_for_a_signature_that_it_saw_before() {
    let (rekor, cosign, folder) =
        (RekorV1::start().await, OfflineCosign::new(), tempfile::tempdir().unwrap());
    let listed =
        format!("url={},public-key={},start-time=2024-01-01T00:00:00Z", rekor.url, rekor.key.display());
    let file = cosign.trusted_root(&[("rekor", listed)]).await;
    let root = Arc::new(TrustedRoot::read(&std::fs::read(&file).unwrap()).unwrap());
    // RSA signs the same way each time: what is sent twice is the same entry, and answered 409.
    let (key, public) = generated(folder.path(), &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let log = Rekor::new(&Clients::default(), &transport(), &rekor.url, Version::V1, Some(Arc::clone(&root)));
    let log = log.unwrap();
    let digest = Digest::of(b"an image manifest");
    let statement = statement(&digest);
    for covered in
        [Covered::Payload(b"bytes"), Covered::Envelope { payload_type: STATEMENT, payload: &statement }]
    {
        let bytes = signed(&key, covered);
        let signature = Signature { covered, bytes: &bytes, by: SignedBy::Key(key.public_key()) };
        let first = log.entry(&signature, Timestamp::now()).await.unwrap();
        let again = log.entry(&signature, Timestamp::now()).await.unwrap();
        assert_eq!(first.index(), again.index());
        again.verify(root.logs(), &signature, Timestamp::now()).unwrap();
        let mut evidence = Evidence::default();
        evidence.add(log.record(&signature, Timestamp::now()).await.unwrap());
        let json = bundle::write(&signature, &evidence).unwrap();
        let expected = Expected::Key(&public);
        let judged = match covered {
            Covered::Payload(message) => cosign.verify_blob(&json, &file, &expected, message).await,
            Covered::Envelope { .. } => {
                cosign.verify_attestation(&json, &file, &expected, &digest.hex(), IMAGE_PREDICATE).await
            }
        };
        judged.succeeded();
    }
}
