//! S3, and servers that speak as it does. The bucket is in the path, which all of them understand.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::Method;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use reqwest::RequestBuilder;
use url::Url;

use super::{Replace, Unread, Written, object};
use crate::client::cloud::aws::Keys;
use crate::client::cloud::aws::sign::{Request, Scope, sign};
use crate::client::store::{Error, Server, encoded};
use crate::credential::Redacted;

/// A bucket.
#[derive(Debug)]
pub struct S3 {
    server: Server,
    bucket: String,
    region: String,
}

impl S3 {
    /// The bucket of this name in `region` at `server`.
    pub fn new(server: Server, bucket: String, region: String) -> Self {
        Self { server, bucket, region }
    }

    /// Where it is.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The object `name`, if there is one.
    pub async fn read(&self, keys: &Keys, name: &str, now: Timestamp) -> Result<Option<Bytes>, Unread> {
        let what = format!("read s3://{}/{name}", self.bucket);
        let request = self.signed(&Method::GET, keys, name, &[], b"", now);
        let answer = self.server.ask(&what, request, &secrets(keys)).await?;
        // The second is also what somebody hears of an object that is not there who may not list the bucket.
        let means = (answer.says("NoSuchKey"), answer.says("AccessDenied"));
        object(&self.server, &what, answer, means, self.remedy())
    }

    /// Writes the object `name`.
    pub async fn write(
        &self,
        keys: &Keys,
        name: &str,
        content: Bytes,
        replace: Replace,
        now: Timestamp,
    ) -> Result<Written, Error> {
        let what = format!("write s3://{}/{name}", self.bucket);
        let kept: &[_] = if replace == Replace::Nothing { &[("if-none-match", "*")] } else { &[] };
        let headers = [&[("content-type", "application/octet-stream")], kept].concat();
        let request = self.signed(&Method::PUT, keys, name, &headers, &content, now);
        let answer = self.server.ask(&what, request.body(content), &secrets(keys)).await?;
        match answer.status.as_u16() {
            200 => Ok(Written::Now),
            412 => Ok(Written::Before),
            // Somebody writes it at this moment.
            409 if replace == Replace::Nothing => Ok(Written::Before),
            _ => Err(self.server.refused(&what, &answer, self.remedy())),
        }
    }

    fn signed(
        &self,
        method: &Method,
        keys: &Keys,
        name: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        now: Timestamp,
    ) -> RequestBuilder {
        let url: Url = self.server.at(&format!("/{}/{}", encoded(&self.bucket, b""), encoded(name, b"/")));
        let hash = hex::encode(digest(&SHA256, body));
        let headers = [headers, &[("x-amz-content-sha256", hash.as_str())]].concat();
        let scope = Scope { region: &self.region, service: "s3" };
        let signed =
            sign(&Request { method: method.as_str(), url: &url, headers: &headers, body }, keys, scope, now);
        let mut request = self.server.client().request(method.clone(), url);
        request = request.header(AUTHORIZATION, &*signed.authorization);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in &signed.headers {
            request = request.header(*name, &**value);
        }
        request
    }

    fn remedy(&self) -> String {
        format!(
            "see that bucket {} is in region {} (storage.s3.region) and allow this identity s3:PutObject and \
             s3:GetObject on it, and s3:ListBucket",
            self.bucket, self.region
        )
    }
}

fn secrets(keys: &Keys) -> Vec<&Redacted> {
    [Some(&keys.secret), keys.token.as_ref()].into_iter().flatten().collect()
}
