//! Reading and patching runs as raw JSON: their type is Tekton's, and only what is needed of it is decoded.

use bytes::Bytes;
use http::Method;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;

use crate::error::chain;
use crate::tekton::head::{RunHead, RunKey};
use crate::tekton::{Kind, MalformedRun, TaskRun};

/// A page of children is read whole; Tekton runs hundreds at most.
const CHILDREN: usize = 2000;

/// The API server said no, or nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("{}", said(.0))]
    Api(#[from] kube::Error),
    #[error("the request cannot be built")]
    Request(#[from] http::Error),
    #[error("the API server sent a run that cannot be read")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Malformed(#[from] MalformedRun),
}

impl RunError {
    /// The HTTP status, if the API server answered.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Api(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        }
    }
}

/// What the API server said, without the debug output that the library appends.
pub(super) fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => chain(error),
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
        let request = http::Request::get(object(key)).body(Vec::new())?;
        let text = match self.client.request_text(request).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
            text => text?,
        };
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

    /// The TaskRuns of a PipelineRun, by label, and of those only the ones that it owns.
    pub(super) async fn children(&self, owner: &RunKey) -> Result<Vec<TaskRun>, RunError> {
        #[derive(Deserialize)]
        struct List {
            #[serde(default)]
            items: Vec<Value>,
        }
        let path = path(Kind::TaskRun, Some(&owner.namespace));
        let selector = format!("labelSelector=tekton.dev%2FpipelineRun%3D{}", owner.name);
        let request = http::Request::get(format!("{path}?{selector}&limit={CHILDREN}")).body(Vec::new())?;
        let list: List = self.client.request(request).await?;
        let children = list.items.into_iter().filter(|child| is_owned_by(child, &owner.uid));
        children.map(|child| Ok(TaskRun::from_value(child)?)).collect()
    }
}

fn object(key: &RunKey) -> String {
    format!("{}/{}", path(key.kind, Some(&key.namespace)), key.name)
}

fn is_owned_by(child: &Value, uid: &str) -> bool {
    let owners = child.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.is_some_and(|owners| {
        owners.iter().any(|owner| owner.get("uid").and_then(Value::as_str) == Some(uid))
    })
}
