//! Files that hold secrets or stand beside them: written whole or not at all, readable by their owner alone unless they
//! were more open before.
//!
//! Guarantees: a reader sees the old content or the new one, whenever the writer dies; a symbolic link is followed
//! inside its own folder only.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// More than this is not read.
const LARGEST: u64 = 1024 * 1024;

/// The content; nothing when there is no such file.
pub(super) fn read(path: &Path) -> io::Result<Option<Zeroizing<String>>> {
    let mut text = Zeroizing::new(String::new());
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
    match read {
        Ok(length) if length as u64 <= LARGEST => Ok(Some(text)),
        Ok(_) => Err(ErrorKind::FileTooLarge.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces the content at once; folders that are missing are made for the owner alone.
pub(super) fn write(path: &Path, content: &str) -> io::Result<()> {
    let path = resolved(path)?;
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mode = fs::metadata(&path).map_or(0o600, |metadata| metadata.permissions().mode() & 0o777);
    let beside = beside(&path);
    // What a writer that was killed has left.
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file
        .write_all(content.as_bytes())
        .and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// A file to be locked; it is never replaced, so that everybody locks the same one.
pub(super) fn lock_file(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    path.with_file_name(name)
}

/// Where a link inside the folder leads; one that leads out of it is refused.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let Ok(target) = fs::canonicalize(path) else { return Ok(path.to_owned()) };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if target.starts_with(fs::canonicalize(folder)?) {
        return Ok(target);
    }
    let text = format!("{} is a link that leads out of its folder", path.display());
    Err(io::Error::new(ErrorKind::PermissionDenied, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_its_owners_and_an_old_one_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/config.json");
        write(&path, "a").unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        write(&path, "b").unwrap();
        assert_eq!((mode(&path), read(&path).unwrap().unwrap().as_str()), (0o640, "b"));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_a_killed_writer_left_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(beside(&path), "half").unwrap();
        write(&path, "whole").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().as_str(), "whole");
    }

    #[test]
    fn a_link_is_followed_in_its_folder_and_not_out_of_it() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        write(&link, "new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        let (outside, bad) = (elsewhere.path().join("file"), folder.path().join("bad"));
        fs::write(&outside, "old").unwrap();
        std::os::unix::fs::symlink(&outside, &bad).unwrap();
        assert!(write(&bad, "new").unwrap_err().to_string().contains("leads out of its folder"));
        assert_eq!(fs::read_to_string(&outside).unwrap(), "old");
    }

    #[test]
    fn a_missing_file_is_nothing_and_one_without_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        assert!(read(&path).unwrap().is_none());
        fs::write(&path, vec![b'x'; 1024 * 1024 + 1]).unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
}
