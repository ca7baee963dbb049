//! Azure Blob Storage, for whoever has a token of Entra ID.

use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::RequestBuilder;

use super::{Replace, Unread, Written, object};
use crate::client::store::{Error, Server, bearer, encoded};
use crate::credential::Redacted;

/// The version of the service that the requests are written for.
const VERSION: &str = "2021-12-02";

/// A container.
#[derive(Debug)]
pub struct Azure {
    server: Server,
    container: String,
}

impl Azure {
    /// The container of this name in the account at `server`.
    pub fn new(server: Server, container: String) -> Self {
        Self { server, container }
    }

    /// The account, as its host has it.
    pub fn account(&self) -> String {
        self.server.host()
    }

    /// The blob `name`, if there is one.
    pub async fn read(&self, token: &Redacted, name: &str, now: Timestamp) -> Result<Option<Bytes>, Unread> {
        let what = format!("read az://{}/{name}", self.container);
        let answer = self.server.ask(&what, self.request(&Method::GET, token, name, now), &[token]).await?;
        let absent = answer.says("BlobNotFound");
        object(&self.server, &what, answer, (absent, true), self.remedy())
    }

    /// Writes the blob `name`.
    pub async fn write(
        &self,
        token: &Redacted,
        name: &str,
        content: Bytes,
        replace: Replace,
        now: Timestamp,
    ) -> Result<Written, Error> {
        let what = format!("write az://{}/{name}", self.container);
        let mut request = self.request(&Method::PUT, token, name, now).header("x-ms-blob-type", "BlockBlob");
        if replace == Replace::Nothing {
            request = request.header("if-none-match", "*");
        }
        let answer = self.server.ask(&what, request.body(content), &[token]).await?;
        match answer.status.as_u16() {
            201 => Ok(Written::Now),
            412 => Ok(Written::Before),
            409 if answer.says("BlobAlreadyExists") => Ok(Written::Before),
            _ => Err(self.server.refused(&what, &answer, self.remedy())),
        }
    }

    fn request(&self, method: &Method, token: &Redacted, name: &str, now: Timestamp) -> RequestBuilder {
        let path = format!("/{}/{}", encoded(&self.container, b""), encoded(name, b"/"));
        let request = self.server.client().request(method.clone(), self.server.at(&path));
        let request = request.header("x-ms-version", VERSION);
        // Its format of dates is that of HTTP.
        let date = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now).unwrap_or_default();
        bearer(request.header("x-ms-date", date), token)
    }

    fn remedy(&self) -> String {
        format!(
            "see that container {} exists in {} and give the agent's identity the role Storage Blob Data Contributor \
             on it",
            self.container,
            self.server.host()
        )
    }
}
