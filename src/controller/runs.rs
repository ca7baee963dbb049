//! Reading and patching runs as raw JSON: their type is Tekton's, and only what is needed of it is decoded.

use bytes::Bytes;
use http::Method;
use kube::Client;
use serde_json::Value;

pub(super) use crate::client::kubernetes::said;
use crate::tekton::head::{RunHead, RunKey};
use crate::tekton::{Kind, MalformedRun};

/// The API server said no, or nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("{}", said(.0))]
    Api(kube::Error),
    #[error("the request cannot be built")]
    Request(#[from] http::Error),
    #[error("the API server sent a run that cannot be read")]
    Json(#[from] serde_json::Error),
    #[error("a TaskRun of it cannot be read")]
    Child(#[source] serde_json::Error),
    #[error("a TaskRun of it cannot be read")]
    MalformedChild(#[from] MalformedRun),
}

impl From<kube::Error> for RunError {
    fn from(error: kube::Error) -> Self {
        Self::Api(error)
    }
}

impl RunError {
    /// Whether a child is the reason, which no other attempt reads either.
    pub(super) fn is_unreadable_child(&self) -> bool {
        matches!(self, Self::Child(_) | Self::MalformedChild(_))
    }

    /// The HTTP status, if the API server answered.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Api(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        }
    }
}

/// `/apis/tekton.dev/v1/namespaces/NS/taskruns`.
pub(super) fn path(kind: Kind, namespace: Option<&str>) -> String {
    let plural = kind.plural();
    match namespace {
        Some(namespace) => format!("/apis/tekton.dev/v1/namespaces/{namespace}/{plural}"),
        None => format!("/apis/tekton.dev/v1/{plural}"),
    }
}

/// Access to runs.
#[derive(Clone)]
pub(super) struct Runs {
    client: Client,
}

impl Runs {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The run as the API server has it, or `None` when it is gone or another one has its name.
    pub(super) async fn read(&self, key: &RunKey) -> Result<Option<Bytes>, RunError> {
        let Some(text) = self.lookup(&object(key)).await? else { return Ok(None) };
        let head: RunHead = serde_json::from_str(&text)?;
        Ok((head.key(key.kind).uid == key.uid).then(|| Bytes::from(text)))
    }

    /// Applies a JSON merge patch; the answer is the run's head after it.
    pub(super) async fn patch(&self, key: &RunKey, patch: &Value) -> Result<RunHead, RunError> {
        let request = http::Request::builder()
            .method(Method::PATCH)
            .uri(format!("{}?fieldManager=tekton-chains-controller", object(key)))
            .header(http::header::CONTENT_TYPE, "application/merge-patch+json")
            .body(serde_json::to_vec(patch)?)?;
        Ok(self.client.request(request).await?)
    }

    /// Sends a GET; nothing for what does not exist.
    pub(super) async fn lookup(&self, path: &str) -> Result<Option<String>, RunError> {
        let request = http::Request::get(path).body(Vec::new())?;
        match self.client.request_text(request).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            text => Ok(Some(text?)),
        }
    }
}

fn object(key: &RunKey) -> String {
    format!("{}/{}", path(key.kind, Some(&key.namespace)), key.name)
}
