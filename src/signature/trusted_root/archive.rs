//! A TUF repository in an archive, for places without a network: gzip over tar, as policy-controller's `TrustRoot` carries
//! it. Pure.
//!
//! # Guarantees
//!
//! - What it unpacks to is bounded, whatever it claims (the attack: a few kilobytes that unpack to gigabytes), and lies in
//!   memory: no name in it can reach a file of this machine.
//! - Nothing here is trusted: `sigstore-tuf` verifies each file, and its age.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::GzDecoder;
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error, Repository};

/// All files together; Sigstore's own repository has some 200 kilobytes.
const LARGEST: u64 = 8 * 1024 * 1024;
const MOST: usize = 1024;
/// The folder that policy-controller takes off the names of files.
const FOLDER: &str = "repository/";

/// The files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    files: BTreeMap<String, Vec<u8>>,
    targets: String,
}

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is no gzip over tar, or is cut off.
    #[error("it is no tar.gz")]
    Malformed(#[source] std::io::Error),
    /// More than any repository.
    #[error("it holds more than {MOST} files or {LARGEST} bytes")]
    TooLarge,
}

impl Archive {
    /// Unpacks `content`; its targets lie in the folder `targets`.
    ///
    /// # Errors
    ///
    /// It is no `tar.gz`, or too large.
    pub fn read(content: &[u8], targets: &str) -> Result<Self, ArchiveError> {
        let limited = GzDecoder::new(content).take(LARGEST);
        let mut archive = tar::Archive::new(limited);
        let mut files = BTreeMap::new();
        let failed = |error| ArchiveError::Malformed(error);
        for entry in archive.entries().map_err(failed)? {
            let mut entry = entry.map_err(failed)?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            if files.len() >= MOST || entry.size() > LARGEST {
                return Err(ArchiveError::TooLarge);
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = name.trim_start_matches("./").trim_start_matches('/');
            let mut file = Vec::new();
            entry.read_to_end(&mut file).map_err(failed)?;
            files.insert(name.strip_prefix(FOLDER).unwrap_or(name).to_owned(), file);
        }
        // What was cut at the limit ends without the blocks that end an archive, and reads as a shorter one.
        if archive.into_inner().limit() == 0 {
            return Err(ArchiveError::TooLarge);
        }
        Ok(Self { files, targets: targets.trim_matches('/').to_owned() })
    }

    fn get(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        match self.files.get(path) {
            Some(file) if file.len() as u64 > limit => {
                Err(Error::transport(format!("{path} is larger than {limit} bytes")))
            }
            file => Ok(file.cloned()),
        }
    }
}

impl Repository for Archive {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(async move { self.get(name, max_length) })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(async move { self.get(&format!("{}/{path}", self.targets), max_length) })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, *content).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn files_are_found_with_and_without_the_folder_that_policy_controller_takes_off() {
        let long = format!("repository/targets/{}.trusted_root.json", "a".repeat(128));
        let archive = packed(&[("repository/1.root.json", b"r"), ("./timestamp.json", b"t"), (&long, b"x")]);
        let archive = Archive::read(&archive, "/targets/").unwrap();
        for (name, content) in [("1.root.json", b"r"), ("timestamp.json", b"t")] {
            assert_eq!(archive.get(name, 1).unwrap().unwrap(), content);
        }
        assert_eq!(archive.get(long.strip_prefix("repository/").unwrap(), 1).unwrap().unwrap(), b"x");
        assert!(archive.get("2.root.json", 1).unwrap().is_none());
        assert!(archive.get("1.root.json", 0).is_err());
    }

    #[test]
    fn what_unpacks_to_more_than_any_repository_is_refused_and_so_is_what_is_no_archive() {
        let limit = usize::try_from(LARGEST).unwrap();
        let zeros = vec![0; limit + 1];
        assert!(matches!(Archive::read(&packed(&[("a", &zeros)]), "targets"), Err(ArchiveError::TooLarge)));
        let half = vec![0; limit / 2];
        let halves = packed(&[("a", &half), ("b", &half), ("c", b"")]);
        assert!(Archive::read(&halves, "targets").is_err());
        let many: Vec<_> = (0..=MOST).map(|number| number.to_string()).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), &b""[..])).collect();
        assert!(matches!(Archive::read(&packed(&many), "targets"), Err(ArchiveError::TooLarge)));
        let mut plain = GzEncoder::new(Vec::new(), Compression::fast());
        plain.write_all(b"no tar").unwrap();
        for content in [b"no gzip".to_vec(), plain.finish().unwrap(), packed(&[("a", b"b")])[..20].to_vec()] {
            assert!(matches!(Archive::read(&content, "targets"), Err(ArchiveError::Malformed(_))));
        }
    }
}
