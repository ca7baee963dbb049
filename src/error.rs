//! What every error of Hallmark can say about itself, so that one boundary can report it whole:
//! whether to retry, a bounded label for metrics, what to do about it, and which object to look at.
//!
//! Error types are enums of their own module; this file holds only what they have in common.

use std::fmt::{self, Write as _};

/// What time can do about a failure (credentials specification §1.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nothing that time does will mend it: bad key, malformed input, an image that does not exist.
    Permanent,
    /// Somebody has to change something outside the run: a credential, a permission, a setting.
    Misconfigured,
    /// Something that must exist does not: believed when it was looked for three times within five minutes.
    Absent,
    /// It passes by itself: a host that is away, throttling, a conflict.
    Temporary,
}

/// An object in the cluster, or a file beside it, that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct About {
    /// Kind as Kubernetes writes it (`Secret`), or `file`.
    pub kind: &'static str,
    /// `namespace/name`, or the path.
    pub name: String,
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// An error that explains itself to the boundary which reports it. Its `Display` names what was attempted
/// and on which object; none of the texts may hold a secret.
pub trait Diagnose: std::error::Error {
    /// What time can do about it.
    fn class(&self) -> Class;

    /// A metric label out of a closed set, such as `registry_denied`.
    fn label(&self) -> &'static str;

    /// What the reader should do now.
    fn hint(&self) -> Option<String> {
        None
    }

    /// The object to look at.
    fn about(&self) -> Option<About> {
        None
    }

    /// The host (`name[:port]`) that is away, when that is the cause: runs that wait for it share one probe.
    fn host_away(&self) -> Option<&str> {
        None
    }

    /// The delay that a server asked for.
    fn retry_after(&self) -> Option<std::time::Duration> {
        None
    }
}

/// An error with all its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Many libraries repeat the cause in their own text.
        if !text.contains(&next) {
            let _ = write!(text, ": {next}");
        }
        cause = error.source();
    }
    text
}

/// At most `most` bytes of a text, ending with `…` where something is missing.
pub fn shortened(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most.saturating_sub('…'.len_utf8()));
    format!("{}…", text.get(..end).unwrap_or_default())
}

/// The text as a sentence begins: remedies are written to follow a colon, too.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("inner")]
    struct Inner;

    #[derive(Debug, thiserror::Error)]
    #[error("outer: inner")]
    struct Repeats(#[source] Inner);

    #[test]
    fn every_cause_is_told_once() {
        assert_eq!(chain(&Outer(Inner)), "outer: inner");
        assert_eq!(chain(&Repeats(Inner)), "outer: inner");
    }
}
