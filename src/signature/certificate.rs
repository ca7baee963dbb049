//! A signing certificate of Fulcio with its chain, as a value: read from outside, checked against what was asked
//! for, and written as the PEM that stores keep (credentials specification §9.2, §9.3).
//!
//! Guarantees: [`Certificate::check`] accepts a leaf for our key, our name and our issuer, valid now, for code
//! signing, whose chain holds together. Whether the root of that chain is to be trusted is for whoever has a trust
//! root to say; nothing here does.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_cert::der::asn1::Utf8StringRef;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::public_key::PublicKey;

/// The issuer of the token, as UTF-8 text in DER.
const ISSUER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.8");
/// The same as raw bytes, which older servers write alone.
const ISSUER_RAW: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.1");
/// The type of the other name that holds a user name with its domain.
const USERNAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");
/// 1.3.6.1.5.5.7.3.3 without its frame.
pub(super) const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];
/// Clocks may differ by so much before a certificate counts as not yet valid.
const SKEW: SignedDuration = SignedDuration::from_mins(5);
/// Leaf, intermediates and root; nobody has more.
const MAX_CHAIN: usize = 10;

/// A leaf with the certificates above it.
#[derive(Clone)]
pub struct Certificate {
    ders: Vec<CertificateDer<'static>>,
    key: PublicKey,
    names: Vec<String>,
    issuer: Option<String>,
    valid: (Timestamp, Timestamp),
    word: Option<Vec<u8>>,
}

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// The key.
    pub key: &'a PublicKey,
    /// The name, where the token decides it.
    pub identity: Option<&'a str>,
    /// The issuer of the token.
    pub issuer: Option<&'a str>,
}

/// Why a certificate is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not certificates.
    #[error("it does not decode: {0}")]
    Malformed(&'static str),
    /// Somebody else's key.
    #[error("it is for another key than the one that was sent")]
    OtherKey,
    /// Not its time.
    #[error("it is valid from {from} to {to}, and now is {now}")]
    NotNow {
        /// Its beginning.
        from: Timestamp,
        /// Its end.
        to: Timestamp,
        /// When it was looked at.
        now: Timestamp,
    },
    /// Somebody else's name.
    #[error("it names {found:?}, not {wanted:?}")]
    OtherName {
        /// Its names.
        found: Vec<String>,
        /// The one that follows from the token.
        wanted: String,
    },
    /// Another issuer's token.
    #[error("it names the issuer {found:?}, not {wanted:?}")]
    OtherIssuer {
        /// Its issuer.
        found: Option<String>,
        /// The token's.
        wanted: String,
    },
    /// A name that stands for nobody (credentials specification §9.2).
    #[error("it names {0:?}, which is no service account")]
    Nobody(String),
    /// The chain does not hold together.
    #[error("its chain does not hold: {0}")]
    Chain(webpki::Error),
}

impl Certificate {
    /// Reads PEM certificates, the leaf first.
    pub fn read(pems: &[String]) -> Result<Self, CertificateError> {
        if pems.len() > MAX_CHAIN {
            return Err(CertificateError::Malformed("the chain is longer than ten certificates"));
        }
        let ders = pems.iter().map(|text| {
            let block = pem::parse(text).ok().filter(|block| block.tag() == "CERTIFICATE");
            block.map(pem::Pem::into_contents)
        });
        let ders: Option<Vec<_>> = ders.collect();
        Self::of_ders(ders.ok_or(CertificateError::Malformed("a certificate is not PEM"))?)
    }

    /// Reads a leaf and what lies above it, each a text of PEM blocks, as stores keep them.
    pub fn from_pem(leaf: &str, chain: &str) -> Result<Self, CertificateError> {
        let blocks = |text| pem::parse_many(text).map_err(|_| CertificateError::Malformed("it is not PEM"));
        let (leaf, chain) = (blocks(leaf)?, blocks(chain)?);
        Self::of_ders(leaf.into_iter().take(1).chain(chain).map(pem::Pem::into_contents).collect())
    }

    /// Reads certificates in DER, the leaf first, as bundles hold them.
    pub fn of_ders(ders: Vec<Vec<u8>>) -> Result<Self, CertificateError> {
        if ders.len() > MAX_CHAIN {
            return Err(CertificateError::Malformed("the chain is longer than ten certificates"));
        }
        let ders: Vec<_> = ders.into_iter().map(CertificateDer::from).collect();
        let leaf = ders.first().ok_or(CertificateError::Malformed("there is none"))?;
        let leaf = x509_cert::Certificate::from_der(leaf)
            .map_err(|_| CertificateError::Malformed("the leaf is not X.509"))?
            .tbs_certificate;
        let key = leaf.subject_public_key_info.to_der().ok().and_then(|der| PublicKey::from_der(&der));
        let (names, issuer) = (names(&leaf)?, issuer(&leaf));
        let valid = (time(leaf.validity.not_before)?, time(leaf.validity.not_after)?);
        let key = key.ok_or(CertificateError::Malformed("its key is of no kind that signs"))?;
        Ok(Self { ders, key, names, issuer, valid, word: None })
    }

    /// Whether it is what was asked for, and good now.
    pub fn check(&self, asked: &Asked<'_>, now: Timestamp) -> Result<(), CertificateError> {
        if self.key != *asked.key {
            return Err(CertificateError::OtherKey);
        }
        let (from, to) = self.valid;
        if now < from - SKEW || now > to {
            return Err(CertificateError::NotNow { from, to, now });
        }
        if let Some(nobody) = self.names.iter().find(|name| is_nobody(name)) {
            return Err(CertificateError::Nobody(nobody.clone()));
        }
        if let Some(wanted) = asked.identity
            && self.names != [wanted]
        {
            return Err(CertificateError::OtherName { found: self.names.clone(), wanted: wanted.to_owned() });
        }
        if let Some(wanted) = asked.issuer
            && self.issuer.as_deref() != Some(wanted)
        {
            let found = self.issuer.clone();
            return Err(CertificateError::OtherIssuer { found, wanted: wanted.to_owned() });
        }
        self.check_chain().map_err(CertificateError::Chain)
    }

    /// From the leaf to the last certificate, at a time within the leaf's own: clocks are [`Self::check`]'s matter.
    fn check_chain(&self) -> Result<(), webpki::Error> {
        let [leaf, between @ .., root] = self.ders.as_slice() else {
            return Err(webpki::Error::UnknownIssuer);
        };
        let leaf = webpki::EndEntityCert::try_from(leaf)?;
        let root = webpki::anchor_from_trusted_cert(root)?;
        let seconds = u64::try_from(self.valid.0.as_second()).unwrap_or_default();
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
        let usage = webpki::KeyUsage::required(CODE_SIGNING);
        leaf.verify_for_usage(algorithms, &[root], between, at, usage, None, None).map(|_| ())
    }

    /// With the word of a certificate log that came beside it: a signed certificate timestamp in the encoding of TLS (RFC
    /// 6962 §3.2). No store and no bundle has a place for it.
    pub fn with_word(self, word: Option<Vec<u8>>) -> Self {
        Self { word, ..self }
    }

    /// That word.
    pub(super) fn word(&self) -> Option<&[u8]> {
        self.word.as_deref()
    }

    /// Its names: URIs, mail addresses, hosts and user names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Who issued the token that it was made for.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// When it ends.
    pub fn expiry(&self) -> Timestamp {
        self.valid.1
    }

    /// Its key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// When it begins.
    pub fn beginning(&self) -> Timestamp {
        self.valid.0
    }

    /// The leaf as DER.
    pub fn leaf_der(&self) -> &[u8] {
        self.ders.first().map(AsRef::as_ref).unwrap_or_default()
    }

    /// What is above the leaf as DER, nearest first.
    pub fn chain_ders(&self) -> &[CertificateDer<'static>] {
        self.ders.get(1..).unwrap_or_default()
    }

    /// The leaf as PEM.
    pub fn leaf_pem(&self) -> String {
        self.ders.iter().take(1).map(to_pem).collect()
    }

    /// What is above the leaf as PEM, nearest first.
    pub fn chain_pem(&self) -> String {
        self.ders.iter().skip(1).map(to_pem).collect()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({:?} by {:?} until {})", self.names, self.issuer, self.valid.1)
    }
}

fn to_pem(der: &CertificateDer<'static>) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new("CERTIFICATE", der.as_ref()), config)
}

/// The name of a service account without namespace or name.
fn is_nobody(name: &str) -> bool {
    let account = name.strip_prefix("https://kubernetes.io/namespaces/");
    let parts = account.and_then(|account| account.split_once("/serviceaccounts/"));
    account.is_some() && parts.is_none_or(|(namespace, name)| namespace.is_empty() || name.is_empty())
}

fn names(leaf: &x509_cert::TbsCertificate) -> Result<Vec<String>, CertificateError> {
    let found = leaf.get::<SubjectAltName>();
    let found = found.map_err(|_| CertificateError::Malformed("its names do not decode"))?;
    let names = found.into_iter().flat_map(|(_, names)| names.0).filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(text)
        | GeneralName::Rfc822Name(text)
        | GeneralName::DnsName(text) => Some(text.to_string()),
        GeneralName::OtherName(other) if other.type_id == USERNAME => {
            other.value.decode_as::<Utf8StringRef<'_>>().ok().map(|text| text.as_str().to_owned())
        }
        _ => None,
    });
    Ok(names.collect())
}

fn issuer(leaf: &x509_cert::TbsCertificate) -> Option<String> {
    let value = |wanted| {
        let mut extensions = leaf.extensions.iter().flatten();
        extensions.find(|extension| extension.extn_id == wanted).map(|found| found.extn_value.as_bytes())
    };
    let text =
        value(ISSUER).and_then(|der| Utf8StringRef::from_der(der).ok()).map(|text| text.as_str().to_owned());
    text.or_else(|| String::from_utf8(value(ISSUER_RAW)?.to_vec()).ok())
}

fn time(time: x509_cert::time::Time) -> Result<Timestamp, CertificateError> {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_err(|_| CertificateError::Malformed("its validity is no time"))
}

#[cfg(test)]
pub(crate) mod tests;
