//! Archivista, which keeps DSSE envelopes under the hash of their content (Chains specification §6.6): upload, download,
//! and the search for those about a digest.
//!
//! Guarantees: what is found is bounded in number and length; nothing of it is believed here. A server that keeps no
//! index finds nothing, which is told apart from finding none.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::json;

use super::store::{Error, Server, encoded};

/// Envelopes that are looked for, the newest first.
const MOST: usize = 64;

/// A server.
#[derive(Debug)]
pub struct Archivista {
    server: Server,
}

#[derive(Deserialize)]
struct Uploaded {
    gitoid: String,
}

#[derive(Deserialize)]
struct Found {
    data: Option<Envelopes>,
}

#[derive(Deserialize)]
struct Envelopes {
    dsses: Edges,
}

#[derive(Deserialize)]
struct Edges {
    #[serde(default)]
    edges: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    node: Node,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    gitoid_sha256: String,
}

impl Archivista {
    /// The one at `server`.
    pub fn new(server: Server) -> Self {
        Self { server }
    }

    /// Its host.
    pub fn host(&self) -> String {
        self.server.host()
    }

    /// Stores an envelope, and returns the name that it has there.
    pub async fn upload(&self, envelope: Vec<u8>) -> Result<String, Error> {
        let what = "upload an envelope";
        let request = self.server.client().post(self.server.at("/upload"));
        let request = request.header(CONTENT_TYPE, "application/json").body(envelope);
        let answer = self.server.ask(what, request, &[]).await?;
        if !answer.status.is_success() {
            return Err(self.server.refused(what, &answer, self.remedy()));
        }
        let uploaded = serde_json::from_slice::<Uploaded>(&answer.body).ok().map(|uploaded| uploaded.gitoid);
        uploaded.filter(|name| is_name(name)).ok_or_else(|| self.server.malformed(what))
    }

    /// The names of envelopes whose statements have a subject with this digest (hexadecimal); nothing where the server
    /// has no index.
    pub async fn about(&self, digest: &str) -> Result<Option<Vec<String>>, Error> {
        let what = format!("look for envelopes about {digest}");
        let content = json!({"query": QUERY, "variables": {"digest": digest, "most": MOST}});
        let request = self.server.client().post(self.server.at("/query"));
        let request = request.header(CONTENT_TYPE, "application/json").body(content.to_string());
        let answer = self.server.ask(&what, request, &[]).await?;
        match answer.status.as_u16() {
            200 => {}
            404 | 405 | 501 => return Ok(None),
            _ => return Err(self.server.refused(&what, &answer, self.remedy())),
        }
        let found = serde_json::from_slice::<Found>(&answer.body).ok().and_then(|found| found.data);
        let edges = found.ok_or_else(|| self.server.malformed(&what))?.dsses.edges;
        let names = edges.into_iter().rev().map(|edge| edge.node.gitoid_sha256);
        Ok(Some(names.filter(|name| is_name(name)).take(MOST).collect()))
    }

    /// The envelope of this name.
    pub async fn download(&self, name: &str) -> Result<Option<Bytes>, Error> {
        let what = format!("download envelope {name}");
        let request = self.server.client().get(self.server.at(&format!("/download/{}", encoded(name, b""))));
        let answer = self.server.ask(&what, request, &[]).await?;
        match answer.status.as_u16() {
            200 => Ok(Some(answer.body)),
            404 => Ok(None),
            _ => Err(self.server.refused(&what, &answer, self.remedy())),
        }
    }

    fn remedy(&self) -> String {
        format!(
            "see that storage.archivista.url is the address of Archivista: {} took no envelope",
            self.host()
        )
    }
}

/// A hash in hexadecimal; anything else would be a path of the server's choice.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 128 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

const QUERY: &str = "query ($digest: String!, $most: Int!) { dsses(last: $most, where: {hasStatementWith: \
                     {hasSubjectsWith: {hasSubjectDigestsWith: {value: $digest}}}}) { edges { node { gitoidSha256 } } } }";
