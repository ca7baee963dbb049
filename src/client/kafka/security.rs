//! Whom connections to brokers trust and by which certificate they show who we are.
//!
//! Guarantees: files are read for each connection, up to a limit, so that what is renewed in them serves the next one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use super::address::Address;
use super::error::Problem;
use super::login::Login;
use crate::client::http::{Clients, Transport, cause};
use crate::config::KafkaStorage;
use crate::credential::registry_config::{Authorities, RegistryConfig, Trust};

/// A bundle of the authorities of a machine has some two hundred kilobytes.
const LARGEST_FILE: u64 = 1024 * 1024;
const AUTHORITIES: &str = "storage.pubsub.kafka.ca-file";
const CERTIFICATE: &str = "storage.pubsub.kafka.client-certificate-file";
const KEY: &str = "storage.pubsub.kafka.client-key-file";

/// How brokers are met.
pub(super) struct Security {
    pub(super) tls: Option<Tls>,
    pub(super) login: Option<Login>,
}

/// TLS.
pub(super) struct Tls {
    authorities: Option<PathBuf>,
    /// Our certificate, and its key.
    identity: Option<(PathBuf, PathBuf)>,
    clients: Clients,
    registries: RegistryConfig,
}

impl Security {
    pub(super) fn of(settings: &KafkaStorage, clients: &Clients, registries: &RegistryConfig) -> Self {
        let identity = settings.client_certificate_file.clone().zip(settings.client_key_file.clone());
        let tls = settings.tls.then(|| Tls {
            authorities: settings.ca_file.clone(),
            identity,
            clients: clients.clone(),
            registries: registries.clone(),
        });
        Self { tls, login: Login::of(settings) }
    }
}

impl Tls {
    /// TLS on top of a connection to `address`.
    pub(super) async fn over(
        &self,
        stream: TcpStream,
        address: &Address,
    ) -> Result<TlsStream<TcpStream>, Problem> {
        let identity = match &self.identity {
            Some((certificate, key)) => Some(identity(certificate, key).await?),
            None => None,
        };
        let config = self.clients.tls(&self.trust(address).await?, identity).map_err(Problem::Setup)?;
        let name = ServerName::try_from(address.host.clone())
            .map_err(|error| Problem::NoTls(std::io::Error::other(error)))?;
        let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        connected.map_err(|error| match cause::<rustls::Error>(&error) {
            Some(rustls::Error::InvalidMessage(_)) | None => Problem::NoTls(error),
            Some(_) => Problem::Untrusted(error),
        })
    }

    /// The authorities of the file; those of the broker's table in the registry configuration file, or of the machine,
    /// where there is none.
    async fn trust(&self, address: &Address) -> Result<Trust, Problem> {
        let Some(file) = &self.authorities else {
            return Ok(Transport::to(&format!("https://{address}"), &self.registries).trust);
        };
        let text = read(AUTHORITIES, file).await?;
        let parsed = Authorities::parse(&file.display().to_string(), &String::from_utf8_lossy(&text));
        let unreadable = "a certificate in it cannot be read";
        let authorities = parsed.map_err(|_| broken(AUTHORITIES, file, unreadable))?;
        if authorities.certificates().is_empty() {
            return Err(broken(AUTHORITIES, file, "it has no certificate in PEM"));
        }
        Ok(Trust::Only(authorities))
    }
}

type ClientIdentity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

async fn identity(certificate: &Path, key: &Path) -> Result<ClientIdentity, Problem> {
    let text = read(CERTIFICATE, certificate).await?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| broken(CERTIFICATE, certificate, error))?;
    if chain.is_empty() {
        return Err(broken(CERTIFICATE, certificate, "it has no certificate in PEM"));
    }
    let text = read(KEY, key).await?;
    let key =
        PrivateKeyDer::from_pem_slice(&text).map_err(|_| broken(KEY, key, "it has no private key in PEM"))?;
    Ok((chain, key))
}

/// What a file has; it may be a secret.
pub(super) async fn read(key: &'static str, file: &Path) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let unread = |source| Problem::File { key, file: file.to_owned(), source };
    let mut content = Zeroizing::new(Vec::with_capacity(8 * 1024));
    let opened = tokio::fs::File::open(file).await.map_err(unread)?;
    opened.take(LARGEST_FILE).read_to_end(&mut content).await.map_err(unread)?;
    Ok(content)
}

/// A file that has something else than it should.
pub(super) fn broken(
    key: &'static str,
    file: &Path,
    reason: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Problem {
    let source = std::io::Error::new(std::io::ErrorKind::InvalidData, reason);
    Problem::File { key, file: file.to_owned(), source }
}
