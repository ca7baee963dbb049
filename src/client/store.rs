//! The conversation with servers that keep signatures: one request, one bounded answer, and what each status means
//! whatever the server (Chains specification §6).
//!
//! # Guarantees
//!
//! - One circuit for each host: a server that is away is told to everybody at once, and asked again by one at a time.
//! - A request has ten seconds in all; answers are read up to a limit, and no redirect is followed.
//! - What a server says reaches errors cut, on one line, without the secrets that were sent.

mod error;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderValue};
use jiff::Timestamp;
use reqwest::{Client, RequestBuilder};
use url::Url;
use zeroize::Zeroizing;

pub use error::{Asked, Error, MONGO_SERVER_URL};

use super::cloud::said;
use super::http::{Circuits, Clients, Service, Transport, admit, body, trace_context};
use super::retry_after::retry_after;
use crate::credential::Redacted;
use crate::credential::registry_config::RegistryConfig;

/// A request and its answer together.
const PATIENCE: Duration = Duration::from_secs(10);
/// A statement with a large build in it has some megabytes.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// A server, as the configuration names it.
#[derive(Debug, Clone)]
pub struct Server {
    /// What it is, for messages.
    name: &'static str,
    url: Url,
    client: Client,
    circuits: Circuits,
}

/// What it answered, when it did.
#[derive(Debug)]
pub struct Answer {
    /// The status, below 500.
    pub status: StatusCode,
    /// The content.
    pub body: Bytes,
    said: String,
}

impl Server {
    /// `name` at `address`, which `key` of the configuration has; reached as the table of its host in the registry
    /// configuration file says, if there is one.
    pub fn new(
        name: &'static str,
        key: &'static str,
        address: &str,
        clients: &Clients,
        registries: &RegistryConfig,
    ) -> Result<Self, Error> {
        let refused = |reason| Error::Address { key, reason };
        let mut url =
            Url::parse(address.trim()).map_err(|_| refused("it is no URL; write it as https://host"))?;
        admit(&url).map_err(|_| refused("it leads to an inner address that must not be used"))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(refused("it is neither https nor http"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("it carries a password"));
        }
        url.set_query(None);
        url.set_fragment(None);
        let client = clients.of(&Transport::to(address.trim(), registries)).map_err(Error::Setup)?;
        Ok(Self { name, url, client, circuits: clients.circuits().clone() })
    }

    /// `path` under its address, as it stands: whoever gives it has encoded it.
    pub fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{path}", self.url.path().trim_end_matches('/')));
        url
    }

    /// What requests are made with.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Its host, with a port where that is not the usual one.
    pub fn host(&self) -> String {
        let name = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
    }

    /// Sends `request`, which is to do `what`; `secrets` are what it carries.
    pub async fn ask(
        &self,
        what: &str,
        request: RequestBuilder,
        secrets: &[&Redacted],
    ) -> Result<Answer, Error> {
        let origin = self.url.origin().ascii_serialization();
        let away = |source: Box<dyn std::error::Error + Send + Sync>| Error::Away {
            asked: self.asked(what),
            origin: origin.clone(),
            source,
        };
        let entered = self.circuits.enter(Service::Store, &origin, Instant::now());
        let passage = entered.map_err(|silent| away(silent.into()))?;
        let answered = async {
            let sent = passage.told(request.headers(trace_context()).send().await);
            let response = sent.map_err(|error| away(error.without_url().into()))?;
            let (status, wait) = (response.status(), retry_after(response.headers(), Timestamp::now()));
            let body = body(response, LARGEST_ANSWER).await.map_err(|error| away(error.into()))?;
            Ok((status, wait, body))
        };
        let (status, wait, body) = match tokio::time::timeout(PATIENCE, answered).await {
            Ok(answered) => answered?,
            Err(elapsed) => return Err(away(elapsed.into())),
        };
        let said = if status.is_success() { String::new() } else { said::shown(&body, secrets) };
        let answer = format!("{} {said}", status.as_u16()).trim_end().to_owned();
        let asked = || self.asked(what);
        match status.as_u16() {
            429 => Err(Error::Throttled { asked: asked(), answer, retry_after: wait }),
            _ if said::is_throttling(&said) => {
                Err(Error::Throttled { asked: asked(), answer, retry_after: wait })
            }
            408 | 425 | 500..=599 => Err(Error::Unavailable { asked: asked(), answer, retry_after: wait }),
            _ => Ok(Answer { status, body, said }),
        }
    }

    /// An answer that means no.
    pub fn refused(&self, what: &str, answer: &Answer, remedy: String) -> Error {
        let said = format!("{} {}", answer.status.as_u16(), answer.said).trim_end().to_owned();
        Error::Refused { asked: self.asked(what), answer: said, remedy }
    }

    /// An answer that means nothing here.
    pub fn malformed(&self, what: &str) -> Error {
        Error::Malformed { asked: self.asked(what) }
    }

    fn asked(&self, what: &str) -> Asked {
        Asked { service: self.name, host: self.host(), what: what.to_owned() }
    }
}

impl Answer {
    /// Whether the server gave this code with its refusal.
    pub fn says(&self, code: &str) -> bool {
        self.said.split(':').next().is_some_and(|said| said.trim() == code)
    }

    /// Whether these words are in its refusal, where there is no code that tells.
    pub fn mentions(&self, words: &str) -> bool {
        self.said.contains(words)
    }
}

/// The header that shows a token; marked, so that no log of headers has it.
pub fn bearer(request: RequestBuilder, token: &Redacted) -> RequestBuilder {
    let text = Zeroizing::new(format!("Bearer {}", token.expose_text()));
    let mut value = HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    request.header(AUTHORIZATION, value)
}

/// Everything but what needs no encoding anywhere; `/` stays where `keep` has it.
pub fn encoded(text: &str, keep: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex::encode_upper([byte]));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_as_the_servers_do() {
        assert_eq!(encoded("a-b/c.io:5000/x@sha256:0", b"/"), "a-b/c.io%3A5000/x%40sha256%3A0");
        assert_eq!(encoded("a/b~ä", b""), "a%2Fb~%C3%A4");
    }

    #[test]
    fn an_address_that_cannot_be_used_names_its_key() {
        let clients = Clients::default();
        for (address, reason) in [
            ("storage.example", "no URL"),
            ("ftp://storage.example", "neither https nor http"),
            ("https://user:canary@storage.example", "carries a password"),
            ("http://169.254.169.254", "inner address"),
        ] {
            let error = Server::new("X", "storage.x.endpoint", address, &clients, &RegistryConfig::default());
            let told = error.unwrap_err().to_string();
            assert!(told.contains("storage.x.endpoint") && told.contains(reason), "{told}");
            assert!(!told.contains("canary"));
        }
    }
}
