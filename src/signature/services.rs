//! The servers that signing needs beside a key: who issues certificates, who records signatures, as the configuration
//! has them. The controller and the command line both sign through this.
//!
//! Guarantees: a server that cannot be used as it is configured fails everything that is to be signed, and is never
//! left out; each is reached as the table of its name in the registry configuration file says, if there is one. A
//! server that a key of the configuration names is taken before those of a SigningConfig.

pub mod sources;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::sources::{Found, names_fulcio, names_log};
use super::key::keyring::KeyRing;
use super::keyless::Keyless;
use super::kms::{self, Kms};
use super::log::Log;
use super::{Error, Signers};
use crate::client::http::{Clients, Transport};
use crate::client::rekor::Rekor;
use crate::client::timestamp::TimestampAuthority;
use crate::config::{self, Config, Upload};
use crate::credential::registry_config::RegistryConfig;
use crate::error::Diagnose;
use crate::identity::selection::Surroundings;
use crate::signature::entry::Version;

/// The servers.
pub struct Services {
    keyless: Option<Arc<Keyless>>,
    kms: Result<Arc<Kms>, Arc<Error>>,
    upload: Upload,
    transparency: Vec<Arc<dyn Log>>,
    timestamps: Vec<Arc<dyn Log>>,
    /// Logs of a SigningConfig that nothing is written to.
    unused: bool,
}

impl Services {
    /// As `config` has them, and as what was `found` beside it says.
    pub fn of(
        config: &Config,
        registries: &RegistryConfig,
        clients: &Clients,
        (identities, vault): (Surroundings, &kms::Surroundings),
        found: &Found,
    ) -> Result<Self, Error> {
        let chosen = found.chosen.as_ref();
        let fulcio = fulcio(config, found);
        let keyless =
            fulcio.enabled.then(|| Keyless::of(&fulcio, registries, clients, identities, found.root.clone()));
        let keyless = keyless.transpose()?.map(Arc::new);
        // It fails what it is to sign, and nothing else.
        let kms = Kms::of(&config.signers.kms, registries, clients, vault).map(Arc::new).map_err(Arc::new);
        let upload = config.transparency.upload;
        let transparency = match upload {
            Upload::Off => Vec::new(),
            _ => rekors(config, registries, clients, found)?,
        };
        let named = config.timestamp_url.iter().collect::<Vec<_>>();
        let listed =
            chosen.filter(|_| named.is_empty()).map(|chosen| chosen.timestamps.iter()).into_iter().flatten();
        let timestamps = named.into_iter().chain(listed).map(|url| {
            let transport = Transport::to(url, registries);
            let authority = TimestampAuthority::new(clients, &transport, url, found.root.clone());
            Ok(Arc::new(authority.map_err(unusable)?) as Arc<dyn Log>)
        });
        let timestamps = timestamps.collect::<Result<_, Error>>()?;
        let unused = upload == Upload::Off && chosen.is_some_and(|chosen| !chosen.logs.is_empty());
        Ok(Self { keyless, kms, upload, transparency, timestamps, unused })
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
        let transparency = self.transparency.iter().filter(|_| self.upload.applies(annotations));
        transparency.chain(&self.timestamps).map(Arc::clone).collect()
    }

    /// What a person should know about the servers in use.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let unproven = (self.keyless.is_some() && self.transparency.is_empty() && self.timestamps.is_empty())
            .then(|| UNPROVEN.to_owned());
        let unused = self.unused.then(|| UNUSED.to_owned());
        let logs = self.transparency.iter().chain(&self.timestamps);
        logs.filter_map(|log| log.warning()).chain(unproven).chain(unused)
    }
}

/// A certificate of Fulcio ends after ten minutes.
const UNPROVEN: &str = "certificates without a log and without timestamps: nobody can verify a signature after its \
     certificate has expired; set transparency.enabled or timestamp.url";

const UNUSED: &str =
    "the SigningConfig lists transparency logs, and transparency.enabled is off: nothing is written to them";

/// The settings of the configuration, with the Fulcio of the SigningConfig where they name none.
fn fulcio(config: &Config, found: &Found) -> config::Fulcio {
    let listed = found.chosen.as_ref().and_then(|chosen| chosen.fulcio.clone());
    let settings = config.signers.fulcio.clone();
    match listed.filter(|_| !names_fulcio(config)) {
        Some(address) => config::Fulcio { address, ..settings },
        None => settings,
    }
}

/// The log of the configuration, else those of the SigningConfig, else the default.
fn rekors(
    config: &Config,
    registries: &RegistryConfig,
    clients: &Clients,
    found: &Found,
) -> Result<Vec<Arc<dyn Log>>, Error> {
    let settings = &config.transparency;
    let listed = found.chosen.as_ref().filter(|_| !names_log(config));
    let logs = listed.map_or_else(
        || vec![(settings.url.clone(), if settings.version == 2 { Version::V2 } else { Version::V1 })],
        |chosen| chosen.logs.clone(),
    );
    let rekor = |(url, version): (String, Version)| {
        let transport = Transport::to(&url, registries);
        let rekor = Rekor::new(clients, &transport, &url, version, found.root.clone()).map_err(unusable)?;
        Ok(Arc::new(rekor) as Arc<dyn Log>)
    };
    logs.into_iter().map(rekor).collect()
}

fn unusable(error: impl Diagnose + Send + Sync + 'static) -> Error {
    Error::Service(Arc::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::signing_config::SigningConfig;

    fn chosen() -> Found {
        let log = |name: &str, version| (format!("https://{name}.test"), version);
        let chosen = SigningConfig {
            fulcio: Some("https://fulcio.test".into()),
            logs: vec![log("one", Version::V1), log("two", Version::V2)],
            timestamps: vec!["https://tsa.test".into()],
        };
        Found { chosen: Some(chosen), ..Found::default() }
    }

    fn of(pairs: &[(&str, &str)], found: &Found) -> Result<Services, Error> {
        let pairs = pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        let config = Config::parse(&pairs).config.unwrap();
        Services::of(
            &config,
            &RegistryConfig::default(),
            &Clients::default(),
            (Surroundings::default(), &kms::Surroundings::default()),
            found,
        )
    }

    fn urls(pairs: &[(&str, &str)]) -> Vec<String> {
        let services = of(pairs, &chosen()).unwrap();
        services.logs(&BTreeMap::new()).iter().map(|log| log.url().to_owned()).collect()
    }

    #[test]
    fn what_a_key_names_is_taken_before_what_the_signing_config_lists() {
        let on = ("transparency.enabled", "true");
        assert_eq!(urls(&[on]), ["https://one.test", "https://two.test", "https://tsa.test"]);
        assert_eq!(
            urls(&[on, ("transparency.url", "https://mine.test")]),
            ["https://mine.test", "https://tsa.test"]
        );
        assert_eq!(urls(&[("timestamp.url", "https://clock.test")]), ["https://clock.test"]);
        let named = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
            fulcio(&Config::parse(&pairs).config.unwrap(), &chosen()).address
        };
        assert_eq!(named(&[]), "https://fulcio.test");
        assert_eq!(named(&[("signers.x509.fulcio.address", "https://mine.test")]), "https://mine.test");
    }

    #[test]
    fn logs_that_nothing_is_written_to_are_told() {
        let warnings: Vec<_> = of(&[], &chosen()).unwrap().warnings().collect();
        assert!(warnings.iter().any(|text| text.contains("transparency.enabled is off")), "{warnings:?}");
        assert_eq!(of(&[], &Found::default()).unwrap().warnings().count(), 0);
    }
}
