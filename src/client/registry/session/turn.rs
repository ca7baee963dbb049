//! Whose turn it is in the trial of one target: the credential that is next is fetched if it has to be, and what this
//! and earlier runs learnt of it counts (credentials specification §1.4). Sends nothing to the registry.

use std::sync::Arc;
use std::time::Instant;

use super::super::error::Error;
use super::super::refusals::Caution;
use super::super::trial::{Ended, Standing, Trial};
use super::Session;
use crate::credential::{Candidate, Fetcher, Outcome, Problem, Target};

impl Session {
    /// Asks for the credential that is next, if it is one to be asked for, until there is one.
    pub(super) async fn fetch(&self, target: &Target, trial: &mut Trial) {
        while let Some((candidate, fetcher)) = trial.to_fetch() {
            match fetched(&candidate, &fetcher, target).await {
                Ok(candidate) if self.caution(&candidate, target) == Caution::Skip => {
                    trial.pass_over(Some("Rejected401"), None);
                }
                Ok(candidate) => trial.fetched(candidate),
                Err(problem) => trial.pass_over(None, Some(problem)),
            }
        }
    }

    /// The registry says that the time of a credential is over: whether there is another one in its place.
    pub(super) async fn renewed(&self, target: &Target, trial: &mut Trial, standing: &Standing) -> bool {
        let (fetcher, candidate) = match (trial.ended(standing), standing) {
            (Ended::Replaced, _) => return true,
            (Ended::Ask(fetcher), Standing::Candidate(_, candidate)) => (fetcher, candidate),
            _ => return false,
        };
        match fetcher.renew(&target.repository, &candidate.credential).await {
            Some(Ok(credential)) if credential != *candidate.credential => {
                let credential = Arc::new(credential);
                trial.replace(Candidate { credential, ..Candidate::clone(candidate) });
                true
            }
            Some(Err(problem)) => {
                trial.note(problem);
                false
            }
            _ => false,
        }
    }

    /// What this and earlier runs of the namespace learnt about a candidate.
    pub(super) fn caution(&self, candidate: &Candidate, target: &Target) -> Caution {
        self.registry.0.refusals.caution(&self.namespace, candidate, target, Instant::now())
    }

    pub(super) fn remember(&self, target: &Target, standing: &Standing, refused: Option<Outcome>) {
        let Standing::Candidate(_, candidate) = standing else { return };
        let refusals = &self.registry.0.refusals;
        match refused {
            None => refusals.accepted(&self.namespace, candidate, target),
            Some(outcome) => {
                refusals.refused(&self.namespace, candidate, target, outcome, Instant::now());
            }
        }
    }

    /// Nobody sees the image: an error that tells so, if any credential for it was refused.
    pub(in super::super) async fn unseen(&self, target: &Target, action: &str) -> Result<(), Error> {
        let Some(trial) = self.trials().get(target).cloned() else { return Ok(()) };
        let trial = trial.lock().await;
        match trial.report().filter(|report| report.has_refused_credential()) {
            Some(report) => {
                Err(Error::Denied { action: action.to_owned(), report: Box::new(report.clone()) })
            }
            None => Ok(()),
        }
    }
}

/// The candidate with the credential that its source gives for a target.
pub(in super::super) async fn fetched(
    candidate: &Candidate,
    fetcher: &Fetcher,
    target: &Target,
) -> Result<Candidate, Problem> {
    let credential = Arc::new(fetcher.fetch(&target.repository).await?);
    Ok(Candidate { credential, ..candidate.clone() })
}
