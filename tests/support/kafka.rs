//! Apache Kafka itself: three brokers, the first of them the controller too, each with a listener of each kind: plain, TLS
//! with certificates on both sides, SASL by SCRAM over TLS, and SASL by PLAIN without.
//!
//! Whoever comes by the plain listener may do everything; the others what they are allowed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::binary::{binary, installed};
use super::pki::Authority;
use super::process::{Finished, Server, StartFailure, free_port, run, run_reading, signal, start};

/// The user that has a password for PLAIN.
pub const PLAIN_USER: (&str, &str) = ("plain-user", "canary-plain");
const CLUSTER_ID: &str = "MkU3OEVBNTcwNTJENDM2Qk";
const BROKERS: [usize; 3] = [1, 2, 3];

/// A running cluster.
pub struct Kafka {
    brokers: Vec<Broker>,
    folder: TempDir,
}

struct Broker {
    server: Mutex<Option<Server>>,
    properties: PathBuf,
    ports: Ports,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    plain: u16,
    scram: u16,
    mutual: u16,
    password: u16,
}

/// A message, as Go's library for such things has it; what it says in base64 is decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub key: String,
    pub partition: i64,
    pub offset: i64,
    pub body: Vec<u8>,
    pub metadata: std::collections::BTreeMap<String, Vec<u8>>,
}

impl Kafka {
    /// The one of this test binary.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Kafka> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// Another one.
    pub async fn start() -> Self {
        start(Self::attempt).await
    }

    async fn attempt() -> Result<Self, StartFailure> {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path());
        let (server, client) = (authority.server("broker"), authority.user("hallmark", None));
        let text = |path: &Path| fs::read_to_string(path).unwrap();
        fs::write(folder.path().join("broker.pem"), text(&server.key) + &text(&server.certificate)).unwrap();
        assert!(client.certificate.exists());
        fs::write(folder.path().join("log4j2.properties"), LOGS).unwrap();
        let controller = free_port();
        let brokers = BROKERS.map(|number| Broker::new(number, controller, folder.path()));
        let kafka = Self { brokers: brokers.into(), folder };
        let formatted = kafka.brokers.iter().map(async |broker| {
            let mut command = kafka.java("kafka.tools.StorageTool");
            command.args(["format", "-t", CLUSTER_ID, "-c"]).arg(&broker.properties);
            run(command).await.succeeded();
        });
        futures::future::join_all(formatted).await;
        for broker in &kafka.brokers {
            kafka.spawn(broker);
        }
        for broker in &kafka.brokers {
            broker.ready().await?;
        }
        Ok(kafka)
    }

    /// A program of Kafka's.
    pub fn java(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        command.args(["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        let logs = self.folder.path().join("log4j2.properties");
        command.arg(format!("-Dlog4j2.configurationFile={}", logs.display()));
        command.arg("-cp").arg(installed("kafka").join("*")).arg(class).current_dir(self.folder.path());
        command
    }

    fn spawn(&self, broker: &Broker) {
        let mut command = self.java("kafka.Kafka");
        command.arg(&broker.properties);
        let name = broker.properties.file_stem().unwrap().to_str().unwrap();
        // What it said before it was killed is not what it says now.
        let _ = fs::remove_file(broker.log());
        *broker.server.lock().unwrap() = Some(Server::spawn(name, &mut command, self.folder.path()));
    }

    /// Ends a broker at once, without a word to the others.
    pub fn kill(&self, number: usize) {
        drop(self.brokers[number - 1].server.lock().unwrap().take());
    }

    /// Starts it again.
    pub async fn start_again(&self, number: usize) {
        let broker = &self.brokers[number - 1];
        self.spawn(broker);
        broker.ready().await.expect("the broker starts again");
    }

    /// Makes a broker stand still, or go on: it takes connections and answers nothing.
    pub fn freeze(&self, number: usize, freeze: bool) {
        let broker = self.brokers[number - 1].server.lock().unwrap();
        signal(broker.as_ref().unwrap().id(), if freeze { "STOP" } else { "CONT" });
    }

    /// The listeners without anything, of these brokers.
    pub fn plain(&self, brokers: &[usize]) -> String {
        self.listeners(brokers, |ports| ports.plain)
    }

    /// The listeners of SCRAM over TLS.
    pub fn scram(&self) -> String {
        self.listeners(&BROKERS, |ports| ports.scram)
    }

    /// The listeners of TLS that want a certificate.
    pub fn mutual(&self) -> String {
        self.listeners(&BROKERS, |ports| ports.mutual)
    }

    /// The listeners of PLAIN without TLS.
    pub fn password(&self) -> String {
        self.listeners(&BROKERS, |ports| ports.password)
    }

    fn listeners(&self, brokers: &[usize], port: impl Fn(&Ports) -> u16) -> String {
        let listeners =
            brokers.iter().map(|number| format!("127.0.0.1:{}", port(&self.brokers[number - 1].ports)));
        listeners.collect::<Vec<_>>().join(",")
    }

    /// `ca.crt`, `user-hallmark.crt` and `user-hallmark.key` lie here.
    pub fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// A topic of its own, with these replicas (`1:2,2:1`: of each partition, the leader first).
    pub async fn topic(&self, name: &str, replicas: &str, settings: &[&str]) -> String {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let topic = format!("{name}-{number}");
        self.ask("topic", &[&[topic.as_str(), replicas], settings].concat()).await.succeeded();
        topic
    }

    /// Somebody with this password for SCRAM.
    pub async fn user(&self, name: &str, password: &str) {
        self.ask("user", &[name, password]).await.succeeded();
    }

    /// Lets somebody write to a topic.
    pub async fn allow(&self, user: &str, topic: &str) {
        self.ask("allow", &[user, topic]).await.succeeded();
    }

    async fn ask(&self, what: &str, arguments: &[&str]) -> Finished {
        let mut command = Command::new(binary("kafka-reader"));
        command.arg(what).arg(self.plain(&[1])).args(arguments);
        run(command).await
    }

    /// Writes a message as Chains does.
    pub async fn written_by_chains(&self, topic: &str, stored: &Value) {
        let file = self.folder.path().join(format!("{topic}.json"));
        fs::write(&file, stored.to_string()).unwrap();
        let mut command = Command::new(binary("kafka-reader"));
        command.args(["write", &self.plain(&[1]), topic]).stdin(fs::File::open(&file).unwrap());
        run_reading(command).await.succeeded();
    }

    /// Everything in a topic, in the order of partitions.
    pub async fn messages(&self, topic: &str) -> Vec<Message> {
        let read = self.ask("read", &[topic]).await;
        let read: Value = serde_json::from_str(&read.succeeded().stdout).unwrap();
        let mut messages: Vec<_> = read.as_array().unwrap().iter().map(Message::of).collect();
        messages.sort_by_key(|message| (message.partition, message.offset));
        messages
    }
}

impl Message {
    fn of(read: &Value) -> Self {
        use base64::Engine as _;
        let decoded =
            |value: &Value| base64::prelude::BASE64_STANDARD.decode(value.as_str().unwrap()).unwrap();
        let metadata = read["metadata"].as_object().unwrap();
        Self {
            key: read["key"].as_str().unwrap().to_owned(),
            partition: read["partition"].as_i64().unwrap(),
            offset: read["offset"].as_i64().unwrap(),
            body: decoded(&read["body"]),
            metadata: metadata.iter().map(|(name, value)| (name.clone(), decoded(value))).collect(),
        }
    }
}

impl Broker {
    fn new(number: usize, controller: u16, folder: &Path) -> Self {
        let ports =
            Ports { plain: free_port(), scram: free_port(), mutual: free_port(), password: free_port() };
        let properties = folder.join(format!("broker-{number}.properties"));
        fs::write(&properties, settings(number, controller, ports, folder)).unwrap();
        Self { server: Mutex::default(), properties, ports }
    }

    fn log(&self) -> PathBuf {
        self.properties.with_extension("log")
    }

    async fn ready(&self) -> Result<(), StartFailure> {
        let mut server = self.server.lock().unwrap().take().unwrap();
        let said = async || fs::read_to_string(self.log()).unwrap_or_default();
        server.ready(async || said().await.contains("Kafka Server started")).await?;
        *self.server.lock().unwrap() = Some(server);
        Ok(())
    }
}

fn settings(number: usize, controller: u16, ports: Ports, folder: &Path) -> String {
    let Ports { plain, scram, mutual, password } = ports;
    let listeners = format!(
        "PLAINTEXT://127.0.0.1:{plain},SCRAM://127.0.0.1:{scram},MUTUAL://127.0.0.1:{mutual},\
         PASSWORD://127.0.0.1:{password}"
    );
    let (roles, bound) = match number {
        1 => ("broker,controller", format!("{listeners},CONTROLLER://127.0.0.1:{controller}")),
        _ => ("broker", listeners.clone()),
    };
    let (folder, (user, secret)) = (folder.display(), PLAIN_USER);
    let scram_module = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
    format!(
        "process.roles={roles}\nnode.id={number}\ncontroller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners={bound}\nadvertised.listeners={listeners}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SCRAM:SASL_SSL,MUTUAL:SSL,\
         PASSWORD:SASL_PLAINTEXT\n\
         inter.broker.listener.name=PLAINTEXT\ncontroller.listener.names=CONTROLLER\n\
         log.dirs={folder}/data-{number}\n\
         ssl.keystore.type=PEM\nssl.keystore.location={folder}/broker.pem\n\
         ssl.truststore.type=PEM\nssl.truststore.location={folder}/ca.crt\n\
         listener.name.mutual.ssl.client.auth=required\n\
         listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512\n\
         listener.name.scram.scram-sha-256.sasl.jaas.config={scram_module}\n\
         listener.name.scram.scram-sha-512.sasl.jaas.config={scram_module}\n\
         listener.name.password.sasl.enabled.mechanisms=PLAIN\n\
         listener.name.password.plain.sasl.jaas.config=\
         org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}=\"{secret}\";\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS\n\
         auto.create.topics.enable=false\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         group.initial.rebalance.delay.ms=0\nbroker.session.timeout.ms=3000\nbroker.heartbeat.interval.ms=500\n\
         num.network.threads=2\nnum.io.threads=2\nlog.cleaner.enable=false\n"
    )
}

const LOGS: &str = "rootLogger.level=info\nrootLogger.appenderRef.out.ref=out\nappender.out.type=Console\n\
                    appender.out.name=out\nappender.out.layout.type=PatternLayout\n\
                    appender.out.layout.pattern=%d %p %m%n\n";
