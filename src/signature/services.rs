//! The servers that signing needs beside a key: who issues certificates, who records signatures, as the configuration
//! has them. The controller and the command line both sign through this.
//!
//! Guarantees: a server that cannot be used as it is configured fails everything that is to be signed, and is never
//! left out; each is reached as the table of its name in the registry configuration file says, if there is one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::key::keyring::KeyRing;
use super::keyless::Keyless;
use super::kms::{self, Kms};
use super::log::Log;
use super::trusted_root::TrustedRoot;
use super::{Error, Signers};
use crate::client::http::{Clients, Transport};
use crate::client::rekor::Rekor;
use crate::client::timestamp::TimestampAuthority;
use crate::config::{Config, Upload};
use crate::credential::registry_config::RegistryConfig;
use crate::error::Diagnose;
use crate::identity::selection::Surroundings;
use crate::signature::entry::Version;

/// The servers.
pub struct Services {
    keyless: Option<Arc<Keyless>>,
    kms: Result<Arc<Kms>, Arc<Error>>,
    transparency: Option<(Upload, Arc<dyn Log>)>,
    timestamps: Option<Arc<dyn Log>>,
}

impl Services {
    /// As `config` has them. `root` is the operator's own trust root.
    pub fn of(
        config: &Config,
        registries: &RegistryConfig,
        clients: &Clients,
        (identities, vault): (Surroundings, &kms::Surroundings),
        root: Option<&Arc<TrustedRoot>>,
    ) -> Result<Self, Error> {
        let fulcio = &config.signers.fulcio;
        let keyless =
            fulcio.enabled.then(|| Keyless::of(fulcio, registries, clients, identities, root.cloned()));
        let keyless = keyless.transpose()?.map(Arc::new);
        // It fails what it is to sign, and nothing else.
        let kms = Kms::of(&config.signers.kms, registries, clients, vault).map(Arc::new).map_err(Arc::new);
        let transparency = match config.transparency.upload {
            Upload::Off => None,
            upload => Some((upload, rekor(config, registries, clients, root)?)),
        };
        let timestamps = config.timestamp_url.as_deref().map(|url| {
            let transport = Transport::to(url, registries);
            TimestampAuthority::new(clients, &transport, url, root.cloned()).map_err(unusable)
        });
        let timestamps = timestamps.transpose()?.map(|authority| Arc::new(authority) as Arc<dyn Log>);
        Ok(Self { keyless, kms, transparency, timestamps })
    }

    /// What signs one run: keys, unless it is signed without, and the key of a key management service.
    pub fn signers(&self, keys: &Result<KeyRing, Arc<Error>>) -> Signers {
        let x509 = match &self.keyless {
            Some(keyless) => Ok(vec![keyless.of_run()]),
            None => keys.as_ref().map(KeyRing::signers).map_err(Arc::clone),
        };
        let kms = self.kms.as_ref().map(|kms| vec![kms.of_run()]).map_err(Arc::clone);
        Signers { x509, kms }
    }

    /// The key of a key management service.
    pub fn kms(&self) -> Result<&Arc<Kms>, Arc<Error>> {
        self.kms.as_ref().map_err(Arc::clone)
    }

    /// What records the signatures of a run with these annotations.
    pub fn logs(&self, annotations: &BTreeMap<String, String>) -> Vec<Arc<dyn Log>> {
        let transparency = self.transparency.iter().filter(|(upload, _)| upload.applies(annotations));
        transparency.map(|(_, log)| Arc::clone(log)).chain(self.timestamps.clone()).collect()
    }

    /// What a person should know about the servers in use.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let transparency = self.transparency.iter().map(|(_, log)| log);
        let unproven = (self.keyless.is_some() && self.transparency.is_none() && self.timestamps.is_none())
            .then(|| UNPROVEN.to_owned());
        transparency.chain(&self.timestamps).filter_map(|log| log.warning()).chain(unproven)
    }
}

/// A certificate of Fulcio ends after ten minutes.
const UNPROVEN: &str = "certificates without a log and without timestamps: nobody can verify a signature after its \
     certificate has expired; set transparency.enabled or timestamp.url";

fn rekor(
    config: &Config,
    registries: &RegistryConfig,
    clients: &Clients,
    root: Option<&Arc<TrustedRoot>>,
) -> Result<Arc<dyn Log>, Error> {
    let settings = &config.transparency;
    let version = if settings.version == 2 { Version::V2 } else { Version::V1 };
    let transport = Transport::to(&settings.url, registries);
    let rekor = Rekor::new(clients, &transport, &settings.url, version, root.cloned()).map_err(unusable)?;
    Ok(Arc::new(rekor))
}

fn unusable(error: impl Diagnose + Send + Sync + 'static) -> Error {
    Error::Service(Arc::new(error))
}
