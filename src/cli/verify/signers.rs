//! Whom the options of a command trust: a key, or an identity with an issuer.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};

use crate::cli::Exit;
use crate::cli::keys::public_key;
use crate::cli::registries::RegistryOptions;
use crate::cli::sign::material::of_a_service;
use crate::config::Kms;
use crate::policy::authority::{Attestation, Authority, Demand, Key, Keyless, Root, Signed, Signer};
use crate::policy::glob::Glob;
use crate::policy::identity::{Identity, Matcher};
use crate::policy::trust::{Trust, Trusted};
use crate::policy::{ClusterImagePolicy, Mode};
use crate::signature::public_key::PublicKey;

/// A public key file is never larger.
const MAX_KEY: u64 = 64 * 1024;
/// How the policy is called that the options make.
pub(in crate::cli) const COMMAND_LINE: &str = "command line";

/// Whose signatures count.
#[derive(Debug, Clone, Default, Args)]
#[command(group = ArgGroup::new("signer").multiple(true))]
pub(in crate::cli) struct SignerOptions {
    /// A public key in PEM, or a key of a key management service: `hashivault://NAME`, reached by `VAULT_ADDR` and
    /// `VAULT_TOKEN`; `awskms://…`, `gcpkms://…` or `azurekms://…`, in the name that this process has in that cloud.
    #[arg(long, value_name = "FILE|URI", group = "signer", conflicts_with_all = ["certificate_identity", "certificate_identity_regexp"])]
    key: Option<PathBuf>,

    /// The name in the certificate of a signer without a key.
    #[arg(long, value_name = "NAME", group = "signer", conflicts_with = "certificate_identity_regexp")]
    certificate_identity: Option<String>,

    /// The same as a regular expression, which matches anywhere unless it has ^ and $.
    #[arg(long, value_name = "REGEXP", group = "signer")]
    certificate_identity_regexp: Option<String>,

    /// The issuer in that certificate.
    #[arg(long, value_name = "URL", group = "signer", conflicts_with = "certificate_oidc_issuer_regexp")]
    certificate_oidc_issuer: Option<String>,

    /// The same as a regular expression.
    #[arg(long, value_name = "REGEXP", group = "signer")]
    certificate_oidc_issuer_regexp: Option<String>,
}

impl SignerOptions {
    /// Whether any is set.
    pub(in crate::cli) fn is_set(&self) -> bool {
        self.key.is_some()
            || self.certificate_identity.is_some()
            || self.certificate_identity_regexp.is_some()
            || self.certificate_oidc_issuer.is_some()
            || self.certificate_oidc_issuer_regexp.is_some()
    }

    /// Whom they make us trust; nobody where none is set.
    pub(in crate::cli) async fn trusted(
        &self,
        trust: &Trust,
        registries: &RegistryOptions,
    ) -> Result<Option<Trusted>, Exit> {
        if !self.is_set() {
            return Ok(None);
        }
        let policy = self.policy(&[], registries).await?;
        let demands = policy.authorities.iter().filter_map(|authority| match &authority.demand {
            Demand::Signed(signed) => Some(trust.of(signed)),
            Demand::Static(_) => None,
        });
        demands.map(|trusted| trusted.map_err(|obstacle| usage(&obstacle.to_string()))).next().transpose()
    }

    /// A policy that asks every image for a signature by them, or for attestations of all of `types`.
    pub(in crate::cli) async fn policy(
        &self,
        types: &[&str],
        registries: &RegistryOptions,
    ) -> Result<ClusterImagePolicy, Exit> {
        let (name, signer) = match &self.key {
            Some(key) => {
                let public = read_key(key, registries).await?;
                (format!("key {}", key.display()), Signer::Key(Key::Public(public)))
            }
            None => ("identity".to_owned(), Signer::Keyless(self.keyless()?)),
        };
        let attestation =
            |uri: &&str| Attestation { name: (*uri).to_owned(), predicate_type: (*uri).to_owned() };
        let demand = Signed {
            signer,
            source: None,
            attestations: types.iter().map(attestation).collect(),
            log: None,
            timestamp: None,
            format: None,
        };
        let everything = Glob::parse("**").map_err(|error| usage(&error.to_string()))?;
        Ok(ClusterImagePolicy {
            name: COMMAND_LINE.to_owned(),
            images: vec![everything],
            workloads: Vec::new(),
            authorities: vec![Authority { name, demand: Demand::Signed(Box::new(demand)) }],
            mode: Mode::Enforce,
        })
    }

    fn keyless(&self) -> Result<Keyless, Exit> {
        let subject = matcher(self.certificate_identity.as_ref(), self.certificate_identity_regexp.as_ref())?;
        let issuer =
            matcher(self.certificate_oidc_issuer.as_ref(), self.certificate_oidc_issuer_regexp.as_ref())?;
        let (Some(subject), Some(issuer)) = (subject, issuer) else {
            return Err(usage(
                "say whose signatures count: --key FILE, or --certificate-identity NAME with \
                 --certificate-oidc-issuer URL, or --policy FILE",
            ));
        };
        let identities = vec![Identity { issuer, subject }];
        Ok(Keyless { root: Root::Configured, identities, ignore_sct: false })
    }
}

fn matcher(exact: Option<&String>, pattern: Option<&String>) -> Result<Option<Matcher>, Exit> {
    let Some(pattern) = pattern else { return Ok(exact.cloned().map(Matcher::Exact)) };
    let matcher =
        Matcher::pattern(pattern, false).map_err(|problem| usage(&format!("{pattern:?}: {problem}")));
    matcher.map(Some)
}

async fn read_key(file: &Path, registries: &RegistryOptions) -> Result<PublicKey, Exit> {
    if let Some(uri) = of_a_service(file) {
        let settings = Kms { key: Some(uri.to_owned()), ..Kms::default() };
        // Without the key nothing can be decided, whatever the service said.
        return public_key(&settings, registries).await.map_err(|_| Exit::Temporary);
    }
    let text = super::access::text(file, MAX_KEY)?;
    let wanted = "a PUBLIC KEY in PEM (ECDSA P-256, P-384 or P-521, Ed25519, or RSA)";
    PublicKey::from_pem(&text).ok_or_else(|| usage(&format!("{} is not {wanted}", file.display())))
}

/// Prints what is wrong with the command line.
pub(in crate::cli) fn usage(text: &str) -> Exit {
    eprintln!("hallmark: {text}");
    Exit::Usage
}
