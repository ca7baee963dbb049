//! The root with which trust in a mirror begins.

use std::path::Path;

use sigstore_tuf::MetadataStore;

use super::source::{First, Remote};
use super::{MirrorError, Source};
use crate::signature::file::content;

/// Sigstore's own has seven kilobytes.
const LARGEST: u64 = 512_000;

/// The operator's own, the one of earlier, or the one that the mirror shows.
pub(super) async fn root(
    source: &Source,
    remote: &Remote,
    store: &dyn MetadataStore,
) -> Result<Vec<u8>, MirrorError> {
    if let Some(root) = known(source, store).await? {
        return Ok(root);
    }
    let no_root = || MirrorError::NoRoot { mirror: source.name().to_owned() };
    let Remote::Mirror(mirror) = remote else { return Err(no_root()) };
    let failed = |error| MirrorError::tuf(source, error);
    for name in ["root.json", "1.root.json"] {
        if let Some(root) = mirror.get(name, LARGEST).await.map_err(failed)? {
            tracing::warn!(
                "the TUF mirror {} is believed its own root, as nobody has named one: set signers.x509.tuf.root",
                mirror.address()
            );
            return Ok(root);
        }
    }
    Err(no_root())
}

/// Without the mirror.
pub(super) async fn known(
    source: &Source,
    store: &dyn MetadataStore,
) -> Result<Option<Vec<u8>>, MirrorError> {
    match &source.first {
        First::File(file) => read(file).await.map(Some),
        First::Given(root) => Ok(Some(root.clone())),
        First::Shown => store.load("root.json").map_err(|error| MirrorError::tuf(source, error)),
    }
}

async fn read(file: &Path) -> Result<Vec<u8>, MirrorError> {
    let content = content(file, LARGEST).await;
    content.map_err(|source| MirrorError::Root { file: file.to_owned(), source })
}
