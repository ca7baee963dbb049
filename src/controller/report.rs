//! The one boundary at which an attempt is reported: annotation, log, Event and metric are made from the same
//! outcome, so that they cannot disagree, and each failure is told once.

mod event;
mod summary;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;

pub(super) use summary::Summary;

use super::queue::Next;
use super::runs::RunError;
use crate::artifact::Unusable;
use crate::credential::CredentialReport;
use crate::error::Diagnose;
use crate::error::chain;
use crate::flow::outcome::{Entry, Error, Outcome, State};
use crate::tekton::completed::{Absence, Absent, Unfinished};
use crate::tekton::head::RunKey;
use crate::telemetry::metrics::{Cause, Metrics};
use event::{Events, Severity};

/// Events about results of one run that cannot be used; the others stand in the outcome. A hostile run shall not keep
/// a worker busy with publishing.
const UNUSABLE_EVENTS: usize = 5;
/// Delays after the API server refused or did not answer.
const API_PAUSES: [u64; 5] = [1, 2, 5, 15, 30];
const MISSING_RIGHT: &str =
    "The agent lacks a right: apply release.yaml again; hallmark doctor names the role that gives it";

/// See the module.
pub(super) struct Reporter {
    events: Events,
    pub(super) metrics: Arc<Metrics>,
}

impl Reporter {
    pub(super) fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self { events: Events::new(client), metrics }
    }

    /// Tells what became of an attempt.
    pub(super) async fn attempted(
        &self,
        key: &RunKey,
        outcome: &Outcome,
        summary: &Summary,
        completed: Option<Timestamp>,
    ) {
        self.count(key, outcome);
        for unusable in outcome.unusable.iter().take(UNUSABLE_EVENTS) {
            self.unusable(key, unusable).await;
        }
        for error in outcome.failures() {
            self.failure(key, error, summary).await;
        }
        let since = completed.and_then(|at| Duration::try_from(Timestamp::now().duration_since(at)).ok());
        match summary.mark() {
            Some("true") => {
                self.metrics.marked(key.kind, since);
                let stored =
                    outcome.entries.iter().filter(|entry| matches!(entry.state, State::Stored(_))).count();
                tracing::info!(run = %key, stored, milliseconds = since.map(millis), "signed");
            }
            Some(_) => {
                self.metrics.marked_failed.inc();
                let text = summary.given_up();
                tracing::error!(run = %key, "given up: {text}");
                self.events.publish(key, "SigningGivenUp", &text, "").await;
            }
            None => {}
        }
    }

    /// How long an attempt took to read children, to sign and store, and to record.
    pub(super) fn took(&self, [read, sign, record]: [Duration; 3]) {
        for (stage, took) in [("read", read), ("sign", sign), ("record", record)] {
            self.metrics.work.stage(stage, took);
        }
    }

    /// Another attempt follows.
    pub(super) fn repeated(&self, outcome: &Outcome) {
        let causes: BTreeSet<&'static str> = outcome.failures().map(Diagnose::label).collect();
        for error_type in causes {
            self.metrics.work.retries.get_or_create(&Cause { error_type }).inc();
        }
    }

    /// Tells which credentials were used and which were not. A target that all were refused for is a failure, and
    /// told there.
    pub(super) fn credentials(key: &RunKey, reports: &[CredentialReport]) {
        for report in reports.iter().filter(|report| report.annotation().is_some()) {
            tracing::info!(run = %key, "{report}");
        }
    }

    /// The API server failed; nothing could be recorded on the run. A right that is missing is told by Event: for that
    /// there is another right.
    pub(super) async fn api_failure(&self, key: &RunKey, error: &RunError, attempts: u32) -> Next {
        let position = (attempts as usize).min(API_PAUSES.len() - 1);
        let pause = API_PAUSES.get(position).copied().unwrap_or(30);
        let forbidden = error.code() == Some(403);
        let label = if forbidden { "api_forbidden" } else { "api_server" };
        self.metrics.of(key.kind).signing_failures.get_or_create(&Cause { error_type: label }).inc();
        tracing::warn!(run = %key, error = %chain(error), "the API server failed; trying again in {pause} s");
        if forbidden {
            let next = format!("{MISSING_RIGHT}. Tried again in {pause} s.");
            self.events.publish(key, "RightMissing", &chain(error), &next).await;
        }
        Next::After(Duration::from_secs(pause))
    }

    /// A run was deleted before it could be signed.
    pub(super) async fn abandoned(&self, key: &RunKey) {
        let text = "the run was deleted and could not be signed within a minute; it stays unsigned";
        tracing::error!(run = %key, "{text}");
        self.events.publish(key, "DeletedUnsigned", text, "").await;
    }

    /// A PipelineRun has ended, and TaskRuns of it have not.
    pub(super) async fn waiting(&self, key: &RunKey, unfinished: &Unfinished, tell: bool) {
        tracing::info!(run = %key, "{unfinished}");
        if tell {
            let next = "It is signed as soon as they have, and without them in an hour";
            self.events.publish(key, "WaitingForTaskRuns", &unfinished.to_string(), next).await;
        }
    }

    /// Tells what a statement goes without: what is lost as a warning, what is never part of one as a remark.
    pub(super) async fn absent(&self, key: &RunKey, absent: &[Absent<'_>]) {
        if let Some(text) = absence(absent) {
            tracing::warn!(run = %key, "{text}");
            let by_kind = absent.iter().all(|absent| absent.reason == Absence::Kind);
            let severity = if by_kind { Severity::Normal } else { Severity::Warning };
            self.events.publish_as(severity, key, "ChildrenNotStated", &text, "").await;
        }
    }

    /// A run that the API server has and that cannot be read here, or whose TaskRun cannot: no time mends that.
    pub(super) async fn unreadable(&self, key: &RunKey, error: &(dyn std::error::Error + Sync)) {
        let text = chain(error);
        self.metrics.marked_failed.inc();
        tracing::error!(run = %key, "given up: {text}");
        self.events.publish(key, "UnreadableRun", &text, "It stays unsigned").await;
    }

    async fn failure(&self, key: &RunKey, error: &Error, summary: &Summary) {
        let (what, next) = (chain(error), remedied(error, summary));
        tracing::warn!(run = %key, cause = error.label(), attempt = summary.attempts(), "{what}. {next}");
        let reason = if error.label() == "registry_denied" { "RegistryAuthFailed" } else { "SigningFailed" };
        self.events.publish(key, reason, &what, &next).await;
    }

    async fn unusable(&self, key: &RunKey, unusable: &Unusable) {
        let what = format!("result {} cannot be used: {}", unusable.result, unusable.reason);
        let remedy = unusable.reason.remedy();
        tracing::warn!(run = %key, "{what}. {remedy}");
        self.events.publish(key, "UnusableResult", &what, &remedy).await;
    }

    fn count(&self, key: &RunKey, outcome: &Outcome) {
        let metrics = self.metrics.of(key.kind);
        for Entry { state, .. } in &outcome.entries {
            match state {
                State::Stored(_) => {
                    metrics.sign_created.inc();
                    metrics.payload_stored.inc();
                }
                State::Failed(error) => {
                    metrics.signing_failures.get_or_create(&Cause { error_type: error.label() }).inc();
                }
                State::Present | State::Skipped(_) => {}
            }
        }
    }
}

/// One sentence, however many they are.
fn absence(absent: &[Absent<'_>]) -> Option<String> {
    const SHOWN: usize = 5;
    let told = |absent: &Absent<'_>| format!("{} {} ({})", absent.kind, absent.name, absent.reason);
    let names: Vec<String> = absent.iter().take(SHOWN).map(told).collect();
    let more = absent.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!names.is_empty()).then(|| format!("the statement goes without {}{more}", names.join(", ")))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What to do, and what happens next.
fn remedied(error: &Error, summary: &Summary) -> String {
    let hint = error.hint().map(|hint| format!("{hint}. ")).unwrap_or_default();
    format!("{hint}{}", summary.whats_next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_one_sentence_however_much_it_is() {
        assert_eq!(absence(&[]), None);
        let custom = Absent { kind: "CustomRun", name: "approve", reason: Absence::Kind };
        let gone = Absent { kind: "TaskRun", name: "build", reason: Absence::Gone };
        assert_eq!(
            absence(&[custom, gone]).unwrap(),
            "the statement goes without CustomRun approve (the statement tells of TaskRuns only), TaskRun build (it no \
             longer exists)"
        );
        assert!(absence(&vec![gone; 4000]).unwrap().ends_with("(it no longer exists) and 3995 more"));
    }
}
