//! What one login makes up by chance: `state`, by which the browser's return is known; `nonce`, by which the token is
//! known for the answer to this question; and the verifier of PKCE, without which the code is of no use to whoever
//! else sees it.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::fill;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::Error;

/// The three, of 256 bits each.
pub struct Attempt {
    state: String,
    nonce: String,
    verifier: Zeroizing<String>,
}

impl Attempt {
    /// A new one.
    pub fn new() -> Result<Self, Error> {
        let random = || -> Result<Zeroizing<String>, Error> {
            let mut bytes = Zeroizing::new([0; 32]);
            fill(bytes.as_mut_slice()).map_err(|_| Error::NoRandom)?;
            Ok(Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(bytes.as_slice())))
        };
        Ok(Self { state: random()?.to_string(), nonce: random()?.to_string(), verifier: random()? })
    }

    /// What the browser must bring back.
    pub fn state(&self) -> &str {
        &self.state
    }

    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }

    pub(super) fn verifier(&self) -> &str {
        &self.verifier
    }

    pub(super) fn challenge(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier.as_bytes()))
    }
}
