//! Why a run is or is not signed, in one sentence, and what to do. Pure.

use crate::cli::runs::Seen;
use crate::controller::decide::{Decision, Reason};
use crate::tekton::head::Mark;

/// What is known beside the run.
pub(super) struct Circumstances {
    /// What the controller would do with it now.
    pub(super) decision: Decision,
    /// How many controllers live, where that may be known.
    pub(super) alive: Option<usize>,
    /// Whether the settings could be read.
    pub(super) configured: bool,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) sentence: String,
    pub(super) remedy: Option<String>,
    /// It is signed, or nobody has to do anything.
    pub(super) settled: bool,
    /// Whether the controller would take it up now.
    pub(super) taken: bool,
}

impl Verdict {
    pub(super) fn of(seen: &Seen, known: &Circumstances) -> Self {
        let verdict = match (seen.head.mark(), &known.decision) {
            (Some(Mark::True), _) => Self::signed(seen),
            (Some(Mark::Failed), _) => Self::open(
                "it was given up, and is not tried again by itself unless a Secret that it consulted changes",
                format!("mend what the reasons name, then: hallmark retry {}", name(seen)),
            ),
            (None, decision) => Self::unmarked(seen, decision),
        };
        verdict.under(known)
    }

    fn signed(seen: &Seen) -> Self {
        let skipped = seen.outcome.iter().find(|told| told.result == "skipped");
        let stored = seen.outcome.iter().any(|told| told.result == "stored" || told.result == "present");
        let sentence = match skipped {
            Some(told) if !stored => format!("it is marked without a signature: {}", told.reason),
            _ if seen.outcome.is_empty() => {
                "it is marked as signed, by Tekton Chains or because nothing was asked for".to_owned()
            }
            _ => "it is signed: everything that the configuration asks for is in place".to_owned(),
        };
        Self { sentence, remedy: None, settled: true, taken: false }
    }

    fn unmarked(seen: &Seen, decision: &Decision) -> Self {
        match decision {
            Decision::Sign if seen.retries.is_some() => Self::pending(
                "it was tried and failed, and is tried again by itself until signing.retry-window has passed",
                Some("mend what the reasons name; the next attempt finds it".to_owned()),
            ),
            Decision::Sign => Self::pending("it has ended and waits for its turn", None),
            Decision::Hold | Decision::Ignore(Reason::Running) => {
                Self { taken: false, ..Self::pending("it has not ended, and is signed when it has", None) }
            }
            Decision::Skip(reason) => {
                Self::pending(&format!("it will be marked without a signature: {reason}"), None)
            }
            Decision::Abandon => Self::open(
                "it is being deleted, and there was no time to sign it",
                "nothing can be done for this run".to_owned(),
            ),
            Decision::Release | Decision::LetGo | Decision::LetGoOnce => Self::open(
                "it is not among the runs that are selected, and is let go",
                format!("{}; then it is taken up by itself", remedy(Reason::Labels)),
            ),
            Decision::Ignore(reason) => {
                Self::open(&format!("the controller leaves it alone: {reason}"), remedy(*reason).to_owned())
            }
        }
    }

    /// A decision that nobody carries out is none.
    fn under(self, known: &Circumstances) -> Self {
        let waits = self.taken;
        if waits && known.alive == Some(0) {
            return Self::open(
                "no controller is alive, so nothing is signed",
                "hallmark doctor says what is missing".to_owned(),
            );
        }
        if waits && !known.configured {
            let doubt =
                "chains-config cannot be read from here, or has mistakes, so this goes by its defaults";
            return Self { sentence: format!("{}; {doubt}", self.sentence), ..self };
        }
        self
    }

    fn pending(sentence: &str, remedy: Option<String>) -> Self {
        Self { sentence: sentence.to_owned(), settled: remedy.is_none(), remedy, taken: true }
    }

    fn open(sentence: &str, remedy: String) -> Self {
        Self { sentence: sentence.to_owned(), remedy: Some(remedy), settled: false, taken: false }
    }
}

fn remedy(reason: Reason) -> &'static str {
    match reason {
        Reason::Namespace => "add its namespace to --namespace of the controller, or remove that argument",
        Reason::ManagedBy => {
            "the controller that manages it signs it; name it in the settings if that is nobody"
        }
        Reason::Labels => "give it the labels of selection.label-selector, or change that",
        Reason::Age => "raise selection.max-age in chains-config",
        Reason::Failure => "set selection.outcomes to all in chains-config",
        Reason::SkipAnnotation => "remove its annotation chains.tekton.dev/skip",
        Reason::OwnerSkipped => "remove the annotation chains.tekton.dev/skip of its PipelineRun",
        Reason::Running | Reason::Marked | Reason::Replica => "nothing has to be done",
    }
}

fn name(seen: &Seen) -> String {
    let key = seen.head.key(seen.kind);
    format!("{} {} -n {}", key.kind.as_str().to_ascii_lowercase(), key.name, key.namespace)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::config::Config;
    use crate::controller::decide::decide;
    use crate::tekton::Kind;

    fn seen(annotations: &Value, done: bool) -> Seen {
        let status = if done { "True" } else { "Unknown" };
        let run = json!({"metadata": {"name": "r", "namespace": "ci", "annotations": annotations},
            "status": {"completionTime": done.then_some("2026-01-01T00:00:00Z"),
                "conditions": [{"type": "Succeeded", "status": status}]}});
        Seen::read(Kind::TaskRun, &run.to_string()).unwrap()
    }

    fn verdict(annotations: &Value, done: bool, config: &[(&str, &str)], alive: usize) -> Verdict {
        let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let config = Config::parse(&config).config.unwrap();
        let seen = seen(annotations, done);
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let decision = decide(&seen.head, &config, &[], now);
        Verdict::of(&seen, &Circumstances { decision, alive: Some(alive), configured: true })
    }

    #[test]
    fn a_signed_run_needs_nothing_and_one_that_was_skipped_says_why() {
        let outcome = json!([{"result": "stored"}]).to_string();
        let signed = json!({"chains.tekton.dev/signed": "true", "chains.tekton.dev/outcome": outcome});
        let told = verdict(&signed, true, &[], 0);
        assert!(told.settled && told.sentence.starts_with("it is signed"), "{told:?}");
        let outcome = json!([{"result": "skipped", "reason": "annotation skip"}]).to_string();
        let skipped = json!({"chains.tekton.dev/signed": "true", "chains.tekton.dev/outcome": outcome});
        assert!(verdict(&skipped, true, &[], 1).sentence.ends_with("annotation skip"));
    }

    #[test]
    fn a_run_that_was_given_up_is_told_how_to_retry() {
        let told = verdict(&json!({"chains.tekton.dev/signed": "failed"}), true, &[], 1);
        assert!(!told.settled && !told.taken);
        assert!(told.remedy.unwrap().ends_with("hallmark retry taskrun r -n ci"));
    }

    #[test]
    fn a_run_that_waits_is_taken_unless_nobody_is_there() {
        let waits = verdict(&json!({}), true, &[], 1);
        assert!(waits.settled && waits.taken, "{waits:?}");
        let stuck = verdict(&json!({}), true, &[], 0);
        assert!(!stuck.settled && stuck.sentence.contains("no controller is alive"), "{stuck:?}");
        let tried = verdict(&json!({"chains.tekton.dev/retries": "1"}), true, &[], 1);
        assert!(
            !tried.settled && tried.taken && tried.sentence.contains("tried again by itself"),
            "{tried:?}"
        );
    }

    #[test]
    fn a_run_that_still_runs_needs_nobody_even_without_a_controller() {
        let told = verdict(&json!({}), false, &[], 0);
        assert!(told.settled && !told.taken, "{told:?}");
    }

    #[test]
    fn what_is_left_alone_by_a_setting_names_the_setting() {
        for (config, key) in [
            (("selection.max-age", "1h"), "selection.max-age"),
            (("selection.label-selector", "sign=yes"), "selection.label-selector"),
        ] {
            let told = verdict(&json!({}), true, &[config], 1);
            assert!(!told.settled && !told.taken, "{told:?}");
            assert!(told.remedy.unwrap().contains(key));
        }
    }
}
