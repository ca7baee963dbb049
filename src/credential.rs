//! The keychain of one run: every credential that may open a registry, in the order they are to be tried
//! (credentials specification §1 to §3).
//!
//! Guarantees: one bad source never hides another (a defect is a [`Problem`] beside the entries); the order of
//! candidates is a function of the entries alone; no secret value is in any text that leaves this module.
//!
//! Must not do input or output: adapters fill the keychain, the registry client tries what it yields, and only the
//! registry's answer to the real operation decides. A keychain never outlives the attempt it was built for.

pub mod agent;
pub mod cloud;
pub mod consulted;
pub mod docker_config;
pub mod exchange;
pub mod fetch;
pub mod files;
pub mod helper;
pub mod jwt;
pub mod kubernetes;
pub mod matching;
pub mod named;
pub mod objects;
pub mod outcome;
mod places;
pub mod pod;
pub mod problem;
pub mod registry_config;
pub mod report;
pub mod secret;
pub mod source;

use std::collections::HashMap;
use std::collections::hash_map;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::artifact::image::Repository;

pub use self::agent::Agent;
pub use self::consulted::Consulted;
pub use self::fetch::{Fetch, Fetcher};
pub use self::matching::Key;
use self::matching::{Sought, Specificity};
pub use self::outcome::{Kind, Operation, Outcome};
pub use self::places::{Fit, Place};
pub use self::problem::{Location, Problem, ProblemCode, SecretRef};
pub use self::report::{CredentialReport, Target};
pub use self::secret::Redacted;
pub use self::source::{Cloud, Group, Source};

/// What is shown to a registry or its token service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// Nothing.
    Anonymous,
    /// Name and password.
    Basic(Login),
    /// An OAuth 2 refresh token (§5.4).
    IdentityToken {
        /// The token.
        token: Redacted,
        /// For servers without OAuth 2.
        fallback: Option<Login>,
    },
    /// A bearer that is sent as it is (§2.5).
    RegistryToken(Redacted),
    /// None yet: who is to be asked for it when its turn comes. Never sent.
    ToFetch(Fetcher),
}

/// Name and password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Login {
    /// Name; shown only if it is short (§1.7), as long ones are tokens in the wrong place.
    pub username: String,
    /// Password, byte for byte.
    pub password: Redacted,
}

/// Where a credential was found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Provenance {
    /// The source.
    pub source: Source,
    /// The place within it.
    #[serde(flatten)]
    pub location: Location,
    /// The key it stood under, as written; empty when the source has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub entry: String,
}

/// One credential of one source with the key that says what it is for.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The source.
    pub source: Source,
    /// The place within it.
    pub location: Location,
    /// What the credential is for.
    pub key: Key,
    /// The credential.
    pub credential: Arc<Credential>,
}

/// A credential to be tried for a repository.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Where it was found.
    pub provenance: Provenance,
    /// Where the same credential was found as well.
    pub also_from: Vec<Provenance>,
    /// The credential.
    pub credential: Arc<Credential>,
}

/// Everything that was gathered for one run.
#[derive(Debug, Clone, Default)]
pub struct Keychain {
    /// In the order in which the sources list them.
    pub entries: Vec<Entry>,
    /// Those of the run's own sources that are asked when their turn comes.
    pub fetchers: Vec<Fetcher>,
    /// What was wrong with the sources.
    pub problems: Vec<Problem>,
    /// Every place that was looked at, those without entries too, so that "nothing matched" can be explained.
    pub looked_at: Vec<(Source, Location)>,
    /// The objects of the cluster that it was read from.
    pub consulted: Vec<Consulted>,
    /// What the agent may lend to the run.
    pub agent: Agent,
}

impl Credential {
    /// A name and password as helpers and docker configs write them: the name `<token>` marks an identity token.
    pub fn from_login(login: Login) -> Self {
        if login.username == "<token>" {
            Self::IdentityToken { token: login.password, fallback: None }
        } else {
            Self::Basic(login)
        }
    }

    /// Replaces every secret of this credential in a text from a server.
    pub fn scrub(&self, text: &str) -> String {
        match self {
            Self::Anonymous | Self::ToFetch(_) => text.to_owned(),
            Self::Basic(login) => login.scrub(text),
            Self::RegistryToken(token) => token.scrub(text),
            Self::IdentityToken { token, fallback } => {
                let text = token.scrub(text);
                fallback.as_ref().map_or_else(|| text.clone(), |login| login.scrub(&text))
            }
        }
    }
}

impl Login {
    /// `base64(username:password)`, as in a docker config and in an `Authorization` header.
    pub fn encoded(&self) -> Zeroizing<String> {
        let mut plain =
            Zeroizing::new(Vec::with_capacity(self.username.len() + 1 + self.password.expose().len()));
        plain.extend_from_slice(self.username.as_bytes());
        plain.push(b':');
        plain.extend_from_slice(self.password.expose());
        Zeroizing::new(STANDARD.encode(&*plain))
    }

    fn scrub(&self, text: &str) -> String {
        self.password.scrub(text).replace(self.encoded().as_str(), secret::REDACTED)
    }
}

impl Keychain {
    /// The credentials for `repository` in the order of trial, each once, anonymous last (§1.4).
    pub fn candidates(&self, repository: &Repository) -> Vec<Arc<Candidate>> {
        let sought = Sought::of(repository);
        let own = self.fetchers.iter().filter_map(|fetcher| fetcher.entry(repository));
        let to_fetch: Vec<Entry> = own.chain(self.agent.entries(repository)).collect();
        let mut matching: Vec<(Order<'_>, &Entry)> = self
            .entries
            .iter()
            .chain(&to_fetch)
            .enumerate()
            .filter_map(|(position, entry)| Some((Order::of(entry, position, &sought)?, entry)))
            .collect();
        matching.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        let mut candidates = once_each(matching.into_iter().map(|(_, entry)| entry));
        candidates.push(Candidate::anonymous());
        candidates.into_iter().map(Arc::new).collect()
    }

    /// The same keychain with what the agent lends.
    pub fn with_agent(mut self, agent: Agent) -> Self {
        self.agent = agent;
        self
    }

    /// Everything that was wrong with the sources, for one repository.
    pub fn problems_for(&self, repository: &Repository) -> Vec<Problem> {
        let lent = self.agent.lent().flat_map(|lent| lent.problems.iter().cloned());
        self.problems.iter().cloned().chain(lent).chain(self.agent.withheld(repository)).collect()
    }

    /// Its own sources before those of `rest`, whose agent lends as before.
    pub fn before(mut self, rest: &Self) -> Self {
        self.entries.extend(rest.entries.iter().cloned());
        self.fetchers.extend(rest.fetchers.iter().cloned());
        self.problems.extend(rest.problems.iter().cloned());
        self.looked_at.extend(rest.looked_at.iter().cloned());
        self.consulted.extend(rest.consulted.iter().cloned());
        self.agent = rest.agent.clone();
        self
    }

    /// Takes in what was read from one more place.
    pub fn add(&mut self, source: Source, location: Location, reading: docker_config::Reading) {
        self.entries.extend(reading.entries);
        self.problems.extend(reading.problems);
        self.looked_at.push((source, location));
    }
}

impl Candidate {
    fn anonymous() -> Self {
        Self {
            provenance: Provenance {
                source: Source::Anonymous,
                location: Location::Ambient,
                entry: String::new(),
            },
            also_from: Vec::new(),
            credential: Arc::new(Credential::Anonymous),
        }
    }
}

impl Entry {
    fn provenance(&self) -> Provenance {
        Provenance {
            source: self.source.clone(),
            location: self.location.clone(),
            entry: self.key.to_string(),
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 64;
        let username = if self.username.len() <= LONGEST { &self.username } else { secret::REDACTED };
        f.debug_struct("Login").field("username", &username).field("password", &self.password).finish()
    }
}

/// `serviceAccount.secrets ci/push-rw (gcr.io)`, as in the annotation on the run.
impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        if let Some((_, place)) = self.location.field() {
            write!(f, " {place}")?;
        }
        if self.entry.is_empty() { Ok(()) } else { write!(f, " ({})", self.entry) }
    }
}

/// The order of §1.4, compared field by field.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Order<'a> {
    group: Group,
    specificity: Specificity,
    source: &'a Source,
    hub_alias: bool,
    position: usize,
}

impl<'a> Order<'a> {
    fn of(entry: &'a Entry, position: usize, sought: &Sought<'_>) -> Option<Self> {
        Some(Self {
            specificity: entry.key.matches(sought)?,
            group: entry.source.group(),
            source: &entry.source,
            hub_alias: entry.key.is_hub_alias(),
            position,
        })
    }
}

/// Keeps the first of equal credentials and remembers where the others were (R6). The map hashes with a key that
/// is drawn for each map, so that nothing about a secret can be read from a hash.
fn once_each<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Candidate> {
    let mut kept: Vec<Candidate> = Vec::new();
    let mut places: HashMap<&Credential, usize> = HashMap::new();
    for entry in entries {
        match places.entry(&entry.credential) {
            hash_map::Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push(Candidate {
                    provenance: entry.provenance(),
                    also_from: Vec::new(),
                    credential: Arc::clone(&entry.credential),
                });
            }
            hash_map::Entry::Occupied(place) => {
                if let Some(candidate) = kept.get_mut(*place.get()) {
                    candidate.also_from.push(entry.provenance());
                }
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests;
