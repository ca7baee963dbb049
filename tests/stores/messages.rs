//! Kafka: what is in a topic, how often, and what a person reads when there is nothing. The brokers are Apache Kafka's; the
//! messages are read by the library that Chains writes with, and by Kafka's own consumer.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::agent::{Agent, SOON, stopped_well};
use crate::support::{
    Access, Completion, Door, Finished, Kafka, Message, PLAIN_USER, Passage, eventually, run,
};
use crate::world::{Servers, Signing, envelope_verifies, hex, openssl_verifies};

const APP: &str = "registry.test/team/app";
const PASSWORD: &str = "canary-password";
/// Two partitions, each on two of the three brokers.
const REPLICAS: &str = "1:2,2:1";

/// Statements and signatures go to `topic`, by the brokers `servers`.
fn to<'a>(topic: &'a str, servers: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut config = vec![
        ("artifacts.taskrun.storage", "kafka"),
        ("artifacts.oci.storage", "kafka"),
        ("storage.pubsub.provider", "kafka"),
        ("storage.pubsub.topic", topic),
        ("storage.pubsub.kafka.bootstrap.servers", servers),
    ];
    config.extend(more);
    config
}

/// Signs a run with one image, whose two messages arrive.
async fn all_stored(signing: &Signing) -> Vec<String> {
    let results = Signing::told(&signing.sign(&[]).await.succeeded());
    assert!(results.len() == 2 && results.iter().all(|result| result.ends_with(" stored")), "{results:?}");
    results
}

/// The two messages of a run that built one image: the statement, and the signature of the image.
fn told_apart(messages: &[Message]) -> (&Message, &Message) {
    let (statements, images): (Vec<_>, Vec<_>) =
        messages.iter().partition(|message| message.key.starts_with("taskrun-"));
    assert_eq!((statements.len(), images.len()), (1, 1), "{messages:?}");
    (statements[0], images[0])
}

fn payload(message: &Message) -> Vec<u8> {
    BASE64_STANDARD.decode(&message.metadata["payload"]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_messages_about_run_and_image_are_those_that_chains_itself_writes() {
    let kafka = Kafka::shared().await;
    let (topic, servers) = (kafka.topic("chains", REPLICAS, &[]).await, kafka.plain(&[1, 2, 3]));
    let results = all_stored(&Signing::of("build", &[APP], &to(&topic, &servers, &[]))).await;
    let messages = kafka.messages(&topic).await;
    let (statement, image) = told_apart(&messages);
    assert_eq!(statement.key, "taskrun-uid-build");
    assert_eq!(image.key, format!("{APP}@sha256:{}", hex('a')));
    assert_eq!(envelope_verifies(&statement.body)["subject"][0]["digest"]["sha256"], hex('a'));
    openssl_verifies(&payload(image), &image.body);
    for message in &messages {
        let place =
            format!("topic {topic}, partition {} offset {}, about ", message.partition, message.offset);
        assert!(results.iter().any(|result| result.starts_with(&place)), "{place} in {results:?}");
        let names: Vec<_> = message.metadata.keys().map(String::as_str).collect();
        assert_eq!((names, &message.metadata["signature"]), (vec!["payload", "signature"], &message.body));
    }

    // It waits for the leader alone: with more replicas its message could be read a little later only.
    let by_chains = kafka.topic("by-chains", "1", &[]).await;
    // Its library takes nothing but text as metadata, so it stores no signature of an image.
    for message in [statement] {
        let stored = json!({"payload": BASE64_STANDARD.encode(payload(message)),
            "signature": BASE64_STANDARD.encode(&message.body)});
        kafka.written_by_chains(&by_chains, &stored).await;
    }
    let theirs = kafka.messages(&by_chains).await;
    let content = |message: &Message| (message.body.clone(), message.metadata.clone());
    assert_eq!(theirs.iter().map(content).collect::<Vec<_>>(), [content(statement)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn kafkas_own_consumer_reads_the_messages_and_its_own_producer_chooses_the_same_partitions() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic("consumer", "1,2,1,2,1,2,1", &[]).await;
    let servers = kafka.plain(&[2]);
    let repositories: Vec<_> = (0..8).map(|number| format!("registry.test/app-{number}")).collect();
    let repositories: Vec<_> = repositories.iter().map(String::as_str).collect();
    let results = Signing::of("many", &repositories, &to(&topic, &servers, &[])).results(&[]).await;
    assert_eq!(results.len(), 9, "{results:?}");

    let ours = kafka.messages(&topic).await;
    let mut keys: Vec<_> = ours.iter().map(|message| format!("{}|x", message.key)).collect();
    keys.sort();
    let input = kafka.file("keys.txt");
    std::fs::write(&input, keys.join("\n") + "\n").unwrap();
    let mut producer = kafka.java("org.apache.kafka.tools.ConsoleProducer");
    producer.args(["--bootstrap-server", &servers, "--topic", &topic]);
    producer.args(["--reader-property", "parse.key=true", "--reader-property", "key.separator=|"]);
    let producer = with_input(&producer, &input);
    run(producer).await.succeeded();
    let all = kafka.messages(&topic).await;
    let partitions = |messages: &mut dyn Iterator<Item = &Message>| {
        messages.map(|message| (message.key.clone(), message.partition)).collect::<BTreeMap<_, _>>()
    };
    let theirs = partitions(&mut all.iter().filter(|message| message.body == b"x"));
    assert_eq!((theirs.len(), partitions(&mut ours.iter())), (9, theirs.clone()));

    let mut consumer = kafka.java("org.apache.kafka.tools.consumer.ConsoleConsumer");
    consumer.args([
        "--bootstrap-server",
        &servers,
        "--topic",
        &topic,
        "--from-beginning",
        "--max-messages",
        "18",
    ]);
    consumer.args(["--property", "print.key=true", "--property", "print.headers=true"]);
    let read = run(consumer).await.succeeded().stdout;
    assert!(read.contains("payload:eyJ"), "{read}");
    assert!(read.contains("taskrun-uid-many\t{\"payloadType\":\"application/vnd.in-toto+json\""), "{read}");
}

/// The same command, whose standard input is a file.
fn with_input(command: &std::process::Command, file: &str) -> std::process::Command {
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "exec \"$@\" < \"$0\"", file]).arg(command.get_program()).args(command.get_args());
    shell
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_outcome_says_that_it_is_there_sends_no_more_and_another_topic_gets_its_own() {
    let kafka = Kafka::shared().await;
    let (topic, other) =
        (kafka.topic("once", REPLICAS, &[]).await, kafka.topic("other", REPLICAS, &[]).await);
    let servers = kafka.plain(&[1]);
    let mut signing = Signing::of("build", &[APP], &to(&topic, &servers, &[]));
    let first = signing.sign(&[]).await.succeeded().json();
    let outcome = first[0]["outcome"].to_string();
    let annotations = json!({"chains.tekton.dev/outcome": outcome});
    signing.run["metadata"]["annotations"] = annotations.clone();
    let again = signing.results(&[]).await;
    assert!(again.len() == 2 && again.iter().all(|result| result.ends_with(" present")), "{again:?}");
    assert_eq!(kafka.messages(&topic).await.len(), 2);

    let mut elsewhere = Signing::of("build", &[APP], &to(&other, &servers, &[]));
    elsewhere.run["metadata"]["annotations"] = annotations;
    all_stored(&elsewhere).await;
    assert_eq!(kafka.messages(&other).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelineruns_are_stored_by_the_key_of_chains_and_by_the_one_that_it_does_not_know() {
    let kafka = Kafka::shared().await;
    let servers = kafka.plain(&[1]);
    for (name, key) in
        [("old", "artifacts.pipelinerun.storage"), ("new", "artifacts.pipelinerun.also-storage")]
    {
        let topic = kafka.topic("pipelines", REPLICAS, &[]).await;
        let mut config = to(&topic, &servers, &[("artifacts.pipelinerun.storage", "")]);
        config.retain(|(known, _)| *known != key);
        config.push((key, "kafka"));
        let mut signing = Signing::of(name, &[APP], &config);
        signing.run["kind"] = json!("PipelineRun");
        all_stored(&signing).await;
        let messages = kafka.messages(&topic).await;
        let run = messages.iter().find(|message| message.key == format!("pipelinerun-uid-{name}")).unwrap();
        assert_eq!(envelope_verifies(&run.body)["subject"][0]["digest"]["sha256"], hex('a'));
    }
}

/// What a person reads when nothing can be stored, less what is in no text.
async fn refused(config: &[(&str, &str)], texts: &[&str]) {
    let refused: Finished = Signing::of("build", &[APP], config).sign(&[]).await.failed();
    for text in texts {
        assert!(refused.stderr.contains(text), "{text} in {}", refused.stderr);
    }
    assert!(!(refused.stderr + &refused.stdout).contains("canary"), "a secret is shown");
}

/// A file with this content, and its folder.
fn file(content: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    std::fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_are_met_over_tls_with_scram_with_a_certificate_and_with_a_plain_password() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic("secured", REPLICAS, &[]).await;
    kafka.user("scram-user", PASSWORD).await;
    for user in ["scram-user", "CN=hallmark", PLAIN_USER.0] {
        kafka.allow(user, &topic).await;
    }
    let (_folder, password) = file(&format!("{PASSWORD}\n"));
    let (_folder, plain) = file(PLAIN_USER.1);
    let (ca, certificate, key) =
        (kafka.file("ca.crt"), kafka.file("user-hallmark.crt"), kafka.file("user-hallmark.key"));
    let (scram, mutual, plain_servers) = (kafka.scram(), kafka.mutual(), kafka.password());
    let tls = [("storage.pubsub.kafka.tls", "true"), ("storage.pubsub.kafka.ca-file", ca.as_str())];
    let login = |mechanism, user, password| {
        [
            ("storage.pubsub.kafka.sasl-mechanism", mechanism),
            ("storage.pubsub.kafka.sasl-username", user),
            ("storage.pubsub.kafka.sasl-password-path", password),
        ]
    };
    let by = [
        ("storage.pubsub.kafka.client-certificate-file", certificate.as_str()),
        ("storage.pubsub.kafka.client-key-file", key.as_str()),
    ];
    let ways: [(&str, Vec<(&str, &str)>); 4] = [
        (&scram, [&tls[..], &login("SCRAM-SHA-256", "scram-user", &password)].concat()),
        (&scram, [&tls[..], &login("SCRAM-SHA-512", "scram-user", &password)].concat()),
        (&mutual, [&tls[..], &by].concat()),
        (&plain_servers, login("PLAIN", PLAIN_USER.0, &plain).to_vec()),
    ];
    for (number, (servers, more)) in ways.iter().enumerate() {
        let signing = Signing::of(&format!("way-{number}"), &[APP], &to(&topic, servers, more));
        all_stored(&signing).await;
        assert_eq!(kafka.messages(&topic).await.len(), 2 * (number + 1));
    }
    // Trusted by the registry configuration, and by nobody.
    let untrusted = [("storage.pubsub.kafka.tls", "true")];
    let untrusted = [&untrusted[..], &login("SCRAM-SHA-256", "scram-user", &password)].concat();
    let texts = ["has no trusted TLS connection", "UnknownIssuer", "storage.pubsub.kafka.ca-file"];
    refused(&to(&topic, &scram, &untrusted), &texts).await;
    let texts = ["has no trusted TLS connection", "received fatal alert", "client-certificate-file"];
    refused(&to(&topic, &mutual, &tls), &texts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_brokers_refuse_is_told_with_its_remedy_and_without_the_password() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic("refused", REPLICAS, &[]).await;
    kafka.user("stranger", PASSWORD).await;
    let (_folder, right) = file(PASSWORD);
    let (_folder, wrong) = file("canary-wrong");
    let (_folder, empty) = file("\n");
    let (ca, scram, plain) = (kafka.file("ca.crt"), kafka.scram(), kafka.password());
    let tls = [("storage.pubsub.kafka.tls", "true"), ("storage.pubsub.kafka.ca-file", ca.as_str())];
    let login = |mechanism, user, password| {
        [
            ("storage.pubsub.kafka.sasl-mechanism", mechanism),
            ("storage.pubsub.kafka.sasl-username", user),
            ("storage.pubsub.kafka.sasl-password-path", password),
        ]
    };
    let over_tls = |mechanism, password| [&tls[..], &login(mechanism, "stranger", password)].concat();

    let texts = ["does not let stranger log in by SCRAM-SHA-512", "storage.pubsub.kafka.sasl-password-path"];
    refused(&to(&topic, &scram, &over_tls("SCRAM-SHA-512", &wrong)), &texts).await;
    let texts = ["does not take PLAIN; it takes SCRAM-SHA-", "storage.pubsub.kafka.sasl-mechanism"];
    refused(&to(&topic, &scram, &over_tls("PLAIN", &right)), &texts).await;
    let texts = ["does not let plain-user log in by PLAIN"];
    refused(&to(&topic, &plain, &login("PLAIN", PLAIN_USER.0, &wrong)), &texts).await;
    let texts = ["without the file of storage.pubsub.kafka.sasl-password-path", "it is empty"];
    refused(&to(&topic, &scram, &over_tls("SCRAM-SHA-256", &empty)), &texts).await;
    let texts = ["without the file of storage.pubsub.kafka.sasl-password-path", "No such file"];
    refused(&to(&topic, &scram, &over_tls("SCRAM-SHA-256", "/nowhere/password")), &texts).await;
    // Who is known and may nothing.
    let texts = ["TOPIC_AUTHORIZATION_FAILED", "Write and Describe", "kafka-acls.sh"];
    refused(&to(&topic, &scram, &over_tls("SCRAM-SHA-256", &right)), &texts).await;
    assert_eq!(kafka.messages(&topic).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_brokers_do_not_take_is_told_with_its_remedy() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic("plain", REPLICAS, &[]).await;
    let servers = kafka.plain(&[1, 2]);
    let texts = ["UNKNOWN_TOPIC_OR_PARTITION", "create topic nowhere", "storage.pubsub.topic"];
    refused(&to("nowhere", &servers, &[]), &texts).await;
    let small = kafka.topic("small", REPLICAS, &["max.message.bytes=300"]).await;
    let texts = ["MESSAGE_TOO_LARGE", "raise max.message.bytes of topic small"];
    refused(&to(&small, &servers, &[]), &texts).await;

    let tls = [("storage.pubsub.kafka.tls", "true")];
    refused(&to(&topic, &servers, &tls), &["does not speak TLS there", "unset storage.pubsub.kafka.tls"])
        .await;
    let mutual = kafka.mutual();
    refused(&to(&topic, &mutual, &[]), &["storage.pubsub.kafka.tls"]).await;
    let password_servers = kafka.password();
    let texts = ["closes the connection", "set storage.pubsub.kafka.sasl-mechanism"];
    refused(&to(&topic, &password_servers, &[]), &texts).await;
    let (_folder, password) = file(PASSWORD);
    let login = [
        ("storage.pubsub.kafka.sasl-mechanism", "SCRAM-SHA-256"),
        ("storage.pubsub.kafka.sasl-username", "scram-user"),
        ("storage.pubsub.kafka.sasl-password-path", password.as_str()),
    ];
    let texts = ["ILLEGAL_SASL_STATE", "unset storage.pubsub.kafka.sasl-mechanism"];
    refused(&to(&topic, &servers, &login), &texts).await;

    let texts = ["Kafka at 127.0.0.1:1,127.0.0.1:2 does not answer", "from the agent's pod"];
    refused(&to(&topic, "127.0.0.1:1, 127.0.0.1:2", &[]), &texts).await;
    let texts = ["storage.pubsub.kafka.bootstrap.servers cannot be used", "host:port"];
    refused(&to(&topic, "http://kafka", &[]), &texts).await;
    refused(&to("", &servers, &[]), &["it needs storage.pubsub.topic, which is not set"]).await;
    let in_memory: Vec<_> =
        to(&topic, &servers, &[]).into_iter().filter(|(key, _)| *key != "storage.pubsub.provider").collect();
    let in_memory = [&in_memory[..], &[("storage.pubsub.provider", "inmemory")]].concat();
    refused(&in_memory, &["storage.pubsub.provider is \"inmemory\", which keeps nothing"]).await;
    // Authorities without TLS: nothing is sent in the open because a key was forgotten.
    let half = [("storage.pubsub.kafka.ca-file", "/ca.crt")];
    refused(&to(&topic, &servers, &half), &["it needs storage.pubsub.kafka.tls, which is not set"]).await;
    assert_eq!(kafka.messages(&topic).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_broker_of_several_that_is_there_is_enough_to_find_the_others() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic("several", REPLICAS, &[]).await;
    let servers = format!("127.0.0.1:1, [::1]:1,{}", kafka.plain(&[2]));
    all_stored(&Signing::of("build", &[APP], &to(&topic, &servers, &[]))).await;
    assert_eq!(kafka.messages(&topic).await.len(), 2);
}

fn nowhere() -> Access {
    Access { host: "127.0.0.1:1".to_owned(), ca: None, login: None }
}

async fn complete(agent: &Agent, name: &str, number: usize) {
    let completion = Completion::success().image("", APP, &format!("sha256:{number:064x}"));
    agent.cluster.completed_task_run(&agent.namespace, name, &completion).await;
}

/// Each artifact has one message, whatever happened.
async fn each_once(kafka: &Kafka, topic: &str, runs: usize) {
    let messages = kafka.messages(topic).await;
    let mut keys: BTreeMap<&str, usize> = BTreeMap::new();
    for message in &messages {
        *keys.entry(&message.key).or_default() += 1;
    }
    let more: Vec<_> = keys.iter().filter(|(_, count)| **count > 1).collect();
    assert!(more.is_empty(), "there more than once: {more:?}");
    assert_eq!(keys.len(), 2 * runs, "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_stands_still_and_is_killed_in_a_burst_and_every_message_is_there_once() {
    const RUNS: usize = 24;
    // Of its own: what makes topics for the other tests wants all brokers.
    let kafka = &Kafka::start().await;
    let topic = kafka.topic("burst", "3:1:2,3:2:1,3:1:2", &["min.insync.replicas=2"]).await;
    let few = kafka.topic("few", "1:3", &["min.insync.replicas=2"]).await;
    let servers = kafka.plain(&[3, 1, 2]);
    let agent = Agent::prepare("kafka-burst", &nowhere(), &to(&topic, &servers, &[])).await;
    let hallmark = agent.start().await;
    for number in 0..RUNS {
        match number {
            // In the middle of what the first ones send.
            8 => kafka.freeze(3, true),
            16 => {
                kafka.freeze(3, false);
                kafka.kill(3);
            }
            _ => {}
        }
        complete(&agent, &format!("build-{number}"), number).await;
    }
    agent.all_signed(Duration::from_mins(2)).await;
    each_once(kafka, &topic, RUNS).await;
    let texts = ["NOT_ENOUGH_REPLICAS", "fewer replicas in sync than its min.insync.replicas"];
    refused(&to(&few, &servers, &[]), &texts).await;
    kafka.start_again(3).await;
    complete(&agent, "build-last", RUNS).await;
    assert_eq!(agent.mark("build-last", SOON).await, "true");
    each_once(kafka, &topic, RUNS + 1).await;
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_is_away_another_store_has_everything_at_once_and_each_gets_it_once() {
    const RUNS: usize = 4;
    let (kafka, servers) = (Kafka::shared().await, Servers::start());
    let topic = kafka.topic("away", REPLICAS, &[]).await;
    let door = Door::before(&kafka.plain(&[1])).await;
    door.set(Passage::Shut);
    let (brokers, archivista) =
        (door.url.trim_start_matches("http://").to_owned(), format!("{}/archivista", servers.url));
    let mut config = to(&topic, &brokers, &[("storage.archivista.url", &archivista)]);
    config.retain(|(key, _)| !key.starts_with("artifacts."));
    config.extend([
        ("artifacts.taskrun.storage", "kafka,archivista"),
        ("artifacts.oci.storage", "archivista,kafka"),
    ]);
    let agent = Agent::prepare("kafka-away", &nowhere(), &config).await;
    let hallmark = agent.start().await;
    for number in 0..RUNS {
        complete(&agent, &format!("build-{number}"), number).await;
    }
    let uploads = async || servers.count("POST /archivista/upload").await;
    eventually("archivista has all of them", SOON, async || {
        Some(uploads().await).filter(|count| *count == 2 * RUNS)
    })
    .await;
    agent.event(&["SigningFailed", "cannot send a message to topic", &brokers]).await;
    assert!(agent.marks().await.values().flatten().next().is_none(), "signed waits for both");
    door.set(Passage::Open);
    agent.all_signed(Duration::from_mins(1)).await;
    assert_eq!(uploads().await, 2 * RUNS, "what was there was not uploaded again");
    each_once(kafka, &topic, RUNS).await;
    stopped_well(hallmark);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_renewed_in_its_file_serves_the_next_attempt() {
    let kafka = Kafka::shared().await;
    let topic = kafka.topic("renewed", REPLICAS, &[]).await;
    kafka.user("renewed", PASSWORD).await;
    kafka.allow("renewed", &topic).await;
    let (_folder, password) = file("canary-old");
    let (ca, servers) = (kafka.file("ca.crt"), kafka.scram());
    let config = to(
        &topic,
        &servers,
        &[
            ("storage.pubsub.kafka.tls", "true"),
            ("storage.pubsub.kafka.ca-file", &ca),
            ("storage.pubsub.kafka.sasl-mechanism", "SCRAM-SHA-512"),
            ("storage.pubsub.kafka.sasl-username", "renewed"),
            ("storage.pubsub.kafka.sasl-password-path", &password),
        ],
    );
    let agent = Agent::prepare("kafka-renewed", &nowhere(), &config).await;
    let hallmark = agent.start().await;
    complete(&agent, "build", 1).await;
    agent.event(&["SigningFailed", "does not let renewed log in by SCRAM-SHA-512"]).await;
    std::fs::write(&password, PASSWORD).unwrap();
    assert_eq!(agent.mark("build", Duration::from_mins(1)).await, "true");
    each_once(kafka, &topic, 1).await;
    let outcome: Vec<Value> = agent.outcome("build", SOON).await;
    assert!(outcome.iter().all(|entry| entry["store"] == "kafka"), "{outcome:?}");
    stopped_well(hallmark);
}
