//! The HTTP side: authenticate, authorize, hand to [`Content`], and write every request down.
//!
//! Nothing is read of a request before its token was found to grant it; no lock is held while reading.

mod upload;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LINK, LOCATION};
use http::request::Parts;
use http::{HeaderName, Method, StatusCode};
use serde_json::json;

use super::answer::{Refusal, bytes, empty, json_answer};
use super::content::{Content, Limits};
use super::route::{Reference, Resource, Target};
use super::token::{LIFETIME, Refused, Tokens};
use super::{RequestLog, Right, User};
use crate::artifact::digest::Digest;

/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(30);
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

/// The service of the registry that listens at `address`.
pub(super) fn router(address: SocketAddr, users: Vec<User>, log: Arc<RequestLog>) -> Router {
    let registry = Registry {
        address,
        log,
        tokens: Mutex::new(Tokens::new(users)),
        limits: Limits::default(),
        content: Mutex::new(Content::with_limits(Limits::default())),
    };
    Router::new().fallback(answer).with_state(Arc::new(registry))
}

struct Registry {
    address: SocketAddr,
    log: Arc<RequestLog>,
    tokens: Mutex<Tokens>,
    limits: Limits,
    content: Mutex<Content>,
}

/// An answer together with the user who was proved to ask.
type Answered = (Option<String>, Response);

async fn answer(State(registry): State<Arc<Registry>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (user, answer) = match parts.uri.path() {
        "/token" => registry.token(&parts),
        path => match path.strip_prefix("/v2").map(|rest| rest.trim_start_matches('/')) {
            Some("") => registry.version(&parts),
            Some(rest) => registry.resource(Target::parse(rest), &parts, body).await,
            None => (None, Refusal::NameUnknown.answer()),
        },
    };
    let path = parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    registry.log.record(parts.method.as_str(), path, answer.status().as_u16(), user);
    answer
}

impl Registry {
    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `GET /token`: the token endpoint of the Docker token protocol.
    fn token(&self, parts: &Parts) -> Answered {
        if parts.method != Method::GET {
            return (None, Refusal::Unsupported.answer());
        }
        let scopes: Vec<String> = parameters(parts, "scope").collect();
        match self.tokens().grant(authorization(parts), &scopes, Instant::now()) {
            Ok((token, user)) => {
                let seconds = LIFETIME.as_secs();
                let body = json!({"token": token, "access_token": token, "expires_in": seconds});
                (Some(user), json_answer(StatusCode::OK, &body))
            }
            Err(Refused::Unknown) => (None, Refusal::Unauthorized.answer()),
            Err(Refused::Crowded) => (None, Refusal::TooMany.answer()),
            Err(Refused::NoRandomness) => (None, Refusal::Internal.answer()),
        }
    }

    /// `GET /v2/`: any live token will do.
    fn version(&self, parts: &Parts) -> Answered {
        let user =
            self.tokens().bearer(authorization(parts), Instant::now()).map(|(user, _)| user.to_owned());
        let answer = match user {
            Some(_) => empty(StatusCode::OK, [(API_VERSION, "registry/2.0".to_owned())]),
            None => Refusal::Unauthorized.challenge(self.address, None),
        };
        (user, answer)
    }

    async fn resource(&self, target: Option<Target>, parts: &Parts, body: Body) -> Answered {
        let Some(target) = target else {
            return (None, Refusal::NameUnknown.answer());
        };
        let needed =
            if matches!(parts.method, Method::GET | Method::HEAD) { Right::Pull } else { Right::Push };
        let (user, allowed) = self.allowed(parts, &target.repository, needed);
        let result = match allowed {
            Ok(()) => self.dispatch(&target, parts, body).await.unwrap_or_else(|refusal| refusal.answer()),
            Err(refusal) => refusal.challenge(self.address, Some((&target.repository, needed))),
        };
        (user, result)
    }

    fn allowed(
        &self,
        parts: &Parts,
        repository: &str,
        needed: Right,
    ) -> (Option<String>, Result<(), Refusal>) {
        let tokens = self.tokens();
        let Some((user, grants)) = tokens.bearer(authorization(parts), Instant::now()) else {
            return (None, Err(Refusal::Unauthorized));
        };
        let enough = grants.get(repository).is_some_and(|right| *right >= needed);
        (Some(user.to_owned()), if enough { Ok(()) } else { Err(Refusal::Denied) })
    }

    async fn dispatch(&self, target: &Target, parts: &Parts, body: Body) -> Result<Response, Refusal> {
        let repository = target.repository.as_str();
        let reading = matches!(parts.method, Method::GET | Method::HEAD);
        match (&target.resource, &parts.method) {
            (Resource::Malformed, _) => Err(Refusal::DigestInvalid),
            (Resource::Blob(digest), _) if reading => self.blob(repository, digest, parts),
            (Resource::Manifest(reference), _) if reading => self.manifest(repository, reference, parts),
            (Resource::Manifest(reference), &Method::PUT) => {
                self.put_manifest(repository, reference, parts, body).await
            }
            (Resource::Tags, &Method::GET) => self.tags(repository, parts),
            (Resource::Referrers(digest), &Method::GET) => Ok(self.referrers(repository, digest, parts)),
            (Resource::Uploads, &Method::POST) => self.begin_upload(repository, parts, body).await,
            (Resource::Upload(id), method) => self.upload(repository, id, method, parts, body).await,
            _ => Err(Refusal::Unsupported),
        }
    }

    fn blob(&self, repository: &str, digest: &Digest, parts: &Parts) -> Result<Response, Refusal> {
        let blob = self.content().blob(repository, digest)?;
        Ok(content_answer(parts, "application/octet-stream", digest, blob))
    }

    fn manifest(&self, repository: &str, reference: &Reference, parts: &Parts) -> Result<Response, Refusal> {
        let manifest = self.content().manifest(repository, reference)?;
        Ok(content_answer(parts, &manifest.media_type, &manifest.digest, manifest.bytes))
    }

    async fn put_manifest(
        &self,
        repository: &str,
        reference: &Reference,
        parts: &Parts,
        body: Body,
    ) -> Result<Response, Refusal> {
        let bytes = read(body, self.limits.manifest).await?;
        let media_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.ok_or(Refusal::ManifestInvalid("there is no Content-Type"))?;
        let (digest, subject) = self.content().put_manifest(repository, reference, media_type, bytes)?;
        let location = format!("/v2/{repository}/manifests/{digest}");
        let headers = [(LOCATION, location), (CONTENT_DIGEST, digest.to_string())];
        let mut answer = empty(StatusCode::CREATED, headers);
        if let Some(subject) = subject.and_then(|subject| subject.try_into().ok()) {
            answer.headers_mut().insert(OCI_SUBJECT, subject);
        }
        Ok(answer)
    }

    fn tags(&self, repository: &str, parts: &Parts) -> Result<Response, Refusal> {
        let last = parameters(parts, "last").next();
        let mut tags = self.content().tags(repository, last.as_deref())?;
        let most = parameters(parts, "n").next().and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
        let more = tags.len() > most;
        tags.truncate(most);
        let mut answer = json_answer(StatusCode::OK, &json!({"name": repository, "tags": tags}));
        if let (true, Some(last)) = (more, tags.last()) {
            let next = format!("</v2/{repository}/tags/list?n={most}&last={last}>; rel=\"next\"");
            answer.headers_mut().extend(next.try_into().ok().map(|next| (LINK, next)));
        }
        Ok(answer)
    }

    fn referrers(&self, repository: &str, digest: &Digest, parts: &Parts) -> Response {
        let wanted = parameters(parts, "artifactType").next();
        let index = self.content().referrers(repository, digest, wanted.as_deref());
        let media_type = (CONTENT_TYPE, "application/vnd.oci.image.index.v1+json".to_owned());
        let filters = wanted.map(|_| (OCI_FILTERS, http::HeaderValue::from_static("artifactType")));
        let mut answer = bytes(StatusCode::OK, [media_type], index.to_string());
        answer.headers_mut().extend(filters);
        answer
    }
}

/// A whole body, within `limit` bytes and [`BODY_TIME`].
async fn read(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let whole = async {
        let mut chunks = body.into_data_stream();
        let mut whole = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Refusal::BodyLost)?;
            if whole.len() + chunk.len() > limit {
                return Err(Refusal::TooLarge);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    };
    tokio::time::timeout(BODY_TIME, whole).await.map_err(|_| Refusal::BodyLost)?
}

fn authorization(parts: &Parts) -> &str {
    parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn parameters<'p>(parts: &'p Parts, name: &'p str) -> impl Iterator<Item = String> + 'p {
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    url::form_urlencoded::parse(query)
        .filter(move |(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

fn content_answer(parts: &Parts, media_type: &str, digest: &Digest, content: Bytes) -> Response {
    let headers = [
        (CONTENT_TYPE, media_type.to_owned()),
        (CONTENT_LENGTH, content.len().to_string()),
        (CONTENT_DIGEST, digest.to_string()),
    ];
    bytes(StatusCode::OK, headers, if parts.method == Method::HEAD { Bytes::new() } else { content })
}
