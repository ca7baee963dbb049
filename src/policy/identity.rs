//! Who may have signed without a key: issuer and subject of a certificate, by name or by pattern (credentials
//! specification §8.2).
//!
//! Patterns mean what they mean to cosign and policy-controller: they match anywhere in the text unless they are
//! anchored. `policy.anchor-regexes` anchors them all. Issuer and subject must match within the same identity.

use std::fmt;

use regex::{Regex, RegexBuilder};

use super::finding::Problem;

/// A compiled pattern takes no more memory than this; a policy is written by whoever may write policies.
const SIZE_LIMIT: usize = 1024 * 1024;

/// One identity of an authority.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Who vouched for the signer.
    pub issuer: Matcher,
    /// The signer.
    pub subject: Matcher,
}

/// A name or a pattern.
#[derive(Debug, Clone)]
pub enum Matcher {
    /// This name and no other.
    Exact(String),
    /// Whatever the pattern matches.
    Pattern {
        /// As it was written.
        written: String,
        /// As it is used.
        regex: Regex,
    },
}

impl Identity {
    /// Whether a certificate with these names of its subject and this issuer belongs to it.
    pub fn covers(&self, names: &[String], issuer: Option<&str>) -> bool {
        issuer.is_some_and(|issuer| self.issuer.matches(issuer))
            && names.iter().any(|name| self.subject.matches(name))
    }
}

impl Matcher {
    /// Compiles a pattern; `anchored` makes it match whole texts only.
    pub fn pattern(text: &str, anchored: bool) -> Result<Self, Problem> {
        let used = if anchored { format!("^(?:{text})$") } else { text.to_owned() };
        // What is broken must not become whole by what is put around it.
        let invalid = |error: regex::Error| Problem::Regex(reason(&error));
        RegexBuilder::new(text).size_limit(SIZE_LIMIT).build().map_err(invalid)?;
        let regex = RegexBuilder::new(&used).size_limit(SIZE_LIMIT).build().map_err(invalid)?;
        Ok(Self::Pattern { written: text.to_owned(), regex })
    }

    /// Whether `text` is meant.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(name) => name == text,
            Self::Pattern { regex, .. } => regex.is_match(text),
        }
    }

    /// What the author of a pattern may not have meant.
    pub fn doubt(&self) -> Option<Problem> {
        let Self::Pattern { written, .. } = self else { return None };
        let core = written.trim_start_matches('^').trim_end_matches('$');
        if matches!(core, ".*" | ".+" | "(.*)" | "(.+)" | "") {
            return Some(Problem::MatchesEverything);
        }
        (!written.starts_with('^') || !written.ends_with('$')).then_some(Problem::Unanchored)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.subject, self.issuer)
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Pattern { written, .. } => write!(f, "/{written}/"),
        }
    }
}

/// The last line of the compiler's picture is its sentence.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let sentence = text.lines().last().unwrap_or_default();
    sentence.trim().trim_start_matches("error: ").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(name: &str) -> Matcher {
        Matcher::Exact(name.to_owned())
    }

    fn pattern(text: &str) -> Matcher {
        Matcher::pattern(text, false).unwrap()
    }

    #[test]
    fn issuer_and_subject_must_match_in_one_identity() {
        let names = |name: &str| vec!["other@x.test".to_owned(), name.to_owned()];
        let identity = Identity { issuer: exact("https://i.test"), subject: exact("a@x.test") };
        assert!(identity.covers(&names("a@x.test"), Some("https://i.test")));
        assert!(!identity.covers(&names("b@x.test"), Some("https://i.test")));
        assert!(!identity.covers(&names("a@x.test"), Some("https://i.test/")));
        assert!(!identity.covers(&names("a@x.test"), None));
        assert!(!identity.covers(&[], Some("https://i.test")));
    }

    #[test]
    fn a_pattern_matches_anywhere_unless_it_is_anchored_by_itself_or_by_the_operator() {
        let evil = "https://evil.example/?x=https://github.com/org/";
        assert!(pattern("https://github.com/org/").matches(evil));
        assert!(!pattern("^https://github.com/org/").matches(evil));
        assert!(!Matcher::pattern("https://github.com/org/", true).unwrap().matches(evil));
        assert!(Matcher::pattern("https://github.com/org/|x", true).unwrap().matches("x"));
        assert!(!Matcher::pattern("a|x", true).unwrap().matches("xa"));
    }

    #[test]
    fn patterns_that_let_in_more_than_they_seem_are_doubted() {
        for text in [".*", ".+", "^.*$", "(.*)"] {
            assert_eq!(pattern(text).doubt(), Some(Problem::MatchesEverything), "{text}");
        }
        for text in ["a", "^a", "a$"] {
            assert_eq!(pattern(text).doubt(), Some(Problem::Unanchored), "{text}");
        }
        assert_eq!(pattern("^a$").doubt(), None);
        assert_eq!(exact(".*").doubt(), None);
    }

    #[test]
    fn what_does_not_compile_or_grows_too_large_is_refused() {
        for text in ["(", "a)(b", "(?=x)", r"(a)\1", "a{1000}{1000}"] {
            for anchored in [false, true] {
                assert!(matches!(Matcher::pattern(text, anchored), Err(Problem::Regex(_))), "{text}");
            }
        }
    }
}
