//! One answer of a token service, and what it means for the credential (credentials specification §1.4, §5.4, §5.6).
//!
//! Guarantees: at most 64 KiB are read; no text of the service reaches an error before it was scrubbed and cut.

use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::TokenError;
use crate::client::answer;
use crate::client::http::cause;
use crate::client::retry_after::retry_after;
use crate::credential::Credential;

/// An answer, read up to the limit.
pub(super) struct Reply {
    pub(super) host: String,
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
    pub(super) whole: bool,
}

impl Reply {
    pub(super) async fn read(host: String, response: reqwest::Response) -> Result<Self, TokenError> {
        let (status, headers) = (response.status(), response.headers().clone());
        match read_bounded(response).await {
            Ok((body, whole)) => Ok(Self { host, status, headers, body, whole }),
            Err(error) => Err(unreached(host, error)),
        }
    }

    pub(super) fn redirect(&self) -> Option<&str> {
        let redirects = matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308);
        self.headers.get(LOCATION).filter(|_| redirects)?.to_str().ok()
    }

    /// The answers that say "there is no such endpoint" rather than anything about the credential (§5.4).
    pub(super) fn knows_no_oauth(&self) -> bool {
        match self.status.as_u16() {
            404 | 405 => true,
            400 => self.oauth_error().as_deref() == Some("unsupported_grant_type"),
            _ => false,
        }
    }

    fn oauth_error(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct OauthError {
            error: String,
        }
        serde_json::from_slice::<OauthError>(&self.body).ok().map(|answer| answer.error)
    }

    pub(super) fn refusal(&self, credential: &Credential, now: Timestamp) -> TokenError {
        let host = self.host.clone();
        let answer = format!("{} {}", self.status.as_u16(), answer::shown(&self.body, credential));
        let answer = answer.trim_end().to_owned();
        let retry_after = retry_after(&self.headers, now);
        match self.status.as_u16() {
            400 if self.oauth_error().as_deref() == Some("invalid_grant") => {
                TokenError::Rejected401 { host, answer }
            }
            401 => TokenError::Rejected401 { host, answer },
            403 => TokenError::Denied403 { host, answer },
            429 => {
                let anonymous = *credential == Credential::Anonymous;
                TokenError::RateLimited { host, answer, retry_after, anonymous }
            }
            408 | 499 | 500..=599 => TokenError::Unavailable { host, answer, retry_after },
            _ => TokenError::Unexpected { host, answer },
        }
    }
}

/// The first 64 KiB of the body, and whether that was all of it.
async fn read_bounded(mut response: reqwest::Response) -> Result<(Zeroizing<Vec<u8>>, bool), reqwest::Error> {
    const LARGEST: usize = 64 * 1024;
    // Room for all of it at once, because growing would leave copies of a token behind.
    let mut body = Zeroizing::new(Vec::with_capacity(LARGEST));
    while let Some(chunk) = response.chunk().await? {
        let room = LARGEST - body.len();
        body.extend(chunk.iter().take(room));
        if chunk.len() > room {
            return Ok((body, false));
        }
    }
    Ok((body, true))
}

/// A failure of TLS is a matter of settings, any other one passes. The URL is left out, for its query.
pub(super) fn unreached(host: String, error: reqwest::Error) -> TokenError {
    let source = error.without_url();
    if cause::<rustls::Error>(&source).is_some() {
        TokenError::Transport { host, source }
    } else {
        TokenError::Unreachable { host, source }
    }
}
