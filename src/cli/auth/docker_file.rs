//! Docker's `config.json`: read, changed in one place, and written back with every other byte as it was (credentials
//! specification §7.2).

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::super::private_file;
use crate::refresh::splice::{self, Malformed};

/// The file and what is in it.
pub(super) struct DockerFile {
    path: PathBuf,
    text: Zeroizing<String>,
    existed: bool,
}

/// Why it cannot be changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum DockerError {
    #[error("cannot use {}", file.display())]
    File {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is not changed", file.display())]
    Malformed {
        file: PathBuf,
        #[source]
        source: Malformed,
    },
}

impl DockerFile {
    /// The one in `folder`, empty when there is none.
    pub(super) fn open(folder: &Path) -> Result<Self, DockerError> {
        let path = folder.join("config.json");
        let text =
            private_file::read(&path).map_err(|source| DockerError::File { file: path.clone(), source })?;
        let existed = text.is_some();
        Ok(Self { path, text: text.unwrap_or_default(), existed })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The member at `path`, as it is written.
    pub(super) fn find(&self, path: &[&str]) -> Result<Option<&str>, DockerError> {
        splice::find(if self.text.trim().is_empty() { "{}" } else { &self.text }, path)
            .map_err(|source| self.malformed(source))
    }

    /// Changes one member, on disk too unless `dry`. Answers whether anything changed.
    pub(super) fn set(&mut self, path: &[&str], value: &str, dry: bool) -> Result<bool, DockerError> {
        if self.find(path)? == Some(value) {
            return Ok(false);
        }
        let changed = splice::set(&self.text, path, value).map_err(|source| self.malformed(source))?;
        // A file of our own is made for people too.
        let changed = if self.existed { changed } else { pretty(&changed) };
        self.text = Zeroizing::new(changed);
        if !dry {
            self.write(&self.path)?;
        }
        Ok(true)
    }

    /// Keeps a copy of what is on disk beside it, under the first name that is free.
    pub(super) fn keep_copy(&self) -> Result<Option<PathBuf>, DockerError> {
        if !self.existed {
            return Ok(None);
        }
        let free = (1..1000).map(|number| self.path.with_file_name(format!("config.json.bak-{number}")));
        let Some(copy) = free.into_iter().find(|copy| !copy.exists()) else { return Ok(None) };
        self.write(&copy)?;
        Ok(Some(copy))
    }

    fn write(&self, path: &Path) -> Result<(), DockerError> {
        private_file::write(path, &self.text)
            .map_err(|source| DockerError::File { file: path.to_owned(), source })
    }

    fn malformed(&self, source: Malformed) -> DockerError {
        DockerError::Malformed { file: self.path.clone(), source }
    }
}

fn pretty(text: &str) -> String {
    let value: Result<serde_json::Value, _> = serde_json::from_str(text);
    value
        .and_then(|value| serde_json::to_string_pretty(&value))
        .map_or_else(|_| text.to_owned(), |text| text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELPER: [&str; 2] = ["credHelpers", "cgr.dev"];

    #[test]
    fn a_file_is_made_where_there_is_none_and_is_changed_in_one_place_where_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        assert!(DockerFile::open(folder.path()).unwrap().set(&HELPER, "\"hallmark\"", false).unwrap());
        let made = std::fs::read_to_string(&path).unwrap();
        assert_eq!(made, "{\n  \"credHelpers\": {\n    \"cgr.dev\": \"hallmark\"\n  }\n}\n");
        let theirs = "{ \"auths\": {\"x\" : {} },\n\"zzz\":1, \"credHelpers\" : {\"a\":\"b\"} }";
        std::fs::write(&path, theirs).unwrap();
        let mut file = DockerFile::open(folder.path()).unwrap();
        assert!(file.set(&HELPER, "\"hallmark\"", false).unwrap());
        let expected = theirs.replace("{\"a\":\"b\"}", "{\"a\":\"b\",\"cgr.dev\":\"hallmark\"}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        assert!(!DockerFile::open(folder.path()).unwrap().set(&HELPER, "\"hallmark\"", false).unwrap());
    }

    #[test]
    fn a_dry_run_writes_nothing_and_a_broken_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        assert!(DockerFile::open(folder.path()).unwrap().set(&HELPER, "1", true).unwrap());
        assert!(!path.exists());
        std::fs::write(&path, "{\"credHelpers\": \"canary").unwrap();
        let error = DockerFile::open(folder.path()).unwrap().set(&HELPER, "1", false).unwrap_err();
        assert!(!crate::error::chain(&error).contains("canary"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"credHelpers\": \"canary");
    }

    #[test]
    fn copies_take_the_next_free_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), "{}").unwrap();
        for number in [1, 2] {
            let copy = DockerFile::open(folder.path()).unwrap().keep_copy().unwrap().unwrap();
            assert!(copy.ends_with(format!("config.json.bak-{number}")), "{copy:?}");
        }
    }
}
