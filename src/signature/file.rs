//! Files that an operator names, read as far as they can be what they should be.

use std::path::Path;

use tokio::io::AsyncReadExt as _;

/// At most `limit` bytes of a file.
pub(super) async fn content(file: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    tokio::fs::File::open(file).await?.take(limit).read_to_end(&mut content).await?;
    Ok(content)
}
