//! Answers in the form of the distribution specification: errors as its JSON body with its codes, and the
//! challenge that tells a client where tokens are to be had.

use std::net::SocketAddr;

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderName, StatusCode};
use serde_json::{Value, json};

use super::Right;

/// Name of the service in challenges and token requests.
pub(super) const SERVICE: &str = "hallmark-demo";

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No token, or one that is not alive.
    Unauthorized,
    /// The token does not grant this.
    Denied,
    NameUnknown,
    BlobUnknown,
    ManifestUnknown,
    UploadUnknown,
    DigestInvalid,
    ManifestInvalid(&'static str),
    /// The manifest names content that is not here.
    ManifestBlobUnknown(String),
    /// A chunk that does not follow the one before.
    RangeInvalid,
    TooLarge,
    TooMany,
    /// The body did not come in time or broke off.
    BodyLost,
    Unsupported,
    Internal,
}

impl Refusal {
    fn parts(&self) -> (StatusCode, &'static str, String) {
        let (status, code, message) = match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required"),
            // 401 and not 403, as distribution does, with `insufficient_scope` in the challenge.
            Self::Denied => (StatusCode::UNAUTHORIZED, "DENIED", "the token does not grant this access"),
            Self::NameUnknown => (StatusCode::NOT_FOUND, "NAME_UNKNOWN", "no such repository or path"),
            Self::BlobUnknown => (StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "no such blob"),
            Self::ManifestUnknown => (StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "no such manifest"),
            Self::UploadUnknown => (StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "no such upload"),
            Self::DigestInvalid => {
                (StatusCode::BAD_REQUEST, "DIGEST_INVALID", "the digest is not that of the content")
            }
            Self::ManifestInvalid(why) => (StatusCode::BAD_REQUEST, "MANIFEST_INVALID", *why),
            Self::ManifestBlobUnknown(digest) => {
                let message = format!("the manifest names {digest}, which is not here");
                return (StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN", message);
            }
            Self::RangeInvalid => (
                StatusCode::RANGE_NOT_SATISFIABLE,
                "BLOB_UPLOAD_INVALID",
                "the chunk does not follow the last",
            ),
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", "larger than this registry takes")
            }
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", "this registry is full"),
            Self::BodyLost => (StatusCode::REQUEST_TIMEOUT, "SIZE_INVALID", "the body broke off"),
            Self::Unsupported => (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "not supported here"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "internal error"),
        };
        (status, code, message.to_owned())
    }

    /// The answer without a challenge.
    pub(super) fn answer(&self) -> Response {
        let (status, code, message) = self.parts();
        json_answer(status, &json!({"errors": [{"code": code, "message": message}]}))
    }

    /// The answer with the challenge for `scope`.
    pub(super) fn challenge(&self, realm: SocketAddr, scope: Option<(&str, Right)>) -> Response {
        let scope = scope.map_or_else(String::new, |(repository, right)| {
            let actions = if right == Right::Push { "pull,push" } else { "pull" };
            format!(",scope=\"repository:{repository}:{actions}\"")
        });
        let error = if *self == Self::Denied { ",error=\"insufficient_scope\"" } else { "" };
        let challenge = format!("Bearer realm=\"http://{realm}/token\",service=\"{SERVICE}\"{scope}{error}");
        with_headers(self.answer(), [(WWW_AUTHENTICATE, challenge)])
    }
}

/// An answer without a body.
pub(super) fn empty<const N: usize>(status: StatusCode, headers: [(HeaderName, String); N]) -> Response {
    bytes(status, headers, Body::empty())
}

/// An answer with this body.
pub(super) fn bytes<const N: usize>(
    status: StatusCode,
    headers: [(HeaderName, String); N],
    body: impl Into<Body>,
) -> Response {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    with_headers(answer, headers)
}

/// A JSON answer.
pub(super) fn json_answer(status: StatusCode, value: &Value) -> Response {
    bytes(status, [(CONTENT_TYPE, "application/json".to_owned())], value.to_string())
}

fn with_headers<const N: usize>(mut answer: Response, headers: [(HeaderName, String); N]) -> Response {
    for (name, value) in headers {
        // Every value here is made of characters that paths and media types may hold; one that is no
        // header value is left out and not worth a failure.
        if let Ok(value) = value.try_into() {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(refusal: &Refusal, scope: Option<(&str, Right)>) -> String {
        let answer = refusal.challenge(SocketAddr::from(([127, 0, 0, 1], 5000)), scope);
        answer.headers()[WWW_AUTHENTICATE].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_challenge_names_realm_service_and_the_scope_that_is_missing() {
        assert_eq!(
            challenge(&Refusal::Unauthorized, Some(("team/app", Right::Push))),
            "Bearer realm=\"http://127.0.0.1:5000/token\",service=\"hallmark-demo\",\
             scope=\"repository:team/app:pull,push\""
        );
        assert!(!challenge(&Refusal::Unauthorized, None).contains("scope"));
    }

    #[test]
    fn a_token_that_grants_too_little_is_told_so() {
        let challenge = challenge(&Refusal::Denied, Some(("app", Right::Pull)));
        assert!(
            challenge.ends_with("scope=\"repository:app:pull\",error=\"insufficient_scope\""),
            "{challenge}"
        );
    }
}
