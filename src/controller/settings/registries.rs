//! Follows the registry configuration file and those of docker and podman: a change is in force with the next look, and a file with mistakes
//! leaves the last good one in force (credentials specification §4.4).

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use crate::credential::agent::Lent;
use crate::credential::files::docker::{Contents, Surroundings};
use crate::credential::files::{FileError, sound_registry_config};
use crate::credential::registry_config::{Proxies, RegistryConfig};
use crate::error::chain;

/// The file as it was when it was last read.
pub(super) struct RegistryFile {
    environment: Proxies,
    seen: Option<(PathBuf, Option<Stamp>)>,
}

/// The Event that tells of a refused file, on the ConfigMap that names it. Findings have no room for a value.
pub(super) fn refusal(namespace: &str, config_map: &str, error: &FileError, now: Timestamp) -> Event {
    /// The API server takes 1,024 bytes.
    const LONGEST: usize = 250;
    let message: String =
        format!("{}; the last good one stays in force", chain(error)).chars().take(LONGEST).collect();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{config_map}.{:x}", now.as_nanosecond())),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("ConfigMap".to_owned()),
            namespace: Some(namespace.to_owned()),
            name: Some(config_map.to_owned()),
            ..ObjectReference::default()
        },
        type_: Some("Warning".to_owned()),
        reason: Some("RegistryConfigInvalid".to_owned()),
        message: Some(message),
        source: Some(EventSource { component: Some("hallmark".to_owned()), host: None }),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    }
}

/// Docker and podman files, as they were when they were last read.
pub(super) struct DockerFiles {
    surroundings: Surroundings,
    seen: Option<Contents>,
}

impl DockerFiles {
    pub(super) fn new(surroundings: Surroundings) -> Self {
        Self { surroundings, seen: None }
    }

    /// What is in them, if that changed. They are few and small, so they are read to find out.
    pub(super) async fn changed(&mut self) -> Option<Lent> {
        let surroundings = self.surroundings.clone();
        let contents = tokio::task::spawn_blocking(move || surroundings.read()).await.ok()?;
        if self.seen.as_ref() == Some(&contents) {
            return None;
        }
        let files = contents.files(self.surroundings.search_path.as_deref());
        self.seen = Some(contents);
        Some(files)
    }
}

/// What changes when a file is written: a mounted Secret gets new files with each version.
#[derive(PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl RegistryFile {
    /// `environment` are the proxies of the process.
    pub(super) fn new(environment: Proxies) -> Self {
        Self { environment, seen: None }
    }

    /// The configuration, if the file changed and is good. Without a path there is nothing but the environment.
    pub(super) async fn changed(&mut self, path: Option<&Path>) -> Option<Result<RegistryConfig, FileError>> {
        let path = path.unwrap_or(Path::new("")).to_owned();
        let (environment, looked) = (self.environment.clone(), path.clone());
        let stamp = move || {
            std::fs::metadata(looked)
                .ok()
                .map(|found| Stamp { modified: found.modified().ok(), length: found.len() })
        };
        let now = tokio::task::spawn_blocking(stamp).await.ok()?;
        let seen = Some((path.clone(), now));
        if self.seen == seen {
            return None;
        }
        self.seen = seen;
        let read = move || {
            let warn = |finding: &_| tracing::warn!("registry configuration {}: {finding}", path.display());
            sound_registry_config(&path, &environment, Timestamp::now(), warn)
        };
        let read = tokio::task::spawn_blocking(read).await.ok()?;
        if let Err(error) = &read {
            tracing::error!(reason = "RegistryConfigInvalid", "{}", chain(error));
        }
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const TABLE: &str = "[registries.\"registry.test.\"]\ninsecure-skip-verify = true\n";

    fn names(read: Option<Result<RegistryConfig, FileError>>) -> usize {
        read.unwrap().unwrap().names().count()
    }

    #[tokio::test]
    async fn a_file_is_read_when_it_appears_changes_and_goes_and_not_in_between() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registries.toml");
        let mut file = RegistryFile::new(Proxies::none());
        assert_eq!(names(file.changed(Some(&path)).await), 0, "missing is empty");
        assert!(file.changed(Some(&path)).await.is_none());
        fs::write(&path, TABLE).unwrap();
        assert_eq!(names(file.changed(Some(&path)).await), 1);
        assert!(file.changed(Some(&path)).await.is_none());
        fs::write(&path, format!("{TABLE}[registries.other]\n")).unwrap();
        assert_eq!(names(file.changed(Some(&path)).await), 2);
        fs::remove_file(&path).unwrap();
        assert_eq!(names(file.changed(Some(&path)).await), 0);
    }

    #[tokio::test]
    async fn a_file_with_mistakes_is_told_once_and_another_path_is_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad) = (folder.path().join("good"), folder.path().join("bad"));
        fs::write(&good, TABLE).unwrap();
        fs::write(&bad, "nonsense").unwrap();
        let mut file = RegistryFile::new(Proxies::none());
        assert!(file.changed(Some(&bad)).await.unwrap().is_err());
        assert!(file.changed(Some(&bad)).await.is_none());
        assert_eq!(names(file.changed(Some(&good)).await), 1);
        assert_eq!(names(file.changed(None).await), 0, "no path, no file");
    }

    #[tokio::test]
    async fn a_login_that_is_written_while_the_process_runs_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("auth.json");
        let mut docker = DockerFiles::new(Surroundings {
            registry_auth_file: Some(file.clone()),
            ..Surroundings::default()
        });
        assert_eq!(docker.changed().await.unwrap().entries.len(), 0);
        assert!(docker.changed().await.is_none());
        fs::write(&file, r#"{"auths":{"registry.test":{"username":"u","password":"p"}}}"#).unwrap();
        assert_eq!(docker.changed().await.unwrap().entries.len(), 1);
        assert!(docker.changed().await.is_none());
    }

    #[tokio::test]
    async fn a_refused_file_is_told_on_the_config_map_without_any_value() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registries.toml");
        fs::write(&path, "[registries.a]\npassword = \"canary\"\n").unwrap();
        let error = RegistryFile::new(Proxies::none()).changed(Some(&path)).await.unwrap().unwrap_err();
        let event = refusal("tekton-chains", "chains-config", &error, Timestamp::UNIX_EPOCH);
        assert_eq!(event.reason.as_deref(), Some("RegistryConfigInvalid"));
        assert_eq!(event.involved_object.name.as_deref(), Some("chains-config"));
        let message = event.message.unwrap();
        assert!(message.contains("password without username") && !message.contains("canary"), "{message}");
        assert!(message.len() <= 1024);
    }
}
