//! What the codes in answers of brokers mean: their names as Kafka writes them, and what to do.

use std::fmt;

/// A code of Kafka's protocol, other than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Code(pub(super) i16);

impl Code {
    pub(super) const UNKNOWN_TOPIC: Self = Self(3);
    pub(super) const NO_LEADER: Self = Self(5);
    pub(super) const CLUSTER_DENIED: Self = Self(31);
    pub(super) const UNKNOWN_MECHANISM: Self = Self(33);
    pub(super) const DUPLICATE: Self = Self(46);
    pub(super) const LOGIN_FAILED: Self = Self(58);

    /// Nothing, where nothing is wrong.
    pub(super) fn of(code: i16) -> Option<Self> {
        (code != 0).then_some(Self(code))
    }

    /// Whether it is better asked again, here or at another broker.
    pub(super) fn passes(self) -> bool {
        matches!(self.0, -1 | 2 | 5..=9 | 13 | 14 | 15 | 19 | 20 | 41 | 56 | 72 | 74 | 75 | 89)
            || self.is_forgotten()
    }

    /// Whether the batch may have been stored all the same.
    pub(super) fn leaves_open(self) -> bool {
        matches!(self.0, -1 | 7 | 13 | 20)
    }

    /// Whether brokers do not know the producer any more, or not this number of its batches: it needs another number.
    pub(super) fn is_forgotten(self) -> bool {
        matches!(self.0, 45 | 47 | 59)
    }

    pub(super) fn remedy(self, topic: &str) -> Option<String> {
        let remedy = match self.0 {
            3 => format!("create topic {topic} (kafka-topics.sh --create), or correct storage.pubsub.topic"),
            5 | 6 | 9 => format!("see that a broker is up that holds a replica in sync of topic {topic}"),
            10 | 18 => format!(
                "raise max.message.bytes of topic {topic} (kafka-configs.sh --alter), and with it \
                 replica.fetch.max.bytes of the brokers"
            ),
            17 => {
                "write a topic's name into storage.pubsub.topic: letters, digits, '.', '_' and '-'".to_owned()
            }
            19 | 20 => format!(
                "see that the brokers are up: topic {topic} has fewer replicas in sync than its min.insync.replicas"
            ),
            29 => format!(
                "allow the operations Write and Describe on topic {topic} to the agent's user (kafka-acls.sh --add)"
            ),
            34 => "unset storage.pubsub.kafka.sasl-mechanism, or name a listener of SASL in \
                   storage.pubsub.kafka.bootstrap.servers"
                .to_owned(),
            87 => format!("see what topic {topic} demands of a message, such as a schema"),
            44 => format!("see which policy of the brokers refuses messages to topic {topic}"),
            _ => return None,
        };
        Some(remedy)
    }

    fn name(self) -> Option<&'static str> {
        let name = match self.0 {
            -1 => "UNKNOWN_SERVER_ERROR",
            2 => "CORRUPT_MESSAGE",
            3 => "UNKNOWN_TOPIC_OR_PARTITION",
            5 => "LEADER_NOT_AVAILABLE",
            6 => "NOT_LEADER_OR_FOLLOWER",
            7 => "REQUEST_TIMED_OUT",
            8 => "BROKER_NOT_AVAILABLE",
            9 => "REPLICA_NOT_AVAILABLE",
            10 => "MESSAGE_TOO_LARGE",
            13 => "NETWORK_EXCEPTION",
            14 => "COORDINATOR_LOAD_IN_PROGRESS",
            15 => "COORDINATOR_NOT_AVAILABLE",
            17 => "INVALID_TOPIC_EXCEPTION",
            18 => "RECORD_LIST_TOO_LARGE",
            19 => "NOT_ENOUGH_REPLICAS",
            20 => "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
            29 => "TOPIC_AUTHORIZATION_FAILED",
            31 => "CLUSTER_AUTHORIZATION_FAILED",
            33 => "UNSUPPORTED_SASL_MECHANISM",
            34 => "ILLEGAL_SASL_STATE",
            35 => "UNSUPPORTED_VERSION",
            41 => "NOT_CONTROLLER",
            44 => "POLICY_VIOLATION",
            45 => "OUT_OF_ORDER_SEQUENCE_NUMBER",
            46 => "DUPLICATE_SEQUENCE_NUMBER",
            47 => "INVALID_PRODUCER_EPOCH",
            56 => "KAFKA_STORAGE_ERROR",
            58 => "SASL_AUTHENTICATION_FAILED",
            59 => "UNKNOWN_PRODUCER_ID",
            72 => "LISTENER_NOT_FOUND",
            74 => "FENCED_LEADER_EPOCH",
            75 => "UNKNOWN_LEADER_EPOCH",
            87 => "INVALID_RECORD",
            89 => "THROTTLING_QUOTA_EXCEEDED",
            _ => return None,
        };
        Some(name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "error {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_no_fault_of_the_settings_and_what_does_not_has_a_remedy() {
        let known = (-1..200).map(Code).filter(|code| code.name().is_some());
        for code in known {
            let needs = !code.passes() && !matches!(code.0, 31 | 33 | 35 | 46 | 58);
            assert!(!needs || code.remedy("t").is_some(), "{code}");
        }
        assert!(Code(6).passes() && !Code::UNKNOWN_TOPIC.passes() && !Code(29).passes());
        assert!(Code(7).leaves_open() && Code(20).leaves_open() && !Code(19).leaves_open());
        assert_eq!((Code(1234).to_string(), Code::of(0)), ("error 1234".to_owned(), None));
    }
}
