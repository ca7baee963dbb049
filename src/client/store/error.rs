//! Why a server that keeps signatures did not do what it was asked, and what to do about it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::http::SetupError;
use crate::error::{Class, Diagnose};

/// The one key whose address is none of HTTP.
const DOCUMENTS: &str = "storage.docdb.url";
/// The one key that has several addresses.
const BROKERS: &str = "storage.pubsub.kafka.bootstrap.servers";

/// Keys, and the variable, that have the URL of a MongoDB server.
fn is_of_mongodb(key: &str) -> bool {
    key.starts_with("storage.docdb.mongo-server-url") || key == MONGO_SERVER_URL
}

/// The variable of the environment in which Chains' library looks for that URL.
pub const MONGO_SERVER_URL: &str = "MONGO_SERVER_URL";

/// What was asked of whom; all of it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The service.
    pub service: &'static str,
    /// Its host.
    pub host: String,
    /// What it was to do.
    pub what: String,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {} at {}", self.what, self.service, self.host)
    }
}

/// Why it was not done. Holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The setting is no address; it may hold a password, so it is not repeated.
    #[error("{key} cannot be used: {reason}")]
    Address {
        /// The key of the configuration.
        key: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The file with the address of a server cannot be read.
    #[error("cannot read {}, the file of {key}", file.display())]
    Unread {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// HTTP cannot be set up.
    #[error("cannot reach any store")]
    Setup(#[source] SetupError),
    /// Nobody answers, or not in time.
    #[error("{asked} does not answer")]
    Away {
        /// What was asked.
        asked: Asked,
        /// Where it is probed.
        origin: String,
        /// What the connection said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answers, but not now.
    #[error("{asked} is not able to now: {answer}")]
    Unavailable {
        /// What was asked.
        asked: Asked,
        /// Status, code and message.
        answer: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It was asked too often.
    #[error("{asked} asks for patience: {answer}")]
    Throttled {
        /// What was asked.
        asked: Asked,
        /// Status, code and message.
        answer: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// It does not want to.
    #[error("{asked} answered {answer}")]
    Refused {
        /// What was asked.
        asked: Asked,
        /// Status, code and message.
        answer: String,
        /// What to do about it.
        remedy: String,
    },
    /// The answer is none.
    #[error("{asked} gave an answer that is none")]
    Malformed {
        /// What was asked.
        asked: Asked,
    },
}

impl Diagnose for Error {
    fn class(&self) -> Class {
        match self {
            Self::Away { .. } | Self::Unavailable { .. } | Self::Throttled { .. } => Class::Temporary,
            Self::Address { .. }
            | Self::Unread { .. }
            | Self::Setup(_)
            | Self::Refused { .. }
            | Self::Malformed { .. } => Class::Misconfigured,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Address { .. } | Self::Unread { .. } => "store_address",
            Self::Setup(_) | Self::Away { .. } => "store_unreachable",
            Self::Unavailable { .. } => "store_unavailable",
            Self::Throttled { .. } => "store_throttled",
            Self::Refused { .. } => "store_denied",
            Self::Malformed { .. } => "store_malformed",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Address { key: key @ DOCUMENTS, .. } => Some(format!(
                "write {key} as dynamodb://TABLE?partition_key=Name, \
                 firestore://projects/PROJECT/databases/(default)/documents/COLLECTION?name_field=Name or \
                 mongo://DATABASE/COLLECTION?id_field=Name"
            )),
            Self::Address { key, .. } if is_of_mongodb(key) => Some(format!(
                "have {key} lead to mongodb://USER:PASSWORD@HOST:27017/?authSource=admin, user and password \
                 percent-encoded; best from a Secret, by storage.docdb.mongo-server-url-path"
            )),
            Self::Unread { key, .. } => Some(format!(
                "mount the Secret that has the file into the controller's pod, or correct {key}"
            )),
            Self::Address { key: key @ BROKERS, .. } => {
                Some(format!("write {key} as host:port, several of them between commas"))
            }
            Self::Address { key, .. } => Some(format!("set {key} to an address such as https://host")),
            Self::Refused { remedy, .. } => Some(remedy.clone()),
            Self::Malformed { asked } => {
                Some(format!("see that {} is the address of {}", asked.host, asked.service))
            }
            Self::Away { asked, .. } => {
                Some(format!("see that {} can be reached from the agent's pod", asked.host))
            }
            Self::Setup(_) | Self::Unavailable { .. } | Self::Throttled { .. } => None,
        }
    }

    fn host_away(&self) -> Option<&str> {
        match self {
            Self::Away { origin, .. } => Some(origin),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } | Self::Throttled { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
