//! The trial of credentials for one target (credentials specification §1.4), as a value: which candidate is next,
//! how it went with each. It sends nothing; `session` does.

use std::sync::Arc;

use crate::credential::{Candidate, Credential, Keychain};
use crate::credential::{CredentialReport, Operation, Outcome, Target};

/// Where the trial of one target stands.
#[derive(Clone)]
pub(super) enum Standing {
    /// Nothing was asked for yet: the request goes out without a credential.
    Open,
    /// This candidate is in use, or next; counted from 1 as in the report.
    Candidate(usize, Arc<Candidate>),
    /// Every candidate was refused.
    Exhausted,
}

impl Standing {
    fn position(&self) -> Option<usize> {
        match self {
            Self::Candidate(n, _) => Some(*n),
            Self::Open | Self::Exhausted => None,
        }
    }
}

/// Why a candidate does not serve.
pub(super) struct Refusal {
    pub outcome: Outcome,
    pub status: Option<u16>,
    pub code: Option<String>,
}

impl Default for Refusal {
    fn default() -> Self {
        Self { outcome: Outcome::Rejected, status: None, code: None }
    }
}

pub(super) struct Trial {
    target: Target,
    keychain: Option<Arc<Keychain>>,
    candidates: Vec<Arc<Candidate>>,
    position: usize,
    settled: bool,
    report: Option<CredentialReport>,
}

impl Trial {
    pub(super) fn new(target: Target) -> Self {
        Self { target, keychain: None, candidates: Vec::new(), position: 0, settled: false, report: None }
    }

    pub(super) fn standing(&self) -> Standing {
        if self.keychain.is_none() {
            return Standing::Open;
        }
        match self.candidates.get(self.position) {
            Some(candidate) => Standing::Candidate(self.position + 1, Arc::clone(candidate)),
            None => Standing::Exhausted,
        }
    }

    /// Whether the registry has accepted what [`Trial::standing`] names.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// The registry wants a credential: these are the candidates.
    pub(super) fn begin(&mut self, keychain: &Arc<Keychain>, most: usize) {
        let mut candidates = candidates(keychain, &self.target);
        candidates.truncate(most);
        self.report = Some(CredentialReport::new(keychain, &self.target, &candidates));
        self.candidates = candidates;
        self.keychain = Some(Arc::clone(keychain));
        (self.position, self.settled) = (0, false);
    }

    /// The registry did what it was asked.
    pub(super) fn accept(&mut self, standing: &Standing) {
        if let (Some(report), Some(n)) = (&mut self.report, standing.position()) {
            report.record(n, Outcome::Used, None, None);
        }
        self.settled = true;
    }

    /// The registry refused what it was offered; a refusal that another request has noted already changes nothing.
    pub(super) fn refuse(&mut self, standing: &Standing, refusal: Refusal) {
        let Some(n) = standing.position().filter(|n| *n == self.position + 1) else { return };
        if let Some(report) = &mut self.report {
            report.record(n, refusal.outcome, refusal.status, refusal.code);
        }
        self.position += 1;
        self.settled = false;
    }

    /// The report, once a credential was asked for.
    pub(super) fn report(&self) -> Option<&CredentialReport> {
        self.report.as_ref()
    }
}

/// The candidates in order. Anonymous pushes are tried only when there is nothing else (§1.4 rule 5).
pub(super) fn candidates(keychain: &Keychain, target: &Target) -> Vec<Arc<Candidate>> {
    let mut candidates = keychain.candidates(&target.repository);
    let anonymous = |candidate: &Arc<Candidate>| *candidate.credential == Credential::Anonymous;
    if target.operation == Operation::Push && !candidates.iter().all(anonymous) {
        candidates.retain(|candidate| !anonymous(candidate));
    }
    candidates
}
