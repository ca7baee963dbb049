//! Where the URL of the server comes from, and what it says: the URL holds a password, so that nothing of it is repeated but
//! the hosts.
//!
//! Guarantees: a file is bounded, and read anew each time, so that a password that is rotated while the agent runs is the
//! one that the next request shows.

use std::path::PathBuf;

use mongodb::options::{ConnectionString, HostInfo, ServerAddress};
use zeroize::Zeroizing;

use crate::client::store::Error;
use crate::config::Secret;
use crate::credential::Redacted;

/// A URL with many hosts has some hundreds of bytes.
const LARGEST: u64 = 64 * 1024;

/// Where the URL is.
#[derive(Debug, Clone)]
pub enum Address {
    /// In a file that this key of the configuration leads to.
    File(&'static str, PathBuf),
    /// In the value of this key, or of a variable of the environment.
    Text(&'static str, Secret),
}

impl Address {
    /// Who names the URL: a key of the configuration, or a variable.
    pub(super) fn key(&self) -> &'static str {
        match self {
            Self::File(key, _) | Self::Text(key, _) => key,
        }
    }

    /// The URL as it is now, without the newline that files end with.
    pub(super) async fn read(&self) -> Result<Secret, Error> {
        let text = match self {
            Self::Text(_, url) => Zeroizing::new(url.reveal().to_owned()),
            Self::File(key, path) => {
                let unread = |source| Error::Unread { key, file: path.clone(), source };
                Zeroizing::new(bounded(path).await.map_err(unread)?)
            }
        };
        let url = text.trim();
        if url.is_empty() {
            return Err(Error::Address { key: self.key(), reason: "there is no URL in it" });
        }
        Ok(Secret::new(url))
    }
}

async fn bounded(path: &PathBuf) -> std::io::Result<String> {
    if tokio::fs::metadata(path).await?.len() > LARGEST {
        return Err(std::io::Error::other("it is too large for a URL"));
    }
    tokio::fs::read_to_string(path).await
}

/// What a URL says.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) parsed: ConnectionString,
    /// For messages.
    pub(super) hosts: String,
    /// What is never shown.
    pub(super) secrets: Vec<Redacted>,
}

impl Said {
    /// Out of the URL that `key` names.
    pub(super) fn of(key: &'static str, url: &Secret) -> Result<Self, Error> {
        let refused = |reason| Error::Address { key, reason };
        // What the driver says of it may have a part of the password.
        let parsed = ConnectionString::parse(url.reveal())
            .map_err(|_| refused("it is no URL of MongoDB, or has an option that is not known here"))?;
        let hosts = match &parsed.host_info {
            HostInfo::DnsRecord(_) if !cfg!(feature = "mongodb-srv") => {
                return Err(refused(
                    "mongodb+srv:// is not in this build; write its hosts out as mongodb://",
                ));
            }
            HostInfo::DnsRecord(name) => name.clone(),
            HostInfo::HostIdentifiers(hosts) => hosts.iter().map(host).collect::<Vec<_>>().join(","),
            _ => return Err(refused("it names its servers in a way that is not known here")),
        };
        let password = parsed.credential.as_ref().and_then(|credential| credential.password.as_deref());
        let secrets = password.into_iter().chain([url.reveal()]).map(Redacted::from).collect();
        Ok(Self { parsed: without_socket_timeout(parsed), hosts, secrets })
    }
}

/// Drivers of other languages have this option, and this one refuses it; here every request has its time anyway.
#[expect(deprecated, reason = "it is deprecated for being refused")]
fn without_socket_timeout(mut parsed: ConnectionString) -> ConnectionString {
    parsed.socket_timeout = None;
    parsed
}

fn host(address: &ServerAddress) -> String {
    match address {
        ServerAddress::Tcp { host, port } if host.contains(':') => {
            format!("[{host}]:{}", port.unwrap_or(PORT))
        }
        ServerAddress::Tcp { host, port } => format!("{host}:{}", port.unwrap_or(PORT)),
        other => other.to_string(),
    }
}

/// Where servers listen unless told otherwise.
const PORT: u16 = 27017;

#[cfg(test)]
mod tests {
    use super::*;

    fn said(url: &str) -> Result<Said, Error> {
        Said::of("storage.docdb.mongo-server-url", &Secret::new(url))
    }

    #[test]
    fn of_a_url_the_hosts_alone_are_told() {
        for (url, hosts) in [
            ("mongodb://user:canary@a.test,b.test:1/?replicaSet=r&tls=true", "a.test:27017,b.test:1"),
            ("mongodb://[::1]:5/", "[::1]:5"),
            (
                "mongodb://user:canary@a.test/?socketTimeoutMS=5000&retryWrites=true&w=majority",
                "a.test:27017",
            ),
        ] {
            assert_eq!(said(url).unwrap().hosts, hosts);
        }
        for url in ["canary", "mongodb://user:can/ary@a.test", "mongodb://a.test/?canary=1", "https://canary"]
        {
            let told = said(url).unwrap_err().to_string();
            assert!(told.contains("storage.docdb.mongo-server-url cannot be used: it is no URL"), "{told}");
            assert!(!told.contains("canary") && !told.contains("ary@"), "{told}");
        }
    }

    #[test]
    fn the_password_and_the_url_are_never_shown() {
        let said = said("mongodb://user:can%2Fary@a.test").unwrap();
        let shown =
            |text: &str| said.secrets.iter().fold(text.to_owned(), |text, secret| secret.scrub(&text));
        assert_eq!(shown("no can/ary"), "no [redacted]");
        assert_eq!(shown("at mongodb://user:can%2Fary@a.test"), "at mongodb://user:[redacted]@a.test");
    }

    #[tokio::test]
    async fn a_file_is_read_anew_each_time_and_its_newline_is_no_part_of_the_url() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("MONGO_SERVER_URL");
        let address = Address::File("storage.docdb.mongo-server-url-dir", path.clone());
        let missing = address.read().await.unwrap_err().to_string();
        assert!(
            missing.contains("storage.docdb.mongo-server-url-dir") && missing.contains("MONGO_SERVER_URL")
        );
        for text in ["mongodb://one", "mongodb://two\n"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(address.read().await.unwrap().reveal(), text.trim());
        }
        for (text, reason) in [("\n".to_owned(), "no URL in it"), ("x".repeat(70_000), "cannot read")] {
            std::fs::write(&path, text).unwrap();
            assert!(address.read().await.unwrap_err().to_string().contains(reason));
        }
    }
}
