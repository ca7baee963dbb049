//! All keys of the Secret `signing-secrets`, imported once per version of it.
//!
//! The main key is `x509.pem`, or `cosign.key` where there is none, as in Chains (specification §1.2, §5.1); during a
//! rotation every `x509-*.pem` signs beside it. One bad file refuses the whole ring: signing with half of the keys that an
//! operator asked for would be found out much later.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Key, KeyError};
use crate::signature::{Error, Signer};

/// The keys that sign now; the first one is the one that `tekton` annotations carry.
#[derive(Clone)]
pub struct KeyRing {
    keys: Vec<Arc<Key>>,
}

impl KeyRing {
    /// Imports the files of a Secret or directory. `place` is how messages call it.
    /// Blocks for the time of an scrypt derivation when the key is encrypted.
    pub fn import(place: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<Self, Error> {
        let mut keys = Vec::new();
        for name in files.keys().filter(|name| is_x509(name)) {
            keys.push(Arc::new(Key::from_pem(name, files.get(name).map_or(&[][..], Vec::as_slice))?));
        }
        // "x509-2.pem" sorts before "x509.pem"; the plain name is the main key.
        keys.sort_by_key(|key| key.name() != MAIN);
        if !files.contains_key(MAIN)
            && let Some(pem) = files.get("cosign.key")
        {
            let password = files
                .get("cosign.password")
                .ok_or_else(|| KeyError::NoPassword { file: "cosign.key".to_owned() })?;
            keys.insert(0, Arc::new(Key::from_cosign("cosign.key", pem, password)?));
        }
        if keys.is_empty() {
            return Err(Error::NoKey { place: place.to_owned() });
        }
        Ok(Self { keys })
    }

    /// Every key, the main one first.
    pub fn keys(&self) -> &[Arc<Key>] {
        &self.keys
    }

    /// Every key of the ring as a signer.
    pub fn signers(&self) -> Vec<Arc<dyn Signer>> {
        self.keys.iter().map(|key| Arc::clone(key) as Arc<dyn Signer>).collect()
    }
}

const MAIN: &str = "x509.pem";

fn is_x509(name: &str) -> bool {
    name.strip_suffix(".pem").is_some_and(|stem| stem == "x509" || stem.starts_with("x509-"))
}
