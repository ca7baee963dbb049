//! What the driver's errors mean, and what to do about them. Pure.

use mongodb::error::{ErrorKind, WriteFailure};

use super::address::Said;
use crate::client::cloud::said;
use crate::client::store::{Asked, Error};

/// A document of that name had been there (the server's `DuplicateKey`).
const DUPLICATE: i32 = 11000;
/// Codes with which servers say that a user lacks a right: `Unauthorized`, and Atlas' own.
const UNAUTHORISED: [i32; 2] = [13, 8000];
/// `AuthenticationFailed`.
const UNAUTHENTICATED: i32 = 18;
/// Asked too often: Cosmos DB, and servers that shed load.
const THROTTLED: [i32; 2] = [16500, 462];
/// Codes of a server that is going away or electing, or that could not make a write lasting in time.
const PASSING: [i32; 12] = [6, 7, 50, 64, 89, 91, 189, 10058, 10107, 11600, 11602, 13436];

/// Whether a write met a document that had been there.
pub(super) fn is_duplicate(error: &mongodb::error::Error) -> bool {
    code(&error.kind).is_some_and(|(code, _)| code == DUPLICATE)
}

/// Whether the server itself said so.
pub(super) fn is_answer(error: &mongodb::error::Error) -> bool {
    code(&error.kind).is_some() || matches!(*error.kind, ErrorKind::Authentication { .. })
}

/// What it is for whoever asked; `key` names the URL of the server, `collection` what was used of it.
pub(super) fn told(
    error: &mongodb::error::Error,
    asked: Asked,
    (key, collection): (&'static str, &str),
    said: &Said,
) -> Error {
    let shown = |text: &str| said::shown(text.as_bytes(), &said.secrets.iter().collect::<Vec<_>>());
    let refused = |asked, text: &str, remedy| Error::Refused { asked, answer: shown(text), remedy };
    let login =
        || format!("see that user, password and authSource in the URL of {key} are those of the server");
    if let Some((code, text)) = code(&error.kind) {
        return match code {
            UNAUTHENTICATED => refused(asked, &text, login()),
            code if UNAUTHORISED.contains(&code) => {
                let remedy = format!("grant the user in the URL of {key} the role readWrite on {collection}");
                refused(asked, &text, remedy)
            }
            code if THROTTLED.contains(&code) => {
                Error::Throttled { asked, answer: shown(&text), retry_after: None }
            }
            code if PASSING.contains(&code) => {
                Error::Unavailable { asked, answer: shown(&text), retry_after: None }
            }
            _ => refused(asked, &text, format!("see what the server's log says of {collection}")),
        };
    }
    match error.kind.as_ref() {
        ErrorKind::Authentication { message, .. } => refused(asked, message, login()),
        ErrorKind::InvalidTlsConfig { message, .. } => refused(asked, message, tls(key)),
        ErrorKind::InvalidArgument { message, .. } => {
            refused(asked, message, format!("correct the options in the URL of {key}"))
        }
        ErrorKind::Bson(error) => refused(
            asked,
            &error.to_string(),
            "store it elsewhere: MongoDB cannot hold this statement".to_owned(),
        ),
        other => {
            let cause = cause(&other.to_string());
            if is_of_tls(&cause) {
                return refused(asked, &cause, tls(key));
            }
            let origin = origin(&said.hosts);
            Error::Away { asked, origin, source: shown(&cause).into() }
        }
    }
}

/// Where it is found out whether the server is back.
pub(super) fn origin(hosts: &str) -> String {
    format!("tcp://{hosts}")
}

fn tls(key: &str) -> String {
    format!(
        "see that tls in the URL of {key} is what the server wants, and name its authority there by tlsCAFile, or by \
         SSL_CERT_FILE"
    )
}

fn is_of_tls(cause: &str) -> bool {
    ["certificate", "corrupt message", "HandshakeFailure", "AlertReceived", "ProtocolVersion"]
        .iter()
        .any(|word| cause.contains(word))
}

/// Code and words of a server that answered.
fn code(kind: &ErrorKind) -> Option<(i32, String)> {
    match kind {
        ErrorKind::Command(error) => Some((error.code, format!("{}: {}", error.code_name, error.message))),
        ErrorKind::Write(WriteFailure::WriteError(error)) => {
            let name = error.code_name.as_deref().unwrap_or("write error");
            Some((error.code, format!("{name} {}: {}", error.code, error.message)))
        }
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => {
            Some((64, format!("{}: {}", error.code_name, error.message)))
        }
        _ => None,
    }
}

/// The driver tells all that it knows of the servers when none can be used; what the first of them said is in it.
fn cause(text: &str) -> String {
    let first = text.split_once("Error: Kind: ").map(|(_, rest)| rest);
    let first = first.and_then(|rest| rest.split_once(", labels: ")).map(|(cause, _)| cause);
    first.unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use crate::error::Diagnose as _;

    #[test]
    fn of_all_that_the_driver_tells_the_cause_is_shown() {
        let text = "Server selection timeout: No available servers. Topology: { Type: Unknown, Servers: [ { Address: \
                    a.test:1, Type: Unknown, Error: Kind: I/O error: Connection refused (os error 111), labels: {}, \
                    source: None, server response: None } ] }";
        assert_eq!(cause(text), "I/O error: Connection refused (os error 111)");
        assert_eq!(cause("anything else"), "anything else");
    }

    #[test]
    fn each_kind_of_failure_has_its_class_and_its_remedy() {
        let said = Said::of("K", &Secret::new("mongodb://user:canary@a.test")).unwrap();
        let told = |error: std::io::Error| {
            let asked = Asked { service: "MongoDB", host: said.hosts.clone(), what: "read it".to_owned() };
            told(&error.into(), asked, ("K", "mongo://d/c"), &said)
        };
        let away = told(std::io::Error::other("connection refused by canary"));
        assert_eq!(away.host_away(), Some("tcp://a.test:27017"));
        let shown = crate::error::chain(&away);
        assert!(shown.contains("[redacted]") && !shown.contains("canary"), "{shown}");
        let untrusted = told(std::io::Error::other("invalid peer certificate: UnknownIssuer"));
        assert!(untrusted.hint().unwrap().contains("tlsCAFile"), "{untrusted}");
        assert_eq!(untrusted.host_away(), None, "it was there");
    }
}
