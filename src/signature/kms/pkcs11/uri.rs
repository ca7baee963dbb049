//! Which key of which token, behind which module: `pkcs11:token=…;object=…?module-path=…&pin-source=…` (RFC 7512). Pure.

use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{Class, Diagnose};

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(feature = "pkcs11"), allow(dead_code, reason = "this build only reads it"))]
pub(super) struct Uri {
    /// As it may be shown: without its query.
    pub(super) shown: String,
    /// The label of the token.
    pub(super) token: Option<String>,
    /// The serial number of the token.
    pub(super) serial: Option<String>,
    /// The number of its slot.
    pub(super) slot: Option<u64>,
    /// The label of the key.
    pub(super) object: Option<Vec<u8>>,
    /// The id of the key.
    pub(super) id: Option<Vec<u8>>,
    /// The library.
    pub(super) module: PathBuf,
    /// The file with the PIN.
    pub(super) pin: Option<PathBuf>,
}

/// Why a text is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum UriError {
    #[error("{0}: attribute {1:?} is written twice, is empty, or is none that is known")]
    Attribute(String, String),
    #[error("{0} names no key: neither object nor id is set")]
    NoKey(String),
    #[error("{0} names no module: module-path is not set, or is no absolute path")]
    NoModule(String),
    #[error("{0} holds a PIN, which everybody may read who may read the ConfigMap")]
    Pin(String),
}

impl Diagnose for UriError {
    fn class(&self) -> Class {
        Class::Misconfigured
    }

    fn label(&self) -> &'static str {
        "kms_address"
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Pin(_) => "put the PIN into a file of a Secret and name it: pin-source=/path".to_owned(),
            _ => {
                "write it as pkcs11:token=LABEL;object=LABEL?module-path=/path/module.so&pin-source=/path/pin"
                    .to_owned()
            }
        })
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let rest = text.strip_prefix("pkcs11:").unwrap_or_default();
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let shown: String = format!("pkcs11:{path}").chars().take(200).collect();
        let mut uri = Self {
            shown: shown.clone(),
            token: None,
            serial: None,
            slot: None,
            object: None,
            id: None,
            module: PathBuf::new(),
            pin: None,
        };
        let attributes = path.split(';').chain(query.split('&')).filter(|attribute| !attribute.is_empty());
        let mut seen: Vec<&str> = Vec::new();
        for attribute in attributes {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let wrong = || UriError::Attribute(shown.clone(), name.chars().take(40).collect());
            if name == "pin-value" {
                return Err(UriError::Pin(shown));
            }
            let value = decoded(value)
                .filter(|value| !value.is_empty() && !seen.contains(&name))
                .ok_or_else(wrong)?;
            seen.push(name);
            uri.set(name, value).ok_or_else(wrong)?;
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(UriError::NoKey(shown));
        }
        if !uri.module.is_absolute() {
            return Err(UriError::NoModule(shown));
        }
        Ok(uri)
    }
}

impl Uri {
    fn set(&mut self, name: &str, value: Vec<u8>) -> Option<()> {
        let text = || String::from_utf8(value.clone()).ok();
        match name {
            "token" => self.token = Some(text()?),
            "serial" => self.serial = Some(text()?),
            "slot-id" => self.slot = Some(text()?.parse().ok()?),
            "object" => self.object = Some(value),
            "id" => self.id = Some(value),
            "type" => return (value == b"private").then_some(()),
            "module-path" => self.module = text()?.into(),
            "pin-source" => {
                let text = text()?;
                self.pin =
                    Some(text.strip_prefix("file://").or(text.strip_prefix("file:")).unwrap_or(&text).into());
            }
            _ => return None,
        }
        Some(())
    }
}

/// Percent-decoded; nothing where a `%` has no two digits behind it.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            decoded.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &str = "?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/pin";

    #[test]
    fn every_attribute_that_finds_a_key_is_read() {
        let uri: Uri =
            format!("pkcs11:token=my%20token;serial=12;slot-id=3;object=key;id=%01%aF;type=private{QUERY}")
                .parse()
                .unwrap();
        assert_eq!(
            (uri.token.as_deref(), uri.serial.as_deref(), uri.slot),
            (Some("my token"), Some("12"), Some(3))
        );
        assert_eq!((uri.object.as_deref(), uri.id.as_deref()), (Some(&b"key"[..]), Some(&[1, 0xaf][..])));
        assert_eq!(uri.module, PathBuf::from("/usr/lib/softhsm/libsofthsm2.so"));
        assert_eq!(uri.pin, Some(PathBuf::from("/etc/pin")));
        assert!(!uri.shown.contains('?'));
    }

    #[test]
    fn what_finds_no_key_is_told_and_a_pin_is_never_shown() {
        let wrong = |text: &str| text.parse::<Uri>().unwrap_err();
        assert!(matches!(wrong(&format!("pkcs11:token=t{QUERY}")), UriError::NoKey(_)));
        assert!(matches!(wrong("pkcs11:object=k"), UriError::NoModule(_)));
        assert!(matches!(wrong("pkcs11:object=k?module-path=libsofthsm2.so"), UriError::NoModule(_)));
        for path in [
            "object=k;object=l",
            "object=",
            "object=%1",
            "object=%zz",
            "colour=red;object=k",
            "slot-id=x;object=k",
            "type=cert;object=k",
        ] {
            let error = wrong(&format!("pkcs11:{path}{QUERY}"));
            assert!(matches!(error, UriError::Attribute(..)), "{path}: {error}");
        }
        let pin = wrong("pkcs11:object=k?module-path=/m&pin-value=canary");
        assert!(!pin.to_string().contains("canary") && pin.hint().unwrap().contains("pin-source"), "{pin}");
    }
}
