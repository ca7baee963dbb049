//! A secret that stands in the ConfigMap (Chains allows the Vault token and the `MongoDB` URL there).
//!
//! Guarantees: `Debug` does not print it and its memory is wiped; there is no `Display`. Must not: compare in
//! a way that somebody outside can time; equality is for the tests and for "has the configuration changed".

use std::fmt;

use zeroize::Zeroizing;

/// Text that cannot print.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text.
    pub fn new(text: &str) -> Self {
        Self(Zeroizing::new(text.to_owned()))
    }

    /// The text, for the call that needs it and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::new("canary");
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "Secret(…) Some(\n    Secret(…),\n)");
        assert_eq!(secret.reveal(), "canary");
    }
}
