//! Word from a log of certificates that it took a certificate in: the signed certificate timestamp inside it, or the one
//! that Fulcio gave beside it (RFC 6962 §3.2 and §3.3).
//!
//! For a word inside, the log signed the certificate as it was before that was put in, together with the hash of the
//! issuer's key; both are made anew here. For one beside it, the log signed the certificate as it is. One word by one
//! known log is enough.

use jiff::Timestamp;
use x509_cert::TbsCertificate;
use x509_cert::der::asn1::OctetString;
use x509_cert::der::oid::AssociatedOid as _;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::SignedCertificateTimestampList;
use x509_cert::ext::pkix::sct::SignedCertificateTimestamp;

use crate::artifact::digest::Digest;
use crate::signature::certificate::Certificate;
use crate::signature::trusted_root::KnownLog;

/// Why no certificate log vouches for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SctError {
    /// It brings no word from any.
    #[error("it holds no signed certificate timestamp")]
    Missing,
    /// It does not decode.
    #[error("its signed certificate timestamps do not decode")]
    Malformed,
    /// From nobody whom we know.
    #[error("its signed certificate timestamps are of unknown logs")]
    UnknownLog,
    /// By a known log, when it was not in use.
    #[error("its signed certificate timestamp is of {0}, when its log was not in use")]
    OutOfUse(Timestamp),
    /// Not its own.
    #[error("its signed certificate timestamp does not verify")]
    Signature,
}

/// What a log took in.
enum Logged<'a> {
    /// A certificate before it was issued, by the key `issuer`.
    Before { issuer: &'a [u8], certificate: Vec<u8> },
    /// A certificate as it is.
    Issued(&'a [u8]),
}

/// Whether one of `logs` vouches for `certificate`, issued by the key `issuer`.
pub(super) fn verify(certificate: &Certificate, issuer: &[u8], logs: &[KnownLog]) -> Result<(), SctError> {
    let leaf = x509_cert::Certificate::from_der(certificate.leaf_der()).map_err(|_| SctError::Malformed)?;
    let leaf = leaf.tbs_certificate;
    let inside = leaf.get::<SignedCertificateTimestampList>().map_err(|_| SctError::Malformed)?;
    let (list, logged) = match (inside, certificate.word()) {
        (Some((_, list)), _) => (list, Logged::Before { issuer, certificate: before_it_was_logged(leaf)? }),
        (None, Some(word)) => (alone(word)?, Logged::Issued(certificate.leaf_der())),
        (None, None) => return Err(SctError::Missing),
    };
    let words = list.parse_timestamps().map_err(|_| SctError::Malformed)?;
    let mut refused = if words.is_empty() { SctError::Missing } else { SctError::UnknownLog };
    for word in words {
        let word = word.parse_timestamp().map_err(|_| SctError::Malformed)?;
        let Some(log) = logs.iter().find(|log| log.id() == word.log_id.key_id) else { continue };
        match vouches(log, &word, &logged) {
            Ok(()) => return Ok(()),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// The list of one word, as a certificate would hold it.
fn alone(word: &[u8]) -> Result<SignedCertificateTimestampList, SctError> {
    let framed = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).map_err(|_| SctError::Malformed)?;
        Ok([&length.to_be_bytes()[..], bytes].concat())
    };
    let list = OctetString::new(framed(&framed(word)?)?).and_then(|list| list.to_der());
    let list = list.map_err(|_| SctError::Malformed)?;
    SignedCertificateTimestampList::from_der(&list).map_err(|_| SctError::Malformed)
}

fn vouches(log: &KnownLog, word: &SignedCertificateTimestamp, logged: &Logged<'_>) -> Result<(), SctError> {
    let at = i64::try_from(word.timestamp).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    let at = at.ok_or(SctError::Malformed)?;
    if !log.is_valid(at) {
        return Err(SctError::OutOfUse(at));
    }
    let message = signed(word, logged).ok_or(SctError::Malformed)?;
    if log.verifies(&message, word.signature.signature.as_slice()) {
        Ok(())
    } else {
        Err(SctError::Signature)
    }
}

fn before_it_was_logged(mut certificate: TbsCertificate) -> Result<Vec<u8>, SctError> {
    if let Some(extensions) = &mut certificate.extensions {
        extensions.retain(|extension| extension.extn_id != SignedCertificateTimestampList::OID);
    }
    certificate.to_der().map_err(|_| SctError::Malformed)
}

/// What the log signed, in the encoding of TLS.
fn signed(word: &SignedCertificateTimestamp, logged: &Logged<'_>) -> Option<Vec<u8>> {
    const V1: u8 = 0;
    const CERTIFICATE_TIMESTAMP: u8 = 0;
    const CERTIFICATE: [u8; 2] = [0, 0];
    const PRECERTIFICATE: [u8; 2] = [0, 1];
    let mut message = vec![V1, CERTIFICATE_TIMESTAMP];
    message.extend_from_slice(&word.timestamp.to_be_bytes());
    let content = match logged {
        Logged::Before { issuer, certificate } => {
            message.extend_from_slice(&PRECERTIFICATE);
            message.extend_from_slice(Digest::of(issuer).as_bytes());
            certificate.as_slice()
        }
        Logged::Issued(certificate) => {
            message.extend_from_slice(&CERTIFICATE);
            certificate
        }
    };
    let length = u32::try_from(content.len()).ok()?.to_be_bytes();
    message.extend_from_slice(length.get(1..).filter(|_| length.first() == Some(&0))?);
    message.extend_from_slice(content);
    let extensions = word.extensions.as_slice();
    message.extend_from_slice(&u16::try_from(extensions.len()).ok()?.to_be_bytes());
    message.extend_from_slice(extensions);
    Some(message)
}
