//! Asking a registry what it thinks of each credential, for a person who wants to know
//! (credentials specification §7.2, `creds explain --probe`).
//!
//! Unlike a trial, a probe goes on after the first success, and leaves nothing behind: a push is an upload that is
//! opened and cancelled. Candidates beyond the limit of a trial are not offered, so that a probe locks nobody out
//! sooner than a run would.

use http::header::{ACCEPT, LOCATION};
use http::{Method, StatusCode};
use reqwest::Response;

use super::content::{any_manifest, header};
use super::error::Error;
use super::session::{Answer, Session, fetched};
use super::transport::Request;
use super::trial::{self, Refusal};
use crate::credential::{Candidate, Credential, CredentialReport, Operation, Outcome, Target};
use crate::error::Diagnose as _;

/// What a registry answered.
pub struct Probe {
    /// Every candidate with its outcome.
    pub report: CredentialReport,
    /// Why the rest was not tried: the fault lies with the registry or the way to it.
    pub stopped: Option<Error>,
}

impl Session {
    /// The candidates for `target`, none of them tried.
    pub async fn untried(&self, target: &Target) -> Result<CredentialReport, Error> {
        let action = format!("find credentials for {}", target.repository);
        let keychain = self.keychain(&action).await?;
        Ok(CredentialReport::new(&keychain, target, &trial::candidates(&keychain, target)))
    }

    /// Offers each candidate for `target`. A pull asks for the manifest `reference`, a tag or digest.
    pub async fn probe(&self, target: &Target, reference: &str) -> Result<Probe, Error> {
        let action = format!("{} {} as a probe", target.operation, target.repository);
        let keychain = self.keychain(&action).await?;
        let mut candidates = trial::candidates(&keychain, target);
        let request = match self.question(target, action, reference).await {
            Ok(request) => request,
            Err(stopped) => {
                let report = CredentialReport::new(&keychain, target, &candidates);
                return Ok(Probe { report, stopped: Some(stopped) });
            }
        };
        let unasked = match self.offer_nothing(target, &request).await {
            Ok(Answer::Accepted(response)) => Some(Ok(response)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        };
        if matches!(unasked, Some(Ok(_))) && !candidates.iter().any(|candidate| is_anonymous(candidate)) {
            candidates = keychain.candidates(&target.repository);
        }
        let mut report = CredentialReport::new(&keychain, target, &candidates);
        let stopped = match unasked {
            Some(Ok(response)) => {
                let n = candidates.iter().position(|candidate| is_anonymous(candidate)).map_or(0, |n| n + 1);
                self.accepted(target, &request, None, response, (n, &mut report)).await
            }
            Some(Err(error)) => Some(error),
            None => self.offer_each(target, &request, &candidates, &mut report).await,
        };
        Ok(Probe { report, stopped })
    }

    async fn offer_each(
        &self,
        target: &Target,
        request: &Request,
        candidates: &[std::sync::Arc<Candidate>],
        report: &mut CredentialReport,
    ) -> Option<Error> {
        for (candidate, n) in candidates.iter().zip(1..).take(self.settings.max_candidates) {
            let candidate = match &*candidate.credential {
                Credential::ToFetch(fetcher) => match fetched(candidate, fetcher, target).await {
                    Ok(candidate) => &std::sync::Arc::new(candidate),
                    Err(problem) => {
                        report.record(n, Outcome::Skipped, None, None);
                        report.add_problem(problem);
                        continue;
                    }
                },
                _ => candidate,
            };
            match self.offer(target, request, candidate).await {
                Ok(Answer::Accepted(response)) => {
                    let stopped =
                        self.accepted(target, request, Some(candidate), response, (n, report)).await;
                    if stopped.is_some() {
                        return stopped;
                    }
                }
                Ok(Answer::Refused(Refusal { outcome, status, code })) => {
                    report.record(n, outcome, status, code);
                }
                Ok(Answer::Challenged) => report.record(n, Outcome::Rejected, Some(401), None),
                Err(error) => {
                    report.record(n, Outcome::Error, None, Some(reason(&error)));
                    return Some(error);
                }
            }
        }
        None
    }

    /// Notes an answer that was not about authorisation, and cancels the upload that it may have opened.
    async fn accepted(
        &self,
        target: &Target,
        request: &Request,
        candidate: Option<&Candidate>,
        response: Response,
        (n, report): (usize, &mut CredentialReport),
    ) -> Option<Error> {
        let status = response.status();
        let number = Some(status.as_u16());
        if status == StatusCode::NOT_FOUND {
            report.record(n, Outcome::Error, number, Some("NotFound".to_owned()));
            return None;
        }
        if !status.is_success() {
            report.record(n, Outcome::Error, number, None);
            return Some(super::content::refused(request, response).await);
        }
        report.record(n, Outcome::Used, number, None);
        if let Some(cancel) = cancellation(request, &response) {
            // An upload that cannot be cancelled ends by itself; it says nothing about the credential.
            let _ = match candidate {
                Some(candidate) => self.offer(target, &cancel, candidate).await.map(|_| ()),
                None => self.offer_nothing(target, &cancel).await.map(|_| ()),
            };
        }
        None
    }

    async fn question(&self, target: &Target, action: String, reference: &str) -> Result<Request, Error> {
        match target.operation {
            Operation::Push => self.request(target, Method::POST, action, "blobs/uploads/").await,
            Operation::Pull => {
                let path = format!("manifests/{reference}");
                let mut request = self.request(target, Method::HEAD, action, &path).await?;
                request.headers.insert(ACCEPT, any_manifest());
                Ok(request)
            }
        }
    }
}

fn is_anonymous(candidate: &Candidate) -> bool {
    *candidate.credential == Credential::Anonymous
}

/// The outcome code of specification §12.
fn reason(error: &Error) -> String {
    match error {
        Error::Token { source, .. } => source.code(),
        Error::Unavailable { .. } | Error::Body { .. } => "Unavailable",
        Error::Throttled { .. } => "RateLimited",
        Error::Tls { .. } | Error::Setup(_) | Error::Forbidden { .. } => "Transport",
        other => other.label(),
    }
    .to_owned()
}

fn cancellation(opened: &Request, response: &Response) -> Option<Request> {
    if opened.method != Method::POST {
        return None;
    }
    let url = response.url().join(header(response, &LOCATION)?).ok()?;
    Some(Request { method: Method::DELETE, url, body: bytes::Bytes::new(), ..opened.clone() })
}
