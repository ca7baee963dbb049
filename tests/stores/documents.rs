//! Documents in `DynamoDB` and Firestore: the fields of Chains, written once, and read back by Chains' own code.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::{DynamoDbLocal, binary, run};
use crate::world::{Servers, Signing, envelope_verifies, hex, openssl_verifies};

const APP: &str = "registry.test/team/app";
const KEYS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "AKIATABLE"), ("AWS_SECRET_ACCESS_KEY", "canary-table-secret")];

pub fn decoded(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap_or_else(|| panic!("{value}"))).unwrap()
}

fn to_documents(url: &str, endpoint: &str) -> [(&'static str, String); 4] {
    [
        ("artifacts.taskrun.storage", "docdb".to_owned()),
        ("artifacts.oci.storage", "docdb".to_owned()),
        ("storage.docdb.url", url.to_owned()),
        ("storage.docdb.endpoint", endpoint.to_owned()),
    ]
}

fn borrowed<'a>(config: &'a [(&'static str, String); 4]) -> Vec<(&'static str, &'a str)> {
    config.iter().map(|(key, value)| (*key, value.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_reads_from_dynamodb_what_is_stored_there_and_nothing_is_written_twice() {
    let servers = Servers::start();
    let (url, endpoint) =
        ("dynamodb://signatures?partition_key=Name&region=eu-central-1", format!("{}/dynamodb", servers.url));
    let config = to_documents(url, &endpoint);
    let signing = Signing::of("build", &[APP], &borrowed(&config));
    let first = signing.results(&KEYS).await;
    assert!(first.len() == 3 && first.iter().all(|result| result.ends_with(" stored")), "{first:?}");
    let items = servers.state().await["items"].clone();
    let names: Vec<&String> = items.as_object().unwrap().keys().collect();
    let whole = format!("{APP}@sha256:{}", hex('a'));
    assert_eq!(names, ["aaaaaaaaaaaa", &whole, "taskrun-uid-build"]);
    for name in names {
        let (signed, signature) = read_by_chains(&endpoint, name).await;
        if name.starts_with("taskrun") {
            let statement = envelope_verifies(&signature);
            assert_eq!(statement, serde_json::from_slice::<Value>(&signed).unwrap());
        } else {
            openssl_verifies(&signed, &signature);
        }
    }
    let again = signing.results(&KEYS).await;
    assert!(again.iter().all(|result| result.ends_with(" present")), "{again:?}");
    assert_eq!(servers.state().await["items"], items);
}

/// What was signed and the signature, as Chains' own code finds them under a name.
async fn read_by_chains(endpoint: &str, name: &str) -> (Vec<u8>, Vec<u8>) {
    let mut command = std::process::Command::new(binary("chains-reader"));
    command.args(["docdb", "dynamodb://signatures?partition_key=Name&region=eu-central-1", name]);
    command.envs(KEYS).env("AWS_ENDPOINT_URL_DYNAMODB", endpoint);
    let read: Value = serde_json::from_str(&run(command).await.succeeded().stdout).unwrap();
    (decoded(&read["payload"]), decoded(&read["signature"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamodb_itself_takes_what_is_stored_and_chains_reads_it() {
    let Some(dynamodb) = DynamoDbLocal::start().await else { return };
    let url = "dynamodb://signatures?partition_key=Name&region=eu-central-1";
    let config = to_documents(url, &dynamodb.url);
    let both = ["registry.test/one", "registry.test/two"];
    Signing::of("build", &both[..1], &borrowed(&config)).sign(&KEYS).await.succeeded();
    let signing = Signing::of("build", &both, &borrowed(&config));
    signing.sign(&KEYS).await.succeeded();
    let items = dynamodb.items().await;
    let names: Vec<&str> = items.iter().map(|item| item["Name"]["S"].as_str().unwrap()).collect();
    let whole = |repository: &str| format!("{repository}@sha256:{}", hex('a'));
    assert_eq!(names, ["aaaaaaaaaaaa", &whole(both[0]), &whole(both[1]), "taskrun-uid-build"]);
    // The short name is of the image that came first.
    for (name, repository) in names.iter().zip([both[0], both[0], both[1]]) {
        let (signed, signature) = read_by_chains(&dynamodb.url, name).await;
        openssl_verifies(&signed, &signature);
        let payload: Value = serde_json::from_slice(&signed).unwrap();
        assert_eq!(payload["critical"]["identity"]["docker-reference"], repository);
    }
    let (signed, signature) = read_by_chains(&dynamodb.url, "taskrun-uid-build").await;
    assert_eq!(envelope_verifies(&signature), serde_json::from_slice::<Value>(&signed).unwrap());
    assert!(signing.results(&KEYS).await.iter().all(|result| result.ends_with(" present")));
    assert_eq!(dynamodb.items().await, items);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dynamodb_itself_refuses_is_told_with_its_remedy() {
    let Some(dynamodb) = DynamoDbLocal::start().await else { return };
    let told = async |url: &str, bytes: usize, texts: &[&str]| {
        let config = to_documents(url, &dynamodb.url);
        let mut signing = Signing::of("build", &[APP], &borrowed(&config));
        signing.run["metadata"]["labels"] = json!({"long": "x".repeat(bytes)});
        let refused = signing.sign(&KEYS).await.failed();
        for text in texts {
            assert!(refused.stderr.contains(text), "{text} in {}", refused.stderr);
        }
        assert!(!refused.stderr.contains("canary"), "{}", refused.stderr);
    };
    let table = "dynamodb://signatures?region=eu-central-1&partition_key=";
    told(
        &format!("{table}name"),
        0,
        &["ValidationException", "name is the partition key of table signatures"],
    )
    .await;
    told(&format!("{table}Name"), 450_000, &["ValidationException", "below 400 KB"]).await;
    let missing = "dynamodb://missing?partition_key=Name&region=eu-central-1";
    told(missing, 0, &["ResourceNotFoundException", "see that table missing"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_firestore_have_the_fields_of_chains_and_are_written_once() {
    let servers = Servers::start();
    let clouds = servers.clouds();
    let url = "firestore://projects/project/databases/(default)/documents/signatures?name_field=Name";
    let config = to_documents(url, &format!("{}/firestore", servers.url));
    let both = ["registry.test/one", "registry.test/two"];
    Signing::of("build", &both[..1], &borrowed(&config)).sign(&clouds).await.succeeded();
    let signing = Signing::of("build", &both, &borrowed(&config));
    signing.sign(&clouds).await.succeeded();
    let documents = servers.state().await["documents"].clone();
    let field = |name: &str, field: &str, kind: &str| documents[name]["fields"][field][kind].clone();
    let whole = |repository: &str| format!("{}@sha256:{}", repository.replace('/', "%2F"), hex('a'));
    // The short name is of the image that came first.
    for (name, repository) in
        [(whole(both[0]), both[0]), (whole(both[1]), both[1]), (hex('a')[..12].into(), both[0])]
    {
        let (signed, signature) = (
            decoded(&field(&name, "Signed", "bytesValue")),
            decoded(&field(&name, "Signature", "stringValue")),
        );
        openssl_verifies(&signed, &signature);
        let payload: Value = serde_json::from_slice(&signed).unwrap();
        assert_eq!(payload["critical"]["identity"]["docker-reference"], repository);
    }
    envelope_verifies(&decoded(&field("taskrun-uid-build", "Signature", "stringValue")));
    assert!(signing.results(&clouds).await.iter().all(|result| result.ends_with(" present")));
    assert_eq!(servers.state().await["documents"], documents);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_database_refuses_is_told_with_its_remedy() {
    let servers = Servers::start();
    let endpoint = format!("{}/dynamodb", servers.url);
    let told = async |url: &str, endpoint: &str, around: &[(&str, &str)], texts: &[&str]| {
        let config = to_documents(url, endpoint);
        let refused = Signing::of("build", &[APP], &borrowed(&config)).sign(around).await.failed();
        for text in texts {
            assert!(refused.stderr.contains(text), "{text} in {}", refused.stderr);
        }
        assert!(!refused.stderr.contains("canary"), "{}", refused.stderr);
    };
    let table = "dynamodb://signatures?partition_key=Name";
    let wrong = [("AWS_ACCESS_KEY_ID", "AKIATABLE"), ("AWS_SECRET_ACCESS_KEY", "other")];
    told(table, &endpoint, &wrong, &["InvalidSignatureException", "dynamodb:PutItem", "table signatures"])
        .await;
    let missing = "dynamodb://missing?partition_key=Name";
    told(missing, &endpoint, &KEYS, &["ResourceNotFoundException", "see that table missing"]).await;
    told("dynamodb://signatures", &endpoint, &KEYS, &["it has no partition_key", "dynamodb://TABLE"]).await;
    let elsewhere = "firestore://projects/other/databases/(default)/documents/signatures?name_field=Name";
    let (endpoint, clouds) = (format!("{}/firestore", servers.url), servers.clouds());
    told(elsewhere, &endpoint, &clouds, &["PERMISSION_DENIED", "roles/datastore.user", "Firestore at 127"])
        .await;
    servers.control(json!({"fail": {"GET /firestore": [429, "{}"]}})).await;
    told(elsewhere, &endpoint, &clouds, &["asks for patience"]).await;
}
