//! Which key of which service: the URI in `signers.kms.kmsref`. Pure.

use std::fmt;
use std::str::FromStr;

use crate::config::KMS_SCHEMES;
use crate::error::{Class, Diagnose};

/// A key of Vault or `OpenBao`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    scheme: &'static str,
    key: String,
}

/// Why a text is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReferenceError {
    /// Nothing is set.
    #[error("signers.kms.kmsref names no key")]
    Missing,
    /// A service that is not in this build.
    #[error("signers.kms.kmsref {0:?} is of a key management service that is not in this build")]
    Scheme(String),
    /// Not the name of a key.
    #[error(
        "signers.kms.kmsref {0:?} names no key: only letters, digits, \"_\", \"-\" and \".\" are in a name"
    )]
    Name(String),
}

impl Diagnose for ReferenceError {
    fn class(&self) -> Class {
        Class::Misconfigured
    }

    fn label(&self) -> &'static str {
        "kms_address"
    }

    fn hint(&self) -> Option<String> {
        Some("set signers.kms.kmsref to hashivault://KEY or openbao://KEY".to_owned())
    }
}

impl Reference {
    /// The name of the key.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let found = KMS_SCHEMES.into_iter().find_map(|scheme| Some((scheme, text.strip_prefix(scheme)?)));
        let shown = || text.chars().take(200).collect();
        let (scheme, key) = found.ok_or_else(|| ReferenceError::Scheme(shown()))?;
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let inner = |c: char| is_word(c) || matches!(c, '-' | '.');
        let good = key.starts_with(is_word) && key.ends_with(is_word) && key.chars().all(inner);
        if !good {
            return Err(ReferenceError::Name(shown()));
        }
        Ok(Self { scheme, key: key.to_owned() })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.scheme, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_vault_and_openbao_are_read_and_shown_alike() {
        for text in ["hashivault://k", "openbao://team-1.release_2"] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
            assert!(text.ends_with(reference.key()));
        }
    }

    #[test]
    fn other_services_and_odd_names_are_told_apart() {
        let wrong = |text: &str| text.parse::<Reference>().unwrap_err();
        for text in ["awskms:///alias/k", "file:///k", "k", ""] {
            assert_eq!(wrong(text), ReferenceError::Scheme(text.to_owned()));
        }
        for text in
            ["hashivault://", "hashivault://a/b", "hashivault://-a", "hashivault://a.", "openbao://a b"]
        {
            assert_eq!(wrong(text), ReferenceError::Name(text.to_owned()));
            assert!(wrong(text).hint().unwrap().contains("hashivault://KEY"));
        }
    }
}
