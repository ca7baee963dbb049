//! The clients of the process: one for each distinct transport, built when it is first needed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Proxy};
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::circuit::Circuits;
use super::resolver::Resolver;
use super::{Transport, tls};
use crate::credential::registry_config::Trust;

const CONNECT: Duration = Duration::from_secs(5);
const READ: Duration = Duration::from_secs(20);
const TOTAL: Duration = Duration::from_mins(1);
/// More clients than this are not kept; one that is missed is built again.
const CAPACITY: usize = 128;

/// One client for each transport; cheap to clone, and clones share them.
#[derive(Clone, Default)]
pub struct Clients(Arc<Shared>);

#[derive(Default)]
struct Shared {
    built: Mutex<HashMap<Transport, Client>>,
    circuits: Circuits,
    /// The authorities of the machine are read once, not once for each transport.
    system: OnceLock<Arc<dyn ServerCertVerifier>>,
}

/// Why a client cannot be built.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SetupError {
    /// The authorities of the machine or of a table cannot be used.
    #[error("cannot set up the check of certificates")]
    Certificates(#[source] rustls::Error),
    /// The HTTP library does not start.
    #[error("cannot set up HTTP")]
    Http(#[source] Arc<reqwest::Error>),
}

impl Clients {
    /// Which hosts are away.
    pub fn circuits(&self) -> &Circuits {
        &self.0.circuits
    }

    /// The client for `transport`.
    pub fn of(&self, transport: &Transport) -> Result<Client, SetupError> {
        let mut built = self.0.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = built.get(transport) {
            return Ok(client.clone());
        }
        let client = self.build(transport)?;
        if built.len() >= CAPACITY
            && let Some(victim) = built.keys().next().cloned()
        {
            built.remove(&victim);
        }
        built.insert(transport.clone(), client.clone());
        Ok(client)
    }

    /// TLS for what is no HTTP, towards whom `trust` says; `identity` is our own certificate with its key.
    pub fn tls(
        &self,
        trust: &Trust,
        identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> Result<ClientConfig, SetupError> {
        tls::plain_config(trust, identity, || self.system()).map_err(SetupError::Certificates)
    }

    fn build(&self, transport: &Transport) -> Result<Client, SetupError> {
        let tls = tls::config(transport, || self.system()).map_err(SetupError::Certificates)?;
        // A proxy of our own takes the place of those that the library would find in the environment. It asks about each
        // request, which takes it a second look at the address: nobody is asked where there is no proxy.
        let builder = Client::builder().no_proxy();
        let builder = if transport.has_proxy() {
            let proxied = transport.clone();
            builder.proxy(Proxy::custom(move |url| proxied.proxy(url).cloned()))
        } else {
            builder
        };
        builder
            .user_agent(concat!("hallmark/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(READ)
            .timeout(TOTAL)
            .pool_idle_timeout(Duration::from_secs(30))
            .tcp_nodelay(true)
            .dns_resolver(Arc::new(Resolver::new(transport)))
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(|error| SetupError::Http(Arc::new(error)))
    }

    fn system(&self) -> Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
        if let Some(verifier) = self.0.system.get() {
            return Ok(Arc::clone(verifier));
        }
        let verifier = tls::system()?;
        Ok(Arc::clone(self.0.system.get_or_init(|| verifier)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::registry_config::{Proxies, RegistryConfig, Trust};

    fn with_bypass(text: &str) -> Transport {
        let mut proxies = Proxies::none();
        proxies.set_bypass(text);
        Transport::new(&RegistryConfig::of_environment(proxies), Trust::Insecure)
    }

    #[test]
    fn clients_are_kept_for_each_transport_up_to_a_limit() {
        let clients = Clients::default();
        for number in 0..CAPACITY + 3 {
            clients.of(&with_bypass(&format!("host-{number}"))).unwrap();
        }
        assert_eq!(clients.0.built.lock().unwrap().len(), CAPACITY);
        clients.of(&with_bypass(&format!("host-{}", CAPACITY + 2))).unwrap();
        assert_eq!(clients.0.built.lock().unwrap().len(), CAPACITY);
    }
}
