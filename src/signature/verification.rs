//! Whether a signature is to be believed: one question for image signatures and attestations, by key and by
//! certificate, from tags and from bundles.
//!
//! # Guarantees
//!
//! - A yes means: the signature is over these bytes, by this key or by a certificate for an accepted name and issuer;
//!   the certificate comes from an authority of the trust root and was good at every time that is proven, or now if
//!   none is; every entry and timestamp by somebody whom the root knows holds, and is about this signature.
//! - Entries and timestamps by others count for nothing, neither for nor against; [`Demands`] says which have to be
//!   there.
//! - A no says why ([`Refusal`]).
//! - No input or output, and no clock: time is an argument.

mod certificate_log;
mod refusal;

use jiff::Timestamp;

pub use certificate_log::SctError;
pub use refusal::Refusal;

use super::certificate::Certificate;
use super::covered::{Signature, SignedBy};
use super::entry::EntryError;
use super::log::Evidence;
use super::public_key::PublicKey;
use super::timestamp::TimestampError;
use super::trusted_root::TrustedRoot;

/// Whose signatures are accepted.
#[derive(Clone, Copy)]
pub enum Trusted<'a> {
    /// Those by this key.
    Key(&'a PublicKey),
    /// Those by certificates for these people.
    Identity(Identity<'a>),
}

/// Which names of which issuers are accepted; how they are compared is the caller's: exactly, by expression, by glob.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    /// Whether a name (URI, mail address) is.
    pub name: &'a (dyn Fn(&str) -> bool + Sync),
    /// Whether the issuer of the token is.
    pub issuer: &'a (dyn Fn(&str) -> bool + Sync),
}

/// What has to be there beside a signature that verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is asked for by itself, in any combination")]
pub struct Demands {
    /// An entry in a transparency log that the trust root knows.
    pub entry: bool,
    /// A timestamp by an authority that the trust root knows.
    pub timestamp: bool,
    /// The time of signing, proven by whichever of them the trust root knows.
    pub time: bool,
    /// For certificates: word from a certificate log, if the trust root knows any.
    pub certificate_log: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Times at which the signature is proven to have existed.
    pub times: Vec<Timestamp>,
    /// How many logs took it in.
    pub entries: usize,
    /// Whether a certificate log vouches for the certificate.
    pub certificate_logged: bool,
}

/// Verifies `signature`.
pub fn verify(
    signature: &Signature<'_>,
    evidence: &Evidence,
    trusted: Trusted<'_>,
    root: &TrustedRoot,
    demands: Demands,
    now: Timestamp,
) -> Result<Verified, Refusal> {
    let key = match (trusted, signature.by) {
        (Trusted::Key(key), by) => {
            // A certificate that happens to come along says nothing about a key that is trusted by itself.
            let same = matches!(by, SignedBy::Key(other) if other == key) || signature.key() == key;
            if same { key } else { return Err(Refusal::OtherKey) }
        }
        (Trusted::Identity(identity), SignedBy::Certificate(certificate)) => {
            accept(certificate, identity)?;
            certificate.key()
        }
        (Trusted::Identity(_), SignedBy::Key(_)) => return Err(Refusal::NoCertificate),
    };
    if !key.verifies(&signature.message(), signature.bytes) {
        return Err(Refusal::Signature);
    }
    let mut verified = Verified::default();
    entries(&mut verified, signature, evidence, root, demands, now)?;
    timestamps(&mut verified, signature, evidence, root, demands, now)?;
    if demands.time && verified.times.is_empty() {
        return Err(Refusal::NoTime);
    }
    if let (Trusted::Identity(_), SignedBy::Certificate(certificate)) = (trusted, signature.by) {
        let times = if verified.times.is_empty() { &[now][..] } else { &verified.times };
        verified.certificate_logged = certificate_holds(certificate, root, times, demands)?;
    }
    Ok(verified)
}

/// Whether `certificate` comes from an authority of `root` and was good at each of `times`; and, if the root knows
/// certificate logs and `demands` ask for their word, whether one vouches for it.
pub fn certificate_holds(
    certificate: &Certificate,
    root: &TrustedRoot,
    times: &[Timestamp],
    demands: Demands,
) -> Result<bool, Refusal> {
    let mut issuer = None;
    for &at in times {
        let (from, to) = (certificate.beginning(), certificate.expiry());
        if at < from || at > to {
            return Err(Refusal::NotThen { from, to, at });
        }
        issuer = Some(issuer_key(certificate, root, at)?);
    }
    let Some(issuer) = issuer else { return Ok(false) };
    if root.certificate_logs().is_empty() || !demands.certificate_log {
        return Ok(false);
    }
    certificate_log::verify(certificate, &issuer, root.certificate_logs())?;
    Ok(true)
}

fn issuer_key(certificate: &Certificate, root: &TrustedRoot, at: Timestamp) -> Result<Vec<u8>, Refusal> {
    let mut refused = None;
    for authority in root.authorities().iter().filter(|authority| authority.is_valid(at)) {
        match authority.issued(certificate, at) {
            Ok(key) => return Ok(key),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.map_or(Refusal::NoAuthority(at), |source| Refusal::Chain { at, source }))
}

fn accept(certificate: &Certificate, identity: Identity<'_>) -> Result<(), Refusal> {
    if !certificate.names().iter().any(|name| (identity.name)(name)) {
        return Err(Refusal::OtherName(certificate.names().to_vec()));
    }
    match certificate.issuer() {
        Some(issuer) if (identity.issuer)(issuer) => Ok(()),
        other => Err(Refusal::OtherIssuer(other.map(str::to_owned))),
    }
}

fn entries(
    verified: &mut Verified,
    signature: &Signature<'_>,
    evidence: &Evidence,
    root: &TrustedRoot,
    demands: Demands,
    now: Timestamp,
) -> Result<(), Refusal> {
    let mut unknown = None;
    for entry in &evidence.entries {
        match entry.verify(root.logs(), signature, now) {
            Ok(logged) => {
                verified.entries += 1;
                verified.times.extend(logged.at);
            }
            Err(error @ EntryError::UnknownLog(_)) => unknown = Some(error),
            Err(error) => return Err(Refusal::Entry(error)),
        }
    }
    if demands.entry && verified.entries == 0 {
        return Err(unknown.map_or(Refusal::NoEntry, Refusal::Entry));
    }
    Ok(())
}

fn timestamps(
    verified: &mut Verified,
    signature: &Signature<'_>,
    evidence: &Evidence,
    root: &TrustedRoot,
    demands: Demands,
    now: Timestamp,
) -> Result<(), Refusal> {
    let (mut unknown, mut proven) = (None, 0);
    let stamped = evidence.stamped.as_deref().unwrap_or(signature.bytes);
    for timestamp in &evidence.timestamps {
        match timestamp.verify(root, stamped, now) {
            Ok(at) => {
                proven += 1;
                verified.times.push(at);
            }
            Err(error @ (TimestampError::NoAuthority | TimestampError::Untrusted(_))) => {
                unknown = Some(error);
            }
            Err(error) => return Err(Refusal::Timestamp(error)),
        }
    }
    if demands.timestamp && proven == 0 {
        return Err(unknown.map_or(Refusal::NoTimestamp, Refusal::Timestamp));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
