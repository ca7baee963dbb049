//! Reads the agent's own files: the registry configuration file (credentials specification §4.1, §4.4), and in
//! [`docker`] those of docker and podman.
//!
//! Guarantees: at most 1 MiB is read; a file that is missing is an empty configuration; nothing of the content is
//! in an error. Must not decide what the content means: `registry_config` does.

pub mod docker;

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::registry_config::{Finding, FindingCode, LARGEST, Proxies, Reading, RegistryConfig};
use crate::error::{About, Class, Diagnose};

/// Why a registry configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is there, but cannot be read.
    #[error("cannot read registry configuration {file}")]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// It has mistakes.
    #[error("registry configuration {file} is refused: {}", Listed(.findings))]
    Invalid {
        /// The file.
        file: PathBuf,
        /// Each with its place.
        findings: Vec<Finding>,
    },
}

struct Listed<'a>(&'a [Finding]);

/// Reads the file at `path`; `environment` are the proxies of the process. A missing file is an empty one.
pub fn registry_config(path: &Path, environment: &Proxies, now: Timestamp) -> Result<Reading, FileError> {
    let unreadable = |source| FileError::Unreadable { file: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let config = Some(RegistryConfig::of_environment(environment.clone()));
            return Ok(Reading { config, findings: Vec::new() });
        }
        file => file.map_err(unreadable)?,
    };
    let metadata = file.metadata().map_err(unreadable)?;
    let mut text = String::new();
    let read = file.take(LARGEST + 1).read_to_string(&mut text).map_err(unreadable)?;
    if read as u64 > LARGEST {
        return Err(unreadable(std::io::Error::other(format!("it is larger than {LARGEST} bytes"))));
    }
    let mut reading = RegistryConfig::parse(&path.display().to_string(), &text, environment, now);
    if read > 0 && is_loose(path, &metadata) {
        let detail = "everybody on this machine may read it: chmod 600";
        reading.findings.insert(0, Finding::of_file(FindingCode::LooseMode, detail));
    }
    Ok(reading)
}

/// The configuration of a file that must be sound; its warnings go to `warn`.
pub fn sound_registry_config(
    path: &Path,
    environment: &Proxies,
    now: Timestamp,
    warn: impl FnMut(&Finding),
) -> Result<RegistryConfig, FileError> {
    let reading = registry_config(path, environment, now)?;
    match reading.config {
        Some(config) => {
            reading.findings.iter().for_each(warn);
            Ok(config)
        }
        None => Err(FileError::Invalid { file: path.to_owned(), findings: reading.findings }),
    }
}

/// Kubernetes projects Secrets for everybody in the pod to read, beside a link `..data`.
fn is_loose(path: &Path, metadata: &Metadata) -> bool {
    const OTHERS_READ: u32 = 0o004;
    let projected = path.parent().is_some_and(|folder| folder.join("..data").symlink_metadata().is_ok());
    metadata.permissions().mode() & OTHERS_READ != 0 && !projected
}

impl Diagnose for FileError {
    fn class(&self) -> Class {
        Class::Misconfigured
    }

    fn label(&self) -> &'static str {
        "registry_config"
    }

    fn about(&self) -> Option<About> {
        let (Self::Unreadable { file, .. } | Self::Invalid { file, .. }) = self;
        Some(About { kind: "file", name: file.display().to_string() })
    }
}

impl std::fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (n, finding) in self.0.iter().enumerate() {
            write!(f, "{}{finding}", if n == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn read(path: &Path) -> Result<Reading, FileError> {
        registry_config(path, &Proxies::none(), Timestamp::UNIX_EPOCH)
    }

    fn written(folder: &Path, text: &str, mode: u32) -> PathBuf {
        let path = folder.join("registries.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn row_1_a_missing_file_is_an_empty_configuration_with_the_proxies_of_the_process() {
        let mut environment = Proxies::none();
        environment.set_https("http://proxy.test").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let reading =
            registry_config(&folder.path().join("none"), &environment, Timestamp::UNIX_EPOCH).unwrap();
        assert!(reading.findings.is_empty());
        assert_eq!(reading.config.unwrap().proxies(), &environment);
    }

    #[test]
    fn row_17_a_file_that_everybody_may_read_is_a_warning_unless_kubernetes_projected_it() {
        let folder = tempfile::tempdir().unwrap();
        let codes = |path: &Path| read(path).unwrap().findings.iter().map(Finding::code).collect::<Vec<_>>();
        assert_eq!(codes(&written(folder.path(), "[registries.a]", 0o644)), [FindingCode::LooseMode]);
        assert_eq!(codes(&written(folder.path(), "[registries.a]", 0o600)), []);
        assert_eq!(codes(&written(folder.path(), "", 0o644)), [], "there is nothing in it");
        symlink(folder.path(), folder.path().join("..data")).unwrap();
        assert_eq!(codes(&written(folder.path(), "[registries.a]", 0o644)), []);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_that_names_the_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read(folder.path()), Err(FileError::Unreadable { .. })), "a folder is no file");
        let large = written(folder.path(), &"#".repeat(usize::try_from(LARGEST).unwrap() + 1), 0o600);
        assert!(crate::error::chain(&read(&large).unwrap_err()).contains("larger than"));
        let path = written(folder.path(), "a = canary\nb = canary", 0o600);
        let warn = |_: &Finding| {};
        let error = sound_registry_config(&path, &Proxies::none(), Timestamp::UNIX_EPOCH, warn).unwrap_err();
        assert!(error.to_string().contains("line 1, column 5: RegistryConfigInvalid"), "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
}
