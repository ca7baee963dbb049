//! What is wrong or odd in a registry configuration file (credentials specification §4.4).
//!
//! A finding names tables and keys and the place in the file. It has no room for a value.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is used all the same.
    Warning,
    /// The file is refused as a whole.
    Error,
}

/// The stable words of §12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[expect(missing_docs, reason = "the words are the documentation; specification §4.4 and §12 list them")]
pub enum FindingCode {
    RegistryConfigInvalid,
    DuplicateRegistry,
    MalformedAuth,
    UnknownKey,
    UnsupportedKey,
    ConflictingKeys,
    ExpiredCA,
    LooseMode,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    code: FindingCode,
    line: usize,
    column: usize,
    detail: String,
}

impl Finding {
    /// A finding at `span` of `text`; `detail` is a sentence of ours.
    pub(super) fn at(text: &str, span: &Range<usize>, code: FindingCode, detail: impl Into<String>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Self { code, line: before.matches('\n').count() + 1, column, detail: detail.into() }
    }

    /// A finding about the file itself, such as its mode.
    pub fn of_file(code: FindingCode, detail: impl Into<String>) -> Self {
        Self { code, line: 0, column: 0, detail: detail.into() }
    }

    /// The stable word.
    pub fn code(&self) -> FindingCode {
        self.code
    }

    /// Line and column, counted from 1; zero for the file as a whole.
    pub fn place(&self) -> (usize, usize) {
        (self.line, self.column)
    }

    /// Whether the file can be used.
    pub fn severity(&self) -> Severity {
        match self.code {
            FindingCode::RegistryConfigInvalid
            | FindingCode::DuplicateRegistry
            | FindingCode::MalformedAuth => Severity::Error,
            _ => Severity::Warning,
        }
    }
}

impl fmt::Display for FindingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// `line 3, column 8: UnknownKey: …`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}, column {}: ", self.line, self.column)?;
        }
        write!(f, "{}: {}", self.code, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_lines_and_characters_from_one() {
        let text = "a = 1\nü = 2\n";
        for (at, place) in [(0, (1, 1)), (4, (1, 5)), (6, (2, 1)), (11, (2, 5)), (99, (3, 1))] {
            assert_eq!(Finding::at(text, &(at..at), FindingCode::UnknownKey, "x").place(), place, "{at}");
        }
    }

    #[test]
    fn a_finding_reads_as_one_line() {
        let finding = Finding::at("[x]", &(0..1), FindingCode::UnknownKey, "key \"x\" is not known");
        assert_eq!(finding.to_string(), "line 1, column 1: UnknownKey: key \"x\" is not known");
        let finding = Finding::of_file(FindingCode::LooseMode, "everybody may read it");
        assert_eq!(finding.to_string(), "LooseMode: everybody may read it");
    }
}
