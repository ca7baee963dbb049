//! Buckets: what is written, under which names, how often, and who reads it back.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::{FakeGcs, S3Gateway, binary, run};
use crate::world::{Servers, Signing, envelope_verifies, hex, openssl_verifies};

const APP: &str = "registry.test:5000/team/app";
const ENDINGS: [&str; 4] = ["cert", "chain", "payload", "signature"];

fn to_gcs(gcs: &FakeGcs) -> Vec<(&'static str, String)> {
    vec![
        ("artifacts.taskrun.storage", "gcs".to_owned()),
        ("artifacts.oci.storage", "gcs".to_owned()),
        ("storage.gcs.bucket", "signatures".to_owned()),
        ("storage.gcs.endpoint", gcs.url()),
    ]
}

fn borrowed<'a>(config: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    config.iter().map(|(key, value)| (*key, value.as_str())).collect()
}

/// What Chains' own code reads for these keys of a run.
async fn read_by_chains(gcs: &FakeGcs, run_manifest: &Value, keys: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.json");
    std::fs::write(&file, run_manifest.to_string()).unwrap();
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "exec \"$0\" gcs signatures \"$@\" < \"$RUN\""])
        .arg(binary("chains-reader"))
        .args(keys);
    command.env("RUN", &file).env("STORAGE_EMULATOR_HOST", gcs.url().trim_start_matches("http://"));
    serde_json::from_str(&run(command).await.succeeded().stdout).unwrap()
}

fn decoded(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap_or_else(|| panic!("{value}"))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_reads_from_gcs_what_is_stored_there_and_nothing_is_written_twice() {
    let (gcs, servers) = (FakeGcs::start().await, Servers::start());
    let config = to_gcs(&gcs);
    let signing = Signing::of("build", &[APP], &borrowed(&config));
    let clouds = servers.clouds();
    assert!(signing.results(&clouds).await.iter().all(|result| result.ends_with(" stored")));
    let stored = gcs.objects().await;
    let whole = format!("{APP}@sha256:{}", hex('a'));
    let mut expected: Vec<String> = [&whole, "aaaaaaaaaaaa", "taskrun-uid-build"]
        .iter()
        .flat_map(|key| ENDINGS.map(|ending| format!("taskrun-ci-build/{key}.{ending}")))
        .collect();
    expected.sort();
    let mut names: Vec<String> = stored.iter().map(|(name, _)| name.clone()).collect();
    names.sort();
    assert_eq!(names, expected);

    let read = read_by_chains(&gcs, &signing.run, &["taskrun-uid-build", "aaaaaaaaaaaa"]).await;
    let statement = envelope_verifies(&decoded(&read["taskrun-uid-build"]["signature"]));
    assert_eq!(
        statement,
        serde_json::from_slice::<Value>(&decoded(&read["taskrun-uid-build"]["payload"])).unwrap()
    );
    let image = &read["aaaaaaaaaaaa"];
    openssl_verifies(&decoded(&image["payload"]), &decoded(&image["signature"]));
    let payload: Value = serde_json::from_slice(&decoded(&image["payload"])).unwrap();
    assert_eq!(payload["critical"]["identity"]["docker-reference"], APP);

    let again = signing.results(&clouds).await;
    assert!(again.iter().all(|result| result.ends_with(" present")), "{again:?}");
    assert_eq!(gcs.objects().await, stored, "nothing was written again");
    assert_eq!(servers.count("GET /computeMetadata").await, 2, "one token for each process");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_images_of_one_digest_have_a_name_each_and_the_short_one_is_of_the_first() {
    let (gcs, servers) = (FakeGcs::start().await, Servers::start());
    let config = to_gcs(&gcs);
    let clouds = servers.clouds();
    let repositories = ["registry.test/one", "registry.test/two"];
    Signing::of("build", &repositories[..1], &borrowed(&config)).sign(&clouds).await.succeeded();
    let both = Signing::of("build", &repositories, &borrowed(&config));
    both.sign(&clouds).await.succeeded();
    let whole: Vec<String> = repositories.map(|name| format!("{name}@sha256:{}", hex('a'))).into();
    let read = read_by_chains(&gcs, &both.run, &[&whole[0], &whole[1], "aaaaaaaaaaaa"]).await;
    let of = |key: &str| -> Value { serde_json::from_slice(&decoded(&read[key]["payload"])).unwrap() };
    for (key, repository) in
        [(&*whole[0], repositories[0]), (&whole[1], repositories[1]), ("aaaaaaaaaaaa", repositories[0])]
    {
        assert_eq!(of(key)["critical"]["identity"]["docker-reference"], repository);
        openssl_verifies(&decoded(&read[key]["payload"]), &decoded(&read[key]["signature"]));
    }
    let stored = gcs.objects().await;
    assert!(both.results(&clouds).await.iter().all(|result| result.ends_with(" present")));
    assert_eq!(gcs.objects().await, stored);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_s3_that_verifies_every_signature_has_everything_once() {
    let gateway = S3Gateway::start().await;
    let config = [
        ("artifacts.taskrun.storage", ""),
        ("artifacts.taskrun.also-storage", "s3"),
        ("artifacts.oci.storage", ""),
        ("artifacts.oci.also-storage", "s3"),
        ("storage.s3.bucket", "signatures"),
        ("storage.s3.region", "eu-central-1"),
        ("storage.s3.endpoint", gateway.url.as_str()),
    ];
    let signing = Signing::of("build", &[APP], &config);
    let (id, secret) = S3Gateway::KEYS;
    let keys = [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)];
    let first = signing.results(&keys).await;
    assert!(first.len() == 3 && first.iter().all(|result| result.ends_with(" stored")), "{first:?}");
    let read = |name: &str| std::fs::read(gateway.file(&format!("taskrun-ci-build/{name}"))).unwrap();
    envelope_verifies(&read("taskrun-uid-build.signature"));
    for key in [format!("{APP}@sha256:{}", hex('a')), "aaaaaaaaaaaa".to_owned()] {
        openssl_verifies(&read(&format!("{key}.payload")), &read(&format!("{key}.signature")));
        assert_eq!(read(&format!("{key}.cert")), b"");
    }
    let signature = read("taskrun-uid-build.signature");
    let again = signing.results(&keys).await;
    assert!(again.iter().all(|result| result.ends_with(" present")), "{again:?}");
    assert_eq!(read("taskrun-uid-build.signature"), signature, "it was not signed again");

    for (around, texts) in [
        (("AKIAGATEWAY", "wrong"), ["SignatureDoesNotMatch", "s3:PutObject"]),
        (("AKIANOBODY", "wrong"), ["No user exists", "s3:PutObject"]),
    ] {
        let keys = [("AWS_ACCESS_KEY_ID", around.0), ("AWS_SECRET_ACCESS_KEY", around.1)];
        let refused = signing.sign(&keys).await.failed();
        for text in texts.iter().chain(&["s3://signatures/taskrun-ci-build/"]) {
            assert!(refused.stderr.contains(text), "{text} in {}", refused.stderr);
        }
        assert!(!refused.stderr.contains("canary"));
    }
    let config = config.map(|(key, value)| (key, if key == "storage.s3.bucket" { "missing" } else { value }));
    let refused = Signing::of("build", &[APP], &config).sign(&keys).await.failed();
    assert!(
        refused.stderr.contains("NoSuchBucket") && refused.stderr.contains("bucket missing"),
        "{}",
        refused.stderr
    );
}

fn to_azure(servers: &Servers) -> Vec<(&'static str, String)> {
    vec![
        ("artifacts.taskrun.storage", String::new()),
        ("artifacts.taskrun.also-storage", "azure".to_owned()),
        ("artifacts.oci.storage", String::new()),
        ("artifacts.oci.also-storage", "azure".to_owned()),
        ("storage.azure.account", "account".to_owned()),
        ("storage.azure.container", "signatures".to_owned()),
        ("storage.azure.endpoint", format!("{}/azure", servers.url)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_of_azure_are_written_with_a_token_of_entra_and_once() {
    let servers = Servers::start();
    let config = to_azure(&servers);
    let signing = Signing::of("build", &[APP], &borrowed(&config));
    let clouds = servers.clouds();
    let first = signing.results(&clouds).await;
    assert!(first.len() == 3 && first.iter().all(|result| result.ends_with(" stored")), "{first:?}");
    let blobs = servers.state().await["blobs"].clone();
    assert_eq!(blobs.as_object().unwrap().len(), 12);
    envelope_verifies(&decoded(&blobs["taskrun-ci-build/taskrun-uid-build.signature"]));
    let whole = format!("taskrun-ci-build/{APP}@sha256:{}", hex('a'));
    openssl_verifies(
        &decoded(&blobs[format!("{whole}.payload")]),
        &decoded(&blobs[format!("{whole}.signature")]),
    );
    assert!(signing.results(&clouds).await.iter().all(|result| result.ends_with(" present")));
    assert_eq!(servers.count("PUT /azure").await, 12, "nothing was written again");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_write_and_not_read_gets_everything_written_and_nothing_replaced() {
    let servers = Servers::start();
    let config = to_azure(&servers);
    let signing = Signing::of("build", &[APP], &borrowed(&config));
    let denied =
        json!({"error": {"code": "AuthorizationPermissionMismatch", "message": "not permitted"}}).to_string();
    servers.control(json!({"fail": {"GET /azure": [403, denied]}})).await;
    let clouds = servers.clouds();
    signing.sign(&clouds).await.succeeded();
    let blobs = servers.state().await["blobs"].clone();
    assert_eq!(blobs.as_object().unwrap().len(), 12);
    signing.sign(&clouds).await.succeeded();
    assert_eq!(servers.state().await["blobs"], blobs);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bucket_refuses_is_told_with_store_name_host_and_remedy() {
    let servers = Servers::start();
    let config = to_azure(&servers);
    let (signing, clouds) = (Signing::of("build", &[APP], &borrowed(&config)), servers.clouds());
    let host = servers.url.trim_start_matches("http://");
    let told = async |status: u16, code: &str, texts: &[&str], exit: i32| {
        let content = json!({"error": {"code": code, "message": "said the service"}}).to_string();
        servers
            .control(json!({"fail": {"GET /azure": [status, content], "PUT /azure": [status, content]}}))
            .await;
        let finished = signing.sign(&clouds).await;
        assert_eq!(finished.code, Some(exit), "{}", finished.stderr);
        for text in
            texts.iter().chain(&["Azure Blob Storage", host, "az://", "taskrun-ci-build/taskrun-uid-build"])
        {
            assert!(finished.stderr.contains(text), "{text} in {}", finished.stderr);
        }
        assert!(!finished.stderr.contains("canary"), "{}", finished.stderr);
    };
    let role = "Storage Blob Data Contributor";
    told(403, "AuthorizationPermissionMismatch", &[role, "said the service"], 1).await;
    told(404, "ContainerNotFound", &["ContainerNotFound", "see that container signatures exists"], 1).await;
    told(429, "ServerBusy", &["asks for patience"], 4).await;
    told(503, "ServerBusy", &["is not able to now"], 4).await;
    let unset: Vec<_> = config.iter().filter(|(key, _)| *key != "storage.azure.account").cloned().collect();
    let told = Signing::of("build", &[APP], &borrowed(&unset)).sign(&clouds).await.failed();
    assert!(told.stderr.contains("it needs storage.azure.account, which is not set"), "{}", told.stderr);
}
