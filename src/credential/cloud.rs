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

pub mod ecr;
mod failure;
pub mod google;
mod host;

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use zeroize::Zeroizing;

pub use failure::Failure;

use self::ecr::Ecr;
use self::google::Google;
use super::agent::Lent;
use super::{Cloud, Credential, Fetch, Fetcher, Key, Location, Problem, Redacted, Source};
use crate::artifact::image::Repository;
use crate::client::cloud::Web;

/// A failure is told again for so long before the cloud is asked anew.
const FRESH_FAILURE: Duration = Duration::from_secs(10);
/// All steps together.
const PATIENCE: Duration = Duration::from_secs(20);
/// Tokens, and the JSON of Google.
const LARGEST_FILE: u64 = 64 * 1024;
/// Registries that are remembered.
const CAPACITY: usize = 256;

/// What the environment of the process says about identities in clouds.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Of AWS.
    pub aws: ecr::Variables,
    /// Of Google Cloud.
    pub google: google::Variables,
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
}

/// An identity with what it was granted.
struct Ambient {
    identity: Identity,
    remembered: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Remembered>>>>,
}

/// What is known for one registry.
#[derive(Default)]
struct Remembered {
    granted: Option<Granted>,
    failed: Option<(Instant, Problem)>,
}

/// The clouds as sources; `aws_role` is the role to take on before ECR is asked.
pub fn lent(surroundings: &Surroundings, web: &Web, aws_role: Option<&str>) -> Lent {
    let ecr = Ecr::new(surroundings.aws.clone(), web.clone(), aws_role.map(str::to_owned));
    let google = Google::new(surroundings.google.clone(), web.clone());
    let identities = [Identity::Google(google), Identity::Ecr(Box::new(ecr))];
    let fetchers = identities
        .into_iter()
        .map(|identity| Fetcher::new(Ambient { identity, remembered: Mutex::default() }));
    Lent { fetchers: fetchers.collect(), ..Lent::default() }
}

impl Identity {
    fn cloud(&self) -> Cloud {
        match self {
            Self::Ecr(_) => Cloud::Ecr,
            Self::Google(_) => Cloud::Gcp,
        }
    }

    fn serves(&self, registry: &str) -> bool {
        match self {
            Self::Ecr(_) => host::Ecr::parse(registry).is_some(),
            Self::Google(_) => host::is_google(registry),
        }
    }

    async fn credential(&self, registry: &str, now: Timestamp) -> Result<Granted, Failure> {
        match self {
            Self::Ecr(ecr) => ecr.credential(registry, now).await,
            Self::Google(google) => google.credential(registry, now).await,
        }
    }
}

impl Ambient {
    fn remembered(&self, registry: &str) -> Arc<tokio::sync::Mutex<Remembered>> {
        let mut all = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(registry)
            && all.len() >= CAPACITY
            && let Some(victim) = all.keys().next().cloned()
        {
            all.remove(&victim);
        }
        Arc::clone(all.entry(registry.to_owned()).or_default())
    }

    async fn ask(&self, registry: &str, now: Timestamp) -> Result<Granted, Problem> {
        let asked = tokio::time::timeout(PATIENCE, self.identity.credential(registry, now)).await;
        let failure = match asked {
            Ok(Ok(granted)) => return Ok(granted),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Patience { registry: registry.to_owned(), seconds: PATIENCE.as_secs() },
        };
        Err(Problem {
            source: self.source(),
            location: Location::Ambient,
            code: failure.code(),
            detail: failure.detail(),
        })
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
        let registry = Some(repository.registry()).filter(|registry| self.identity.serves(registry))?;
        Key::parse(registry).ok()
    }

    async fn fetch(&self, repository: &Repository) -> Result<Credential, Problem> {
        let registry = repository.registry();
        let remembered = self.remembered(registry);
        let mut remembered = remembered.lock().await;
        let now = Timestamp::now();
        if let Some(answer) = remembered.answer(now) {
            return answer;
        }
        match self.ask(registry, now).await {
            Ok(granted) => {
                let credential = granted.credential.clone();
                *remembered = Remembered { granted: Some(granted), failed: None };
                Ok(credential)
            }
            Err(problem) => {
                tracing::debug!("{problem}");
                remembered.failed = Some((Instant::now(), problem.clone()));
                remembered.usable(now).ok_or(problem)
            }
        }
    }
}

impl Remembered {
    /// What can be said without asking.
    fn answer(&self, now: Timestamp) -> Option<Result<Credential, Problem>> {
        if self.granted.as_ref().is_some_and(|granted| now < granted.renew_at) {
            return self.usable(now).map(Ok);
        }
        let (_, problem) = self.failed.as_ref().filter(|(at, _)| at.elapsed() < FRESH_FAILURE)?;
        Some(self.usable(now).ok_or_else(|| problem.clone()))
    }

    fn usable(&self, now: Timestamp) -> Option<Credential> {
        self.granted
            .as_ref()
            .filter(|granted| now < granted.expires_at)
            .map(|granted| granted.credential.clone())
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

#[cfg(test)]
mod tests;
