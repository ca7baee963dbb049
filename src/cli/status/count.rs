//! Runs, counted one after the other by what the controller would do with them. Pure; its size does not depend on how
//! many runs there are.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::cli::runs::Seen;
use crate::cli::style::one_line;
use crate::config::Config;
use crate::controller::decide::{Decision, Reason, decide};
use crate::tekton::Kind;
use crate::tekton::head::Mark;

/// Reasons that are told apart; texts that name digests would otherwise be as many as runs.
const REASONS: usize = 200;
/// As much of a reason as a line of a terminal.
const SHOWN: usize = 160;

/// The runs of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    pub(super) signed: usize,
    pub(super) failed: usize,
    /// Done, unmarked, and to be signed.
    pub(super) waiting: usize,
    pub(super) running: usize,
    /// Not the controller's, by its settings.
    pub(super) ignored: usize,
}

/// The run that waits longest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Oldest {
    pub(super) since: Timestamp,
    pub(super) run: String,
}

/// A reason, how often it was given, and a run to look at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Cause {
    pub(super) runs: usize,
    pub(super) example: String,
    #[serde(skip)]
    latest: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) taskruns: Tally,
    pub(super) pipelineruns: Tally,
    pub(super) oldest: Option<Oldest>,
    causes: BTreeMap<String, Cause>,
}

impl Counts {
    /// One more run.
    pub(super) fn add(&mut self, seen: &Seen, config: &Config, watched: &[String], now: Timestamp) {
        let decision = decide(&seen.head, config, watched, now);
        let tally = match seen.kind {
            Kind::TaskRun => &mut self.taskruns,
            Kind::PipelineRun => &mut self.pipelineruns,
        };
        match (seen.head.mark(), decision) {
            (Some(Mark::True), _) => tally.signed += 1,
            (Some(Mark::Failed), _) => {
                tally.failed += 1;
                self.blame(seen);
            }
            (None, Decision::Hold | Decision::Ignore(Reason::Running)) => tally.running += 1,
            (None, Decision::Sign | Decision::Skip(_) | Decision::Abandon) => {
                tally.waiting += 1;
                self.wait(seen);
                self.blame(seen);
            }
            (None, Decision::Ignore(_) | Decision::Release | Decision::LetGo | Decision::LetGoOnce) => {
                tally.ignored += 1;
            }
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.taskruns.waiting + self.pipelineruns.waiting
    }

    pub(super) fn failed(&self) -> usize {
        self.taskruns.failed + self.pipelineruns.failed
    }

    /// The reasons, the most frequent first.
    pub(super) fn causes(&self) -> Vec<(&str, &Cause)> {
        let mut causes: Vec<_> = self.causes.iter().map(|(reason, cause)| (reason.as_str(), cause)).collect();
        causes.sort_by_key(|(_, cause)| std::cmp::Reverse(cause.runs));
        causes
    }

    fn wait(&mut self, seen: &Seen) {
        let Some(since) = seen.head.completed_at() else { return };
        if self.oldest.as_ref().is_none_or(|oldest| since < oldest.since) {
            self.oldest = Some(Oldest { since, run: seen.head.key(seen.kind).to_string() });
        }
    }

    /// A run counts once for each of its reasons.
    fn blame(&mut self, seen: &Seen) {
        let mut reasons: Vec<String> = seen.reasons().map(cut).collect();
        reasons.sort();
        reasons.dedup();
        for reason in reasons {
            let full = self.causes.len() >= REASONS && !self.causes.contains_key(&reason);
            let reason = if full { "other reasons".to_owned() } else { reason };
            let cause = self.causes.entry(reason).or_default();
            cause.runs += 1;
            if cause.latest <= seen.head.completed_at() {
                cause.latest = seen.head.completed_at();
                cause.example = seen.head.key(seen.kind).to_string();
            }
        }
    }
}

fn cut(reason: &str) -> String {
    let plain = one_line(reason);
    if plain.chars().count() > SHOWN { plain.chars().take(SHOWN).chain(['…']).collect() } else { plain }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-01-01T12:00:00Z";

    fn run(name: &str, mark: Option<&str>, done: bool, minute: u32, reason: &str) -> Seen {
        let outcome = json!([{"result": "failed", "reason": reason}]).to_string();
        let status = if done { "True" } else { "Unknown" };
        let mut run = json!({"metadata": {"name": name, "namespace": "ci", "annotations": {}},
            "status": {"conditions": [{"type": "Succeeded", "status": status}]}});
        if done {
            run["status"]["completionTime"] = format!("2026-01-01T11:{minute:02}:00Z").into();
        }
        if let Some(mark) = mark {
            run["metadata"]["annotations"]["chains.tekton.dev/signed"] = mark.into();
        }
        if !reason.is_empty() {
            run["metadata"]["annotations"]["chains.tekton.dev/outcome"] = outcome.into();
        }
        Seen::read(Kind::TaskRun, &run.to_string()).unwrap()
    }

    fn counted(runs: impl IntoIterator<Item = Seen>) -> Counts {
        let mut counts = Counts::default();
        runs.into_iter().for_each(|seen| counts.add(&seen, &Config::default(), &[], NOW.parse().unwrap()));
        counts
    }

    #[test]
    fn every_run_is_counted_once() {
        let counts = counted([
            run("a", Some("true"), true, 1, ""),
            run("b", Some("failed"), true, 2, "denied"),
            run("c", None, true, 4, "away"),
            run("d", None, true, 3, ""),
            run("e", None, false, 0, ""),
        ]);
        assert_eq!(counts.taskruns, Tally { signed: 1, failed: 1, waiting: 2, running: 1, ignored: 0 });
        assert_eq!(counts.pipelineruns, Tally::default());
        assert_eq!(counts.oldest.as_ref().unwrap().run, "TaskRun ci/d");
    }

    #[test]
    fn reasons_are_told_by_how_many_runs_have_them_with_the_latest_of_these() {
        let failed = |name, minute, reason| run(name, Some("failed"), true, minute, reason);
        let counts = counted([failed("a", 1, "denied"), failed("b", 9, "denied"), failed("c", 5, "no key")]);
        let causes = counts.causes();
        assert_eq!(
            (causes[0].0, causes[0].1.runs, causes[0].1.example.as_str()),
            ("denied", 2, "TaskRun ci/b")
        );
        assert_eq!(causes[1].0, "no key");
    }

    #[test]
    fn memory_does_not_grow_with_the_runs() {
        let counts = counted(
            (0..2000).map(|n| run("r", Some("failed"), true, 1, &format!("{n} {}", "x".repeat(500)))),
        );
        assert_eq!(counts.causes().len(), REASONS + 1);
        assert_eq!(counts.causes()[0], ("other reasons", counts.causes()[0].1));
        assert!(counts.causes.keys().all(|reason| reason.chars().count() <= SHOWN + 1));
    }

    #[test]
    fn runs_that_nobody_watches_are_not_waited_for() {
        let mut counts = Counts::default();
        let run = run("a", None, true, 1, "");
        counts.add(&run, &Config::default(), &["elsewhere".to_owned()], NOW.parse().unwrap());
        assert_eq!((counts.taskruns.ignored, counts.waiting()), (1, 0));
    }
}
