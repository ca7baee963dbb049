//! The two files that the updater reads beside the cluster: its providers and its identity token, each looked at for
//! changes. Guarantees: providers with a mistake leave the last good ones in force; of the token only its age and
//! length are looked at here.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::client::exchange::provider::{LARGEST, Providers, ProvidersError};
use crate::error::chain;

/// The files.
pub struct Sources {
    providers_file: PathBuf,
    token_file: PathBuf,
    text: Option<String>,
    stamp: Option<Stamp>,
    providers: Arc<Providers>,
}

/// What changes whenever the kubelet replaces a token.
type Stamp = (u64, i64, i64, u64);

/// Why providers are not used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It has a mistake.
    #[error("{} is not used", file.display())]
    Mistake {
        /// The file.
        file: PathBuf,
        /// Which.
        #[source]
        source: ProvidersError,
    },
}

impl Sources {
    /// Looks at both for the first time.
    pub fn new(providers_file: &Path, token_file: &Path) -> Result<Self, SourceError> {
        let text = read(providers_file)?;
        let providers = Arc::new(parse(providers_file, text.as_deref())?);
        let (providers_file, token_file) = (providers_file.to_owned(), token_file.to_owned());
        let stamp = stamp(&token_file);
        Ok(Self { providers_file, token_file, text, stamp, providers })
    }

    /// The same, with no provider but those that are always there until the first look at the file; one with a mistake
    /// keeps nobody from starting.
    pub fn unread(providers_file: &Path, token_file: &Path) -> Self {
        let (providers_file, token_file) = (providers_file.to_owned(), token_file.to_owned());
        Self { providers_file, token_file, text: None, stamp: None, providers: Arc::default() }
    }

    /// The identity token.
    pub fn token_file(&self) -> &Path {
        &self.token_file
    }

    /// The providers in force.
    pub fn providers(&self) -> Arc<Providers> {
        Arc::clone(&self.providers)
    }

    /// Takes up new providers; answers whether there are any.
    pub fn providers_changed(&mut self) -> bool {
        let text = match read(&self.providers_file) {
            Ok(text) if text == self.text => return false,
            Ok(text) => text,
            Err(error) => {
                tracing::warn!("{}; the last providers stay in force", chain(&error));
                return false;
            }
        };
        let parsed = parse(&self.providers_file, text.as_deref());
        self.text = text;
        match parsed {
            Ok(providers) => {
                self.providers = Arc::new(providers);
                true
            }
            Err(error) => {
                tracing::error!("{}; the last providers stay in force", chain(&error));
                false
            }
        }
    }

    /// Whether the identity token is another one than at the last look.
    pub fn token_changed(&mut self) -> bool {
        let stamp = stamp(&self.token_file);
        std::mem::replace(&mut self.stamp, stamp) != stamp
    }
}

/// The providers of a file; those that are always there when it does not exist.
pub fn providers(file: &Path) -> Result<Providers, SourceError> {
    parse(file, read(file)?.as_deref())
}

fn parse(file: &Path, text: Option<&str>) -> Result<Providers, SourceError> {
    text.map_or_else(|| Ok(Providers::default()), Providers::parse)
        .map_err(|source| SourceError::Mistake { file: file.to_owned(), source })
}

fn read(file: &Path) -> Result<Option<String>, SourceError> {
    let mut text = String::new();
    let read = File::open(file).and_then(|open| open.take(LARGEST + 1).read_to_string(&mut text));
    match read {
        Ok(length) if length as u64 <= LARGEST => Ok(Some(text)),
        Ok(_) => {
            Err(SourceError::Unreadable { file: file.to_owned(), source: ErrorKind::FileTooLarge.into() })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SourceError::Unreadable { file: file.to_owned(), source }),
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let of = |metadata: Metadata| (metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len());
    std::fs::metadata(file).ok().map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[providers.p]\nkind = \"chainguard\"\n";

    #[test]
    fn providers_are_taken_up_when_they_change_and_kept_when_they_are_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let (file, token) = (folder.path().join("providers.toml"), folder.path().join("token"));
        let mut sources = Sources::new(&file, &token).unwrap();
        assert!(sources.providers().named("p").is_none() && !sources.providers_changed());
        std::fs::write(&file, GOOD).unwrap();
        assert!(sources.providers_changed() && !sources.providers_changed());
        std::fs::write(&file, "[providers.p]\nkind = \"nonsense\"").unwrap();
        assert!(!sources.providers_changed());
        assert!(sources.providers().named("p").is_some());
        assert!(Sources::new(&file, &token).is_err(), "nobody starts with a mistake");
        std::fs::remove_file(&file).unwrap();
        assert!(sources.providers_changed() && sources.providers().named("p").is_none());
    }

    #[test]
    fn a_new_token_is_noticed_and_the_same_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        let mut sources = Sources::new(&folder.path().join("none"), &token).unwrap();
        assert!(!sources.token_changed());
        std::fs::write(&token, "a").unwrap();
        assert!(sources.token_changed() && !sources.token_changed());
        let beside = folder.path().join("beside");
        std::fs::write(&beside, "b").unwrap();
        std::fs::rename(&beside, &token).unwrap();
        assert!(sources.token_changed());
    }
}
