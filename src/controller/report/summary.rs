//! What of an outcome is written on the run, and how it is told in words. Pure.

use std::collections::BTreeMap;

use super::super::decide::Reason;
use super::super::queue::Next;
use super::super::retry::Verdict;
use crate::error::chain;
use crate::flow::outcome::{Entry, Outcome, State};
use crate::storage::{Stored, remembered};
use crate::tekton::completed::Absent;
use crate::tekton::head::RunKey;
use crate::tekton::record::{self, OutcomeEntry};

/// An attempt, as the annotations tell it.
pub(crate) struct Summary {
    mark: Option<&'static str>,
    given_up: Option<&'static str>,
    next: Option<Next>,
    attempts: u32,
    entries: Vec<OutcomeEntry>,
    stored: BTreeMap<String, String>,
    credential: Option<String>,
}

impl Summary {
    /// `verdict` is that on the failures, if there were any; `absent` is what the statement goes without.
    pub(crate) fn of(
        outcome: &Outcome,
        absent: &[Absent<'_>],
        verdict: Option<&Verdict>,
        attempts: u32,
    ) -> Self {
        let receipts: Vec<&Stored> = outcome.entries.iter().filter_map(receipt).collect();
        let unusable = outcome.is_unusable().then_some("every result that names an image is unusable");
        let (mark, given_up, next) = match verdict {
            None if unusable.is_some() => (Some("failed"), unusable, None),
            None => (Some("true"), None, None),
            Some(Verdict::GiveUp(reason)) => (Some("failed"), Some(*reason), None),
            Some(Verdict::Retry(next)) => (None, None, Some(next.clone())),
        };
        Self {
            mark,
            given_up,
            next,
            attempts,
            entries: outcome
                .entries
                .iter()
                .map(OutcomeEntry::from)
                .chain(outcome.unusable.iter().map(told_unusable))
                .chain(absent.iter().map(OutcomeEntry::from))
                .collect(),
            stored: receipts.iter().flat_map(|receipt| annotations(receipt)).collect(),
            credential: receipts.iter().find_map(|receipt| receipt.credential.clone()),
        }
    }

    /// A run that its owner wants left alone.
    pub(crate) fn skipped(key: &RunKey, reason: Reason) -> Self {
        Self::settled(key, "true", "skipped", reason.to_string())
    }

    /// A run that cannot be read.
    pub(crate) fn unreadable(key: &RunKey, error: &dyn std::error::Error) -> Self {
        Self::settled(key, "failed", "failed", chain(error))
    }

    fn settled(key: &RunKey, mark: &'static str, result: &'static str, reason: String) -> Self {
        let entry = OutcomeEntry {
            artifact: format!("{}/{}", key.namespace, key.name),
            result,
            reason,
            ..OutcomeEntry::default()
        };
        let (stored, credential) = (BTreeMap::new(), None);
        Self {
            mark: Some(mark),
            given_up: None,
            next: None,
            attempts: 1,
            entries: vec![entry],
            stored,
            credential,
        }
    }

    /// `true`, `failed`, or nothing yet.
    pub(crate) fn mark(&self) -> Option<&'static str> {
        self.mark
    }

    /// How many attempts were made, this one included.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Why it was given up.
    pub(crate) fn given_up(&self) -> String {
        let failed =
            self.entries.iter().filter(|entry| entry.result == "failed").map(|entry| entry.reason.as_str());
        let reason = self.given_up.unwrap_or_default();
        format!("{reason}: {}", failed.collect::<Vec<_>>().join("; "))
    }

    /// What happens after this attempt.
    pub(crate) fn whats_next(&self) -> String {
        match (&self.next, self.given_up) {
            (Some(Next::After(delay)), _) => format!("Tried again in {} s.", delay.as_secs().max(1)),
            (Some(Next::Host(host, _)), _) => format!("Tried again as soon as {host} answers."),
            (_, Some(reason)) => format!("Not tried again: {reason}."),
            _ => String::new(),
        }
    }

    /// Every annotation that a run gets that carries `present`, names without prefix but for one.
    pub(crate) fn annotations_beside(&self, present: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut annotations = self.annotations();
        let names = remembered::annotation(&self.entries, &annotations, present);
        annotations.extend(names.map(|names| (remembered::STORED.to_owned(), names)));
        annotations
    }

    /// The same where nothing was stored.
    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = self.stored.clone();
        annotations.insert("outcome".to_owned(), record::outcome(&self.entries));
        if let Some(mark) = self.mark {
            annotations.insert("signed".to_owned(), mark.to_owned());
        }
        if self.mark != Some("true") {
            let most = record::RETRIES_WRITTEN - 1;
            // Chains writes `failed` only after its last retry, and tools look for both.
            let retries = if self.mark.is_some() { most } else { self.attempts.saturating_sub(1).min(most) };
            annotations.insert("retries".to_owned(), retries.to_string());
        }
        if let Some(credential) = &self.credential {
            annotations.insert("registry-credential".to_owned(), credential.clone());
        }
        annotations
    }
}

/// What the run has to carry for a receipt to be true. The last entry in a log wins, as in Chains.
fn annotations(receipt: &Stored) -> impl Iterator<Item = (String, String)> {
    let entry =
        receipt.logged.last().map(|entry| (crate::tekton::TRANSPARENCY.to_owned(), entry.address.clone()));
    receipt.annotations.clone().into_iter().chain(entry)
}

fn receipt(entry: &Entry) -> Option<&Stored> {
    match &entry.state {
        State::Stored(stored) => Some(stored),
        _ => None,
    }
}

fn told_unusable(unusable: &crate::artifact::Unusable) -> OutcomeEntry {
    OutcomeEntry {
        artifact: format!("result {}", unusable.result),
        result: "failed",
        reason: unusable.reason.to_string(),
        ..OutcomeEntry::default()
    }
}
