//! A key in a hardware security module, behind PKCS #11 (RFC 7512 URIs).
//!
//! A module is a library that is loaded while the program runs, which the static binary of the image cannot do: so it is in
//! builds with the cargo feature `pkcs11` alone, and every other one refuses such a key by name.
//!
//! # Guarantees
//!
//! - A module is loaded and initialised once for each process, and sessions are used again.
//! - Nothing here blocks the threads of the runtime; an operation that takes too long is given up.
//! - A PIN comes from a file, is never shown, and one that the token refused is not tried again: tokens lock themselves.

#[cfg(feature = "pkcs11")]
mod error;
#[cfg(feature = "pkcs11")]
mod module;
#[cfg(feature = "pkcs11")]
mod pool;
mod uri;

#[cfg(feature = "pkcs11")]
pub(super) use pool::ModuleKey;

#[cfg(not(feature = "pkcs11"))]
pub(super) use absent::ModuleKey;

/// Builds that load no module.
#[cfg(not(feature = "pkcs11"))]
mod absent {
    use super::uri::Uri;
    use crate::client::cloud::kms::KeyVersion;
    use crate::error::{Class, Diagnose};
    use crate::signature::kms::{Failure, failure};

    /// None is ever made.
    pub(in crate::signature::kms) enum ModuleKey {}

    #[derive(Debug, thiserror::Error)]
    #[error("{0} is a key behind PKCS #11, and this build loads no modules")]
    struct NotInThisBuild(String);

    impl Diagnose for NotInThisBuild {
        fn class(&self) -> Class {
            Class::Misconfigured
        }

        fn label(&self) -> &'static str {
            "kms_address"
        }

        fn hint(&self) -> Option<String> {
            Some(
                "run a build with the cargo feature pkcs11, linked to the C library (docs/signers.md)"
                    .to_owned(),
            )
        }
    }

    impl ModuleKey {
        pub(in crate::signature::kms) fn of(text: &str) -> Result<Self, Failure> {
            let uri: Uri = text.parse().map_err(failure)?;
            Err(failure(NotInThisBuild(uri.shown)))
        }

        #[expect(clippy::unused_async, reason = "the other build waits")]
        pub(in crate::signature::kms) async fn read(&self) -> Result<KeyVersion, Failure> {
            match *self {}
        }

        #[expect(clippy::unused_async, reason = "the other build waits")]
        pub(in crate::signature::kms) async fn sign(
            &self,
            _version: &KeyVersion,
            _message: &[u8],
        ) -> Result<Vec<u8>, Failure> {
            match *self {}
        }
    }
}
