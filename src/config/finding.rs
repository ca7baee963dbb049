//! What is wrong with a ConfigMap, one value for each mistake, for a person who has only the message.
//!
//! Guarantees: it names the key, the value, the problem and the remedy (defect D17 of the Chains specification
//! §8.1: Chains shows the first mistake only, or none). A value is left out when the key can hold a secret or
//! is unknown, since a misspelt key may be one that can. Must not: hold more than a line of foreign text.

use std::fmt;

use crate::artifact::image::MalformedReference;

/// Longest part of a value that is repeated to its author, in characters.
const SHOWN: usize = 120;

/// One mistake in a ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The key.
    pub key: String,
    /// The value, cut to a line; nothing when the key can hold a secret.
    pub value: Option<String>,
    /// What is wrong.
    pub problem: Problem,
    /// What to do about it.
    pub remedy: String,
}

/// What can be wrong with a key or its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No row of the table has this name.
    #[error("unknown key")]
    UnknownKey,
    /// A word outside the set; for a list, the item.
    #[error("{0:?} is not an allowed value")]
    NotAllowed(String),
    /// None of the words of Go's `ParseBool`.
    #[error("not a boolean")]
    NotBoolean,
    /// No Go duration, or one that is not above zero.
    #[error("not a duration above zero")]
    NotDuration,
    /// No number, or one out of its range.
    #[error("not a whole number within the limits")]
    NotCount,
    /// No name of a repository.
    #[error(transparent)]
    NotRepository(#[from] MalformedReference),
    /// No registry host.
    #[error("{0:?} is not a registry host")]
    NotHost(String),
    /// No `namespace-glob=repository-glob`.
    #[error("{0:?} is not a pair of globs")]
    NotPair(String),
    /// No label selector; what is wrong with it.
    #[error("not a label selector: {0}")]
    NotSelector(String),
    /// A good value of something that this program cannot do.
    #[error("not in this build")]
    NotInThisBuild,
    /// A good value that needs another key.
    #[error("it needs {0}, which is not set")]
    Needs(&'static str),
    /// A word of Chains for its own tests.
    #[error("storage.pubsub.provider is \"inmemory\", which keeps nothing")]
    KeptNowhere,
    /// A good value that nothing reads, given the others.
    #[error("the key has no effect here")]
    NoEffect,
    /// Certificates end after ten minutes, and nobody says when they were used.
    #[error(
        "without a log and without timestamps nobody can verify a signature after its certificate has expired, ten \
         minutes later"
    )]
    Unproven,
}

impl Problem {
    /// The reason that an Event gives, out of a closed set.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::UnknownKey => "UnknownKey",
            Self::NotInThisBuild => "NotInThisBuild",
            Self::Needs(_) => "NeedsAnother",
            Self::NoEffect => "NoEffect",
            Self::Unproven => "Unproven",
            _ => "InvalidValue",
        }
    }
}

/// A value that was not taken: [`Finding`] without its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) problem: Problem,
    pub(super) remedy: String,
}

impl Refusal {
    pub(super) fn new(problem: Problem, remedy: impl Into<String>) -> Self {
        Self { problem, remedy: remedy.into() }
    }

    pub(super) fn of(self, key: &str, value: Option<&str>) -> Finding {
        Finding { key: cut(key), value: value.map(cut), problem: self.problem, remedy: self.remedy }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        if let Some(value) = &self.value {
            write!(f, ": {value:?}")?;
        }
        write!(f, ": {}; {}", self.problem, self.remedy)
    }
}

/// A text of any length as a part of a message.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The known word that was probably meant: equal but for case, or a few letters away. Words that differ in
/// length by more than that are not compared, so that a hostile map costs little.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.trim();
    known
        .into_iter()
        .map(|known| (known, (known.len() / 4).clamp(1, 4)))
        .filter(|(known, slips)| known.len().abs_diff(word.len()) <= *slips)
        .map(|(known, slips)| (strsim::damerau_levenshtein(&word.to_ascii_lowercase(), known), slips, known))
        .filter(|(distance, slips, _)| distance <= slips)
        .min_by_key(|(distance, ..)| *distance)
        .map(|(_, _, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_one_line_with_its_remedy() {
        let finding = Refusal::new(Problem::NotAllowed("ocl".into()), "did you mean \"oci\"?");
        assert_eq!(
            finding.clone().of("artifacts.oci.storage", Some("tekton,ocl")).to_string(),
            r#"artifacts.oci.storage: "tekton,ocl": "ocl" is not an allowed value; did you mean "oci"?"#
        );
        assert_eq!(
            Refusal::new(Problem::UnknownKey, "remove it").of("a.b", None).to_string(),
            "a.b: unknown key; remove it"
        );
    }

    #[test]
    fn values_are_cut_to_a_line() {
        let finding = Refusal::new(Problem::NotBoolean, "").of("k", Some(&"é".repeat(5000)));
        assert_eq!(finding.value.unwrap().chars().count(), SHOWN + 1);
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["in-toto", "slsa/v1", "slsa/v2alpha3"];
        assert_eq!(nearest("slsa/v2alpha2", known), Some("slsa/v2alpha3"));
        assert_eq!(nearest("IN-TOTO", known), Some("in-toto"));
        assert_eq!(nearest(" in-toto\n", known), Some("in-toto"));
        assert_eq!(nearest("intoto", known), Some("in-toto"));
        assert_eq!(nearest("spdx", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn reasons_are_words_of_events() {
        assert_eq!(Problem::UnknownKey.reason(), "UnknownKey");
        assert_eq!(Problem::NotInThisBuild.reason(), "NotInThisBuild");
        assert_eq!(Problem::NoEffect.reason(), "NoEffect");
        assert_eq!(Problem::NotBoolean.reason(), "InvalidValue");
    }

    #[test]
    fn a_hostile_key_costs_no_more_than_a_line() {
        let long = format!("a{}", "ä".repeat(1 << 20));
        assert_eq!(nearest(&long, ["in-toto"]), None);
        assert!(cut(&long).len() < 512);
    }
}
