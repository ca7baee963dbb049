//! Every place that was looked at for a target, and why it has a credential for it or not (credentials
//! specification §1.7): what a person needs who sees `UNAUTHORIZED`.

use std::fmt;

use super::agent::Lent;
use super::matching::Sought;
use super::{Entry, Fetcher, Keychain, Location, Source};
use crate::artifact::image::Repository;

/// One place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The source.
    pub source: Source,
    /// The place within it.
    pub location: Location,
    /// The keys of its entries, as written.
    pub keys: Vec<String>,
    /// What it has for the target.
    pub fit: Fit,
    target: String,
}

/// How near a place comes to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It has an entry for the target.
    Matches,
    /// It has an entry for another path of the same registry.
    OtherPath,
    /// It has a table for the registry, without a credential.
    NoCredential,
    /// All its entries are for other registries.
    OtherHost,
    /// It has no entry at all.
    Empty,
}

impl Keychain {
    /// The places in the order in which they were looked at.
    pub fn places(&self, repository: &Repository) -> Vec<Place> {
        let mut places: Vec<(&Source, &Location)> = self.looked_at.iter().map(|(s, l)| (s, l)).collect();
        for entry in &self.entries {
            if !places.contains(&(&entry.source, &entry.location)) {
                places.push((&entry.source, &entry.location));
            }
        }
        let of_run = places.into_iter().map(|(source, location)| {
            let entries =
                self.entries.iter().filter(|entry| entry.source == *source && entry.location == *location);
            Place::of(source, location, &entries, repository)
        });
        let to_ask = self.fetchers.iter().filter_map(|fetcher| place_of(fetcher, repository));
        of_run.chain(to_ask).chain(self.places_of_agent(repository)).collect()
    }

    fn places_of_agent(&self, repository: &Repository) -> Vec<Place> {
        let place = |lent: &Lent, (source, location): &(Source, Location)| {
            let here = |entry: &&Entry| entry.source == *source && entry.location == *location;
            Place::of(source, location, &lent.entries.iter().filter(here), repository)
        };
        let lent = self.agent.lent();
        let places = lent.flat_map(|lent| lent.looked_at.iter().map(move |found| place(lent, found)));
        // A cloud is looked at for its own registries alone.
        let clouds = self.agent.clouds.fetchers.iter().filter_map(|cloud| place_of(cloud, repository));
        self.place_of_config(repository).into_iter().chain(places).chain(clouds).collect()
    }

    /// The registry configuration has names of tables instead of keys, and only one table counts.
    fn place_of_config(&self, repository: &Repository) -> Option<Place> {
        let config = &self.agent.config;
        let keys: Vec<String> = config.names().map(str::to_owned).collect();
        let fit = match config.entry_for(repository) {
            Some(_) => Fit::Matches,
            None if config.table_for(repository.registry()).is_some() => Fit::NoCredential,
            None if keys.is_empty() => Fit::Empty,
            None => Fit::OtherHost,
        };
        let (source, location) = (Source::ControllerRegistryConfig, config.location()?.clone());
        Some(Place { source, location, keys, fit, target: repository.registry().to_owned() })
    }
}

/// A cloud, or whoever else is asked for some registries alone.
fn place_of(fetcher: &Fetcher, repository: &Repository) -> Option<Place> {
    let entry = fetcher.entry(repository)?;
    Some(Place::of(&entry.source, &entry.location, &std::iter::once(&entry), repository))
}

impl Place {
    fn of<'e>(
        source: &Source,
        location: &Location,
        entries: &(impl Iterator<Item = &'e Entry> + Clone),
        repository: &Repository,
    ) -> Self {
        let sought = Sought::of(repository);
        let keys: Vec<String> = entries.clone().map(|entry| entry.key.to_string()).collect();
        let near = entries.clone().any(|entry| entry.key.matches_host(&sought));
        let fit = match entries.clone().any(|entry| entry.key.matches(&sought).is_some()) {
            true => Fit::Matches,
            false if near => Fit::OtherPath,
            false if keys.is_empty() => Fit::Empty,
            false => Fit::OtherHost,
        };
        // The path is part of the sentence only where the host would have matched.
        let target = if near { repository.to_string() } else { repository.registry().to_owned() };
        Self { source: source.clone(), location: location.clone(), keys, fit, target }
    }

    /// The keys on one line; a long list is cut.
    pub fn keys(&self) -> String {
        const MOST: usize = 10;
        let mut shown: Vec<&str> = self.keys.iter().take(MOST).map(String::as_str).collect();
        let more =
            self.keys.len().checked_sub(MOST).filter(|more| *more > 0).map(|more| format!("and {more} more"));
        shown.extend(more.as_deref());
        shown.join(", ")
    }
}

/// As in `serviceAccount.secrets: secret ci/hub has entries [docker.io]; target is ghcr.io`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        if self.location != Location::Ambient {
            write!(f, ": {}", self.location)?;
        }
        write!(f, " has entries [{}]; target is {}", self.keys(), self.target)
    }
}

/// As in a table.
impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Matches => "matches",
            Self::OtherPath => "no: other paths of this registry",
            Self::NoCredential => "no: its table has no credential",
            Self::OtherHost => "no: other registries",
            Self::Empty => "no: there is no entry",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Credential, Key, Login};
    use super::*;

    fn keychain(keys: &[&str]) -> Keychain {
        let login = Login { username: "u".into(), password: "canary".into() };
        let entry = |key: &&str| Entry {
            source: Source::ServiceAccountSecrets,
            location: Location::ServiceAccount("ci/release".into()),
            key: Key::parse(key).unwrap(),
            credential: Arc::new(Credential::Basic(login.clone())),
        };
        let looked_at = vec![(Source::PodImagePullSecrets, Location::Pod("ci/pod".into()))];
        Keychain { entries: keys.iter().map(entry).collect(), looked_at, ..Keychain::default() }
    }

    fn fit(keys: &[&str]) -> Fit {
        keychain(keys).places(&Repository::parse("registry.test/team/app").unwrap())[1].fit
    }

    #[test]
    fn each_place_says_how_near_it_comes() {
        assert_eq!(fit(&["other.test", "registry.test/team"]), Fit::Matches);
        assert_eq!(fit(&["other.test", "registry.test/other"]), Fit::OtherPath);
        assert_eq!(fit(&["other.test"]), Fit::OtherHost);
        let places = keychain(&[]).places(&Repository::parse("registry.test/team/app").unwrap());
        assert_eq!((places.len(), places[0].fit), (1, Fit::Empty));
    }

    #[test]
    fn a_place_reads_as_a_sentence() {
        let places =
            keychain(&["registry.test/other"]).places(&Repository::parse("registry.test/app").unwrap());
        assert_eq!(
            places[1].to_string(),
            "serviceAccount.secrets: service account ci/release has entries [registry.test/other]; target is registry.test/app"
        );
        assert_eq!(
            places[0].to_string(),
            "pod.imagePullSecrets: pod ci/pod has entries []; target is registry.test"
        );
    }
}
