//! The one directory that the demo writes to.
//!
//! Guarantees: nothing that somebody else put there is overwritten, since a directory is taken only when it is new,
//! empty, or marked as the demo's; a file is made anew each time, so that its mode is what is asked for and a
//! symbolic link in its place is replaced, not followed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The file that says whose directory it is.
const MARK: &str = ".hallmark-demo";
const MARK_TEXT: &str = "This directory is written by `hallmark demo`, anew each time. It can be deleted.\n";

/// Who may read a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Readers {
    Owner,
    Everybody,
}

/// A directory that is the demo's own.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli::demo) enum DirectoryError {
    #[error("cannot {action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} holds files that the demo did not write: name another directory with --directory", .0.display())]
    Foreign(PathBuf),
}

impl Directory {
    /// Makes the directory, or takes it again.
    pub(super) fn claim(path: &Path) -> Result<Self, DirectoryError> {
        fs::create_dir_all(path).map_err(failed("make directory", path))?;
        let directory = Self(path.to_owned());
        if !directory.file(MARK).is_file() {
            if fs::read_dir(path).map_err(failed("read directory", path))?.next().is_some() {
                return Err(DirectoryError::Foreign(path.to_owned()));
            }
            directory.write(MARK, MARK_TEXT.as_bytes(), Readers::Everybody)?;
        }
        Ok(directory)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>, DirectoryError> {
        let path = self.file(name);
        fs::read(&path).map_err(failed("read", &path))
    }

    /// Writes a file; `name` may hold one directory.
    pub(super) fn write(&self, name: &str, content: &[u8], readers: Readers) -> Result<(), DirectoryError> {
        let path = self.file(name);
        write(&path, content, readers).map_err(failed("write", &path))
    }
}

fn write(path: &Path, content: &[u8], readers: Readers) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::Everybody => 0o644,
    };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(content)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_owned();
    move |source| DirectoryError::File { action, path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_directory_is_made_and_taken_again() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/b");
        for content in [b"one", b"two"] {
            let directory = Directory::claim(&path).unwrap();
            directory.write("docker/config.json", content, Readers::Owner).unwrap();
            assert_eq!(directory.read("docker/config.json").unwrap(), content);
        }
    }

    #[test]
    fn a_directory_with_the_files_of_others_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("x509.pem"), "precious").unwrap();
        let error = Directory::claim(place.path()).unwrap_err();
        assert!(error.to_string().contains("--directory"), "{error}");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_directory_or_may_not_be_written_is_named() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below"), PathBuf::from("/proc/hallmark-demo")] {
            let error = Directory::claim(&path).unwrap_err();
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
            assert!(std::error::Error::source(&error).is_some());
        }
    }

    #[test]
    fn secrets_are_for_their_owner_only_whatever_was_there() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::claim(place.path()).unwrap();
        let path = directory.file("secret");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        directory.write("secret", b"new", Readers::Owner).unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap()), (0o600, b"new".to_vec()));
    }

    #[test]
    fn a_symbolic_link_is_replaced_and_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("target");
        fs::write(&target, "precious").unwrap();
        let directory = Directory::claim(&place.path().join("demo")).unwrap();
        symlink(&target, directory.file("run.yaml")).unwrap();
        directory.write("run.yaml", b"new", Readers::Everybody).unwrap();
        assert_eq!(fs::read(target).unwrap(), b"precious");
    }
}
