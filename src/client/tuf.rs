//! A mirror of a TUF repository, over the client that everything else uses: the files of the trust root, as they are
//! there (Chains specification §1.1, `signers.x509.tuf.mirror.url`).
//!
//! # Guarantees
//!
//! - What is read is bounded by the limit that its role has; a mirror that sends without end is cut off (the attack
//!   that the TUF specification calls endless data).
//! - A file that is not there is told from a mirror that cannot be reached: stores of objects answer 403 for it.
//!
//! Nothing here is trusted: `sigstore-tuf` verifies each file. Plain HTTP is allowed for that reason.

use http::StatusCode;
use reqwest::Client;
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error, Repository};
use url::Url;

use super::http::{Clients, SetupError, Transport, admit, body};
use crate::signature::trusted_root::repository::TARGETS;

/// A mirror; cheap to clone.
#[derive(Debug, Clone)]
pub struct Mirror {
    base: Url,
    targets: String,
    client: Client,
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a mirror cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum MirrorAddressError {
    /// It is no address.
    #[error("the address of the TUF mirror cannot be used: {0}")]
    Address(&'static str),
    /// HTTP cannot be set up.
    #[error("cannot reach the TUF mirror")]
    Setup(#[source] SetupError),
}

impl Mirror {
    /// The one at `address`: its metadata lies there, its targets under `targets/`.
    pub fn new(clients: &Clients, transport: &Transport, address: &str) -> Result<Self, MirrorAddressError> {
        let refused = MirrorAddressError::Address;
        let mut base = Url::parse(address).map_err(|_| refused("it is no URL"))?;
        admit(&base).map_err(|_| refused("it leads to an inner address that must not be used"))?;
        if !matches!(base.scheme(), "https" | "http") {
            return Err(refused("it is neither https nor http"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(refused("it carries a password"));
        }
        base.set_query(None);
        base.set_fragment(None);
        let folder = format!("{}/", base.path().trim_end_matches('/'));
        base.set_path(&folder);
        let client = clients.of(transport).map_err(MirrorAddressError::Setup)?;
        Ok(Self { base, targets: TARGETS.to_owned(), client })
    }

    /// The same with its targets under another folder.
    #[must_use]
    pub fn with_targets(self, folder: &str) -> Self {
        Self { targets: folder.trim_matches('/').to_owned(), ..self }
    }

    /// What is at `path` under the base, at most `limit` bytes; `None` when it is not there.
    pub async fn get(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path()));
        let failed = |error: Cause| Error::transport_with_source(format!("cannot get {path}"), error);
        let response =
            self.client.get(url).send().await.map_err(|error| failed(Box::new(error.without_url())))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN | StatusCode::GONE => return Ok(None),
            status => return Err(Error::transport(format!("cannot get {path}: {}", status.as_u16()))),
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let content = body(response, limit).await.map_err(|error| failed(Box::new(error)))?;
        Ok(Some(content.to_vec()))
    }

    /// Its address, for messages.
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }
}

impl Repository for Mirror {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(self.get(name, max_length))
    }

    fn fetch_target<'a>(&'a self, path: &'a str, max_length: u64) -> FetchFuture<'a> {
        Box::pin(async move { self.get(&format!("{}/{path}", self.targets), max_length).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(address: &str) -> Result<Mirror, MirrorAddressError> {
        Mirror::new(&Clients::default(), &Transport::default(), address)
    }

    #[test]
    fn an_address_is_a_folder_with_or_without_a_slash_at_its_end() {
        for address in ["http://tuf.test/mirror", "http://tuf.test/mirror/", "http://tuf.test/mirror/?x#y"] {
            let mirror = mirror(address).unwrap();
            assert_eq!(
                (mirror.base.as_str(), mirror.address()),
                ("http://tuf.test/mirror/", "http://tuf.test/mirror")
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_password() {
        for address in
            ["tuf.test", "ftp://tuf.test/", "https://user:canary@tuf.test/", "http://169.254.169.254/"]
        {
            let error = mirror(address).unwrap_err().to_string();
            assert!(error.starts_with("the address of the TUF mirror cannot be used"), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
