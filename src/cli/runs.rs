//! Runs as the commands for operators read them: one by name, or all of them page by page, each decoded into the little
//! that is shown, so that memory stays that of one page; and the one patch that clears marks.

use jiff::Timestamp;
use kube::Client;
use kube::api::ListParams;
use kube::core::Request;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::tekton::Kind;
use crate::tekton::head::RunHead;

/// Objects a page; a page of large runs is a few megabytes.
const PAGE: u32 = 100;
/// The name under which the controller writes on runs.
const MANAGER: &str = "tekton-chains-controller";

/// A run and what is written on it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) kind: Kind,
    pub(super) head: RunHead,
    /// Failed attempts, as the annotation counts.
    pub(super) retries: Option<String>,
    /// The Secret with which the push was accepted.
    pub(super) credential: Option<String>,
    /// One object for each artifact and store.
    pub(super) outcome: Vec<Told>,
    /// When the controller last wrote on it.
    pub(super) written_at: Option<Timestamp>,
}

/// An entry of the annotation `outcome`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Told {
    pub(super) artifact: String,
    pub(super) store: String,
    pub(super) reference: String,
    pub(super) signer: String,
    pub(super) result: String,
    pub(super) reason: String,
}

/// Why runs cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The API server refused, or did not answer.
    #[error("{}", super::doctor::said(.0))]
    Api(kube::Error),
    /// The request cannot be made of these names.
    #[error("the request cannot be built")]
    Request(#[from] kube::core::request::Error),
    /// The same for a request of our own.
    #[error("the request cannot be built")]
    Http(#[from] http::Error),
    /// What it sent is no run.
    #[error("the API server sent a run that cannot be read")]
    Json(#[from] serde_json::Error),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Api(error)
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(default)]
    items: Vec<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(rename = "continue")]
    next: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rest {
    metadata: RestMetadata,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RestMetadata {
    annotations: Option<Annotations>,
    managed_fields: Vec<Managed>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Annotations {
    #[serde(rename = "chains.tekton.dev/retries")]
    retries: Option<String>,
    #[serde(rename = "chains.tekton.dev/registry-credential")]
    credential: Option<String>,
    #[serde(rename = "chains.tekton.dev/outcome")]
    outcome: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Managed {
    manager: String,
    time: Option<Timestamp>,
}

impl Seen {
    /// A run as the API server sent it.
    pub(super) fn read(kind: Kind, text: &str) -> Result<Self, serde_json::Error> {
        let head: RunHead = serde_json::from_str(text)?;
        let Rest { metadata } = serde_json::from_str(text)?;
        let annotations = metadata.annotations.unwrap_or_default();
        let ours = metadata.managed_fields.iter().filter(|fields| fields.manager == MANAGER);
        let outcome = annotations.outcome.as_deref().and_then(|text| serde_json::from_str(text).ok());
        Ok(Self {
            kind,
            head,
            retries: annotations.retries,
            credential: annotations.credential,
            outcome: outcome.unwrap_or_default(),
            written_at: ours.filter_map(|fields| fields.time).max(),
        })
    }

    /// What failed, in the words of the attempt.
    pub(super) fn reasons(&self) -> impl Iterator<Item = &str> {
        self.outcome.iter().filter(|told| told.result == "failed").map(|told| told.reason.as_str())
    }
}

/// The one run of this name, or `None`.
pub(super) async fn named(
    client: &Client,
    kind: Kind,
    namespace: &str,
    name: &str,
) -> Result<Option<Seen>, Error> {
    let request = Request::new(path(kind, Some(namespace))).get(name, &kube::api::GetParams::default())?;
    match client.request_text(request).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        text => Ok(Some(Seen::read(kind, &text?)?)),
    }
}

/// Shows every run to `look`, in no order.
pub(super) async fn each(
    client: &Client,
    kind: Kind,
    namespace: Option<&str>,
    mut look: impl FnMut(Seen),
) -> Result<(), Error> {
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page: Page = client.request(Request::new(path(kind, namespace)).list(&params)?).await?;
        for item in &page.items {
            look(Seen::read(kind, item.get())?);
        }
        match page.metadata.next.filter(|next| !next.is_empty()) {
            Some(next) => params.continue_token = Some(next),
            None => return Ok(()),
        }
    }
}

/// Takes the mark off a run, so that the controller finds it unsigned. Needs `get` and `patch` on that one run.
pub(super) async fn unmark(client: &Client, seen: &Seen) -> Result<(), Error> {
    let key = seen.head.key(seen.kind);
    let request = http::Request::patch(format!("{}/{}", path(key.kind, Some(&key.namespace)), key.name))
        .header(http::header::CONTENT_TYPE, "application/merge-patch+json")
        .body(serde_json::to_vec(&cleared(&key.uid))?)?;
    client.request_text(request).await?;
    Ok(())
}

/// The uid makes the API server refuse it for another run of the same name. What was said of the last attempt stays
/// until the next one says something else.
fn cleared(uid: &str) -> Value {
    let none = json!({"chains.tekton.dev/signed": null, "chains.tekton.dev/retries": null});
    json!({"metadata": {"uid": uid, "annotations": none}})
}

fn path(kind: Kind, namespace: Option<&str>) -> String {
    let plural = kind.plural();
    match namespace {
        Some(namespace) => format!("/apis/tekton.dev/v1/namespaces/{namespace}/{plural}"),
        None => format!("/apis/tekton.dev/v1/{plural}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tekton::head::Mark;

    #[test]
    fn what_the_controller_wrote_is_read_and_foreign_annotations_are_not() {
        let outcome = json!([{"artifact": "a", "store": "oci", "result": "failed", "reason": "denied"},
            {"artifact": "b", "result": "stored"}]);
        let run = json!({"metadata": {"name": "r", "namespace": "ci", "uid": "u",
            "managedFields": [{"manager": "tekton", "time": "2026-01-02T00:00:00Z"},
                {"manager": "tekton-chains-controller", "time": "2026-01-01T00:00:00Z"}],
            "annotations": {"foreign": "x", "chains.tekton.dev/signed": "failed",
                "chains.tekton.dev/retries": "3", "chains.tekton.dev/outcome": outcome.to_string()}}});
        let seen = Seen::read(Kind::TaskRun, &run.to_string()).unwrap();
        assert_eq!(seen.head.mark(), Some(Mark::Failed));
        assert_eq!((seen.retries.as_deref(), seen.credential.as_deref()), (Some("3"), None));
        assert_eq!(seen.reasons().collect::<Vec<_>>(), ["denied"]);
        assert_eq!(seen.written_at.unwrap().to_string(), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn an_outcome_that_is_no_list_tells_nothing_and_hides_no_run() {
        for odd in ["", "{}", "[1]", "null"] {
            let run = json!({"metadata": {"annotations": {"chains.tekton.dev/outcome": odd}}});
            assert!(Seen::read(Kind::TaskRun, &run.to_string()).unwrap().outcome.is_empty(), "{odd}");
        }
    }

    #[test]
    fn clearing_touches_the_mark_and_the_count_alone() {
        let patch = cleared("u");
        let annotations = patch["metadata"]["annotations"].as_object().unwrap();
        assert_eq!(
            annotations.keys().collect::<Vec<_>>(),
            ["chains.tekton.dev/retries", "chains.tekton.dev/signed"]
        );
        assert!(annotations.values().all(Value::is_null));
    }
}
