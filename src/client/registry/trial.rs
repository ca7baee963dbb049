//! The trial of credentials for one target (credentials specification §1.4), as a value: which candidate is next,
//! how it went with each. It sends nothing; `session` does.
//!
//! # A 404 on a pull
//!
//! Registries hide what a credential may not see behind "not found", so before any candidate was accepted a 404 means
//! no more than "not for you": the next one is asked. When none sees more, the first that was told 404 stays in use
//! and its answer counts. A registry that asks nobody for a credential means its 404.

use std::sync::Arc;

use super::refusals::Caution;
use crate::credential::{Candidate, Credential, Fetcher, Keychain, Problem};
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

/// What becomes of a credential whose time is over.
pub(super) enum Ended {
    /// Whoever gave it is asked for another one, once.
    Ask(Fetcher),
    /// Another request has seen to it.
    Replaced,
    /// Nobody gives another.
    Refused,
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
    /// The first candidate that was told 404, by position.
    blind: Option<usize>,
    /// Who gave the credential at a position, until it was asked for another one.
    giver: Option<(usize, Fetcher)>,
    report: Option<CredentialReport>,
}

impl Trial {
    pub(super) fn new(target: Target) -> Self {
        Self {
            target,
            keychain: None,
            candidates: Vec::new(),
            position: 0,
            settled: false,
            blind: None,
            giver: None,
            report: None,
        }
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

    /// The registry wants a credential: these are the candidates, those that it refused of late at the end or, when
    /// it did not accept them at all, left out.
    pub(super) fn begin(
        &mut self,
        keychain: &Arc<Keychain>,
        most: usize,
        caution: impl Fn(&Candidate) -> Caution,
    ) {
        let all = candidates(keychain, &self.target);
        let of = |wanted| all.iter().filter(|one| caution(one) == wanted).cloned().collect::<Vec<_>>();
        let mut candidates = of(Caution::None);
        candidates.extend(of(Caution::Last));
        candidates.truncate(most);
        let (tried, skipped) = (candidates.len(), of(Caution::Skip));
        let shown: Vec<_> = candidates.iter().cloned().chain(skipped).collect();
        let mut report = CredentialReport::new(keychain, &self.target, &shown);
        for n in tried + 1..=shown.len() {
            report.record(n, Outcome::Skipped, None, Some("Rejected401".to_owned()));
        }
        self.report = Some(report);
        self.candidates = candidates;
        self.keychain = Some(Arc::clone(keychain));
        (self.position, self.settled, self.blind) = (0, false, None);
    }

    /// Who is to be asked for the credential that is next, if it is not at hand.
    pub(super) fn to_fetch(&self) -> Option<(Arc<Candidate>, Fetcher)> {
        let next = self.candidates.get(self.position)?;
        match &*next.credential {
            Credential::ToFetch(fetcher) => Some((Arc::clone(next), fetcher.clone())),
            _ => None,
        }
    }

    /// The credential that is next was fetched.
    pub(super) fn fetched(&mut self, candidate: Candidate) {
        self.giver = self.to_fetch().map(|(_, fetcher)| (self.position, fetcher));
        self.replace(candidate);
    }

    /// What to do about the credential of `standing`, whose time is over.
    pub(super) fn ended(&mut self, standing: &Standing) -> Ended {
        let Standing::Candidate(n, refused) = standing else { return Ended::Refused };
        let Some(current) = self.candidates.get(self.position).filter(|_| *n == self.position + 1) else {
            return Ended::Replaced;
        };
        if !Arc::ptr_eq(current, refused) {
            return Ended::Replaced;
        }
        let giver = self.giver.take_if(|(position, _)| *position + 1 == *n);
        giver.map_or(Ended::Refused, |(_, fetcher)| Ended::Ask(fetcher))
    }

    /// Another credential of the same source.
    pub(super) fn replace(&mut self, candidate: Candidate) {
        if let Some(next) = self.candidates.get_mut(self.position) {
            *next = Arc::new(candidate);
        }
    }

    /// Something that is worth knowing beside the outcomes.
    pub(super) fn note(&mut self, problem: Problem) {
        if let Some(report) = &mut self.report {
            report.add_problem(problem);
        }
    }

    /// There is none, or none worth showing to the registry.
    pub(super) fn pass_over(&mut self, code: Option<&str>, problem: Option<Problem>) {
        if let Some(report) = &mut self.report {
            report.record(self.position + 1, Outcome::Skipped, None, code.map(str::to_owned));
            if let Some(problem) = problem {
                report.add_problem(problem);
            }
        }
        self.advance();
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
        self.settled = false;
        // What was not let in has not seen anything after all.
        self.blind = self.blind.filter(|blind| *blind != self.position);
        self.advance();
    }

    /// The registry answered 404 to a pull. Whether another candidate is to be asked before that is believed.
    pub(super) fn is_blind(&mut self, standing: &Standing) -> bool {
        let Some(n) = standing.position().filter(|_| !self.settled) else {
            self.settled = true;
            return false;
        };
        if n != self.position + 1 {
            return true;
        }
        if let Some(report) = &mut self.report {
            report.record(n, Outcome::Error, Some(404), Some("NotFound".to_owned()));
        }
        self.blind.get_or_insert(self.position);
        self.advance();
        !self.settled
    }

    fn advance(&mut self) {
        self.position += 1;
        if let (true, Some(blind)) = (self.position >= self.candidates.len(), self.blind) {
            (self.position, self.settled) = (blind, true);
        }
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
    // A source that has yet to be asked may have nothing.
    let at_hand =
        |one: &Arc<Candidate>| !anonymous(one) && !matches!(*one.credential, Credential::ToFetch(_));
    if target.operation == Operation::Push && candidates.iter().any(at_hand) {
        candidates.retain(|candidate| !anonymous(candidate));
    }
    candidates
}
