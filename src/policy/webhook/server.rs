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
use crate::policy::trust_root::{PLURAL as TRUST_ROOTS, TrustRootObject};
use crate::telemetry::metrics::admission::{Answered, Request as Asked};

/// An object has at most 1.5 MiB in etcd, and an update brings two of them.
const LARGEST: usize = 8 * 1024 * 1024;
const BODY: Duration = Duration::from_secs(3);
/// The configuration lets the API server wait for 10 s. Whoever creates a pod waits for both answers one after the
/// other: together they are below that too.
const PIN: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(6);

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
    let answer = async |request: &Request, deadline| {
        let (subject, snapshot) = match context.subject(request) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        context.examiner.validate(&subject, &snapshot, deadline).await
    };
    context.answered(Asked::validate, ANSWER, body, answer).await
}

async fn mutate(State(context): State<Context>, body: Body) -> Response {
    let answer = async |request: &Request, deadline| {
        let (subject, snapshot) = match context.subject(request) {
            Ok(found) => found,
            Err(answer) => return answer,
        };
        context.examiner.pin(&subject, &snapshot, deadline).await
    };
    context.answered(Asked::mutate, PIN, body, answer).await
}

async fn validate_policy(State(context): State<Context>, body: Body) -> Response {
    let answer = async |request: &Request, _| {
        let Some(snapshot) = context.snapshot() else { return Answer::denied(NOTHING_KNOWN) };
        let rules = rules(&snapshot.config, &context.examiner.namespace);
        let notes = match request.resource.plural.as_str() {
            TRUST_ROOTS => TrustRootObject::read(&request.object).notes,
            _ => ClusterImagePolicy::read(&request.object, &rules).notes,
        };
        let told = |findings: &[_]| findings.iter().map(ToString::to_string).collect();
        Answer { denials: told(&notes.errors), warnings: told(&notes.warnings), ..Answer::default() }
    };
    context.answered(Asked::policy, ANSWER, body, answer).await
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

    async fn answered(
        &self,
        asked: Asked,
        limit: Duration,
        body: Body,
        answer: impl AsyncFnOnce(&Request, Instant) -> Answer,
    ) -> Response {
        let began = Instant::now();
        let note = |verdict| self.examiner.metrics.answered(asked, verdict, began.elapsed());
        let request = match read(body).await {
            Ok(request) => request,
            Err(refusal) => {
                note(Answered::malformed);
                return refusal.into_response();
            }
        };
        let answer = answer(&request, began + limit).await;
        tell(&request, &answer);
        note(match (answer.admits(), answer.warnings.is_empty()) {
            (true, true) => Answered::admitted,
            (true, false) => Answered::warned,
            (false, _) => Answered::denied,
        });
        let review: Value = answer.review(&request.uid);
        ([(CONTENT_TYPE, "application/json")], review.to_string()).into_response()
    }
}

async fn read(body: Body) -> Result<Request, (StatusCode, String)> {
    let body = match timeout(BODY, to_bytes(body, LARGEST)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Err((StatusCode::PAYLOAD_TOO_LARGE, "the review is too large".to_owned())),
        Err(_) => return Err((StatusCode::REQUEST_TIMEOUT, "the review does not end".to_owned())),
    };
    Request::read(&body).map_err(|malformed| (StatusCode::BAD_REQUEST, chain(&malformed)))
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
