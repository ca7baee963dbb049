//! The settings of the storage `kafka`, and what it lacks to be usable.

use std::path::PathBuf;

use super::choice::{PubSubProvider, SaslMechanism};
use super::finding::{Problem, Refusal};

/// Settings of the publish and subscribe storage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PubSubStorage {
    /// The broker; Kafka, unless it says otherwise.
    pub provider: Option<PubSubProvider>,
    /// The topic.
    pub topic: Option<String>,
    /// Kafka's brokers.
    pub kafka: KafkaStorage,
}

/// How Kafka's brokers are met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KafkaStorage {
    /// Brokers that are asked first, as `host:port` between commas.
    pub bootstrap_servers: Option<String>,
    /// Connections are TLS.
    pub tls: bool,
    /// File with the authorities of the brokers' certificates.
    pub ca_file: Option<PathBuf>,
    /// File with our certificate.
    pub client_certificate_file: Option<PathBuf>,
    /// File with its key.
    pub client_key_file: Option<PathBuf>,
    /// How to log in.
    pub sasl_mechanism: Option<SaslMechanism>,
    /// As whom.
    pub sasl_username: Option<String>,
    /// File with the password.
    pub sasl_password_path: Option<PathBuf>,
}

impl PubSubStorage {
    /// Whether anything can be stored there: not with half of what was meant to protect it.
    pub fn is_usable(&self) -> bool {
        self.unusable().is_none()
    }

    /// Why nothing can be stored there.
    pub(super) fn unusable(&self) -> Option<Refusal> {
        if self.provider == Some(PubSubProvider::InMemory) {
            let remedy = "the artifacts that use it fail: set storage.pubsub.provider to \"kafka\"";
            return Some(Refusal::new(Problem::KeptNowhere, remedy));
        }
        let kafka = &self.kafka;
        let is_set = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.trim().is_empty());
        let logs_in = kafka.sasl_mechanism.is_some();
        let (certificate, key) = (kafka.client_certificate_file.is_some(), kafka.client_key_file.is_some());
        let identifies = certificate || key;
        let needs_tls = identifies || kafka.ca_file.is_some();
        let needs = [
            (true, is_set(&self.topic), "storage.pubsub.topic"),
            (true, is_set(&kafka.bootstrap_servers), "storage.pubsub.kafka.bootstrap.servers"),
            (needs_tls, kafka.tls, "storage.pubsub.kafka.tls"),
            (identifies, certificate, "storage.pubsub.kafka.client-certificate-file"),
            (identifies, key, "storage.pubsub.kafka.client-key-file"),
            (logs_in, is_set(&kafka.sasl_username), "storage.pubsub.kafka.sasl-username"),
            (logs_in, kafka.sasl_password_path.is_some(), "storage.pubsub.kafka.sasl-password-path"),
            (
                kafka.sasl_username.is_some() || kafka.sasl_password_path.is_some(),
                logs_in,
                "storage.pubsub.kafka.sasl-mechanism",
            ),
        ];
        let lacks = needs.into_iter().find(|(is_needed, is_there, _)| *is_needed && !is_there);
        lacks.map(|(_, _, key)| super::support::needs_other(key))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{ArtifactKind, Config};

    /// What a configuration is told that stores all kinds in Kafka.
    fn told(pairs: &[(&str, &str)]) -> Vec<String> {
        let stored =
            ["taskrun", "pipelinerun", "oci"].map(|kind| (format!("artifacts.{kind}.storage"), "kafka"));
        let stored = stored.iter().map(|(key, text)| (key.as_str(), *text));
        let data: BTreeMap<_, _> = stored
            .chain(pairs.iter().copied())
            .map(|(key, text)| (key.to_owned(), text.to_owned()))
            .collect();
        let config = Config::parse(&data).config.unwrap();
        let kinds = [ArtifactKind::TaskRun, ArtifactKind::PipelineRun, ArtifactKind::Oci];
        let told = kinds
            .map(|kind| config.unsupported_for(kind).iter().map(ToString::to_string).collect::<Vec<_>>());
        let reasons: Vec<Vec<String>> =
            told.iter().map(|told| told.iter().map(|t| reason(t)).collect()).collect();
        assert!(reasons.iter().all(|one| *one == reasons[0]), "{told:?}");
        told.into_iter().next().unwrap()
    }

    /// Less the key that it is told of.
    fn reason(told: &str) -> String {
        told.split_once("kafka\"").map_or_else(|| told.to_owned(), |(_, reason)| reason.to_owned())
    }

    #[test]
    fn kafka_needs_a_topic_and_brokers_and_what_belongs_together() {
        let usual = [("storage.pubsub.topic", "t"), ("storage.pubsub.kafka.bootstrap.servers", "a:1,b:2")];
        assert_eq!(told(&usual), Vec::<String>::new());
        assert_eq!(
            told(&[&usual[..], &[("storage.pubsub.provider", "kafka")]].concat()),
            Vec::<String>::new()
        );
        assert!(told(&usual[1..])[0].contains("it needs storage.pubsub.topic"), "{:?}", told(&usual[1..]));
        assert!(told(&usual[..1])[0].contains("it needs storage.pubsub.kafka.bootstrap.servers"));
        for (has, needs) in [
            (&["ca-file"][..], "tls"),
            (&["client-certificate-file"], "tls"),
            (&["tls", "client-certificate-file"], "client-key-file"),
            (&["tls", "client-key-file"], "client-certificate-file"),
            (&["sasl-mechanism"], "sasl-username"),
            (&["sasl-mechanism", "sasl-username"], "sasl-password-path"),
            (&["sasl-username"], "sasl-mechanism"),
            (&["sasl-password-path"], "sasl-mechanism"),
        ] {
            let keys: Vec<_> = has.iter().map(|key| format!("storage.pubsub.kafka.{key}")).collect();
            let value = |key: &str| match key.rsplit('.').next() {
                Some("tls") => "true",
                Some("sasl-mechanism") => "SCRAM-SHA-256",
                _ => "x",
            };
            let own: Vec<_> = keys.iter().map(|key| (key.as_str(), value(key))).collect();
            let told = told(&[&usual[..], &own].concat());
            let expected = format!("it needs storage.pubsub.kafka.{needs}, which is not set");
            assert!(told.len() == 1 && told[0].contains(&expected), "{has:?}: {told:?}");
        }
    }

    #[test]
    fn a_provider_that_keeps_nothing_is_refused() {
        let told = told(&[
            ("storage.pubsub.provider", "inmemory"),
            ("storage.pubsub.topic", "t"),
            ("storage.pubsub.kafka.bootstrap.servers", "a:1"),
        ]);
        assert!(told[0].contains("\"inmemory\"") && told[0].contains("to \"kafka\""), "{told:?}");
    }
}
