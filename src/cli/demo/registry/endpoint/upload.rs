//! Uploads of blobs: at once, in chunks, or begun and given up.

use aws_lc_rs::rand;
use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_RANGE, LOCATION, RANGE};
use http::request::Parts;
use http::{HeaderName, Method, StatusCode};

use super::super::answer::{Refusal, empty};
use super::{CONTENT_DIGEST, Registry, parameters, read};
use crate::artifact::digest::Digest;

const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

impl Registry {
    /// `POST` with a digest is the whole blob; without, it begins an upload.
    pub(super) async fn begin_upload(
        &self,
        repository: &str,
        parts: &Parts,
        body: Body,
    ) -> Result<Response, Refusal> {
        if let Some(digest) = digest_parameter(parts)? {
            let blob = read(body, self.limits.blob).await?;
            self.content().put_blob(repository, digest, blob)?;
            return Ok(created(repository, &digest));
        }
        let mut name = [0; 16];
        rand::fill(&mut name).map_err(|_| Refusal::Internal)?;
        let id = hex::encode(name);
        self.content().begin_upload(repository, id.clone())?;
        Ok(accepted(StatusCode::ACCEPTED, repository, &id, 0))
    }

    /// Whatever is asked of an upload that has begun.
    pub(super) async fn upload(
        &self,
        repository: &str,
        id: &str,
        method: &Method,
        parts: &Parts,
        body: Body,
    ) -> Result<Response, Refusal> {
        match *method {
            Method::GET => {
                let uploaded = self.content().uploaded(repository, id)?;
                Ok(accepted(StatusCode::NO_CONTENT, repository, id, uploaded))
            }
            Method::PATCH => {
                let uploaded = self.append(repository, id, parts, body).await?;
                Ok(accepted(StatusCode::ACCEPTED, repository, id, uploaded))
            }
            Method::PUT => {
                let digest = digest_parameter(parts)?.ok_or(Refusal::DigestInvalid)?;
                self.append(repository, id, parts, body).await?;
                self.content().finish_upload(repository, id, digest)?;
                Ok(created(repository, &digest))
            }
            Method::DELETE => {
                self.content().cancel_upload(repository, id)?;
                Ok(empty(StatusCode::NO_CONTENT, []))
            }
            _ => Err(Refusal::Unsupported),
        }
    }

    async fn append(&self, repository: &str, id: &str, parts: &Parts, body: Body) -> Result<usize, Refusal> {
        let start = match parts.headers.get(CONTENT_RANGE) {
            Some(range) => Some(range_start(range).ok_or(Refusal::RangeInvalid)?),
            None => None,
        };
        let chunk = read(body, self.limits.blob).await?;
        self.content().append(repository, id, start, &chunk)
    }
}

fn digest_parameter(parts: &Parts) -> Result<Option<Digest>, Refusal> {
    let text = parameters(parts, "digest").next();
    text.map(|text| text.parse().map_err(|_| Refusal::DigestInvalid)).transpose()
}

/// The first number of `Content-Range: START-END`.
fn range_start(range: &http::HeaderValue) -> Option<usize> {
    range.to_str().ok()?.trim_start_matches("bytes ").split_once('-')?.0.parse().ok()
}

fn created(repository: &str, digest: &Digest) -> Response {
    let location = format!("/v2/{repository}/blobs/{digest}");
    empty(StatusCode::CREATED, [(LOCATION, location), (CONTENT_DIGEST, digest.to_string())])
}

fn accepted(status: StatusCode, repository: &str, id: &str, uploaded: usize) -> Response {
    let location = format!("/v2/{repository}/blobs/uploads/{id}");
    let range = format!("0-{}", uploaded.saturating_sub(1));
    empty(status, [(LOCATION, location), (RANGE, range), (UPLOAD_UUID, id.to_owned())])
}
