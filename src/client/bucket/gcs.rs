//! Google Cloud Storage, by its JSON API.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde::Deserialize;

use super::{Replace, Unread, Written, object};
use crate::client::store::{Error, Server, bearer, encoded};
use crate::credential::Redacted;

/// A bucket.
#[derive(Debug)]
pub struct Gcs {
    server: Server,
    bucket: String,
}

/// What it says of an object that it has taken.
#[derive(Deserialize)]
struct Taken {
    size: String,
}

impl Gcs {
    /// The bucket of this name at `server`.
    pub fn new(server: Server, bucket: String) -> Self {
        Self { server, bucket }
    }

    /// The object `name`, if there is one.
    pub async fn read(&self, token: &Redacted, name: &str) -> Result<Option<Bytes>, Unread> {
        let what = format!("read gs://{}/{name}", self.bucket);
        let path = format!("/storage/v1/b/{}/o/{}", encoded(&self.bucket, b""), encoded(name, b""));
        let mut url = self.server.at(&path);
        url.set_query(Some("alt=media"));
        let request = bearer(self.server.client().get(url), token);
        let answer = self.server.ask(&what, request, &[token]).await?;
        let absent = !answer.mentions("bucket does not exist");
        object(&self.server, &what, answer, (absent, true), self.remedy())
    }

    /// Whether it is there and may be read: its objects whose names begin with `prefix`, one at most.
    pub async fn list(&self, token: &Redacted, prefix: &str) -> Result<(), Unread> {
        let what = format!("list gs://{}/{prefix}", self.bucket);
        let mut url = self.server.at(&format!("/storage/v1/b/{}/o", encoded(&self.bucket, b"")));
        url.query_pairs_mut().append_pair("maxResults", "1").append_pair("prefix", prefix);
        let answer = self.server.ask(&what, bearer(self.server.client().get(url), token), &[token]).await?;
        object(&self.server, &what, answer, (false, true), self.remedy()).map(|_| ())
    }

    /// Writes the object `name`.
    pub async fn write(
        &self,
        token: &Redacted,
        name: &str,
        content: Bytes,
        replace: Replace,
    ) -> Result<Written, Error> {
        let what = format!("write gs://{}/{name}", self.bucket);
        let mut url = self.server.at(&format!("/upload/storage/v1/b/{}/o", encoded(&self.bucket, b"")));
        url.query_pairs_mut().append_pair("uploadType", "media").append_pair("name", name);
        if replace == Replace::Nothing {
            url.query_pairs_mut().append_pair("ifGenerationMatch", "0");
        }
        let length = content.len();
        let request = self.server.client().post(url).header(CONTENT_TYPE, "application/octet-stream");
        let answer = self.server.ask(&what, bearer(request.body(content), token), &[token]).await?;
        match answer.status.as_u16() {
            200 => match serde_json::from_slice::<Taken>(&answer.body) {
                Ok(object) if object.size == length.to_string() => Ok(Written::Now),
                _ => Err(self.server.malformed(&what)),
            },
            412 => Ok(Written::Before),
            _ => Err(self.server.refused(&what, &answer, self.remedy())),
        }
    }

    fn remedy(&self) -> String {
        format!(
            "see that bucket {} exists and grant the agent's identity roles/storage.objectUser on it",
            self.bucket
        )
    }
}
