//! How commands that look at images reach registries, and whom they trust.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use futures::FutureExt as _;
use jiff::Timestamp;
use serde_json::Value;

use super::policies::Named;
use super::signers::usage;
use crate::artifact::image::Image;
use crate::cli::manifests::Manifests;
use crate::cli::registries::{RegistryOptions, clouds};
use crate::cli::{Exit, environment, fail, refuse};
use crate::client::registry::{Error, Registry, Session};
use crate::config::Config;
use crate::credential::agent::{Agent, Permission};
use crate::credential::docker_config::{Secret, read_document, read_secret};
use crate::credential::{Keychain, Location, SecretRef, Source};
use crate::error::{Class, Diagnose as _};
use crate::policy::check::{self, Flaw, Verified};
use crate::policy::material::Found;
use crate::policy::reference::Reference;
use crate::policy::repositories::Repositories;
use crate::policy::trust::{Trust, Trusted};
use crate::policy::verification::{Attached, Verifier};
use crate::signature::trusted_root::TrustedRoot;

/// A trust root or a docker configuration is never larger.
const MAX_FILE: u64 = 1024 * 1024;

/// Registries and trust.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct AccessOptions {
    /// Whose certificates and logs are trusted: a `trusted_root.json` of Sigstore.
    #[arg(long, value_name = "FILE", conflicts_with = "ca_roots")]
    trusted_root: Option<PathBuf>,

    /// Whose certificates are trusted: certificate authorities in PEM, without any log.
    #[arg(long, value_name = "FILE")]
    ca_roots: Option<PathBuf>,

    /// Accept signatures without proof of the time of signing: a certificate counts only while it is valid.
    #[arg(long)]
    insecure_ignore_tlog: bool,

    #[command(flatten)]
    registries: RegistryOptions,

    /// A docker configuration, or a Secret that holds one, beside the docker configuration of this user.
    #[arg(long, value_name = "FILE")]
    pull_secret: Vec<PathBuf>,
}

/// A way to registries, and trust.
pub(in crate::cli) struct Access {
    session: Session,
    trust: Trust,
    now: Timestamp,
}

impl AccessOptions {
    /// Reads every file that is named. `named` is what policies name: TUF repositories among it are asked.
    pub(in crate::cli) async fn open(&self, named: Named) -> Result<Access, Exit> {
        let root = self.root()?.map(Arc::new);
        let without_proof_of_time = self.insecure_ignore_tlog;
        let registries = self.registries.read().map_err(|error| refuse(&error, Exit::Usage))?;
        let Named { keys, roots } = named;
        let roots = Repositories::default().roots(roots, &registries).await;
        let trust = Trust { root, roots, secrets: keys, without_proof_of_time, ..Trust::default() };
        let surroundings = environment::surroundings();
        let files = Arc::new(surroundings.read().files(surroundings.search_path.as_deref()));
        let config = Arc::clone(&registries);
        let registry = Registry::new().map_err(|error| fail(&error))?;
        let clouds = clouds(&registry, &registries, &Config::default());
        let agent = Agent { config, files, clouds, permission: Permission::Always, ..Agent::default() };
        let mut keychain = Keychain::default().with_agent(agent);
        for file in &self.pull_secret {
            add(&mut keychain, file)?;
        }
        let keychain = futures::future::ready(Ok(Arc::new(keychain))).boxed().shared();
        let session = Session::configured(&registry, "", &Config::default(), &registries, keychain);
        Ok(Access { session, trust, now: Timestamp::now() })
    }

    /// Where registries and other servers are configured.
    pub(in crate::cli) fn registries(&self) -> &RegistryOptions {
        &self.registries
    }

    fn root(&self) -> Result<Option<TrustedRoot>, Exit> {
        if let Some(file) = &self.trusted_root {
            let read = TrustedRoot::read(text(file, MAX_FILE)?.as_bytes());
            return read.map(Some).map_err(|error| refuse(&error, Exit::Usage));
        }
        let Some(file) = &self.ca_roots else { return Ok(None) };
        let read = TrustedRoot::of_pem(&text(file, MAX_FILE)?);
        read.map(Some).map_err(|error| usage(&format!("{}: {error}", file.display())))
    }
}

impl Access {
    /// What verifies.
    pub(in crate::cli) fn verifier(&self) -> Verifier<'_> {
        Verifier { session: &self.session, trust: &self.trust, now: self.now }
    }

    /// Whom to trust.
    pub(in crate::cli) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The image that `reference` names, with everything that hangs on it.
    pub(in crate::cli) async fn attached(
        &self,
        reference: &Reference,
    ) -> Result<(Image, Vec<Attached>), Exit> {
        let verifier = self.verifier();
        let found = async {
            let image = verifier.resolve(reference).await?;
            let attached = verifier.attached(&image).await?;
            Ok::<_, Error>((image, attached))
        };
        found.await.map_err(|error| no_answer(&error))
    }

    /// Checks what was found against whom the options trust.
    pub(in crate::cli) fn check(
        &self,
        found: &Found,
        image: &Image,
        trusted: &Trusted,
    ) -> Result<Verified, Flaw> {
        match &found.content {
            Ok(material) => check::check(material, &image.digest, trusted, self.now),
            Err(flaw) => Err(flaw.clone()),
        }
    }
}

/// "Not there" and "not allowed" are answers; everything else could not be decided.
fn no_answer(error: &Error) -> Exit {
    fail(error);
    match (error.label(), error.class()) {
        ("registry_denied", _) | (_, Class::Absent) => Exit::Denied,
        _ => Exit::Temporary,
    }
}

/// Adds the credentials of a file, whichever of the two it is.
fn add(keychain: &mut Keychain, file: &Path) -> Result<(), Exit> {
    let content = text(file, MAX_FILE)?;
    let source = Source::ControllerDockerConfig;
    let is_manifest =
        serde_json::from_str::<Value>(&content).map_or(true, |value| value.get("kind").is_some());
    if !is_manifest {
        let location = Location::File(file.display().to_string());
        let reading = read_document(&source, location.clone(), content.as_bytes());
        keychain.add(source, location, reading);
        return Ok(());
    }
    let manifests = Manifests::read(&[file.to_owned()]).and_then(|manifests| manifests.objects());
    let objects = manifests.map_err(|error| refuse(&error, Exit::Usage))?;
    if objects.secrets.is_empty() {
        return Err(usage(&format!("{} holds neither a docker configuration nor a Secret", file.display())));
    }
    for secret in objects.secrets {
        let reference = SecretRef {
            namespace: secret.metadata.namespace.clone().unwrap_or_default(),
            name: secret.metadata.name.clone().unwrap_or_default(),
            uid: String::new(),
            resource_version: String::new(),
        };
        let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0));
        let texts = secret.string_data.unwrap_or_default().into_iter();
        let data = data.chain(texts.map(|(key, text)| (key, text.into_bytes()))).collect();
        let (kind, annotations) =
            (secret.type_.unwrap_or_default(), secret.metadata.annotations.unwrap_or_default());
        let read = Secret { reference: &reference, kind: &kind, data: &data, annotations: &annotations };
        let reading = read_secret(&source, &read);
        keychain.add(source.clone(), Location::Secret(reference), reading);
    }
    Ok(())
}

/// A small text file.
pub(super) fn text(file: &Path, limit: u64) -> Result<String, Exit> {
    let unreadable = |error: &std::io::Error| usage(&format!("cannot read {}: {error}", file.display()));
    let mut text = String::new();
    let open = std::fs::File::open(file).map_err(|error| unreadable(&error))?;
    let read = open.take(limit + 1).read_to_string(&mut text).map_err(|error| unreadable(&error))?;
    if read as u64 > limit {
        return Err(usage(&format!("cannot read {}: it is larger than {limit} bytes", file.display())));
    }
    Ok(text)
}
