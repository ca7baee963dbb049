//! Secrets that policies name in `signaturePullSecrets` (credentials specification §8.5): each is read by name from the
//! first of some namespaces that has it.
//!
//! One that nobody has is told by name. One that may not be read is a problem of the keychain, as everywhere.

use std::collections::BTreeSet;

use super::{ApiError, Cluster};
use crate::credential::named::NamedSecret;
use crate::credential::{Consulted, Keychain, Location, ProblemCode, SecretRef, Source};

impl Cluster {
    /// What the Secrets of these names hold, and the names that are in none of the namespaces.
    pub async fn signature_pull_secrets(
        &self,
        names: &BTreeSet<&str>,
        namespaces: &[String],
    ) -> Result<(Keychain, Vec<String>), ApiError> {
        let (mut keychain, mut missing) = (Keychain::default(), Vec::new());
        for name in names {
            if !self.add_first(name, namespaces, &mut keychain).await? {
                missing.push((*name).to_owned());
            }
        }
        Ok((keychain, missing))
    }

    async fn add_first(
        &self,
        name: &str,
        namespaces: &[String],
        keychain: &mut Keychain,
    ) -> Result<bool, ApiError> {
        let source = Source::SignaturePullSecrets;
        for namespace in namespaces {
            let named = NamedSecret { source: source.clone(), name: name.to_owned() };
            let read = self.reading(namespace, &named, false).await?;
            let forbidden = |code| code == ProblemCode::SecretForbidden;
            let is_hidden = read.reading.problems.iter().any(|problem| forbidden(problem.code));
            if read.version.is_none() && !is_hidden {
                continue;
            }
            keychain.consulted.push(Consulted::secret(namespace, name, read.version));
            let location = read.reading.entries.first().map(|entry| entry.location.clone());
            let unread = || Location::Secret(SecretRef::unread(namespace, name));
            keychain.add(source, location.unwrap_or_else(unread), read.reading);
            return Ok(true);
        }
        Ok(false)
    }
}
