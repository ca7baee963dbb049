//! A certificate authority for signing certificates: whether a chain ends at it, at a time.

use jiff::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use sigstore_types::TimeRange;
use x509_cert::der::{Decode as _, Encode as _};

use super::LONGEST_CHAIN;
use crate::signature::certificate::{CODE_SIGNING, Certificate};

/// Who issues signing certificates, for a time.
#[derive(Debug, Clone)]
pub struct Authority {
    root: CertificateDer<'static>,
    between: Vec<CertificateDer<'static>>,
    valid: Option<TimeRange>,
}

/// Why the chain of an authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// Nobody.
    #[error("it has no certificates")]
    Empty,
    /// Longer than any.
    #[error("it has {0} certificates, more than {LONGEST_CHAIN}")]
    TooLong(usize),
    /// Not a certificate.
    #[error("its certificate {place} does not decode")]
    Malformed {
        /// Which one, from 1.
        place: usize,
        /// What is wrong with it.
        #[source]
        source: webpki::Error,
    },
    /// It ends before it begins.
    #[error("its time ends before it begins")]
    Window,
}

/// Whether `chain` is one, leaf or intermediate first.
pub(super) fn check(chain: &[Vec<u8>], valid: Option<TimeRange>) -> Result<(), ChainError> {
    if chain.is_empty() {
        return Err(ChainError::Empty);
    }
    if chain.len() > LONGEST_CHAIN {
        return Err(ChainError::TooLong(chain.len()));
    }
    if valid.is_some_and(|valid| valid.end.is_some_and(|end| end < valid.start)) {
        return Err(ChainError::Window);
    }
    chain.iter().enumerate().try_for_each(|(index, der)| {
        let der = CertificateDer::from(der.as_slice());
        let read = webpki::anchor_from_trusted_cert(&der).map(|_| ());
        read.map_err(|source| ChainError::Malformed { place: index + 1, source })
    })
}

impl Authority {
    /// `chain` ends with the root.
    pub(super) fn new(chain: &[Vec<u8>], valid: Option<TimeRange>) -> Result<Self, ChainError> {
        check(chain, valid)?;
        let (root, between) = chain.split_last().ok_or(ChainError::Empty)?;
        let owned = |der: &Vec<u8>| CertificateDer::from(der.clone());
        Ok(Self { root: owned(root), between: between.iter().map(owned).collect(), valid })
    }

    /// Whether it issued certificates at `time`.
    pub fn is_valid(&self, time: Timestamp) -> bool {
        self.valid.is_none_or(|valid| valid.contains(time))
    }

    /// Whether `certificate` comes from it and was good for signing at `time`; gives the key of its direct issuer,
    /// for certificate logs. What stands beside the leaf is used to find the way, and proves nothing by itself.
    pub fn issued(&self, certificate: &Certificate, time: Timestamp) -> Result<Vec<u8>, webpki::Error> {
        let leaf = CertificateDer::from(certificate.leaf_der());
        let leaf = webpki::EndEntityCert::try_from(&leaf)?;
        let anchors = [webpki::anchor_from_trusted_cert(&self.root)?];
        let between: Vec<_> = self.between.iter().chain(certificate.chain_ders()).cloned().collect();
        let seconds = u64::try_from(time.as_second()).unwrap_or_default();
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
        let usage = webpki::KeyUsage::required(CODE_SIGNING);
        let path = leaf.verify_for_usage(algorithms, &anchors, &between, at, usage, None, None)?;
        let issuer = path.intermediate_certificates().next();
        issuer.map_or_else(
            || key_of(&self.root),
            |issuer| Ok(issuer.subject_public_key_info().as_ref().to_vec()),
        )
    }
}

fn key_of(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, webpki::Error> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok();
    let key = certificate.and_then(|read| read.tbs_certificate.subject_public_key_info.to_der().ok());
    key.ok_or(webpki::Error::BadDer)
}
