//! What of an outcome is written on the run, and how it is told in words. Pure.

use std::collections::BTreeMap;

use super::super::decide::Reason;
use super::super::queue::Next;
use super::super::retry::Verdict;
use crate::flow::outcome::{Entry, Outcome, State};
use crate::storage::Stored;
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
    /// `verdict` is that on the failures, if there were any.
    pub(crate) fn of(outcome: &Outcome, verdict: Option<&Verdict>, attempts: u32) -> Self {
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
                .collect(),
            stored: receipts.iter().flat_map(|receipt| receipt.annotations.clone()).collect(),
            credential: receipts.iter().find_map(|receipt| receipt.credential.clone()),
        }
    }

    /// A run that its owner wants left alone.
    pub(crate) fn skipped(key: &RunKey, reason: Reason) -> Self {
        let entry = OutcomeEntry {
            artifact: format!("{}/{}", key.namespace, key.name),
            result: "skipped",
            reason: reason.to_string(),
            ..OutcomeEntry::default()
        };
        let (stored, credential) = (BTreeMap::new(), None);
        Self {
            mark: Some("true"),
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
            (Some(Next::After(delay)), _) => format!("Tried again in {} s.", delay.as_secs()),
            (Some(Next::Host(host)), _) => format!("Tried again as soon as {host} answers."),
            (_, Some(reason)) => format!("Not tried again: {reason}."),
            _ => String::new(),
        }
    }

    /// Every annotation that the run gets, names without prefix.
    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = self.stored.clone();
        annotations.insert("outcome".to_owned(), record::outcome(&self.entries));
        if let Some(mark) = self.mark {
            annotations.insert("signed".to_owned(), mark.to_owned());
        }
        if self.mark != Some("true") {
            let retries = self.attempts.saturating_sub(1).min(record::RETRIES_WRITTEN - 1);
            annotations.insert("retries".to_owned(), retries.to_string());
        }
        if let Some(credential) = &self.credential {
            annotations.insert("registry-credential".to_owned(), credential.clone());
        }
        annotations
    }
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
