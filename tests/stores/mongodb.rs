//! Documents in MongoDB, as FerretDB keeps them: the fields and types of Chains, read back by Chains' own code; what a
//! server refuses; a password that is rotated, and a server that dies, in the middle of a burst.

use std::time::Duration;

use mongodb::Client;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Bson, Document, doc};
use serde_json::{Value, json};

use crate::agent::{Agent, SOON, stopped_well};
use crate::documents::decoded;
use crate::support::{Access, Completion, FerretDb, binary, eventually, run};
use crate::world::{Signing, envelope_verifies, hex, openssl_verifies, text};

const APP: &str = "registry.test/team/app";
const COLLECTION: &str = "mongo://chains/signatures?id_field=Name";

fn to_mongodb<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut config = vec![
        ("artifacts.taskrun.storage", "docdb"),
        ("artifacts.oci.storage", "docdb"),
        ("storage.docdb.url", COLLECTION),
    ];
    config.extend(more);
    config
}

/// What is in the collection, by names.
async fn documents(url: &str) -> Vec<Document> {
    let client = Client::with_uri_str(url).await.unwrap();
    let collection = client.database("chains").collection::<Document>("signatures");
    let mut cursor = collection.find(doc! {}).sort(doc! {"_id": 1}).await.unwrap();
    let mut found = Vec::new();
    while cursor.advance().await.unwrap() {
        found.push(cursor.deserialize_current().unwrap());
    }
    found
}

fn names(documents: &[Document]) -> Vec<&str> {
    documents.iter().map(|document| document.get_str("_id").unwrap()).collect()
}

/// What was signed and the signature, as Chains' own code finds them under a name.
async fn read_by_chains(url: &str, name: &str) -> (Vec<u8>, Vec<u8>) {
    let mut command = std::process::Command::new(binary("chains-reader"));
    command.args(["docdb", COLLECTION, name]).env("MONGO_SERVER_URL", url);
    let read: Value = serde_json::from_str(&run(command).await.succeeded().stdout).unwrap();
    (decoded(&read["payload"]), decoded(&read["signature"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_reads_from_mongodb_what_is_stored_there_and_nothing_is_written_twice() {
    let ferretdb = FerretDb::start().await;
    let url = ferretdb.url();
    let signing = Signing::of("build", &[APP], &to_mongodb(&[("storage.docdb.mongo-server-url", &url)]));
    let first = signing.results(&[]).await;
    assert!(first.len() == 3 && first.iter().all(|result| result.ends_with(" stored")), "{first:?}");
    let stored = documents(&url).await;
    let whole = format!("{APP}@sha256:{}", hex('a'));
    assert_eq!(names(&stored), ["aaaaaaaaaaaa", &whole, "taskrun-uid-build"]);
    for document in &stored {
        let name = document.get_str("_id").unwrap();
        let (signed, signature) = read_by_chains(&url, name).await;
        let Some(Bson::Binary(binary)) = document.get("Signed") else { panic!("{document}") };
        assert_eq!((binary.subtype, &binary.bytes), (BinarySubtype::Generic, &signed));
        let told = document.get_document("Object").unwrap();
        if name.starts_with("taskrun") {
            let statement = envelope_verifies(&signature);
            assert_eq!(statement, serde_json::from_slice::<Value>(&signed).unwrap());
            assert_eq!(json!(told.get_str("predicateType").unwrap()), statement["predicateType"]);
        } else {
            openssl_verifies(&signed, &signature);
            let identity = told.get_document("critical").unwrap().get_document("identity").unwrap();
            assert_eq!(identity.get_str("docker-reference").unwrap(), APP);
        }
        let fields: Vec<&String> = document.keys().collect();
        assert_eq!(fields, ["_id", "Signed", "Signature", "Cert", "Chain", "Object"]);
    }
    let writes = async || ferretdb.count("insert").await + ferretdb.count("update").await;
    assert_eq!(writes().await, 3);
    let again = signing.results(&[]).await;
    assert!(again.iter().all(|result| result.ends_with(" present")), "{again:?}");
    assert_eq!(documents(&url).await, stored);
    assert_eq!(writes().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_images_with_one_short_name_neither_replaces_the_document_of_the_other() {
    let ferretdb = FerretDb::start().await;
    let url = ferretdb.url();
    let config = to_mongodb(&[("storage.docdb.mongo-server-url", &url), ("artifacts.taskrun.storage", "")]);
    let both = ["registry.test/one", "registry.test/two"];
    for repository in both {
        Signing::of("build", &[repository], &config).sign(&[]).await.succeeded();
    }
    let whole = |repository: &str| format!("{repository}@sha256:{}", hex('a'));
    let stored = documents(&url).await;
    assert_eq!(names(&stored), ["aaaaaaaaaaaa", &whole(both[0]), &whole(both[1])]);
    for (document, repository) in stored.iter().zip([both[0], both[0], both[1]]) {
        let (signed, signature) = read_by_chains(&url, document.get_str("_id").unwrap()).await;
        openssl_verifies(&signed, &signature);
        let payload: Value = serde_json::from_slice(&signed).unwrap();
        assert_eq!(payload["critical"]["identity"]["docker-reference"], repository);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_server_is_told_with_its_remedy() {
    let (plain, tls) = (FerretDb::start().await, FerretDb::with_tls().await);
    let told = async |more: &[(&str, &str)], around: &[(&str, &str)], texts: &[&str]| {
        let refused = Signing::of("build", &[APP], &to_mongodb(more)).sign(around).await.failed();
        for text in texts {
            assert!(refused.stderr.contains(text), "{text} in {}", refused.stderr);
        }
        assert!(!refused.stderr.contains("canary"), "{}", refused.stderr);
    };
    let url = "storage.docdb.mongo-server-url";
    let login = [format!("MongoDB at {}", plain.host()), format!("authSource in the URL of {url} are")];
    told(&[(url, &plain.url_of("chains", "canary"))], &[], &[&login[0], &login[1]]).await;
    told(&[(url, &plain.url_of("nobody", "canary"))], &[], &[&login[0], &login[1]]).await;
    let away = "mongodb://chains:canary@127.0.0.1:1/?authSource=admin&serverSelectionTimeoutMS=1000";
    told(
        &[(url, away)],
        &[],
        &["MongoDB at 127.0.0.1:1 does not answer", "Connection refused", "agent's pod"],
    )
    .await;
    told(&[(url, &tls.url())], &[], &["certificate", "tlsCAFile", "SSL_CERT_FILE"]).await;
    told(&[(url, &format!("{}&tls=true", plain.url()))], &[], &["does not answer"]).await;
    told(&[], &[], &["storage.docdb.mongo-server-url-path", "names a server", "mongodb://USER"]).await;
    told(&[(url, "mongodb://user:can/ary@x")], &[], &["it is no URL of MongoDB", "percent-encoded"]).await;
    let missing = [("storage.docdb.mongo-server-url-dir", "/nonexistent")];
    told(
        &missing,
        &[],
        &["/nonexistent/MONGO_SERVER_URL", "storage.docdb.mongo-server-url-dir", "mount the Secret"],
    )
    .await;
    let unnamed = [("storage.docdb.url", "mongo://chains/signatures"), (url, &plain.url())];
    told(&unnamed, &[], &["its id_field is not Name", "mongo://DATABASE/COLLECTION?id_field=Name"]).await;

    // What it wants is told, and does.
    let (url_of_tls, ca) = (tls.url(), text(&tls.ca()));
    let by =
        |url: &str| Signing::of("build", &[APP], &to_mongodb(&[("storage.docdb.mongo-server-url", url)]));
    by(&url_of_tls).sign(&[("SSL_CERT_FILE", &ca)]).await.succeeded();
    by(&format!("{url_of_tls}&tlsCAFile={ca}")).sign(&[]).await.succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_named_by_file_folder_key_or_variable_in_this_order() {
    let ferretdb = FerretDb::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (path, inside) = (folder.path().join("url"), folder.path().join("MONGO_SERVER_URL"));
    let (good, bad) =
        (format!("{}\n", ferretdb.url()), "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300");
    let all = ["path", "dir", "text", "variable"];
    for (position, named) in all.iter().enumerate() {
        // Those before it are not there, those after it lead nowhere.
        let of = |name: &str| if name == *named { good.trim() } else { bad };
        std::fs::write(&path, format!("{}\n", of("path"))).unwrap();
        std::fs::write(&inside, format!("{}\n", of("dir"))).unwrap();
        let (file, directory, url) = (text(&path), text(folder.path()), of("text").to_owned());
        let keys = [
            ("storage.docdb.mongo-server-url-path", file.as_str()),
            ("storage.docdb.mongo-server-url-dir", directory.as_str()),
            ("storage.docdb.mongo-server-url", url.as_str()),
        ];
        let config = to_mongodb(keys.get(position..).unwrap_or_default());
        let signing = Signing::of(named, &[APP], &config);
        signing.sign(&[("MONGO_SERVER_URL", of("variable"))]).await.succeeded();
    }
}

fn nowhere() -> Access {
    Access { host: "127.0.0.1:1".to_owned(), ca: None, login: None }
}

async fn build(agent: &Agent, number: usize) {
    let digest = format!("sha256:{number:064x}");
    let completion = Completion::success().image("", APP, &digest);
    agent.cluster.completed_task_run(&agent.namespace, &format!("build-{number}"), &completion).await;
}

/// Two documents for each of so many runs and one for their common short name, with signatures that verify.
async fn has_all(url: &str, runs: usize) {
    let stored = documents(url).await;
    assert_eq!(stored.len(), runs * 2 + 1, "{:?}", names(&stored));
    for document in &stored {
        let signature = decoded(&json!(document.get_str("Signature").unwrap()));
        if document.get_str("_id").unwrap().starts_with("taskrun") {
            envelope_verifies(&signature);
        } else {
            openssl_verifies(document.get_binary_generic("Signed").unwrap(), &signature);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_rotated_in_the_middle_of_a_burst_loses_nothing() {
    let ferretdb = FerretDb::start().await;
    let (folder, next) = (tempfile::tempdir().unwrap(), "canary:mongo#2");
    let file = folder.path().join("MONGO_SERVER_URL");
    std::fs::write(&file, format!("{}\n", ferretdb.url())).unwrap();
    let directory = text(folder.path());
    let config = to_mongodb(&[("storage.docdb.mongo-server-url-dir", &directory)]);
    let agent = Agent::prepare("rotated", &nowhere(), &config).await;
    let hallmark = agent.start().await;
    build(&agent, 0).await;
    assert_eq!(agent.mark("build-0", SOON).await, "true");

    let admin = Client::with_uri_str(ferretdb.url()).await.unwrap();
    admin.database("admin").run_command(doc! {"updateUser": FerretDb::USER.0, "pwd": next}).await.unwrap();
    // Who is logged in stays so; after this nobody is.
    ferretdb.kill();
    ferretdb.start_again().await;
    for number in 1..10 {
        build(&agent, number).await;
    }
    agent.event(&["MongoDB at 127.0.0.1", "storage.docdb.mongo-server-url-dir"]).await;
    // As the kubelet replaces the file of a Secret.
    let new = folder.path().join("new");
    std::fs::write(&new, ferretdb.url_of(FerretDb::USER.0, next)).unwrap();
    std::fs::rename(&new, &file).unwrap();
    for number in 10..20 {
        build(&agent, number).await;
    }
    agent.all_signed(Duration::from_mins(2)).await;
    has_all(&ferretdb.url_of(FerretDb::USER.0, next), 20).await;
    assert!(hallmark.lines().iter().all(|line| !line.contains("canary")), "no password in the log");
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_in_the_middle_of_a_burst_and_comes_back_has_everything_once() {
    const RUNS: usize = 30;
    let ferretdb = FerretDb::start().await;
    let url = ferretdb.url();
    let agent =
        Agent::prepare("mongodb", &nowhere(), &to_mongodb(&[("storage.docdb.mongo-server-url", &url)])).await;
    let hallmark = agent.start().await;
    for number in 0..RUNS / 2 {
        build(&agent, number).await;
    }
    eventually("some are there", SOON, async || {
        (agent.marks().await.values().flatten().count() >= 3).then_some(())
    })
    .await;
    ferretdb.kill();
    for number in RUNS / 2..RUNS {
        build(&agent, number).await;
    }
    agent.event(&["MongoDB at 127.0.0.1", "does not answer", "Tried again as soon as tcp://127.0.0.1"]).await;
    ferretdb.start_again().await;
    agent.all_signed(Duration::from_mins(2)).await;
    has_all(&url, RUNS).await;
    stopped_well(hallmark);
}
