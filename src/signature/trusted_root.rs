//! Whom verification trusts: certificate authorities, transparency logs, certificate logs and timestamp authorities,
//! each for its own time, as Sigstore's `trusted_root.json` lists them.
//!
//! # Guarantees
//!
//! - A root is whole or refused: a key or certificate that does not decode is an error that names its place. Left
//!   out, and listed by [`TrustedRoot::unusable`], is only what is well formed and of a kind unknown here, so that a
//!   root that lists tomorrow's logs can be read today.
//! - What counts at a time is asked with that time; nothing here looks at a clock.
//! - The size of the text, the number of instances and the length of chains are bounded.
//!
//! Where the text comes from (a file, a mirror) and whether it is fresh is for others to say.

pub mod archive;
mod authority;
pub mod file;
mod known_log;
pub mod mirror;
mod parts;
mod pem;
pub mod repository;

use sigstore_trust_root as wire;
use sigstore_types::{DerCertificate, TimeRange, TsaAuthority};

pub use authority::{Authority, ChainError};
pub use known_log::{KeyError, KnownLog};
pub use pem::PemError;

/// Sigstore's own root has ten kilobytes.
const LARGEST: usize = 1024 * 1024;
/// Instances of each kind: more than anybody runs, and few enough to try one by one.
const MOST: usize = 64;
/// Root, intermediates and leaf; nobody has more.
const LONGEST_CHAIN: usize = 10;

/// Whom verification trusts.
#[derive(Debug, Clone, Default)]
pub struct TrustedRoot {
    authorities: Vec<Authority>,
    logs: Vec<KnownLog>,
    certificate_logs: Vec<KnownLog>,
    timestamp_authorities: Vec<TsaAuthority>,
    unusable: Vec<String>,
}

/// Why a trust root is not used.
#[derive(Debug, thiserror::Error)]
pub enum TrustedRootError {
    /// More than anybody's.
    #[error("the trust root is larger than {LARGEST} bytes")]
    TooLarge,
    /// Not the JSON of a trust root.
    #[error("the trust root is no trusted_root.json")]
    Malformed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another document of the same family.
    #[error("the trust root has media type {0:?}, wanted application/vnd.dev.sigstore.trustedroot…")]
    MediaType(String),
    /// More instances than are looked at.
    #[error("the trust root lists {count} {kind}, more than {MOST}")]
    TooMany {
        /// Of what.
        kind: &'static str,
        /// How many.
        count: usize,
    },
    /// A log that nobody could be verified with.
    #[error("{kind} {url} of the trust root cannot be used")]
    Log {
        /// `tlog` or `ctlog`.
        kind: &'static str,
        /// Its address there.
        url: String,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// An authority that nobody could be verified with.
    #[error("{kind} {uri} of the trust root cannot be used")]
    Authority {
        /// `certificateAuthority` or `timestampAuthority`.
        kind: &'static str,
        /// Its address there.
        uri: String,
        /// What is wrong with it.
        #[source]
        source: ChainError,
    },
}

impl TrustedRoot {
    /// Reads a `trusted_root.json`.
    pub fn read(json: &[u8]) -> Result<Self, TrustedRootError> {
        if json.len() > LARGEST {
            return Err(TrustedRootError::TooLarge);
        }
        let text = std::str::from_utf8(json).map_err(|error| TrustedRootError::Malformed(error.into()))?;
        let root =
            wire::TrustedRoot::from_json(text).map_err(|error| TrustedRootError::Malformed(error.into()))?;
        if !root.media_type.starts_with("application/vnd.dev.sigstore.trustedroot") {
            return Err(TrustedRootError::MediaType(root.media_type.chars().take(100).collect()));
        }
        let mut read = Self::default();
        read.add_authorities(root.certificate_authorities)?;
        read.add_logs(root.tlogs, root.ctlogs)?;
        read.add_timestamp_authorities(root.timestamp_authorities)?;
        Ok(read)
    }

    /// One that trusts certificate authorities and nobody else, each a chain of DER that ends with the root.
    pub fn of_authorities(chains: &[Vec<Vec<u8>>]) -> Result<Self, ChainError> {
        let authorities = chains.iter().map(|chain| Authority::new(chain, None)).collect::<Result<_, _>>()?;
        Ok(Self { authorities, ..Self::default() })
    }

    /// One that trusts a single transparency log and nobody else.
    pub fn of_log(log: KnownLog) -> Self {
        Self { logs: vec![log], ..Self::default() }
    }

    /// Who issues signing certificates.
    pub fn authorities(&self) -> &[Authority] {
        &self.authorities
    }

    /// Transparency logs of signatures.
    pub fn logs(&self) -> &[KnownLog] {
        &self.logs
    }

    /// Transparency logs of certificates.
    pub fn certificate_logs(&self) -> &[KnownLog] {
        &self.certificate_logs
    }

    /// Who signs timestamps.
    pub(super) fn timestamp_authorities(&self) -> &[TsaAuthority] {
        &self.timestamp_authorities
    }

    /// Whether it knows anybody who signs timestamps.
    pub fn knows_timestamps(&self) -> bool {
        !self.timestamp_authorities.is_empty()
    }

    /// What it lists and nobody here can use, by address: keys of unknown kinds.
    pub fn unusable(&self) -> &[String] {
        &self.unusable
    }

    fn add_authorities(&mut self, listed: Vec<wire::CertificateAuthority>) -> Result<(), TrustedRootError> {
        bounded("certificate authorities", listed.len())?;
        for authority in listed {
            let (uri, ders) = (shown(&authority.uri), ders(authority.cert_chain));
            let read = Authority::new(&ders, authority.valid_for).map_err(|source| {
                TrustedRootError::Authority { kind: "certificateAuthority", uri, source }
            })?;
            self.authorities.push(read);
        }
        Ok(())
    }

    fn add_logs(
        &mut self,
        logs: Vec<wire::TransparencyLog>,
        certificate_logs: Vec<wire::CertificateTransparencyLog>,
    ) -> Result<(), TrustedRootError> {
        bounded("transparency logs", logs.len())?;
        bounded("certificate transparency logs", certificate_logs.len())?;
        for log in logs {
            let read = KnownLog::new(&log.base_url, log.log_id.key_id.as_bytes(), &log.public_key);
            Self::add(&mut self.logs, &mut self.unusable, "tlog", &log.base_url, read)?;
        }
        for log in certificate_logs {
            let read = KnownLog::new(&log.base_url, log.log_id.key_id.as_bytes(), &log.public_key);
            Self::add(&mut self.certificate_logs, &mut self.unusable, "ctlog", &log.base_url, read)?;
        }
        Ok(())
    }

    fn add(
        logs: &mut Vec<KnownLog>,
        unusable: &mut Vec<String>,
        kind: &'static str,
        url: &str,
        read: Result<KnownLog, KeyError>,
    ) -> Result<(), TrustedRootError> {
        match read {
            Ok(log) if logs.iter().any(|other| other.id() == log.id()) => {
                Err(TrustedRootError::Log { kind, url: shown(url), source: KeyError::Twice })
            }
            Ok(log) => {
                logs.push(log);
                Ok(())
            }
            Err(KeyError::UnknownKind(_)) => {
                unusable.push(format!("{kind} {}", shown(url)));
                Ok(())
            }
            Err(source) => Err(TrustedRootError::Log { kind, url: shown(url), source }),
        }
    }

    fn add_timestamp_authorities(
        &mut self,
        listed: Vec<wire::TimestampAuthority>,
    ) -> Result<(), TrustedRootError> {
        bounded("timestamp authorities", listed.len())?;
        for authority in listed {
            let uri = shown(authority.uri.as_deref().unwrap_or("without address"));
            let chain = ders(authority.cert_chain);
            authority::check(&chain, authority.valid_for).map_err(|source| TrustedRootError::Authority {
                kind: "timestampAuthority",
                uri,
                source,
            })?;
            self.timestamp_authorities.extend(timestamp_authority(chain, authority.valid_for));
        }
        Ok(())
    }
}

/// Leaf, intermediates and root; a certificate that stands alone is all of them.
fn timestamp_authority(mut chain: Vec<Vec<u8>>, valid: Option<TimeRange>) -> Option<TsaAuthority> {
    let root = DerCertificate::new(chain.pop()?);
    let mut others = chain.into_iter().map(DerCertificate::new);
    let leaf = others.next().unwrap_or_else(|| root.clone());
    Some(TsaAuthority::new(leaf, others.collect(), root, valid))
}

fn ders(chain: wire::trusted_root::CertChain) -> Vec<Vec<u8>> {
    chain.certificates.into_iter().map(|certificate| certificate.raw_bytes.into_bytes()).collect()
}

fn bounded(kind: &'static str, count: usize) -> Result<(), TrustedRootError> {
    if count > MOST { Err(TrustedRootError::TooMany { kind, count }) } else { Ok(()) }
}

/// An address from outside, fit to be shown.
fn shown(url: &str) -> String {
    url.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
pub(crate) mod tests;
