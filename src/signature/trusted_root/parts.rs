//! A trust root put together: from keys and certificates that come one by one, and from parts of other roots. Policies may
//! take certificates from one root, log entries from another and timestamps from a third.

use super::{Authority, ChainError, KnownLog, TrustedRoot, authority, timestamp_authority};

impl TrustedRoot {
    /// Trusts a certificate authority too: a chain of DER that ends with the root.
    pub fn trust_authority(&mut self, chain: &[Vec<u8>]) -> Result<(), ChainError> {
        self.authorities.push(Authority::new(chain, None)?);
        Ok(())
    }

    /// Trusts a timestamp authority too: a chain of DER from its own certificate to the root.
    pub fn trust_timestamps(&mut self, chain: Vec<Vec<u8>>) -> Result<(), ChainError> {
        authority::check(&chain, None)?;
        self.timestamp_authorities.extend(timestamp_authority(chain, None));
        Ok(())
    }

    /// Trusts a transparency log too.
    pub fn trust_log(&mut self, log: KnownLog) {
        self.logs.push(log);
    }

    /// Trusts a log of certificates too.
    pub fn trust_certificate_log(&mut self, log: KnownLog) {
        self.certificate_logs.push(log);
    }

    /// This root with the transparency logs of another in place of its own.
    pub fn with_logs_of(mut self, other: &Self) -> Self {
        self.logs.clone_from(&other.logs);
        self
    }

    /// This root with the timestamp authorities of another in place of its own.
    pub fn with_timestamps_of(mut self, other: &Self) -> Self {
        self.timestamp_authorities.clone_from(&other.timestamp_authorities);
        self
    }
}
