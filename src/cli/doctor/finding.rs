//! What a check came to: a state, what was found, and what to do. Pure.

use serde::Serialize;

use crate::cli::style::one_line;
use crate::cli::{Exit, exit_of};
use crate::error::{Diagnose, chain};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum State {
    /// It is as it should be.
    Ok,
    /// It works, but somebody should know.
    Warning,
    /// Something will not be signed.
    Failed,
    /// It could not be looked at.
    Unchecked,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Finding {
    pub(super) check: &'static str,
    pub(super) state: State,
    pub(super) found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
    #[serde(skip)]
    exit: Exit,
}

/// The lines in the order of their checks.
#[derive(Debug, Default)]
pub(in crate::cli) struct Findings(Vec<Finding>);

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl AsRef<str>) -> Self {
        Self::new(check, State::Ok, found.as_ref(), Exit::Ok)
    }

    pub(super) fn warning(check: &'static str, found: impl AsRef<str>) -> Self {
        Self::new(check, State::Warning, found.as_ref(), Exit::Ok)
    }

    pub(super) fn failed(check: &'static str, found: impl AsRef<str>) -> Self {
        Self::new(check, State::Failed, found.as_ref(), Exit::Failed)
    }

    pub(super) fn unchecked(check: &'static str, found: impl AsRef<str>) -> Self {
        Self::new(check, State::Unchecked, found.as_ref(), Exit::Ok)
    }

    /// A failure that explains itself.
    pub(super) fn of(check: &'static str, error: &dyn Diagnose) -> Self {
        let finding = Self { exit: exit_of(error), ..Self::failed(check, told(error)) };
        Self { remedy: error.hint(), ..finding }
    }

    /// Which of several things it is about.
    pub(super) fn about(self, thing: &str) -> Self {
        Self { found: format!("{thing}: {}", self.found), ..self }
    }

    /// What to do.
    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// What to do, unless it is known already.
    pub(super) fn or_remedy(self, remedy: impl Into<String>) -> Self {
        if self.remedy.is_some() { self } else { self.remedy(remedy) }
    }

    /// How the command ends because of it.
    pub(super) fn exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    fn new(check: &'static str, state: State, found: &str, exit: Exit) -> Self {
        let found = one_line(found).chars().take(LONGEST).collect();
        Self { check, state, found, remedy: None, exit }
    }
}

/// Longer texts are cut; some of what is told comes from servers.
const LONGEST: usize = 1000;

fn told(error: &dyn Diagnose) -> String {
    // `chain` takes a plain error.
    let mut text = error.to_string();
    if let Some(source) = error.source() {
        let cause = chain(source);
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

impl Findings {
    pub(super) fn add(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    pub(super) fn lines(&self) -> &[Finding] {
        &self.0
    }

    pub(super) fn count(&self, state: State) -> usize {
        self.0.iter().filter(|finding| finding.state == state).count()
    }

    /// What will not mend itself decides, then what was refused, then what may pass.
    pub(super) fn exit(&self) -> Exit {
        const WORST: [Exit; 3] = [Exit::Failed, Exit::Denied, Exit::Temporary];
        let ended = |exit: &Exit| self.0.iter().any(|finding| finding.exit == *exit);
        WORST.into_iter().find(ended).unwrap_or(Exit::Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity;

    fn findings(all: &[Finding]) -> Findings {
        Findings(all.to_vec())
    }

    #[test]
    fn what_could_not_be_checked_is_no_failure() {
        let all = [Finding::ok("a", "x"), Finding::warning("b", "x"), Finding::unchecked("c", "x")];
        assert_eq!(findings(&all).exit(), Exit::Ok);
        assert_eq!(findings(&all).count(State::Unchecked), 1);
    }

    #[test]
    fn the_failure_that_lasts_longest_is_the_exit_code() {
        let passing = Finding::failed("a", "x").exit(Exit::Temporary);
        let denied = Finding::failed("b", "x").exit(Exit::Denied);
        assert_eq!(findings(std::slice::from_ref(&passing)).exit(), Exit::Temporary);
        assert_eq!(findings(&[passing.clone(), denied.clone()]).exit(), Exit::Denied);
        assert_eq!(findings(&[passing, denied, Finding::failed("c", "x")]).exit(), Exit::Failed);
    }

    #[test]
    fn an_error_brings_its_causes_and_its_remedy_along() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = identity::Error::File { file: "/token".into(), source };
        let finding = Finding::of("identity", &error).or_remedy("never");
        assert_eq!(finding.state, State::Failed);
        assert_eq!(finding.found, "cannot read the identity token /token: entity not found");
        assert!(finding.remedy.unwrap().starts_with("mount a projected service account token"));
    }

    #[test]
    fn what_servers_say_stays_on_one_line_and_is_cut() {
        let finding = Finding::ok("a", format!("x\u{1b}[2J\n{}", "y".repeat(5000)));
        assert!(!finding.found.contains(char::is_control) && finding.found.chars().count() == LONGEST);
    }
}
