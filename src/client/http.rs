//! HTTP clients, built in one place so that none lacks time-outs, and bodies, read in one place so that none
//! is unbounded.
//!
//! Redirects are never followed by the library: whoever follows one decides what is sent along.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::redirect::Policy;
use reqwest::{ClientBuilder, Response};

use super::proxy;

const CONNECT: Duration = Duration::from_secs(5);
const READ: Duration = Duration::from_secs(20);
const TOTAL: Duration = Duration::from_mins(1);

/// A client whose certificate checks are as asked. `insecure` takes any certificate; it is for registries that
/// an operator marked so, and for nothing else.
pub fn client(insecure: bool) -> reqwest::Result<reqwest::Client> {
    // Without the library's own reading of the environment: see `proxy`.
    let builder =
        proxy::of_environment().into_iter().fold(reqwest::Client::builder().no_proxy(), ClientBuilder::proxy);
    builder
        .user_agent(concat!("hallmark/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        .read_timeout(READ)
        .timeout(TOTAL)
        .pool_idle_timeout(Duration::from_secs(30))
        .tcp_nodelay(true)
        .tls_danger_accept_invalid_certs(insecure)
        .build()
}

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The server sent more than anybody needs.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The connection broke.
    #[error("the answer broke off")]
    Broken(#[source] reqwest::Error),
}

/// Reads a body of at most `limit` bytes.
pub async fn body(mut response: Response, limit: usize) -> Result<Bytes, BodyError> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(BodyError::TooLarge { limit });
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| BodyError::Broken(error.without_url()))? {
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
