//! Whether Fulcio, Rekor, the timestamp authority and the key management service answer, and whether Fulcio takes the
//! controller's token.
//!
//! What only the cluster can name is not looked for from outside.

use std::sync::Arc;

use jiff::Timestamp;
use url::{Host, Url};

use super::Visit;
use super::finding::{Finding, Findings};
use crate::cli::environment;
use crate::client::fulcio::{self, Fulcio};
use crate::client::http::{Clients, Transport};
use crate::client::log;
use crate::client::rekor::Rekor;
use crate::client::timestamp::TimestampAuthority;
use crate::config::{Config, Upload};
use crate::credential::registry_config::RegistryConfig;
use crate::error::Diagnose as _;
use crate::identity::token::IdentityToken;
use crate::signature::entry::Version;
use crate::signature::key::Key;
use crate::signature::kms::Kms;
use crate::signature::services::Services;
use crate::signature::services::sources::Sources;

/// The servers that the configuration names.
pub(super) struct Servers<'a> {
    visit: &'a Visit<'a>,
    config: &'a Config,
    registries: &'a RegistryConfig,
    clients: Clients,
}

impl<'a> Servers<'a> {
    pub(super) fn new(visit: &'a Visit<'a>, config: &'a Config, registries: &'a RegistryConfig) -> Self {
        Self { visit, config, registries, clients: Clients::default() }
    }

    pub(super) async fn check(&self, token: Option<&IdentityToken>, findings: &mut Findings) {
        let fulcio = &self.config.signers.fulcio;
        if fulcio.enabled && self.may_reach("fulcio", &fulcio.address, findings) {
            match Fulcio::new(&self.clients, &self.to(&fulcio.address), &fulcio.address, fulcio.allow_http) {
                Ok(fulcio) => self.fulcio(&fulcio, token, findings).await,
                Err(error) => findings.add(Finding::of("fulcio", &error)),
            }
        }
        let transparency = &self.config.transparency;
        if transparency.upload != Upload::Off && self.may_reach("rekor", &transparency.url, findings) {
            findings.add(self.rekor().await);
        }
        if let Some(url) = &self.config.timestamp_url
            && self.may_reach("timestamps", url, findings)
        {
            findings.add(self.timestamps(url).await);
        }
        if self.config.uses_kms() {
            self.kms(findings).await;
        }
        self.trust(findings).await;
    }

    /// The agent's own token, JWT or identity in a cloud opens it, so only its pod can tell. It signs something that is no
    /// payload, since whoever may read a key need not be one who may sign with it.
    async fn kms(&self, findings: &mut Findings) {
        let key = self.config.signers.kms.key.as_deref().unwrap_or("signers.kms.kmsref");
        if !self.visit.inside {
            let found = format!("{key} can be reached in the agent's name only");
            return findings
                .add(Finding::unchecked("kms", found).remedy("run doctor in the controller's pod"));
        }
        let (settings, around) = (&self.config.signers.kms, environment::kms());
        let signed = match Kms::of(settings, self.registries, &self.clients, &around).map(Arc::new) {
            Ok(kms) => kms.of_run().sign(b"hallmark doctor").await,
            Err(error) => Err(error),
        };
        findings.add(match signed {
            Ok(signature) => Finding::ok("kms", format!("{key} is {:?}, and signs", signature.key)),
            Err(error) => Finding::of("kms", &error),
        });
    }

    async fn fulcio(&self, fulcio: &Fulcio, token: Option<&IdentityToken>, findings: &mut Findings) {
        let address = &self.config.signers.fulcio.address;
        if let Err(error) = fulcio.trust_root().await {
            let remedy = format!("see that {address} is Fulcio and can be reached from the controller's pod");
            return findings.add(Finding::of("fulcio", &error).or_remedy(remedy));
        }
        findings.add(Finding::ok("fulcio", format!("{address} answers and names its authorities")));
        let Some(token) = token else { return };
        let issuer = token.claims().issuer.as_deref().unwrap_or("none");
        findings.add(match fulcio.admits(token.claims()).await {
            Ok(()) => Finding::ok("fulcio", format!("takes tokens of issuer {issuer}, by its own word")),
            Err(error) => Finding::of("fulcio", &error),
        });
        if self.visit.arguments.certificate {
            findings.add(match certificate(fulcio, token).await {
                Ok(names) => Finding::ok("fulcio", format!("issued a certificate for {names}")),
                Err(finding) => *finding,
            });
        }
    }

    async fn rekor(&self) -> Finding {
        let settings = &self.config.transparency;
        let version = if settings.version == 2 { Version::V2 } else { Version::V1 };
        let rekor = Rekor::new(&self.clients, &self.to(&settings.url), &settings.url, version, None);
        let answered = match &rekor {
            Ok(rekor) => rekor.answers(Timestamp::now()).await,
            Err(error) => return Finding::of("rekor", error),
        };
        let url = &settings.url;
        match answered {
            Ok(()) => Finding::ok("rekor", format!("{url} answers as a log of version {}", settings.version)),
            Err(log::Error::Nobody { .. }) if version == Version::V2 => {
                Finding::warning("rekor", format!("{url} answers, but shows no checkpoint"))
                    .remedy("see that transparency.url is where entries are written")
            }
            Err(error) => Finding::of("rekor", &error).or_remedy(
                "see that transparency.url and transparency.version fit this log, and that it can be reached",
            ),
        }
    }

    async fn timestamps(&self, url: &str) -> Finding {
        let authority = match TimestampAuthority::new(&self.clients, &self.to(url), url, None) {
            Ok(authority) => authority,
            Err(error) => return Finding::of("timestamps", &error),
        };
        // A timestamp over nothing that anybody signed.
        match authority.timestamp(b"hallmark doctor", Timestamp::now()).await {
            Ok(_) => Finding::ok("timestamps", format!("{url} stamps")),
            Err(error) => Finding::of("timestamps", &error)
                .or_remedy("see that timestamp.url is the address to which requests of RFC 3161 are posted"),
        }
    }

    /// The trust root, which is a file of the pod, and what the servers together leave unproven.
    async fn trust(&self, findings: &mut Findings) {
        let (fulcio, transparency) = (&self.config.signers.fulcio, &self.config.transparency);
        let in_the_pod = [
            (fulcio.trusted_root.as_ref(), "signers.x509.trusted-root"),
            (fulcio.tuf_root.as_ref(), "signers.x509.tuf.root"),
            (transparency.signing_config.as_ref(), "transparency.signing-config"),
        ];
        let unseen = in_the_pod.iter().find(|(file, _)| file.is_some() && !self.visit.inside);
        if let Some((_, key)) = unseen {
            let found = format!("the file of {key} is in the pod only");
            return findings.add(Finding::unchecked("trust root", found).remedy("run doctor in the pod"));
        }
        let mut sources = Sources::default();
        let found = sources.current(self.config, self.registries, &self.clients, Timestamp::now()).await;
        let found = match found {
            Ok(found) => found,
            Err(error) => return findings.add(Finding::of("trust root", &error)),
        };
        let vault = environment::kms();
        let around = (environment::identities(None), &vault);
        match Services::of(self.config, self.registries, &self.clients, around, &found) {
            Ok(services) => {
                for warning in services.warnings() {
                    findings.add(Finding::warning("trust root", warning));
                }
            }
            Err(error) if self.visit.inside => findings.add(Finding::of("servers", &error)),
            // What of it can be told from outside has been told.
            Err(_) => {}
        }
    }

    fn to(&self, address: &str) -> Transport {
        Transport::to(address, self.registries)
    }

    fn may_reach(&self, check: &'static str, address: &str, findings: &mut Findings) -> bool {
        let hidden = !self.visit.inside && is_of_cluster(address);
        if hidden {
            let found = format!("{address} has a name of the cluster, which cannot be reached from outside");
            findings.add(Finding::unchecked(check, found).remedy("run doctor in the controller's pod"));
        }
        !hidden
    }
}

/// A name that only the cluster's own name server knows.
fn is_of_cluster(address: &str) -> bool {
    let Ok(url) = Url::parse(address) else { return false };
    let Some(Host::Domain(name)) = url.host() else { return false };
    let name = name.trim_end_matches('.');
    let labels: Vec<&str> = name.split('.').collect();
    name != "localhost" && (labels.len() == 1 || labels.iter().skip(1).any(|label| *label == "svc"))
}

/// For a key that nothing else knows and nobody keeps.
async fn certificate(fulcio: &Fulcio, token: &IdentityToken) -> Result<String, Box<Finding>> {
    let unmade =
        || Box::new(Finding::failed("fulcio", "no key can be made: the system yields no randomness"));
    let key = Key::generate("the key of doctor").ok_or_else(unmade)?;
    let proof = key
        .sign_now(token.claims().challenge().as_bytes())
        .map_err(|error| Box::new(Finding::of("fulcio", &error)))?;
    let issued: Result<_, fulcio::Error> =
        fulcio.certificate(token, key.public_key(), &proof, Timestamp::now()).await;
    let certificate = issued.map_err(|error| {
        let label = error.label();
        Box::new(Finding::of("fulcio", &error).or_remedy(format!("see what Fulcio logs ({label})")))
    })?;
    Ok(certificate.names().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_cluster_are_told_from_those_of_the_world() {
        for inside in
            ["http://fulcio.fulcio-system.svc", "https://rekor.ns.svc.cluster.local:3000/", "http://rekor"]
        {
            assert!(is_of_cluster(inside), "{inside}");
        }
        for outside in [
            "https://fulcio.sigstore.dev",
            "http://127.0.0.1:1",
            "http://localhost:5555",
            "https://svc.test",
            "?",
        ] {
            assert!(!is_of_cluster(outside), "{outside}");
        }
    }
}
