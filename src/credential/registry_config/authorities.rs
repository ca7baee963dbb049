//! Whom a connection trusts: the machine's authorities, these certificates only (perhaps none at all), or anybody
//! (credentials specification §4.2, S2, S3).

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// Whom to trust.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The authorities of the machine.
    #[default]
    System,
    /// These and no others.
    Only(Authorities),
    /// Anybody, and plain http as well.
    Insecure,
}

/// Certificates of authorities that replace those of the machine.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Authorities {
    table: String,
    certificates: Arc<[CertificateDer<'static>]>,
}

/// A block between the marks of PEM that is no certificate; counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("certificate {block} of ca-certs cannot be read")]
pub(crate) struct BrokenBlock {
    block: usize,
}

impl Authorities {
    /// The certificates in `text`, for the registries of `table`, or out of the file of that name; text around them is passed over.
    pub(crate) fn parse(table: &str, text: &str) -> Result<Self, BrokenBlock> {
        let certificates: Result<Arc<[_]>, _> = blocks(text)
            .zip(1..)
            .map(|(block, number)| certificate(block).ok_or(BrokenBlock { block: number }))
            .collect();
        Ok(Self { table: table.to_owned(), certificates: certificates? })
    }

    /// The certificates. Without any, no server is trusted, which is how registries are forbidden.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// The table that says so.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The numbers of the certificates that have expired.
    pub(super) fn expired(&self, now: Timestamp) -> Vec<usize> {
        let ends = self.certificates.iter().map(|der| ends_at(der)).zip(1..);
        ends.filter(|(end, _)| end.is_some_and(|end| end < now)).map(|(_, number)| number).collect()
    }
}

/// What stands between the marks; `None` for a block that does not end.
fn blocks(text: &str) -> impl Iterator<Item = Option<&str>> {
    text.split(BEGIN).skip(1).map(|rest| rest.split_once(END).map(|(block, _)| block))
}

fn certificate(block: Option<&str>) -> Option<CertificateDer<'static>> {
    let der = pem::parse(format!("{BEGIN}{}{END}\n", block?)).ok()?.into_contents();
    let certificate = CertificateDer::from(der);
    // What TLS cannot use as an anchor would be dropped without a word later.
    RootCertStore::empty().add(certificate.clone()).ok()?;
    Some(certificate)
}

fn ends_at(der: &CertificateDer<'_>) -> Option<Timestamp> {
    let certificate = Certificate::from_der(der).ok()?;
    let end = certificate.tbs_certificate.validity.not_after.to_unix_duration();
    Timestamp::from_second(i64::try_from(end.as_secs()).ok()?).ok()
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates of {:?}", self.certificates.len(), self.table)
    }
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn pem(end: i32) -> String {
        let mut params = CertificateParams::new(vec!["registry.test".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(end, 1, 1));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn text_around_the_certificates_is_passed_over() {
        let text = format!("Root CA 1\n{}\nRoot CA 2\n{}\n(end)", pem(2030), pem(2031));
        assert_eq!(Authorities::parse(".", &text).unwrap().certificates().len(), 2);
        assert_eq!(Authorities::parse(".", "no PEM here").unwrap().certificates().len(), 0);
    }

    #[test]
    fn a_broken_block_is_named_by_its_number() {
        let good = pem(2030);
        let unfinished = good.split(END).next().unwrap();
        for broken in [good.replace("MII", "M*I"), unfinished.to_owned(), format!("{BEGIN}\nAAAA\n{END}")] {
            let error = Authorities::parse(".", &format!("{good}{broken}")).unwrap_err();
            assert_eq!(error, BrokenBlock { block: 2 }, "{broken}");
        }
    }

    #[test]
    fn expired_certificates_are_told_and_kept() {
        let authorities =
            Authorities::parse(".", &format!("{}{}{}", pem(2030), pem(2021), pem(2022))).unwrap();
        assert_eq!(authorities.expired("2025-01-01T00:00:00Z".parse().unwrap()), [2, 3]);
        assert_eq!(authorities.certificates().len(), 3);
    }
}
