//! What `docker login` stores with the helper: one file for its owner alone, changed under a lock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::environment::Folders;
use super::super::private_file;
use super::session::{SessionError, file_error, host_of};

/// The file of stored credentials.
pub(super) struct Store {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Login {
    username: String,
    #[serde(with = "super::secret_text")]
    secret: Zeroizing<String>,
}

type Logins = BTreeMap<String, Login>;

impl Store {
    pub(super) fn of(folders: &Folders) -> Self {
        Self { path: folders.config.join("credentials.json") }
    }

    /// The login for a server as written, else for its host.
    pub(super) fn find(&self, server: &str) -> Result<Option<(String, Zeroizing<String>)>, SessionError> {
        let mut logins = self.read()?;
        let found = logins.remove(server).or_else(|| {
            let host = host_of(server);
            logins.into_iter().find(|(other, _)| host_of(other) == host).map(|(_, login)| login)
        });
        Ok(found.map(|login| (login.username, login.secret)))
    }

    pub(super) fn put(&self, server: &str, username: &str, secret: &str) -> Result<(), SessionError> {
        let login = Login { username: username.to_owned(), secret: Zeroizing::new(secret.to_owned()) };
        self.change(|logins| drop(logins.insert(server.to_owned(), login)))
    }

    /// Removes what [`Self::find`] would find.
    pub(super) fn remove(&self, server: &str) -> Result<(), SessionError> {
        if !self.path.exists() {
            return Ok(());
        }
        self.change(|logins| {
            if logins.remove(server).is_none() {
                let host = host_of(server);
                logins.retain(|other, _| host_of(other) != host);
            }
        })
    }

    pub(super) fn names(&self) -> Result<BTreeMap<String, String>, SessionError> {
        Ok(self.read()?.into_iter().map(|(server, login)| (server, login.username)).collect())
    }

    fn change(&self, change: impl FnOnce(&mut Logins)) -> Result<(), SessionError> {
        let _lock = lock(&self.path.with_extension("lock")).map_err(file_error(&self.path))?;
        let mut logins = self.read()?;
        change(&mut logins);
        let text = Zeroizing::new(serde_json::to_string_pretty(&logins).unwrap_or_default());
        private_file::write(&self.path, &text).map_err(file_error(&self.path))
    }

    fn read(&self) -> Result<Logins, SessionError> {
        let text = private_file::read(&self.path).map_err(file_error(&self.path))?;
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(Logins::new()) };
        // The parser's own message may repeat a secret.
        serde_json::from_str(&text).map_err(|_| SessionError::Malformed { file: self.path.clone() })
    }
}

/// Waits for the lock; it is given up with the file, however its holder ends.
fn lock(path: &Path) -> std::io::Result<std::fs::File> {
    let file = private_file::lock_file(path)?;
    file.lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(folder: &Path) -> Store {
        Store { path: folder.join("credentials.json") }
    }

    #[test]
    fn a_login_is_found_by_its_server_and_by_its_host() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        assert!(store.find("r.example").unwrap().is_none());
        store.put("https://r.example/v2/", "user", "word").unwrap();
        for server in ["https://r.example/v2/", "r.example", "https://r.example"] {
            let (username, secret) = store.find(server).unwrap().unwrap();
            assert_eq!((username.as_str(), secret.as_str()), ("user", "word"), "{server}");
        }
        assert!(store.find("other.example").unwrap().is_none());
        assert_eq!(store.names().unwrap(), BTreeMap::from([("https://r.example/v2/".into(), "user".into())]));
        store.remove("r.example").unwrap();
        store.remove("r.example").unwrap();
        assert!(store.names().unwrap().is_empty());
    }

    #[test]
    fn a_broken_file_is_named_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        std::fs::write(&store.path, "{\"r\": \"canary\"}").unwrap();
        let error = crate::error::chain(&store.find("r").unwrap_err());
        assert!(error.contains("credentials.json") && !error.contains("canary"), "{error}");
    }

    #[test]
    fn writers_at_the_same_time_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for number in 0..20 {
                let store = store(folder.path());
                scope.spawn(move || store.put(&format!("r{number}.example"), "u", "p").unwrap());
            }
        });
        assert_eq!(store(folder.path()).names().unwrap().len(), 20);
    }
}
