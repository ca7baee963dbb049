//! The verbs: manifests by tag and digest, blobs, uploads (OCI distribution specification 1.1).
//!
//! Reading asks for `pull`, writing for `pull,push`, each as a target of its own (credentials specification §1.3),
//! so that a credential which may only read never answers for a write.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use oci_client::errors::OciEnvelope;
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE, OciDescriptor,
};
use reqwest::Response;

use super::error::Error;
use super::session::Session;
use super::transport::{Request, host_of};
use crate::artifact::digest::Digest;
use crate::artifact::image::{Image, Repository};
use crate::client::http::{self as bounded};
use crate::credential::{Operation, Target};

/// The distribution specification lets registries refuse manifests over 4 MiB.
const MAX_MANIFEST: usize = 4 * 1024 * 1024;
const MAX_ERROR: usize = 64 * 1024;

/// A manifest as the registry holds it.
#[derive(Debug, Clone)]
pub struct StoredManifest {
    /// Its exact bytes.
    pub bytes: Bytes,
}

/// A manifest was taken.
#[derive(Debug, Clone, Copy)]
pub struct Pushed {
    /// Whether the registry lists it by itself among what refers to its subject.
    pub lists_referrers: bool,
}

impl Session {
    /// The image's own manifest as others refer to it, or `None` when there is none.
    pub async fn described(&self, image: &Image) -> Result<Option<OciDescriptor>, Error> {
        let target = pull(&image.repository);
        let action = format!("look up image {image}");
        let mut request = self
            .request(&target, Method::HEAD, action.clone(), &format!("manifests/{}", image.digest))
            .await?;
        request.headers.insert(ACCEPT, any_manifest());
        let response = self.send(&target, &request).await?;
        match response.status() {
            StatusCode::NOT_FOUND => self.unseen(&target, &action).await.map(|()| None),
            status if status.is_success() => Ok(Some(OciDescriptor {
                media_type: header(&response, &CONTENT_TYPE).unwrap_or(OCI_IMAGE_MEDIA_TYPE).to_owned(),
                digest: image.digest.to_string(),
                // Of the manifest, not of this answer, which has no body.
                size: header(&response, &CONTENT_LENGTH)
                    .and_then(|size| size.parse().ok())
                    .unwrap_or_default(),
                ..OciDescriptor::default()
            })),
            _ => Err(refused(&request, response).await),
        }
    }

    /// The manifest under a tag, or `None` when there is no such tag.
    pub async fn tagged(&self, repository: &Repository, tag: &str) -> Result<Option<StoredManifest>, Error> {
        let target = pull(repository);
        let action = format!("read {repository}:{tag}");
        let mut request = self.request(&target, Method::GET, action, &format!("manifests/{tag}")).await?;
        request.headers.insert(ACCEPT, any_manifest());
        let response = self.send(&target, &request).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => {
                Ok(Some(StoredManifest { bytes: body(&request, response, MAX_MANIFEST).await? }))
            }
            _ => Err(refused(&request, response).await),
        }
    }

    /// A blob of at most `limit` bytes, checked against its digest.
    pub async fn blob(&self, repository: &Repository, digest: &Digest, limit: usize) -> Result<Bytes, Error> {
        let target = pull(repository);
        let action = format!("read blob {digest} of {repository}");
        let request = self.request(&target, Method::GET, action, &format!("blobs/{digest}")).await?;
        let response = self.send(&target, &request).await?;
        if !response.status().is_success() {
            return Err(refused(&request, response).await);
        }
        let content = body(&request, response, limit).await?;
        if Digest::of(&content) != *digest {
            return Err(malformed(&request, "the blob does not have its digest"));
        }
        Ok(content)
    }

    /// Uploads a blob: in one request where the registry takes that, in two where it does not.
    pub async fn push_blob(&self, repository: &Repository, content: Bytes) -> Result<Digest, Error> {
        let (target, digest) = (push(repository), Digest::of(&content));
        let action = format!("push to {repository}");
        let mut request = self.request(&target, Method::POST, action, "blobs/uploads/").await?;
        let host = self.host(repository);
        if host.takes_one_request() {
            request.url.query_pairs_mut().append_pair("digest", &digest.to_string());
            request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            request.body = content.clone();
        }
        let response = self.send(&target, &request).await?;
        match response.status() {
            StatusCode::CREATED => return Ok(digest),
            StatusCode::ACCEPTED => host.wants_two_requests(),
            _ => return Err(refused(&request, response).await),
        }
        let upload = upload(&request, &response, digest, content)?;
        let response = self.send(&target, &upload).await?;
        if response.status().is_success() { Ok(digest) } else { Err(refused(&upload, response).await) }
    }

    /// Puts a manifest under a tag or its digest.
    pub async fn push_manifest(
        &self,
        repository: &Repository,
        tag: &str,
        media_type: &'static str,
        content: Bytes,
    ) -> Result<Pushed, Error> {
        let target = push(repository);
        let action = format!("push {repository}:{tag}");
        let mut request = self.request(&target, Method::PUT, action, &format!("manifests/{tag}")).await?;
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        request.body = content;
        let response = self.send(&target, &request).await?;
        if response.status().is_success() {
            return Ok(Pushed { lists_referrers: response.headers().contains_key("oci-subject") });
        }
        Err(refused(&request, response).await)
    }

    pub(super) async fn request(
        &self,
        target: &Target,
        method: Method,
        action: String,
        path: &str,
    ) -> Result<Request, Error> {
        let host = self.host(&target.repository);
        let base = self.known(&host).await?.base;
        let url = base.join(&format!("v2/{}/{path}", target.repository.path()));
        let url = url.map_err(|_| Error::Malformed {
            action: action.clone(),
            host: host.name.clone(),
            reason: "the repository makes no URL",
        })?;
        Ok(Request { action, method, home: base, url, headers: HeaderMap::new(), body: Bytes::new() })
    }
}

pub(super) fn pull(repository: &Repository) -> Target {
    Target { repository: repository.clone(), operation: Operation::Pull }
}

fn push(repository: &Repository) -> Target {
    Target { repository: repository.clone(), operation: Operation::Push }
}

pub(super) fn any_manifest() -> HeaderValue {
    let types = [
        OCI_IMAGE_MEDIA_TYPE,
        OCI_IMAGE_INDEX_MEDIA_TYPE,
        IMAGE_MANIFEST_MEDIA_TYPE,
        IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    ];
    HeaderValue::from_str(&types.join(", ")).unwrap_or(HeaderValue::from_static("*/*"))
}

/// The second request of an upload goes where the first one's answer says, with the digest added to its query.
fn upload(first: &Request, response: &Response, digest: Digest, content: Bytes) -> Result<Request, Error> {
    let location = header(response, &LOCATION).and_then(|location| response.url().join(location).ok());
    let mut url = location.ok_or_else(|| malformed(first, "an upload without a usable Location"))?;
    url.query_pairs_mut().append_pair("digest", &digest.to_string());
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(Request {
        action: first.action.clone(),
        method: Method::PUT,
        home: first.home.clone(),
        url,
        headers,
        body: content,
    })
}

pub(super) fn header<'a>(response: &'a Response, name: &HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

pub(super) async fn body(request: &Request, response: Response, limit: usize) -> Result<Bytes, Error> {
    let (action, host) = (request.action.clone(), host_of(&request.url));
    bounded::body(response, limit).await.map_err(|source| Error::Body { action, host, source })
}

pub(super) fn malformed(request: &Request, reason: &'static str) -> Error {
    Error::Malformed { action: request.action.clone(), host: host_of(&request.url), reason }
}

/// An answer that is neither success nor about authorisation, with the registry's own code and message.
pub(super) async fn refused(request: &Request, response: Response) -> Error {
    let (action, host, status) = (request.action.clone(), host_of(&request.url), response.status());
    let (code, message) = match bounded::body(response, MAX_ERROR).await {
        Ok(content) => said(&content),
        Err(_) => Default::default(),
    };
    Error::Refused { action, host, status, code, message }
}

/// Code and message of the first error in an OCI error body; the message is cut.
pub(super) fn said(content: &[u8]) -> (String, String) {
    let envelope = serde_json::from_slice::<OciEnvelope>(content).ok();
    let first = envelope.and_then(|envelope| envelope.errors.into_iter().next());
    first.map_or_else(Default::default, |error| {
        let code = serde_json::to_value(&error.code).ok().and_then(|code| code.as_str().map(str::to_owned));
        (code.unwrap_or_default(), error.message.chars().take(256).collect())
    })
}
