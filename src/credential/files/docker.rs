//! Docker and podman files of the agent: where they lie, and what is in them (credentials specification §1.5).
//!
//! All that exist are read, each as a place of its own. Guarantees: a variable that is not set never makes a relative
//! path; a file that cannot be read is a problem that hides no other; at most 1 MiB of each is read. Credential
//! helpers that a file names are not run here, but when the trial reaches them.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::credential::agent::Lent;
use crate::credential::docker_config::{Helpers, Reading, read_document};
use crate::credential::fetch::Fetcher;
use crate::credential::helper::{Helper, Serves};
use crate::credential::registry_config::LARGEST;
use crate::credential::{Entry, Key, Location, Problem, ProblemCode, Source};

/// What the environment of the process says about such files; an empty value is none.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// `DOCKER_AUTH_CONFIG`: the content itself.
    pub docker_auth_config: Option<Zeroizing<String>>,
    /// `DOCKER_CONFIG`: a directory, or a file.
    pub docker_config: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `REGISTRY_AUTH_FILE`.
    pub registry_auth_file: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_directory: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub config_directory: Option<PathBuf>,
    /// The user that the process runs as.
    pub uid: Option<u32>,
    /// `PATH`, where credential helpers are found.
    pub search_path: Option<OsString>,
}

/// The content of every place, as it was read; equal contents need no second look.
#[derive(Default, PartialEq, Eq)]
pub struct Contents(Vec<(PathBuf, Content)>);

type Content = Result<Zeroizing<Vec<u8>>, ErrorKind>;

impl Surroundings {
    /// The files in the order in which they count.
    fn paths(&self) -> Vec<PathBuf> {
        let under = |folder: &Option<PathBuf>, path: &str| folder.as_ref().map(|folder| folder.join(path));
        let config = self.config_directory.clone().or_else(|| under(&self.home, ".config"));
        let docker = self.docker_config.as_ref();
        let paths = [
            docker.map(|place| if place.is_dir() { place.join("config.json") } else { place.clone() }),
            under(&self.home, ".docker/config.json"),
            self.registry_auth_file.clone(),
            under(&self.runtime_directory, "containers/auth.json"),
            under(&config, "containers/auth.json"),
            under(&self.home, DOCKERCFG),
            self.uid.map(|uid| PathBuf::from(format!("/run/containers/{uid}/auth.json"))),
            Some(PathBuf::from("/etc/containers/auth.json")),
        ];
        let mut known: Vec<PathBuf> = Vec::new();
        for path in paths.into_iter().flatten() {
            if !known.contains(&path) {
                known.push(path);
            }
        }
        known
    }

    /// Reads whatever exists.
    pub fn read(&self) -> Contents {
        let variable = self
            .docker_auth_config
            .as_ref()
            .map(|text| (PathBuf::from(VARIABLE), Ok(Zeroizing::new(text.as_bytes().to_vec()))));
        let files = self.paths().into_iter().map(|path| {
            let content = content(&path).map_err(|error| error.kind());
            (path, content)
        });
        let exists = |(_, content): &(_, Result<_, ErrorKind>)| !matches!(content, Err(ErrorKind::NotFound));
        Contents(variable.into_iter().chain(files).filter(exists).collect())
    }
}

impl Contents {
    /// The credentials in them, as source `controller.dockerConfig`, and the helpers that they name, to be found on
    /// `search_path`.
    pub fn files(&self, search_path: Option<&OsStr>) -> Lent {
        let mut files = Lent::default();
        for (path, content) in &self.0 {
            let (source, location) =
                (Source::ControllerDockerConfig, Location::File(path.display().to_string()));
            match content {
                Ok(content) => {
                    let Reading { entries, mut problems, helpers } =
                        read_document(&source, location.clone(), content);
                    // There it is the shape to expect.
                    problems.retain(|problem| {
                        problem.code != ProblemCode::LegacyShape || !path.ends_with(DOCKERCFG)
                    });
                    files.problems.extend(problems);
                    files.add(entries, &helpers, &location, search_path);
                }
                Err(kind) => files.problems.push(Problem {
                    source: source.clone(),
                    location: location.clone(),
                    code: ProblemCode::ConfigUnreadable,
                    detail: format!("it cannot be read: {kind}"),
                }),
            }
            files.looked_at.push((source, location));
        }
        files
    }
}

impl Lent {
    /// For a registry a helper of its own comes first, then what the file itself holds, then the store for all: the
    /// first that there is counts, as for docker.
    fn add(
        &mut self,
        mut entries: Vec<Entry>,
        helpers: &Helpers,
        file: &Location,
        search_path: Option<&OsStr>,
    ) {
        let search_path = search_path.map(OsStr::to_owned);
        let mut taken: Vec<Key> = Vec::new();
        for (registry, name) in &helpers.by_registry {
            match Key::parse(registry) {
                Ok(key) => {
                    entries.retain(|entry| !entry.key.means_the_same_as(&key));
                    let serves = Serves::Registry(key.clone());
                    self.fetchers.push(Fetcher::new(Helper::new(
                        name,
                        file.clone(),
                        serves,
                        search_path.clone(),
                    )));
                    taken.push(key);
                }
                Err(invalid) => self.problems.push(Problem {
                    source: Source::ControllerDockerConfig,
                    location: file.clone(),
                    code: ProblemCode::InvalidKey,
                    detail: format!("credHelpers: {invalid}"),
                }),
            }
        }
        taken.extend(entries.iter().map(|entry| entry.key.clone()));
        if let Some(name) = &helpers.default {
            let helper = Helper::new(name, file.clone(), Serves::AllBut(taken), search_path);
            self.fetchers.push(Fetcher::new(helper));
        }
        self.entries.extend(entries);
    }
}

fn content(path: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut content = Zeroizing::new(Vec::new());
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST { Err(ErrorKind::FileTooLarge.into()) } else { Ok(content) }
}

const DOCKERCFG: &str = ".dockercfg";
const VARIABLE: &str = "DOCKER_AUTH_CONFIG";

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::artifact::image::Repository;
    use crate::credential::{Agent, Keychain};

    fn config(host: &str, user: &str) -> String {
        format!(r#"{{"auths":{{"{host}":{{"username":"{user}","password":"canary"}}}}}}"#)
    }

    fn shown(surroundings: &Surroundings) -> Vec<String> {
        surroundings.paths().iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn the_files_come_in_the_order_of_the_specification() {
        let all = Surroundings {
            docker_auth_config: None,
            docker_config: Some("/tmp/none/file".into()),
            home: Some("/home/u".into()),
            registry_auth_file: Some("/run/auth.json".into()),
            runtime_directory: Some("/run/user/7".into()),
            config_directory: Some("/home/u/cfg".into()),
            uid: Some(7),
            search_path: None,
        };
        assert_eq!(
            shown(&all),
            [
                "/tmp/none/file",
                "/home/u/.docker/config.json",
                "/run/auth.json",
                "/run/user/7/containers/auth.json",
                "/home/u/cfg/containers/auth.json",
                "/home/u/.dockercfg",
                "/run/containers/7/auth.json",
                "/etc/containers/auth.json",
            ]
        );
        let defaults = Surroundings { config_directory: None, ..all };
        assert!(shown(&defaults).contains(&"/home/u/.config/containers/auth.json".to_owned()));
    }

    #[test]
    fn what_is_not_set_makes_no_relative_path() {
        assert_eq!(shown(&Surroundings::default()), ["/etc/containers/auth.json"]);
    }

    #[test]
    fn docker_config_may_be_a_directory_or_a_file_and_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_owned();
        fs::create_dir(home.join(".docker")).unwrap();
        let as_directory = Surroundings {
            docker_config: Some(home.join(".docker")),
            home: Some(home.clone()),
            ..Surroundings::default()
        };
        let twice = shown(&as_directory).iter().filter(|path| path.ends_with(".docker/config.json")).count();
        assert_eq!(twice, 1);
        let file = home.join("made-by-mktemp");
        fs::write(&file, config("registry.test", "u")).unwrap();
        let as_file = Surroundings { docker_config: Some(file), ..Surroundings::default() };
        assert_eq!(as_file.read().files(None).entries.len(), 1);
    }

    #[test]
    fn all_files_are_read_and_a_bad_one_hides_no_good_one() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_owned();
        fs::create_dir_all(home.join(".docker")).unwrap();
        fs::create_dir_all(home.join(".config/containers/auth.json")).unwrap();
        fs::write(home.join(".docker/config.json"), "canary: not json").unwrap();
        fs::write(home.join(".dockercfg"), r#"{"registry.test":{"username":"old","password":"canary"}}"#)
            .unwrap();
        let surroundings = Surroundings {
            docker_auth_config: Some(Zeroizing::new(config("registry.test", "variable"))),
            home: Some(home),
            ..Surroundings::default()
        };
        let files = surroundings.read().files(None);
        let codes: Vec<ProblemCode> = files.problems.iter().map(|problem| problem.code).collect();
        assert_eq!(codes, [ProblemCode::MalformedJSON, ProblemCode::ConfigUnreadable]);
        assert!(files.problems.iter().all(|problem| !problem.to_string().contains("canary")));
        let agent = Agent { files: std::sync::Arc::new(files), ..Agent::default() };
        let keychain = Keychain::default().with_agent(agent);
        let candidates = keychain.candidates(&Repository::parse("registry.test/app").unwrap());
        let places: Vec<String> =
            candidates.iter().map(|candidate| candidate.provenance.to_string()).collect();
        assert!(places[0].starts_with("controller.dockerConfig DOCKER_AUTH_CONFIG"), "{places:?}");
        assert!(places[1].contains(".dockercfg"), "{places:?}");
    }

    #[test]
    fn a_change_of_a_file_is_a_change_of_the_contents() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("auth.json");
        let surroundings = Surroundings { registry_auth_file: Some(file.clone()), ..Surroundings::default() };
        let read = || surroundings.read();
        let none = read();
        fs::write(&file, config("registry.test", "u")).unwrap();
        let first = read();
        assert!(none != first && first == read());
        fs::write(&file, config("registry.test", "v")).unwrap();
        assert!(first != read());
    }

    #[test]
    fn a_helper_of_a_registry_comes_first_then_the_file_itself_then_the_store_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        let text = r#"{"auths":{"https://own.test":{"auth":"dTpw"},"both.test":{"auth":"dTpw"},"empty.test":{}},
            "credHelpers":{"both.test":"one","named.test":"two","r?":"three"},"credsStore":"all"}"#;
        fs::write(&file, text).unwrap();
        let surroundings = Surroundings { docker_config: Some(file), ..Surroundings::default() };
        let files = surroundings.read().files(None);
        assert_eq!(
            files.problems.iter().map(|problem| problem.code).collect::<Vec<_>>(),
            [ProblemCode::InvalidKey]
        );
        let agent = Agent { files: std::sync::Arc::new(files), ..Agent::default() };
        let keychain = Keychain::default().with_agent(agent);
        for (registry, source) in [
            ("own.test", "controller.dockerConfig"),
            ("both.test", "controller.helper:one"),
            ("named.test", "controller.helper:two"),
            ("empty.test", "controller.helper:all"),
            ("other.test:5000", "controller.helper:all"),
            ("index.docker.io", "controller.helper:all"),
        ] {
            let candidates =
                keychain.candidates(&Repository::parse(&format!("{registry}/team/app")).unwrap());
            let sources: Vec<String> =
                candidates.iter().map(|candidate| candidate.provenance.source.to_string()).collect();
            assert_eq!(sources, [source, "anonymous"], "{registry}");
        }
    }
}
