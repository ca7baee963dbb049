//! What refers to an image (OCI distribution specification 1.1): by the registry's own list where it has one, else by
//! the tag that clients keep in its place.

use bytes::Bytes;
use http::header::{ACCEPT, LINK};
use http::{HeaderValue, Method, StatusCode};
use oci_client::manifest::OCI_IMAGE_INDEX_MEDIA_TYPE;
use serde::Deserialize;

use super::content::{body, header, malformed, pull, refused};
use super::error::Error;
use super::session::Session;
use crate::artifact::digest::Digest;
use crate::artifact::image::Repository;

/// A page of the list is a manifest.
const MAX_PAGE: usize = 4 * 1024 * 1024;
/// More pages than anybody's; a registry could go on for ever.
const MAX_PAGES: usize = 16;

/// One manifest that says that it is about an image; nothing in it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrer {
    /// The manifest.
    pub digest: String,
    /// Of the manifest.
    #[serde(default)]
    pub media_type: String,
    /// What the manifest says that it is; empty when it does not.
    #[serde(default)]
    pub artifact_type: String,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Referrer>,
}

impl Session {
    /// Everything that refers to `subject`.
    pub async fn referrers(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Referrer>, Error> {
        let target = pull(repository);
        let action = format!("list what refers to {repository}@{subject}");
        let mut request =
            self.request(&target, Method::GET, action.clone(), &format!("referrers/{subject}")).await?;
        request.headers.insert(ACCEPT, HeaderValue::from_static(OCI_IMAGE_INDEX_MEDIA_TYPE));
        let mut found = Vec::new();
        for _ in 0..MAX_PAGES {
            let response = self.send(&target, &request).await?;
            match response.status() {
                // The registry has no list, whichever way it says so.
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::BAD_REQUEST => {
                    return self.tagged_referrers(repository, subject).await;
                }
                status if status.is_success() => {}
                _ => return Err(refused(&request, response).await),
            }
            let next = header(&response, &LINK).and_then(next).map(str::to_owned);
            let base = response.url().clone();
            let content = body(&request, response, MAX_PAGE).await?;
            let page = Referrer::listed(&content)
                .ok_or_else(|| malformed(&request, "the list of referrers does not decode"))?;
            found.extend(page);
            match next.and_then(|next| base.join(&next).ok()) {
                // A list that goes on elsewhere would take credentials along.
                Some(url) if url.origin() == base.origin() => request.url = url,
                _ => return Ok(found),
            }
        }
        Err(malformed(&request, "the list of referrers does not end"))
    }

    /// The tag `sha256-<hex>` of an index: what clients write where the registry keeps no list.
    async fn tagged_referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Vec<Referrer>, Error> {
        let tag = format!("sha256-{}", subject.hex());
        let stored = self.tagged(repository, &tag).await?;
        // Whatever else lies under such a tag is nobody's list.
        Ok(stored.and_then(|stored| Referrer::listed(&stored.bytes)).unwrap_or_default())
    }

    /// A manifest by its digest, checked against it.
    pub async fn manifest(&self, repository: &Repository, digest: &Digest) -> Result<Option<Bytes>, Error> {
        let Some(stored) = self.tagged(repository, &digest.to_string()).await? else { return Ok(None) };
        if Digest::of(&stored.bytes) == *digest {
            return Ok(Some(stored.bytes));
        }
        let (action, host) = (format!("read {repository}@{digest}"), repository.registry().to_owned());
        Err(Error::Malformed { action, host, reason: "the manifest does not have its digest" })
    }
}

impl Referrer {
    /// Those of an index; nothing when it is none.
    pub fn listed(index: &[u8]) -> Option<Vec<Self>> {
        serde_json::from_slice(index).ok().map(|index: Index| index.manifests)
    }
}

/// The address in `<…>; rel="next"`.
fn next(link: &str) -> Option<&str> {
    let (address, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    rest.replace('"', "").contains("rel=next").then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_what_the_link_says() {
        assert_eq!(next(r#"</v2/a/referrers/x?last=1>; rel="next""#), Some("/v2/a/referrers/x?last=1"));
        assert_eq!(next("<x>;rel=next"), Some("x"));
        for link in ["", "<x>", "<x>; rel=\"prev\"", "x; rel=next", "<x; rel=next"] {
            assert_eq!(next(link), None, "{link}");
        }
    }

    #[test]
    fn an_index_is_read_and_a_manifest_has_no_referrers() {
        let index = br#"{"schemaVersion":2,"manifests":[{"digest":"sha256:1","artifactType":"a","size":1}]}"#;
        let referrer =
            Referrer { digest: "sha256:1".into(), media_type: String::new(), artifact_type: "a".into() };
        assert_eq!(Referrer::listed(index), Some(vec![referrer]));
        assert_eq!(Referrer::listed(b"{\"layers\":[]}"), Some(vec![]));
        assert_eq!(Referrer::listed(b"not json"), None);
    }
}
