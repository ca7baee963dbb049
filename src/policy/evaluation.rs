//! From the results of checks to one verdict (credentials specification §8.2). Pure.
//!
//! All policies that govern an image must be satisfied, and any one authority satisfies a policy. There are three
//! answers: satisfied, refused, and undecided. For an enforced policy the last two are a denial; a policy in mode
//! `warn` never denies and never makes another policy's denial a warning.

mod reason;

use super::Mode;
use super::authority::{Attestation, Demand, Signed, Static};
use super::check::{Flaw, Verified};
use super::material::Place;
use crate::config::NoMatch;

pub use reason::{Obstacle, Reason};

/// What was found for one authority.
pub type Looked = Result<Vec<Checked>, Obstacle>;

/// One signature or attestation with the result of its check.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Where it lies.
    pub place: Place,
    /// Whether it is what it should be.
    pub result: Result<Verified, Flaw>,
}

/// What an authority answers.
#[derive(Debug, Clone)]
pub enum Answer {
    /// What it asks for is there: these are the signatures that show it.
    Satisfied(Vec<Checked>),
    /// It is not there.
    Refused(Reason),
    /// That could not be found out.
    Undecided(Reason),
}

/// What an authority said.
#[derive(Debug, Clone)]
pub struct AuthorityVerdict {
    /// Its name.
    pub authority: String,
    /// What it answers.
    pub answer: Answer,
}

/// What a policy said.
#[derive(Debug, Clone)]
pub struct PolicyVerdict {
    /// Its name.
    pub policy: String,
    /// What its failure leads to.
    pub mode: Mode,
    /// Every authority, in order.
    pub authorities: Vec<AuthorityVerdict>,
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// What is asked for is there.
    Satisfied,
    /// It could not be found out.
    Undecided,
    /// It is not there.
    Refused,
}

impl Standing {
    /// A word of a closed set.
    pub fn name(self) -> &'static str {
        match self {
            Self::Satisfied => "satisfied",
            Self::Undecided => "undecided",
            Self::Refused => "refused",
        }
    }
}

/// What all policies said about an image.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Those that govern it.
    pub policies: Vec<PolicyVerdict>,
    /// What the operator wants where there is none.
    pub no_match: NoMatch,
}

/// What one authority makes of what was found.
pub fn answer(demand: &Demand, looked: Looked) -> Answer {
    let signed = match demand {
        Demand::Static(Static::Pass) => return Answer::Satisfied(Vec::new()),
        Demand::Static(Static::Fail { message }) => return Answer::Refused(Reason::Static(message.clone())),
        Demand::Signed(signed) => signed,
    };
    let checked = match looked {
        Ok(checked) => checked,
        Err(obstacle) => return Answer::of(Reason::Obstacle(obstacle)),
    };
    if signed.attestations.is_empty() { signature(checked) } else { attestations(signed, &checked) }
}

fn signature(checked: Vec<Checked>) -> Answer {
    if checked.is_empty() {
        return Answer::of(Reason::NoSignatures);
    }
    let (good, bad): (Vec<_>, Vec<_>) = checked.into_iter().partition(|one| one.result.is_ok());
    if good.is_empty() { Answer::of(Reason::NoneVerifies(bad)) } else { Answer::Satisfied(good) }
}

/// Every one must be there.
fn attestations(signed: &Signed, checked: &[Checked]) -> Answer {
    let mut good = Vec::new();
    for wanted in &signed.attestations {
        let Some(found) = checked.iter().find(|one| one.is(wanted)) else {
            let Attestation { name, predicate_type } = wanted.clone();
            return Answer::of(Reason::NoAttestation { name, predicate_type, found: checked.to_vec() });
        };
        good.push(found.clone());
    }
    Answer::Satisfied(good)
}

impl Checked {
    fn is(&self, wanted: &Attestation) -> bool {
        let statement = self.result.as_ref().ok().and_then(|verified| verified.statement.as_ref());
        statement.is_some_and(|statement| statement.predicate_type == wanted.predicate_type)
    }

    fn is_undecided(&self) -> bool {
        self.result.as_ref().is_err_and(Flaw::is_undecided)
    }
}

impl Answer {
    fn of(reason: Reason) -> Self {
        if reason.is_undecided() { Self::Undecided(reason) } else { Self::Refused(reason) }
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        match self {
            Self::Satisfied(_) => Standing::Satisfied,
            Self::Refused(_) => Standing::Refused,
            Self::Undecided(_) => Standing::Undecided,
        }
    }

    /// Why it is not satisfied.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Satisfied(_) => None,
            Self::Refused(reason) | Self::Undecided(reason) => Some(reason),
        }
    }
}

impl PolicyVerdict {
    /// The best of its authorities.
    pub fn standing(&self) -> Standing {
        let standings = self.authorities.iter().map(|one| one.answer.standing());
        standings.min().unwrap_or(Standing::Refused)
    }
}

impl Verdict {
    /// The worst of the enforced policies.
    pub fn standing(&self) -> Standing {
        if self.policies.is_empty() {
            return if self.no_match == NoMatch::Deny { Standing::Refused } else { Standing::Satisfied };
        }
        let enforced = self.policies.iter().filter(|policy| policy.mode == Mode::Enforce);
        enforced.map(PolicyVerdict::standing).max().unwrap_or(Standing::Satisfied)
    }

    /// Whether the image may run: nothing but an explicit pass lets it.
    pub fn admits(&self) -> bool {
        self.standing() == Standing::Satisfied
    }

    /// Why it may not run, a line for each authority of each enforced policy.
    pub fn denials(&self) -> Vec<String> {
        if self.policies.is_empty() && self.no_match == NoMatch::Deny {
            return vec![NO_POLICY.to_owned()];
        }
        self.failures(Mode::Enforce)
    }

    /// What is wrong and does not keep it from running.
    pub fn warnings(&self) -> Vec<String> {
        if self.policies.is_empty() && self.no_match == NoMatch::Warn {
            return vec![NO_POLICY.to_owned()];
        }
        self.failures(Mode::Warn)
    }

    fn failures(&self, mode: Mode) -> Vec<String> {
        let failed =
            |policy: &&PolicyVerdict| policy.mode == mode && policy.standing() != Standing::Satisfied;
        let lines = self.policies.iter().filter(failed).flat_map(|policy| {
            let authorities = policy.authorities.iter();
            authorities.filter_map(|one| {
                Some(format!("{}: {}: {}", policy.policy, one.authority, one.answer.reason()?))
            })
        });
        lines.collect()
    }
}

const NO_POLICY: &str = "no policy governs the image";

#[cfg(test)]
mod tests;
