//! The file that `transparency.signing-config` names, followed: read again whenever it is asked for, and the last good
//! one kept when it is damaged later. Which services are valid is decided anew each time.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{LARGEST, SigningConfig, SigningConfigError};
use crate::error::{About, Class, Diagnose, chain};
use crate::signature::file::content;

/// One byte more than is allowed, so that what is too large is seen to be.
const LIMIT: u64 = LARGEST as u64 + 1;

/// Why there is no SigningConfig, though one is configured.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read the SigningConfig {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Nobody can be signed with by it.
    #[error("the SigningConfig {} cannot be used", file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        source: SigningConfigError,
    },
}

impl Diagnose for FileError {
    fn class(&self) -> Class {
        Class::Misconfigured
    }

    fn label(&self) -> &'static str {
        "signing_config"
    }

    fn hint(&self) -> Option<String> {
        Some(
            "transparency.signing-config must name a file such as cosign signing-config create writes"
                .to_owned(),
        )
    }

    fn about(&self) -> Option<About> {
        let (Self::Unreadable { file, .. } | Self::Unusable { file, .. }) = self;
        Some(About { kind: "file", name: file.display().to_string() })
    }
}

/// Follows one file.
#[derive(Default)]
pub struct SigningConfigFile {
    seen: Option<(PathBuf, Vec<u8>)>,
}

impl SigningConfigFile {
    /// The services that `file` has at `now`.
    pub async fn current(&mut self, file: &Path, now: Timestamp) -> Result<SigningConfig, FileError> {
        let unusable = |source| FileError::Unusable { file: file.to_owned(), source };
        let error = match content(file, LIMIT).await {
            Ok(content) => match SigningConfig::read(&content, now) {
                Ok(config) => {
                    self.seen = Some((file.to_owned(), content));
                    return Ok(config);
                }
                Err(error) => unusable(error),
            },
            Err(source) => FileError::Unreadable { file: file.to_owned(), source },
        };
        let Some((_, content)) = self.seen.as_ref().filter(|(seen, _)| seen == file) else {
            return Err(error);
        };
        let before = SigningConfig::read(content, now).map_err(unusable)?;
        tracing::warn!("the SigningConfig of before stays in use: {}", chain(&error));
        Ok(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";

    fn config(end: &str) -> String {
        format!(
            r#"{{"mediaType":"{MEDIA_TYPE}","caUrls":[{{"url":"https://ca.test","majorApiVersion":1,
            "validFor":{{"start":"2024-01-01T00:00:00Z","end":"{end}"}}}}]}}"#
        )
    }

    #[tokio::test]
    async fn damage_keeps_the_last_good_one_until_its_services_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("signing-config.json");
        let (early, late) =
            ("2026-01-01T00:00:00Z".parse().unwrap(), "2026-03-01T00:00:00Z".parse().unwrap());
        std::fs::write(&file, config("2026-02-01T00:00:00Z")).unwrap();
        let mut followed = SigningConfigFile::default();
        let first = followed.current(&file, early).await.unwrap();
        assert_eq!(first.fulcio.as_deref(), Some("https://ca.test"));
        std::fs::write(&file, "damaged").unwrap();
        assert_eq!(followed.current(&file, early).await.unwrap(), first);
        let ended = followed.current(&file, late).await.unwrap_err();
        assert!(chain(&ended).contains("none of the services in caUrls is valid"), "{}", chain(&ended));
        assert!(ended.about().unwrap().name.ends_with("signing-config.json"));
    }

    #[tokio::test]
    async fn without_a_good_one_the_file_and_the_remedy_are_named() {
        let mut followed = SigningConfigFile::default();
        let error = followed.current(Path::new("/nowhere/s.json"), Timestamp::UNIX_EPOCH).await.unwrap_err();
        assert!(error.to_string().contains("/nowhere/s.json"), "{error}");
        assert!(error.hint().unwrap().contains("transparency.signing-config"));
    }
}
