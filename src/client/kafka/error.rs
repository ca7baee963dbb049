//! Why a message is not in its topic, and what to do about it. The codes of brokers are in `code`.

use std::fmt;
use std::io;
use std::path::PathBuf;

use tokio::time::error::Elapsed;

use super::code::Code;
use crate::client::http::SetupError;
use crate::error::{About, Class, Diagnose};

/// Why nothing was stored. Holds no secret.
#[derive(Debug, thiserror::Error)]
#[error("cannot send a message to topic {topic}: Kafka at {broker} {problem}")]
pub struct Error {
    /// The topic.
    pub topic: Box<str>,
    /// The broker that was asked last, or all of them.
    pub broker: Box<str>,
    /// By what runs wait for it, where none of the brokers answers.
    pub(super) away: Option<Box<str>>,
    /// What is wrong.
    #[source]
    pub problem: Problem,
}

/// What a broker did, or did not do.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Nobody is there, or nobody answers in time.
    #[error("does not answer")]
    Silent(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It was there, and went away in the middle of an answer.
    #[error("broke off the connection")]
    Broken(#[source] io::Error),
    /// It was asked and gave no answer in time.
    #[error("does not answer in time")]
    Late(#[source] Elapsed),
    /// It closes connections as soon as something is asked; many do that to who does not log in.
    #[error("closes the connection")]
    Closed(#[source] io::Error),
    /// What answers is not TLS.
    #[error("does not speak TLS there")]
    NoTls(#[source] io::Error),
    /// What answers is TLS, and nothing was said of that.
    #[error("speaks TLS there")]
    Tls,
    /// Its certificate, or ours, is not taken.
    #[error("has no trusted TLS connection with the agent")]
    Untrusted(#[source] io::Error),
    /// TLS cannot be set up.
    #[error("cannot be asked")]
    Setup(#[source] SetupError),
    /// A file that connections need.
    #[error("cannot be asked without the file of {key}")]
    File {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It said what is wrong.
    #[error("answered {0}")]
    Code(Said),
    /// It does not let us in.
    #[error("does not let {user} log in by {mechanism}: {answer}")]
    Login {
        /// Who.
        user: String,
        /// How.
        mechanism: &'static str,
        /// What it said, or what is wrong with it.
        answer: String,
    },
    /// It knows other ways to log in.
    #[error("does not take {mechanism}; it takes {offered}")]
    Mechanism {
        /// Ours.
        mechanism: &'static str,
        /// Those.
        offered: String,
    },
    /// It knows a request in other forms only.
    #[error("does not know {0} as it is asked here")]
    Version(&'static str),
    /// The answer is none.
    #[error("gave an answer to {0} that is none")]
    Malformed(&'static str),
}

/// A code, with what it came as an answer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub(super) code: Code,
    /// The broker's own words, if it has any.
    pub(super) words: String,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if self.words.is_empty() { Ok(()) } else { write!(f, " ({})", self.words) }
    }
}

impl Problem {
    /// Whether the broker was not there at all: what a circuit has to know.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Late(_))
    }

    /// Whether the same may go well a moment later, here or at another broker.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Silent(_) | Self::Late(_) | Self::Broken(_) | Self::Closed(_) => true,
            Self::Code(said) => said.code.passes(),
            _ => false,
        }
    }

    /// Whether the batch may have been stored all the same.
    pub(super) fn leaves_open(&self) -> bool {
        match self {
            Self::Late(_) | Self::Broken(_) | Self::Closed(_) | Self::Malformed(_) => true,
            Self::Code(said) => said.code.leaves_open(),
            _ => false,
        }
    }
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        if self.problem.passes() { Class::Temporary } else { Class::Misconfigured }
    }

    fn label(&self) -> &'static str {
        match &self.problem {
            Problem::Silent(_) | Problem::Late(_) | Problem::Broken(_) | Problem::Closed(_) => {
                "store_unreachable"
            }
            Problem::Code(said) if said.code.passes() => "store_unavailable",
            Problem::Malformed(_) | Problem::Version(_) => "store_malformed",
            _ => "store_denied",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match &self.problem {
            Problem::Silent(_) | Problem::Late(_) | Problem::Broken(_) => {
                format!("see that {} can be reached from the agent's pod", self.broker)
            }
            Problem::Closed(_) => {
                "brokers that want a login do that: set storage.pubsub.kafka.sasl-mechanism, or \
                 storage.pubsub.kafka.tls where the port is one of TLS"
                    .to_owned()
            }
            Problem::NoTls(_) => {
                "name a listener of TLS in storage.pubsub.kafka.bootstrap.servers, or unset storage.pubsub.kafka.tls"
                    .to_owned()
            }
            Problem::Tls => "set storage.pubsub.kafka.tls to \"true\"".to_owned(),
            Problem::Untrusted(_) => {
                "see that storage.pubsub.kafka.ca-file has the authority of the brokers' certificates, that these have \
                 the brokers' names, and that brokers that ask for a certificate trust the one in \
                 storage.pubsub.kafka.client-certificate-file"
                    .to_owned()
            }
            Problem::File { key, .. } => format!("mount the file that {key} names, in PEM where it is none of a password"),
            Problem::Code(said) => return said.code.remedy(&self.topic),
            Problem::Login { .. } => {
                "correct storage.pubsub.kafka.sasl-username, or write the password into the file of \
                 storage.pubsub.kafka.sasl-password-path; it is read for each connection"
                    .to_owned()
            }
            Problem::Mechanism { .. } => {
                "set storage.pubsub.kafka.sasl-mechanism to one that it takes".to_owned()
            }
            Problem::Version(_) => "use a broker that knows the requests of Kafka 0.11 to 4".to_owned(),
            Problem::Malformed(_) => {
                "see that storage.pubsub.kafka.bootstrap.servers are brokers of Kafka".to_owned()
            }
            Problem::Setup(_) => return None,
        };
        Some(hint)
    }

    fn host_away(&self) -> Option<&str> {
        self.away.as_deref()
    }

    fn about(&self) -> Option<About> {
        match &self.problem {
            Problem::File { file, .. } => Some(About { kind: "file", name: file.display().to_string() }),
            _ => None,
        }
    }
}
