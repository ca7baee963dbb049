//! The operator's own `trusted_root.json`, followed: read again whenever it is asked for, made anew only when it
//! changed, and the last good one kept when it is damaged later.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{LARGEST, TrustedRoot, TrustedRootError};
use crate::error::{About, Class, Diagnose, chain};
use crate::signature::file::content;

/// One byte more than is allowed, so that what is too large is seen to be.
const LIMIT: u64 = LARGEST as u64 + 1;

/// Why there is no trust root, though one is configured.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read the trust root {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is none.
    #[error("{} is no trust root", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        source: TrustedRootError,
    },
}

impl FileError {
    fn file(&self) -> &Path {
        match self {
            Self::Unreadable { file, .. } | Self::Unusable { file, .. } => file,
        }
    }
}

impl Diagnose for FileError {
    fn class(&self) -> Class {
        Class::Misconfigured
    }

    fn label(&self) -> &'static str {
        "trusted_root"
    }

    fn hint(&self) -> Option<String> {
        Some(
            "signers.x509.trusted-root must name a file such as cosign trusted-root create writes".to_owned(),
        )
    }

    fn about(&self) -> Option<About> {
        Some(About { kind: "file", name: self.file().display().to_string() })
    }
}

/// Follows one file.
#[derive(Default)]
pub struct TrustFile {
    seen: Option<Seen>,
}

struct Seen {
    file: PathBuf,
    content: Vec<u8>,
    root: Arc<TrustedRoot>,
}

impl TrustFile {
    /// The trust root in `file` as it is now: the same value as before when nothing changed.
    pub async fn current(&mut self, file: &Path) -> Result<Arc<TrustedRoot>, FileError> {
        match self.read(file).await {
            Err(error) if self.seen.as_ref().is_some_and(|seen| seen.file == file) => {
                tracing::warn!("the trust root of before stays in use: {}", chain(&error));
            }
            read => read?,
        }
        let seen = self.seen.as_ref().map(|seen| Arc::clone(&seen.root));
        Ok(seen.unwrap_or_default())
    }

    async fn read(&mut self, file: &Path) -> Result<(), FileError> {
        let content = content(file, LIMIT).await;
        let content = content.map_err(|source| FileError::Unreadable { file: file.to_owned(), source })?;
        if self.seen.as_ref().is_some_and(|seen| seen.file == file && seen.content == content) {
            return Ok(());
        }
        let root = TrustedRoot::read(&content);
        let root = root.map_err(|source| FileError::Unusable { file: file.to_owned(), source })?;
        self.seen = Some(Seen { file: file.to_owned(), content, root: Arc::new(root) });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;

    #[tokio::test]
    async fn a_file_that_does_not_change_is_one_value_and_damage_keeps_the_last_good_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trusted_root.json");
        std::fs::write(&file, EMPTY).unwrap();
        let mut trust = TrustFile::default();
        let first = trust.current(&file).await.unwrap();
        assert!(Arc::ptr_eq(&first, &trust.current(&file).await.unwrap()));
        std::fs::write(&file, "damaged").unwrap();
        assert!(Arc::ptr_eq(&first, &trust.current(&file).await.unwrap()));
        std::fs::write(&file, format!("{EMPTY} ")).unwrap();
        assert!(!Arc::ptr_eq(&first, &trust.current(&file).await.unwrap()));
    }

    #[tokio::test]
    async fn without_a_good_one_the_file_and_the_remedy_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trusted_root.json");
        let missing = TrustFile::default().current(&file).await.unwrap_err();
        assert!(missing.to_string().contains("trusted_root.json"), "{missing}");
        assert!(missing.hint().unwrap().contains("signers.x509.trusted-root"));
        std::fs::write(&file, vec![b' '; LARGEST + 10]).unwrap();
        let large = TrustFile::default().current(&file).await.unwrap_err();
        assert!(chain(&large).contains("larger than"), "{large}");
    }
}
