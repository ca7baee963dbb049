//! What `hallmark doctor` says of stores, good and bad: of real servers where there are any.

use serde_json::json;

use crate::inside::Inside;
use crate::support::{FakeGcs, FerretDb, Kafka, S3Gateway};
use crate::world::Servers;

/// The one line about `store` is in this state, and its words and its remedy have these in them.
fn line(lines: &[[String; 3]], store: &str, state: &str, texts: &[&str]) {
    let of: Vec<_> = lines.iter().filter(|line| line[1].starts_with(&format!("{store}: "))).collect();
    assert!(of.len() == 1 && of[0][0] == state, "{store}: {lines:#?}");
    for text in texts {
        assert!(of[0][1].contains(text) || of[0][2].contains(text), "{text} in {:#?}", of[0]);
    }
}

/// Every store that is a server; the project comes first.
const ALL: [(&str, &str); 8] = [
    ("storage.grafeas.projectid", "project"),
    ("artifacts.taskrun.storage", "gcs,docdb,grafeas,archivista,kafka"),
    ("artifacts.taskrun.also-storage", "s3,azure"),
    ("storage.azure.account", "account"),
    ("storage.azure.container", "signatures"),
    ("storage.s3.region", "eu-central-1"),
    ("storage.docdb.url", "mongo://chains/signatures?id_field=Name"),
    ("storage.pubsub.provider", "kafka"),
];

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_can_be_reached_are_ok_and_nothing_is_left_there() {
    let (gcs, s3, mongodb) = (FakeGcs::start().await, S3Gateway::start().await, FerretDb::start().await);
    let servers = Servers::start();
    let (bucket, url) = (gcs.url(), mongodb.url());
    let kafka = Kafka::shared().await;
    let (topic, brokers) = (kafka.topic("doctor", "1", &[]).await, kafka.plain(&[1]));
    let [grafeas, archivista, azure] =
        ["grafeas", "archivista", "azure"].map(|path| format!("{}/{path}", servers.url));
    let mut config = ALL.to_vec();
    config.extend([
        ("storage.gcs.bucket", "signatures"),
        ("storage.gcs.endpoint", &bucket),
        ("storage.s3.bucket", "signatures"),
        ("storage.s3.endpoint", &s3.url),
        ("storage.azure.endpoint", &azure),
        ("storage.docdb.mongo-server-url", &url),
        ("storage.grafeas.endpoint", &grafeas),
        ("storage.archivista.url", &archivista),
        ("storage.pubsub.topic", &topic),
        ("storage.pubsub.kafka.bootstrap.servers", &brokers),
    ]);
    let Some(inside) = Inside::start("stores-good", &config).await else { return };
    let mut around = servers.clouds();
    around.extend([("AWS_ACCESS_KEY_ID", S3Gateway::KEYS.0), ("AWS_SECRET_ACCESS_KEY", S3Gateway::KEYS.1)]);
    let before = servers.state().await;
    let lines = inside.says("stores", &around).await;
    for store in ["gcs", "s3", "azure", "docdb", "grafeas", "archivista", "kafka"] {
        line(&lines, store, "ok", &["answers and may be read"]);
    }
    assert_eq!(lines.len(), 7, "{lines:#?}");
    assert_eq!(servers.state().await, before);
    assert!(gcs.objects().await.is_empty() && kafka.messages(&topic).await.is_empty());
    assert_eq!(mongodb.count("insert").await + mongodb.count("update").await, 0);

    let from_outside = inside.outside("stores").await;
    assert!(from_outside.len() == 1 && from_outside[0][0] == "unchecked", "{from_outside:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_store_that_cannot_be_used_is_named_with_its_remedy() {
    let (gcs, s3, mongodb) = (FakeGcs::start().await, S3Gateway::start().await, FerretDb::start().await);
    let servers = Servers::start();
    let (bucket, url) = (gcs.url(), mongodb.url_of("chains", "canary"));
    let brokers = Kafka::shared().await.plain(&[1]);
    let [grafeas, azure] = ["grafeas", "azure"].map(|path| format!("{}/{path}", servers.url));
    let mut config = ALL.to_vec();
    config[0].1 = "other";
    config.extend([
        ("storage.gcs.bucket", "missing"),
        ("storage.gcs.endpoint", &bucket),
        ("storage.s3.bucket", "missing"),
        ("storage.s3.endpoint", &s3.url),
        ("storage.azure.endpoint", &azure),
        ("storage.docdb.mongo-server-url", &url),
        ("storage.grafeas.endpoint", &grafeas),
        ("storage.archivista.url", "http://127.0.0.1:1"),
        ("storage.pubsub.topic", "missing"),
        ("storage.pubsub.kafka.bootstrap.servers", &brokers),
    ]);
    let Some(inside) = Inside::start("stores-bad", &config).await else { return };
    let denied = json!({"error": {"code": "AuthorizationPermissionMismatch", "message": "no"}}).to_string();
    servers.control(json!({"fail": {"GET /azure": [403, denied]}})).await;
    let mut around = servers.clouds();
    around.extend([("AWS_ACCESS_KEY_ID", S3Gateway::KEYS.0), ("AWS_SECRET_ACCESS_KEY", S3Gateway::KEYS.1)]);
    let lines = inside.says("stores", &around).await;
    line(
        &lines,
        "gcs",
        "failed",
        &["gs://missing", "404", "see that bucket missing exists", "roles/storage.objectUser"],
    );
    line(&lines, "s3", "failed", &["NoSuchBucket", "see that bucket missing is in region eu-central-1"]);
    line(&lines, "azure", "warning", &["AuthorizationPermissionMismatch", "Storage Blob Data Contributor"]);
    line(&lines, "docdb", "failed", &["MongoDB at 127.0.0.1", "user, password and authSource"]);
    line(&lines, "grafeas", "failed", &["PERMISSION_DENIED", "roles/containeranalysis.notes.editor"]);
    line(
        &lines,
        "archivista",
        "failed",
        &["127.0.0.1:1 does not answer", "can be reached from the agent's pod"],
    );
    line(&lines, "kafka", "failed", &["topic missing", "UNKNOWN_TOPIC_OR_PARTITION", "create topic missing"]);
}
