//! What was looked at, tried and answered for one target, for people and for programs
//! (credentials specification §1.7).
//!
//! The same value is the JSON of `hallmark creds explain`, the Event, the log line and the annotation. It holds
//! names, keys, codes and status numbers; there is no field that a secret could be put into by mistake.

mod remedy;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::outcome::{Kind, Operation, Outcome};
use super::{Candidate, Credential, Fit, Keychain, Place, Problem, Provenance};
use crate::artifact::image::Repository;

/// What is to be done, and where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The repository.
    pub repository: Repository,
    /// Reading or writing.
    pub operation: Operation,
}

/// The report of one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CredentialReport {
    target: ReportedTarget,
    selected: Option<usize>,
    candidates: Vec<ReportedCandidate>,
    problems: Vec<Problem>,
    /// Why nothing but anonymous is among the candidates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unmatched: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ReportedTarget {
    registry: String,
    repository: String,
    operation: Operation,
}

/// One candidate with what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportedCandidate {
    /// Its number in the order of the trial, from 1.
    pub n: usize,
    /// Where it was found.
    #[serde(flatten)]
    pub from: Provenance,
    /// What it is.
    pub kind: Kind,
    /// How it went.
    pub outcome: Outcome,
    /// The HTTP status of the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The registry's own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Our word for it, out of §12.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Where the same credential was found as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also_from: Vec<Provenance>,
}

impl CredentialReport {
    /// The report before anything was tried.
    pub fn new(keychain: &Keychain, target: &Target, candidates: &[Arc<Candidate>]) -> Self {
        let only_anonymous =
            candidates.iter().all(|candidate| *candidate.credential == Credential::Anonymous);
        Self {
            target: ReportedTarget {
                registry: target.repository.registry().to_owned(),
                repository: target.repository.path().to_owned(),
                operation: target.operation,
            },
            selected: None,
            candidates: candidates
                .iter()
                .zip(1..)
                .map(|(candidate, n)| ReportedCandidate::new(n, candidate))
                .collect(),
            problems: keychain.problems_for(&target.repository),
            unmatched: if only_anonymous { unmatched(keychain, &target.repository) } else { Vec::new() },
        }
    }

    /// Notes how it went with candidate `n`, counted from 1 as in the report. `code` is the registry's own word or an
    /// outcome code of §12; what does not look like a code is left out, since servers may write anything there.
    pub fn record(&mut self, n: usize, outcome: Outcome, status: Option<u16>, code: Option<String>) {
        let Some(candidate) = self.candidates.iter_mut().find(|candidate| candidate.n == n) else { return };
        (candidate.outcome, candidate.status) = (outcome, status);
        candidate.reason = REASONS.into_iter().find(|reason| code.as_deref() == Some(reason));
        candidate.code = code.filter(|code| candidate.reason.is_none() && is_code(code));
        if outcome == Outcome::Used {
            self.selected.get_or_insert(n);
        } else if self.selected == Some(n) {
            self.selected = None;
        }
    }

    /// The candidates in the order of the trial.
    pub fn candidates(&self) -> &[ReportedCandidate] {
        &self.candidates
    }

    /// The number of the candidate that was accepted first.
    pub fn selected(&self) -> Option<usize> {
        self.selected
    }

    /// What was wrong with the sources.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Adds a problem that came up during the trial.
    pub fn add_problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// The value of the annotation `chains.tekton.dev/registry-credential`, once a candidate was used.
    pub fn annotation(&self) -> Option<String> {
        let used = self.candidates.iter().find(|candidate| Some(candidate.n) == self.selected)?;
        Some(used.from.to_string())
    }

    /// The candidates that were refused, each with its place and the reason.
    pub fn refused(&self) -> Vec<String> {
        let is_refused = |outcome| !matches!(outcome, Outcome::Used | Outcome::NotTried);
        let refused = self.candidates.iter().filter(|candidate| is_refused(candidate.outcome));
        refused.map(ToString::to_string).collect()
    }

    /// Whether a credential, not mere anonymity, was refused or left out because it had been.
    pub fn has_refused_credential(&self) -> bool {
        let outcomes = [Outcome::Rejected, Outcome::Denied, Outcome::Expired, Outcome::Skipped];
        let credentials = self.candidates.iter().filter(|candidate| candidate.kind != Kind::Anonymous);
        credentials.into_iter().any(|candidate| outcomes.contains(&candidate.outcome))
    }

    /// The text for an Event: the whole report, cut to 1 KiB at the end of a line.
    pub fn event_message(&self) -> String {
        const LONGEST: usize = 1024;
        const CUT: &str = "…";
        let whole = self.to_string();
        if whole.len() <= LONGEST {
            return whole;
        }
        let mut message = String::new();
        for line in whole.split_inclusive('\n') {
            if message.len() + line.len() + CUT.len() > LONGEST {
                break;
            }
            message.push_str(line);
        }
        message.push_str(CUT);
        message
    }
}

impl ReportedCandidate {
    fn new(n: usize, candidate: &Candidate) -> Self {
        Self {
            n,
            from: candidate.provenance.clone(),
            kind: Kind::of(candidate),
            outcome: Outcome::NotTried,
            status: None,
            code: None,
            reason: None,
            also_from: candidate.also_from.clone(),
        }
    }
}

/// The codes of §12 that say more than an outcome. `PlainHttp`: a secret is not sent without TLS.
const REASONS: [&str; 13] = [
    "Rejected401",
    "Denied403",
    "expired",
    "RateLimited",
    "Unavailable",
    "Transport",
    "NotFound",
    "UnsafeRealm",
    "NoChallenge",
    "NoTokenInResponse",
    "MalformedTokenResponse",
    "UnexpectedStatus",
    "PlainHttp",
];

fn is_code(text: &str) -> bool {
    const LONGEST: usize = 40;
    text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// One line for each place that was looked at and has nothing for `repository`, less those that a problem is told of
/// anyway.
fn unmatched(keychain: &Keychain, repository: &Repository) -> Vec<String> {
    let has_problem = |place: &Place| {
        let mut problems = keychain.problems.iter().filter(|problem| problem.source == place.source);
        problems.any(|problem| problem.location.is_same_object(&place.location))
    };
    let places = keychain.places(repository).into_iter();
    let places = places.filter(|place| place.fit != Fit::Matches && !has_problem(place));
    places.map(|place| place.to_string()).collect()
}

impl fmt::Display for CredentialReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReportedTarget { registry, repository, operation } = &self.target;
        write!(f, "{operation} {registry}/{repository}: {}", Tried(self))
    }
}

/// What became of each credential, for a sentence that has named the target.
pub struct Tried<'a>(pub &'a CredentialReport);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        match report.selected {
            Some(n) => write!(f, "credential {n} of {} was used", report.candidates.len()),
            None if report.is_only_anonymous() => {
                f.write_str("no credential matches, only anonymous access is left")
            }
            None if report.candidates.len() == 1 => f.write_str("the only credential was not accepted"),
            None => write!(f, "none of {} credentials was accepted", report.candidates.len()),
        }?;
        for candidate in &report.candidates {
            write!(f, "\n  {candidate}")?;
        }
        for line in &report.unmatched {
            write!(f, "\n  looked at {line}")?;
        }
        for problem in &report.problems {
            write!(f, "\n  problem: {problem}")?;
        }
        Ok(())
    }
}

impl CredentialReport {
    fn is_only_anonymous(&self) -> bool {
        self.candidates.iter().all(|candidate| candidate.kind == Kind::Anonymous)
    }
}

impl fmt::Display for ReportedCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.n, self.from)?;
        if self.kind != Kind::Anonymous {
            write!(f, ", {}", self.kind)?;
        }
        write!(f, ": {}", self.outcome)?;
        match (self.status, self.code.as_deref().or(self.reason)) {
            (Some(status), Some(code)) => write!(f, " ({status} {code})")?,
            (Some(status), None) => write!(f, " ({status})")?,
            (None, Some(code)) => write!(f, " ({code})")?,
            (None, None) => {}
        }
        for provenance in &self.also_from {
            write!(f, "; also from {provenance}")?;
        }
        if matches!(self.kind, Kind::IdentityToken | Kind::RegistryToken) {
            write!(f, "; kubelet cannot use this entry")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
