//! Whom the verifier trusts: what an authority of a policy asks for, made into a key or into roots and identities.
//!
//! What cannot be made into either is an [`Obstacle`]: the authority could not be decided, which is no pass.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::authority::{Key, Keyless, Root, SecretName, Signed, Signer, TrustRootName};
use super::evaluation::Obstacle;
use super::finding::Finding;
use super::identity::Identity;
use crate::error::Diagnose;
use crate::signature::public_key::PublicKey;
use crate::signature::trusted_root::TrustedRoot;
use crate::signature::verification::Demands;

/// What the verifier was given.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Whose certificates count where a policy does not say it.
    pub root: Option<Arc<TrustedRoot>>,
    /// `TrustRoot` objects by name; one that cannot be used has the reason in place of a root.
    pub roots: BTreeMap<String, NamedRoot>,
    /// Texts of the Secrets that policies name: public keys and authorities, by name.
    pub secrets: BTreeMap<String, Vec<String>>,
    /// Secrets with credentials that policies name and that are missing: by name, where they were looked for.
    pub missing_pull_secrets: BTreeMap<String, Vec<String>>,
    /// A certificate counts while it is valid, without any proof of the time of signing.
    pub without_proof_of_time: bool,
}

/// The root of a `TrustRoot`, or why there is none.
pub type NamedRoot = Result<Arc<TrustedRoot>, NoRoot>;

/// Why a `TrustRoot` has no root.
#[derive(Debug, Clone)]
pub enum NoRoot {
    /// It has mistakes.
    Mistakes(Vec<Finding>),
    /// Its repository is away, or does not hold.
    Repository(Arc<dyn Diagnose + Send + Sync>),
}

/// Whose signature counts, and what must prove it.
#[derive(Debug, Clone)]
pub struct Trusted {
    /// Whose.
    pub by: TrustedSigner,
    /// Authorities and logs.
    pub root: Arc<TrustedRoot>,
    /// What must be there beside the signature.
    pub demands: Demands,
    /// Whether the time of signing must be proved by anybody: certificates end after minutes.
    pub proof_of_time: bool,
}

/// Whose signature counts.
#[derive(Debug, Clone)]
pub enum TrustedSigner {
    /// That of this key.
    Key(PublicKey),
    /// That of one of these.
    Identities(Vec<Identity>),
}

impl Trust {
    /// What an authority comes to.
    pub fn of(&self, signed: &Signed) -> Result<Trusted, Obstacle> {
        self.opened(signed)?;
        let demands = Demands {
            entry: signed.log.is_some() && !self.without_proof_of_time,
            timestamp: signed.timestamp.is_some(),
            time: false,
            certificate_log: false,
        };
        let key = |key| -> Result<Trusted, Obstacle> {
            let root = self.witnessed(signed, self.root.clone().unwrap_or_default())?;
            Ok(Trusted { by: TrustedSigner::Key(key), root, demands, proof_of_time: false })
        };
        match &signed.signer {
            Signer::Key(Key::Public(public)) => key(public.clone()),
            Signer::Key(Key::Secret(secret)) => key(self.key(secret)?),
            Signer::Key(Key::Kms(uri)) => Err(Obstacle::NotInThisBuild(format!("the key {uri}"))),
            Signer::Keyless(keyless) => Ok(Trusted {
                by: TrustedSigner::Identities(keyless.identities.clone()),
                root: self.witnessed(signed, self.root_of(keyless)?)?,
                demands: Demands { certificate_log: !keyless.ignore_sct, ..demands },
                proof_of_time: !self.without_proof_of_time,
            }),
        }
    }

    /// Without its credentials an authority would look as a stranger, and tell of signatures that it cannot see.
    fn opened(&self, signed: &Signed) -> Result<(), Obstacle> {
        let named = signed.source.iter().flat_map(|source| source.pull_secrets.iter().enumerate());
        for (index, name) in named {
            if let Some(namespaces) = self.missing_pull_secrets.get(name) {
                let (name, namespaces) = (name.clone(), namespaces.clone());
                return Err(Obstacle::NoPullSecret { index, name, namespaces });
            }
        }
        Ok(())
    }

    fn key(&self, secret: &SecretName) -> Result<PublicKey, Obstacle> {
        let keys: Vec<PublicKey> =
            self.texts(secret)?.iter().filter_map(|text| PublicKey::from_pem(text)).collect();
        match keys.as_slice() {
            [key] => Ok(key.clone()),
            _ => Err(Obstacle::SecretContent { name: secret.name.clone(), wanted: "exactly one public key" }),
        }
    }

    fn root_of(&self, keyless: &Keyless) -> Result<Arc<TrustedRoot>, Obstacle> {
        match &keyless.root {
            Root::Authorities(root) => Ok(Arc::new((**root).clone())),
            Root::Secret(secret) => {
                let text = self.texts(secret)?.join("\n");
                let wanted = "certificates in PEM";
                TrustedRoot::of_pem(&text)
                    .map(Arc::new)
                    .map_err(|_| Obstacle::SecretContent { name: secret.name.clone(), wanted })
            }
            Root::Configured => self.configured("the policy names none"),
            Root::Fulcio(url) => self.configured(url),
            Root::Named(name) => self.named(name),
        }
    }

    /// Log entries and timestamps by whomever `ctlog` and `rfc3161timestamp` name, and otherwise by those of the root that
    /// has the certificates.
    fn witnessed(&self, signed: &Signed, root: Arc<TrustedRoot>) -> Result<Arc<TrustedRoot>, Obstacle> {
        let is_named = |name: &&TrustRootName| !name.0.is_empty();
        let log = signed.log.as_ref().and_then(|log| log.trust_root.as_ref()).filter(is_named);
        let timestamp = signed.timestamp.as_ref().filter(is_named);
        if log.is_none() && timestamp.is_none() {
            return Ok(root);
        }
        let mut whole = TrustedRoot::clone(&root);
        if let Some(name) = log {
            let named = self.named(name)?;
            whole = whole.with_logs_of(&named);
        }
        if let Some(name) = timestamp {
            let named = self.named(name)?;
            whole = whole.with_timestamps_of(&named);
        }
        Ok(Arc::new(whole))
    }

    fn named(&self, TrustRootName(name): &TrustRootName) -> Result<Arc<TrustedRoot>, Obstacle> {
        let found = self.roots.get(name).ok_or_else(|| Obstacle::NoNamedRoot(name.clone()))?;
        found.clone().map_err(|reason| Obstacle::NamedRoot(name.clone(), reason))
    }

    fn configured(&self, of: &str) -> Result<Arc<TrustedRoot>, Obstacle> {
        self.root.clone().ok_or_else(|| Obstacle::NoTrustRoot(of.to_owned()))
    }

    fn texts(&self, secret: &SecretName) -> Result<&[String], Obstacle> {
        let found = self.secrets.get(&secret.name).map(Vec::as_slice);
        found.ok_or_else(|| Obstacle::NoSecret { name: secret.name.clone() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::authority::Demand;
    use crate::policy::{ClusterImagePolicy, Rules};

    #[test]
    fn missing_credentials_are_an_obstacle_that_names_them_and_where_they_were_looked_for() {
        let source = json!([{"signaturePullSecrets": [{"name": "there"}, {"name": "regcreds"}]}]);
        let key = json!({"kms": "gcpkms://key"});
        let policy = json!({"apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
            "metadata": {"name": "p"},
            "spec": {"images": [{"glob": "**"}], "authorities": [{"key": key, "source": source}]}});
        let policy = ClusterImagePolicy::read(&policy, &Rules::default()).policy.unwrap();
        let Demand::Signed(signed) = &policy.authorities[0].demand else { panic!("it is signed") };
        let mut trust = Trust::default();
        assert!(matches!(trust.of(signed), Err(Obstacle::NotInThisBuild(_))));
        let searched = vec!["cosign-system".to_owned(), "team-a".to_owned()];
        trust.missing_pull_secrets.insert("regcreds".to_owned(), searched);
        let obstacle = trust.of(signed).unwrap_err();
        let said = "signaturePullSecrets[1] \"regcreds\" not found in cosign-system or team-a";
        assert_eq!((obstacle.to_string().as_str(), obstacle.code()), (said, "SecretNotFound"));
    }
}
