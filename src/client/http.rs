//! HTTP clients, built in one place so that none lacks time-outs, and bodies, read in one place so that none
//! is unbounded.
//!
//! # Guarantees
//!
//! - A connection trusts whom its [`Transport`] says and nobody else; the proxy in front is judged by its own name.
//! - No connection leads to a link-local or metadata address, whatever name resolves to it; a URL that spells
//!   such an address is refused by [`admit`] (credentials specification §5.1).
//! - Redirects are never followed by the library: whoever follows one decides what is sent along.

mod cause;
mod circuit;
mod clients;
mod resolver;
mod tls;
mod trace;
mod transport;

use bytes::{Bytes, BytesMut};
use reqwest::Response;

pub use cause::cause;
pub use circuit::{Circuits, Observer, Passage, Service, Silent, is_away};
pub use clients::{Clients, SetupError};
pub use resolver::{ForbiddenAddress, admit};
pub use trace::trace_context;
pub use transport::Transport;

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
