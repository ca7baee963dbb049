//! An identity token in a file: a projected service account token, or whatever
//! `signers.x509.identity.token.file` names (credentials specification §9.1).
//!
//! Guarantees: the file is read anew each time, since the kubelet replaces it before it expires; no more than a
//! token's length is read.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use super::provider::Provider;
use super::token::{IdentityToken, MAX_TOKEN};
use super::{Error, TokenSource};

/// Where the Deployment of Chains mounts it.
pub const USUAL_PLACE: &str = "/var/run/sigstore/cosign/oidc-token";

/// A file that holds a token.
#[derive(Debug, Clone)]
pub struct TokenFile {
    path: PathBuf,
    provider: Provider,
}

impl TokenFile {
    /// At the usual place.
    pub fn usual() -> Self {
        Self { path: PathBuf::from(USUAL_PLACE), provider: Provider::Filesystem }
    }

    /// Where somebody chose.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), provider: Provider::CustomPath }
    }

    async fn read(&self) -> std::io::Result<Zeroizing<String>> {
        let file = tokio::fs::File::open(&self.path).await?;
        // The capacity is there from the start: a buffer that grows would leave pieces of the token behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_TOKEN + 64));
        file.take(MAX_TOKEN as u64 + 64).read_to_string(&mut text).await?;
        Ok(text)
    }
}

#[async_trait]
impl TokenSource for TokenFile {
    fn provider(&self) -> Provider {
        self.provider
    }

    async fn token(&self, _audience: &str) -> Result<IdentityToken, Error> {
        let text = self.read().await.map_err(|source| Error::File { file: self.path.clone(), source })?;
        IdentityToken::parse(&text).map_err(|reason| Error::Token { provider: self.provider, reason })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::token::TokenError;
    use super::super::token::tests::{claims, token};
    use super::*;
    use crate::error::{Class, Diagnose as _};

    #[tokio::test]
    async fn a_token_that_the_kubelet_replaced_is_read_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("oidc-token");
        let source = TokenFile::at(&path);
        for subject in ["first", "second"] {
            let mut claims = claims();
            claims["sub"] = json!(subject);
            std::fs::write(&path, format!("{}\n", token(&claims))).unwrap();
            assert_eq!(source.token("sigstore").await.unwrap().claims().subject, subject);
        }
    }

    #[tokio::test]
    async fn a_missing_file_is_named_with_the_remedy() {
        let error = TokenFile::at(Path::new("/nowhere/token")).token("sigstore").await.unwrap_err();
        assert_eq!(error.class(), Class::Misconfigured);
        assert!(error.to_string().contains("/nowhere/token"));
        assert!(error.hint().unwrap().contains("audience sigstore"));
    }

    #[tokio::test]
    async fn a_file_without_end_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        std::fs::write(&path, "x".repeat(MAX_TOKEN * 3)).unwrap();
        let error = TokenFile::at(&path).token("sigstore").await.unwrap_err();
        assert!(matches!(error, Error::Token { reason: TokenError::Malformed(_), .. }), "{error}");
        assert_eq!(error.class(), Class::Misconfigured);
    }

    #[test]
    fn the_usual_place_is_that_of_chains() {
        assert_eq!(TokenFile::usual().path, Path::new("/var/run/sigstore/cosign/oidc-token"));
        assert_eq!(TokenFile::usual().provider(), Provider::Filesystem);
    }
}
