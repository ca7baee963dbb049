//! The three questions that the API server asks, each at a path of its own: may these images run, which digests do these
//! tags mean, and is this policy one.
//!
//! # Guarantees
//!
//! - The body of a request is bounded and has a time-out, and so has its answer, below what the API server waits.
//! - Whatever is not understood is answered with 400 or with a denial; the configuration makes both a denial.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::examiner::Examiner;
use super::follower::{Current, rules};
use super::review::{Answer, Request};
use super::snapshot::Snapshot;
use super::subject::Subject;
use crate::error::chain;
use crate::policy::ClusterImagePolicy;

/// An object has at most 1.5 MiB in etcd, and an update brings two of them.
const LARGEST: usize = 8 * 1024 * 1024;
const BODY: Duration = Duration::from_secs(3);
/// The configuration lets the API server wait for 10 s.
const ANSWER: Duration = Duration::from_secs(9);

/// What the questions are answered with.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) examiner: Arc<Examiner>,
    pub(super) current: Current,
}

/// The paths that the webhook configurations name.
pub(super) fn router(context: Context) -> Router {
    Router::new()
        .route("/validate", post(validate))
        .route("/mutate", post(mutate))
        .route("/validate-policy", post(validate_policy))
        .with_state(context)
}

async fn validate(State(context): State<Context>, body: Body) -> Response {
    answered(body, async |request, deadline| {
        let (subject, snapshot) = match context.subject(request) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        context.examiner.validate(&subject, &snapshot, deadline).await
    })
    .await
}

async fn mutate(State(context): State<Context>, body: Body) -> Response {
    answered(body, async |request, deadline| {
        let (subject, snapshot) = match context.subject(request) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        context.examiner.pin(&subject, &snapshot, deadline).await
    })
    .await
}

async fn validate_policy(State(context): State<Context>, body: Body) -> Response {
    answered(body, async |request, _| {
        let Some(snapshot) = context.snapshot() else { return Answer::denied(NOTHING_KNOWN) };
        let rules = rules(&snapshot.config, &context.examiner.namespace);
        let notes = ClusterImagePolicy::read(&request.object, &rules).notes;
        let told = |findings: &[_]| findings.iter().map(ToString::to_string).collect();
        Answer { denials: told(&notes.errors), warnings: told(&notes.warnings), ..Answer::default() }
    })
    .await
}

impl Context {
    fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.current.borrow().clone()
    }

    /// What the request is about, or the answer that needs no look at it.
    fn subject(&self, request: &Request) -> Result<(Subject, Arc<Snapshot>), Answer> {
        let subject = match Subject::of(request) {
            Ok(Some(subject)) => subject,
            Ok(None) => return Err(Answer::default()),
            Err(unreadable) => return Err(Answer::denied(unreadable.to_string())),
        };
        let snapshot = self.snapshot().ok_or_else(|| Answer::denied(NOTHING_KNOWN))?;
        Ok((subject, snapshot))
    }
}

async fn answered(body: Body, answer: impl AsyncFnOnce(&Request, Instant) -> Answer) -> Response {
    let deadline = Instant::now() + ANSWER;
    let body = match timeout(BODY, to_bytes(body, LARGEST)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return (StatusCode::PAYLOAD_TOO_LARGE, "the review is too large").into_response(),
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the review does not end").into_response(),
    };
    let request = match Request::read(&body) {
        Ok(request) => request,
        Err(malformed) => return (StatusCode::BAD_REQUEST, chain(&malformed)).into_response(),
    };
    let answer = answer(&request, deadline).await;
    tell(&request, &answer);
    let review: Value = answer.review(&request.uid);
    ([(CONTENT_TYPE, "application/json")], review.to_string()).into_response()
}

/// The user hears it from the API server, the operator from the log.
fn tell(request: &Request, answer: &Answer) {
    let (namespace, resource) = (&request.namespace, &request.resource.plural);
    if answer.admits() {
        tracing::debug!(namespace, resource, "admitted");
    } else {
        tracing::info!(namespace, resource, "denied: {}", answer.denials.join("; "));
    }
}

const NOTHING_KNOWN: &str = "the webhook has not read the policies yet: try again in a moment";
