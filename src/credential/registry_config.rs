//! The registry configuration file of the operator (credentials specification §4): for each registry its
//! authorities, whether it is trusted at all, a credential, and the proxies in front of all of them.
//!
//! Pure and total: a text becomes a configuration, or every mistake in it at once with its line and column.
//! No finding repeats a value, since any value of this file may be a password. The file is read by
//! `credential::files`; what is decided here about connections is carried out by `client::http`.

mod authorities;
mod document;
mod finding;
mod name;
mod proxies;
mod table;

use std::sync::Arc;

use jiff::Timestamp;

pub use self::authorities::{Authorities, Trust};
use self::document::Document;
pub use self::finding::{Finding, FindingCode, Severity};
use self::name::Host;
pub use self::proxies::{MalformedProxy, Proxies};
pub use self::table::Table;
use super::matching::Key;
use super::{Entry, Location, Source};
use crate::artifact::image::Repository;

/// A larger file is not read: with a thousand registries it has a few hundred kilobytes.
pub const LARGEST: u64 = 1024 * 1024;

/// A configuration in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryConfig {
    location: Option<Location>,
    tables: Vec<Table>,
    proxies: Proxies,
}

/// What a file came to.
#[derive(Debug)]
pub struct Reading {
    /// The configuration, unless one of the findings is an error.
    pub config: Option<RegistryConfig>,
    /// Errors and warnings in the order of their places.
    pub findings: Vec<Finding>,
}

impl RegistryConfig {
    /// Reads the text of `file`. `environment` are the proxies of the process, which the file overrides key by key.
    pub fn parse(file: &str, text: &str, environment: &Proxies, now: Timestamp) -> Reading {
        let Document { tables, proxies, mut findings } = Document::read(text, environment, now);
        findings.sort_by_key(Finding::place);
        let sound = findings.iter().all(|finding| finding.severity() < Severity::Error);
        let location = Some(Location::File(file.to_owned()));
        Reading { config: sound.then_some(Self { location, tables, proxies }), findings }
    }

    /// Nothing but the proxies of the process: for a file that is missing.
    pub fn of_environment(proxies: Proxies) -> Self {
        Self { location: None, tables: Vec::new(), proxies }
    }

    /// The one table that counts for a registry, `host[:port]` (§4.3); tables are never merged (S7).
    pub fn table_for(&self, host: &str) -> Option<&Table> {
        let host = Host::of(host);
        let matching = self.tables.iter().filter(|table| table.name.covers(&host));
        matching.max_by_key(|table| table.name.specificity())
    }

    /// The proxies in front of registries, token services and clouds.
    pub fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// The file, once one was read.
    pub fn location(&self) -> Option<&Location> {
        self.location.as_ref()
    }

    /// The credential for a repository, as one entry of source `controller.registryConfig` (S5).
    pub fn entry_for(&self, repository: &Repository) -> Option<Entry> {
        let table = self.table_for(repository.registry())?;
        let key = Key::of_suffix(table.as_written(), repository, table.name.labels());
        let credential = Arc::clone(table.credential.as_ref()?);
        Some(Entry {
            source: Source::ControllerRegistryConfig,
            location: self.location.clone()?,
            key,
            credential,
        })
    }

    /// The names of the tables as written, for people.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(Table::as_written)
    }
}

#[cfg(test)]
mod tests;
