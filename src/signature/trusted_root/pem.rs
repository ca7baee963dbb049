//! A trust root out of a PEM file of certificate authorities: for whoever has a certificate authority and neither logs
//! nor a `trusted_root.json`.
//!
//! Every certificate of the file is trusted by itself, without limits of time beyond its own: whoever lists an
//! intermediate alone trusts that alone.

use super::{Authority, ChainError, LARGEST, MOST, TrustedRoot};

/// Why a text holds no authorities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// Not PEM, or nothing but other things.
    #[error("there are no certificates in PEM")]
    NoCertificates,
    /// A certificate that is none.
    #[error("certificate {0} does not decode")]
    Malformed(usize),
    /// Too much.
    #[error("there are more than {MOST} certificates, or more than {LARGEST} bytes")]
    TooLarge,
}

impl TrustedRoot {
    /// Reads a PEM file of certificates.
    pub fn of_pem(text: &str) -> Result<Self, PemError> {
        if text.len() > LARGEST {
            return Err(PemError::TooLarge);
        }
        let blocks = pem::parse_many(text).map_err(|_| PemError::NoCertificates)?;
        if blocks.is_empty() || blocks.iter().any(|block| block.tag() != "CERTIFICATE") {
            return Err(PemError::NoCertificates);
        }
        if blocks.len() > MOST {
            return Err(PemError::TooLarge);
        }
        let authorities = blocks.into_iter().zip(1..).map(|(block, number)| {
            let read = Authority::new(&[block.into_contents()], None);
            read.map_err(|_: ChainError| PemError::Malformed(number))
        });
        Ok(Self { authorities: authorities.collect::<Result<_, _>>()?, ..Self::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_certificates_is_refused() {
        let refused = |text: &str| TrustedRoot::of_pem(text).unwrap_err();
        let block = |tag: &str| format!("-----BEGIN {tag}-----\nAAAA\n-----END {tag}-----\n");
        assert_eq!(refused(""), PemError::NoCertificates);
        assert_eq!(refused(&block("PUBLIC KEY")), PemError::NoCertificates);
        assert_eq!(refused(&block("CERTIFICATE")), PemError::Malformed(1));
        assert_eq!(refused(&block("CERTIFICATE").repeat(65)), PemError::TooLarge);
        assert_eq!(refused(&" ".repeat(LARGEST + 1)), PemError::TooLarge);
    }
}
