//! The ambient cloud identity of the process as a source of credentials (credentials specification §1.2 source 11,
//! §1.6).
//!
//! # Guarantees
//!
//! - A cloud is asked only for the hosts of its own registries, and only when the trial comes to it.
//! - What was granted serves its registry until shortly before it ends, for the one identity that this value stands
//!   for; one request for it is on its way at a time. A renewal that fails leaves what is still good in use.
//! - Whatever goes wrong is a [`Problem`] with the cloud's own words: never silently "anonymous".
//!
//! # Must not
//!
//! Read the environment: its values come with [`Surroundings`]. Speak HTTP: `client::cloud` does.

pub mod account;
mod acr;
pub mod ecr;
pub mod entra;
mod failure;
pub mod federation;
pub mod google;
pub(super) mod grants;
mod host;

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use url::{Host, Url};
use zeroize::Zeroizing;

pub use failure::Failure;

use self::acr::Acr;
use self::ecr::Ecr;
use self::google::Google;
use self::grants::Grants;
use super::agent::Lent;
use super::{Cloud, Credential, Fetch, Fetcher, Key, Location, Problem, Redacted, Source};
use crate::artifact::image::Repository;
use crate::client::cloud::Web;

/// All steps together.
const PATIENCE: Duration = Duration::from_secs(20);
/// Tokens, and the JSON of Google.
const LARGEST_FILE: u64 = 64 * 1024;

/// What the environment of the process says about identities in clouds.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Of AWS.
    pub aws: ecr::Variables,
    /// Of Google Cloud.
    pub google: google::Variables,
    /// Of Azure.
    pub azure: entra::Variables,
}

/// A credential, and the times that it has.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The credential.
    pub credential: Credential,
    /// From when on a newer one is asked for.
    pub renew_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// The identity of the process in one cloud.
enum Identity {
    Ecr(Box<Ecr>),
    Google(Google),
    Acr(Acr),
}

/// An identity with what it was granted.
struct Ambient {
    identity: Identity,
    grants: Grants,
}

/// The clouds as sources; `aws_role` is the role to take on before ECR is asked.
pub fn lent(surroundings: &Surroundings, web: &Web, aws_role: Option<&str>) -> Lent {
    let ecr = Ecr::new(surroundings.aws.clone(), web.clone(), aws_role.map(str::to_owned));
    let google = Google::new(surroundings.google.clone(), web.clone());
    let acr = Acr::new(surroundings.azure.clone(), web.clone());
    let identities = [Identity::Google(google), Identity::Ecr(Box::new(ecr)), Identity::Acr(acr)];
    let fetchers =
        identities.into_iter().map(|identity| Fetcher::new(Ambient { identity, grants: Grants::default() }));
    Lent { fetchers: fetchers.collect(), ..Lent::default() }
}

impl Identity {
    fn cloud(&self) -> Cloud {
        match self {
            Self::Ecr(_) => Cloud::Ecr,
            Self::Google(_) => Cloud::Gcp,
            Self::Acr(_) => Cloud::Acr,
        }
    }

    async fn credential(&self, registry: &str, now: Timestamp) -> Result<Granted, Failure> {
        match self {
            Self::Ecr(ecr) => ecr.credential(registry, now).await,
            Self::Google(google) => google.credential(registry, now).await,
            Self::Acr(acr) => acr.credential(registry, now).await,
        }
    }
}

impl Ambient {
    async fn ask(&self, registry: &str) -> Result<Granted, Problem> {
        let asked = self.identity.credential(registry, Timestamp::now());
        let failure = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(granted)) => return Ok(granted),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Patience { registry: registry.to_owned(), seconds: PATIENCE.as_secs() },
        };
        Err(failure.problem(self.source(), self.location()))
    }
}

#[async_trait]
impl Fetch for Ambient {
    fn source(&self) -> Source {
        Source::ControllerCloud(self.identity.cloud())
    }

    fn location(&self) -> Location {
        Location::Ambient
    }

    fn key(&self, repository: &Repository) -> Option<Key> {
        let cloud = self.identity.cloud();
        let registry = Some(repository.registry()).filter(|registry| federation::serves(cloud, registry))?;
        Key::parse(registry).ok()
    }

    async fn fetch(&self, repository: &Repository) -> Result<Credential, Problem> {
        let registry = repository.registry();
        self.grants.obtain(registry, self.ask(registry)).await
    }

    async fn renew(
        &self,
        repository: &Repository,
        ended: &Credential,
    ) -> Option<Result<Credential, Problem>> {
        let registry = repository.registry();
        Some(self.grants.instead_of(ended, registry, self.ask(registry)).await)
    }
}

impl Granted {
    /// One that is renewed shortly before it ends.
    pub(in crate::credential) fn until(
        credential: Credential,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Self {
        const EARLY: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);
        let early = EARLY.min(expires_at.duration_since(now) / 2);
        let renew_at = expires_at.checked_sub(early).unwrap_or(expires_at);
        Self { credential, renew_at, expires_at }
    }

    /// One that is renewed when half of its time has passed (§1.6, ECR).
    pub(in crate::credential) fn half(credential: Credential, now: Timestamp, expires_at: Timestamp) -> Self {
        let half = expires_at.duration_since(now) / 2;
        let renew_at = expires_at.checked_sub(half).unwrap_or(expires_at);
        Self { credential, renew_at, expires_at }
    }
}

/// A small file that `variable` names.
async fn file(variable: &'static str, path: &Path) -> Result<Redacted, Failure> {
    let named = |source| Failure::File { variable, file: path.to_owned(), source };
    let (path, mut content) = (path.to_owned(), Zeroizing::new(Vec::new()));
    let read = tokio::task::spawn_blocking(move || {
        File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut content)?;
        Ok(content)
    });
    let content = read.await.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(named)?;
    if content.len() as u64 > LARGEST_FILE {
        return Err(named(ErrorKind::FileTooLarge.into()));
    }
    Ok(Redacted::from(content.trim_ascii()))
}

/// The address that a variable of the process holds.
fn address(variable: &'static str, text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or(Failure::Unusable { variable, wrong: "it is no address of http or https" })
}

/// Whether secrets may be sent to an address: over TLS, or to this machine.
fn may_carry_secrets(address: &Url) -> bool {
    let near = match address.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        _ => false,
    };
    address.scheme() == "https" || (address.scheme() == "http" && near)
}

#[cfg(test)]
mod tests;
