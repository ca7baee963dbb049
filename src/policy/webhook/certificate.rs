//! The serving certificate: one authority for one certificate, whose key is thrown away at once. Pure but for chance.
//!
//! # Guarantees
//!
//! - A certificate that is taken for good has its key, the names that are wanted and time left.
//! - The bundle holds the authority before too: replicas that still serve under it stay trusted while they change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_cert::der::Decode as _;
use zeroize::Zeroizing;

/// How long a certificate counts.
const LIFETIME: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long before its end the next is made.
const RENEWAL: SignedDuration = SignedDuration::from_hours(10 * 24);
/// Clocks differ.
const BEFORE: SignedDuration = SignedDuration::from_hours(1);

/// A certificate with its key, as it lies in a Secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Material {
    /// Authorities in PEM, the present one first.
    pub(super) authorities: String,
    /// The certificate in PEM.
    pub(super) certificate: String,
    key: Zeroizing<String>,
    names: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum CertificateError {
    /// It cannot be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// It is damaged.
    #[error("the certificate is no PEM")]
    Pem(#[from] pem::PemError),
    /// Its key does not fit, or is of a kind that cannot serve.
    #[error("the certificate cannot serve")]
    Key(#[from] rustls::Error),
    /// The key is no private key.
    #[error("the key of the certificate cannot be read: {0}")]
    Private(&'static str),
}

const AUTHORITIES: &str = "ca.crt";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const NAMES: &str = "names";

impl Material {
    /// Makes a certificate for `names`; the first of the `former` authorities stays trusted.
    pub(super) fn make(
        names: &[String],
        now: Timestamp,
        former: Option<&str>,
    ) -> Result<Self, CertificateError> {
        let valid = |params: &mut CertificateParams| {
            params.not_before = SystemTime::from(now - BEFORE).into();
            params.not_after = SystemTime::from(now + LIFETIME).into();
        };
        let mut params = CertificateParams::default();
        valid(&mut params);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "Hallmark admission webhook");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let mut params = CertificateParams::new(names.to_vec())?;
        valid(&mut params);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?.pem();
        let former = former.and_then(first).map(|block| pem::encode(&block)).unwrap_or_default();
        Ok(Self {
            authorities: format!("{}{former}", authority.pem()),
            certificate,
            key: Zeroizing::new(key.serialize_pem()),
            names: names.join(","),
        })
    }

    /// What a Secret holds, if it is whole.
    pub(super) fn read(data: &BTreeMap<String, ByteString>) -> Option<Self> {
        let text = |name: &str| String::from_utf8(data.get(name)?.0.clone()).ok();
        let key = Zeroizing::new(text(KEY)?);
        Some(Self {
            authorities: text(AUTHORITIES)?,
            certificate: text(CERTIFICATE)?,
            key,
            names: text(NAMES)?,
        })
    }

    /// As a Secret holds it.
    pub(super) fn write(&self) -> BTreeMap<String, ByteString> {
        let texts = [
            (AUTHORITIES, &self.authorities),
            (CERTIFICATE, &self.certificate),
            (KEY, &*self.key),
            (NAMES, &self.names),
        ];
        texts.map(|(name, text)| (name.to_owned(), ByteString(text.clone().into_bytes()))).into()
    }

    /// Whether it can serve these names for a while.
    pub(super) fn serves(&self, names: &[String], now: Timestamp) -> bool {
        let ends = self.ends();
        self.names == names.join(",")
            && ends.is_some_and(|ends| ends > now + RENEWAL)
            && first(&self.authorities).is_some()
            && self.certified().is_ok()
    }

    /// As TLS takes it.
    pub(super) fn certified(&self) -> Result<Arc<CertifiedKey>, CertificateError> {
        let chain = pem::parse_many(&self.certificate)?;
        let chain = chain.into_iter().map(|block| CertificateDer::from(block.into_contents())).collect();
        let key = Zeroizing::new(pem::parse(self.key.as_bytes())?.into_contents());
        let key = PrivateKeyDer::try_from(key.to_vec()).map_err(CertificateError::Private)?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider)?;
        Ok(Arc::new(certified))
    }

    fn ends(&self) -> Option<Timestamp> {
        let block = pem::parse(&self.certificate).ok()?;
        let certificate = x509_cert::Certificate::from_der(block.contents()).ok()?;
        let ends = certificate.tbs_certificate.validity.not_after.to_unix_duration();
        Timestamp::from_second(i64::try_from(ends.as_secs()).ok()?).ok()
    }
}

/// The authorities that a Secret tells of, even when the rest of it is damaged.
pub(super) fn authorities(data: &BTreeMap<String, ByteString>) -> Option<&str> {
    std::str::from_utf8(&data.get(AUTHORITIES)?.0).ok()
}

fn first(authorities: &str) -> Option<pem::Pem> {
    pem::parse_many(authorities).ok()?.into_iter().next()
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Material").field("names", &self.names).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["hallmark-webhook.cosign-system.svc".to_owned(), "127.0.0.1".to_owned()]
    }

    fn days(number: i64) -> SignedDuration {
        SignedDuration::from_hours(24 * number)
    }

    #[test]
    fn it_survives_the_secret_and_serves_until_ten_days_before_its_end() {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let made = Material::make(&names(), now, None).unwrap();
        let read = Material::read(&made.write()).unwrap();
        assert!(read == made && read.serves(&names(), now) && read.serves(&names(), now + days(19)));
        assert!(!read.serves(&names(), now + days(20)));
        assert!(!read.serves(&["other".to_owned()], now));
    }

    #[test]
    fn the_next_one_keeps_the_authority_before_it_and_no_older_one() {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let first = Material::make(&names(), now, None).unwrap();
        let second = Material::make(&names(), now, Some(&first.authorities)).unwrap();
        let third = Material::make(&names(), now, Some(&second.authorities)).unwrap();
        let authorities = |material: &Material| pem::parse_many(&material.authorities).unwrap();
        assert_eq!(
            (authorities(&first).len(), authorities(&second).len(), authorities(&third).len()),
            (1, 2, 2)
        );
        assert_eq!(authorities(&third)[1], authorities(&second)[0]);
    }

    #[test]
    fn what_is_damaged_or_mixed_up_does_not_serve_and_does_not_print() {
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let (one, other) =
            (Material::make(&names(), now, None).unwrap(), Material::make(&names(), now, None).unwrap());
        let mut mixed = one.write();
        mixed.insert(KEY.to_owned(), other.write()[KEY].clone());
        assert!(!Material::read(&mixed).unwrap().serves(&names(), now));
        for field in [AUTHORITIES, CERTIFICATE, KEY] {
            let mut damaged = one.write();
            damaged.insert(field.to_owned(), ByteString(b"rubbish".to_vec()));
            assert!(!Material::read(&damaged).unwrap().serves(&names(), now), "{field}");
            damaged.remove(field);
            assert!(Material::read(&damaged).is_none());
        }
        assert!(!format!("{one:?}").contains("PRIVATE"));
    }
}
