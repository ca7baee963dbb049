//! Google Container Analysis, the public form of Grafeas, over REST (Chains specification §6.5): notes, and the
//! occurrences that refer to them.

use http::header::CONTENT_TYPE;
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::{Value, json};

use super::store::{Answer, Error, Server, bearer, encoded};
use crate::credential::Redacted;

/// Pages of occurrences that are read; each has up to [`PAGE`] of them.
const PAGES: usize = 10;
const PAGE: usize = 100;

/// Container Analysis, for one project.
#[derive(Debug)]
pub struct Grafeas {
    server: Server,
    project: String,
}

/// What is known of a resource.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Occurrence {
    /// The name that the service gave it.
    #[serde(default)]
    pub name: String,
    /// The note that it is one of.
    #[serde(default)]
    pub note_name: String,
    /// What was signed, and the signatures.
    #[serde(default)]
    pub envelope: Envelope,
}

/// What was signed, and the signatures; all in base64.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Envelope {
    /// What was signed.
    pub payload: String,
    /// Over it.
    pub signatures: Vec<Signature>,
}

/// A signature in base64.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Signature {
    /// The signature.
    pub sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    occurrences: Vec<Occurrence>,
    #[serde(default)]
    next_page_token: String,
}

impl Grafeas {
    /// The notes and occurrences of `project` at `server`.
    pub fn new(server: Server, project: String) -> Self {
        Self { server, project }
    }

    /// The full name of a note.
    pub fn note(&self, id: &str) -> String {
        format!("projects/{}/notes/{id}", self.project)
    }

    /// Makes a note, unless there is one of that name.
    pub async fn make_note(&self, token: &Redacted, id: &str, note: &Value) -> Result<(), Error> {
        let what = format!("make note {}", self.note(id));
        let mut url = self.server.at(&format!("/v1/projects/{}/notes", encoded(&self.project, b"")));
        url.query_pairs_mut().append_pair("noteId", id);
        let request = with_body(self.server.client().post(url), note);
        let answer = self.server.ask(&what, bearer(request, token), &[token]).await?;
        match answer.status.as_u16() {
            200 | 409 => Ok(()),
            _ => Err(self.refused(&what, &answer)),
        }
    }

    /// What refers to the note `id` about `resource`.
    pub async fn occurrences(
        &self,
        token: &Redacted,
        id: &str,
        resource: &str,
    ) -> Result<Vec<Occurrence>, Error> {
        let what = format!("look for occurrences of {} about {resource}", self.note(id));
        let (mut found, mut page) = (Vec::new(), String::new());
        for _ in 0..PAGES {
            let mut url =
                self.server.at(&format!("/v1/projects/{}/occurrences", encoded(&self.project, b"")));
            let filter = format!("resourceUrl={}", json!(resource));
            url.query_pairs_mut()
                .append_pair("filter", &filter)
                .append_pair("pageSize", &PAGE.to_string())
                .extend_pairs((!page.is_empty()).then_some(("pageToken", page.as_str())));
            let request = bearer(self.server.client().get(url), token);
            let answer = self.server.ask(&what, request, &[token]).await?;
            if answer.status.as_u16() != 200 {
                return Err(self.refused(&what, &answer));
            }
            let read: Page =
                serde_json::from_slice(&answer.body).map_err(|_| self.server.malformed(&what))?;
            found.extend(read.occurrences.into_iter().filter(|one| one.note_name == self.note(id)));
            page = read.next_page_token;
            if page.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    /// Makes an occurrence, and returns the name that the service gave it.
    pub async fn make_occurrence(&self, token: &Redacted, occurrence: &Value) -> Result<String, Error> {
        let resource = occurrence.get("resourceUri").and_then(Value::as_str).unwrap_or_default();
        let what = format!("make an occurrence about {resource} in project {}", self.project);
        let url = self.server.at(&format!("/v1/projects/{}/occurrences", encoded(&self.project, b"")));
        let request = with_body(self.server.client().post(url), occurrence);
        let answer = self.server.ask(&what, bearer(request, token), &[token]).await?;
        if answer.status.as_u16() != 200 {
            return Err(self.refused(&what, &answer));
        }
        let made: Occurrence =
            serde_json::from_slice(&answer.body).map_err(|_| self.server.malformed(&what))?;
        Some(made.name).filter(|name| !name.is_empty()).ok_or_else(|| self.server.malformed(&what))
    }

    fn refused(&self, what: &str, answer: &Answer) -> Error {
        let remedy = format!(
            "enable the Container Analysis API in project {} and grant the agent's identity \
             roles/containeranalysis.notes.editor and roles/containeranalysis.occurrences.editor there",
            self.project
        );
        self.server.refused(what, answer, remedy)
    }
}

fn with_body(request: RequestBuilder, content: &Value) -> RequestBuilder {
    request.header(CONTENT_TYPE, "application/json").body(content.to_string())
}
