//! Which key signs for which namespace (`signing.key-policy`): a list of `namespace-glob=key`, of which the first that
//! fits counts. A key is the name of a Secret beside `signing-secrets`; `default` is that one, `refuse` none at all.
//!
//! Guarantees: a namespace that nothing fits signs with `signing-secrets`, unless the list ends in `*=refuse`. Must
//! not: read any Secret.

use std::collections::BTreeSet;

use super::finding::{Problem, Refusal, cut};
use super::value::Value;

/// The list, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPolicy(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// `*` is any run of characters.
    namespace: String,
    key: KeyChoice,
}

/// What signs for a namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyChoice {
    /// `signing-secrets`.
    Default,
    /// The Secret of this name beside it.
    Secret(String),
    /// Nothing: its runs are not signed.
    Refuse,
}

impl KeyChoice {
    fn secret(&self) -> Option<&str> {
        match self {
            Self::Secret(name) => Some(name),
            Self::Default | Self::Refuse => None,
        }
    }
}

impl KeyPolicy {
    /// What signs for a namespace.
    pub fn of(&self, namespace: &str) -> &KeyChoice {
        let fits = |rule: &&Rule| fits(&rule.namespace, namespace);
        self.0.iter().find(fits).map_or(&KeyChoice::Default, |rule| &rule.key)
    }

    /// The Secrets that are named.
    pub fn secrets(&self) -> BTreeSet<&str> {
        self.0.iter().filter_map(|rule| rule.key.secret()).collect()
    }
}

impl Value for KeyPolicy {
    fn read(text: &str) -> Result<Self, Refusal> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        text.split(',').map(Rule::read).collect::<Result<_, _>>().map(Self)
    }

    fn text(&self) -> String {
        self.0.iter().map(Rule::text).collect::<Vec<_>>().join(",")
    }

    fn accepts() -> String {
        "list of `namespace-glob=key`, the first that fits counts; a key is the name of a Secret, `default` or \
         `refuse`"
            .into()
    }
}

impl Rule {
    fn read(text: &str) -> Result<Self, Refusal> {
        let refused =
            || Refusal::new(Problem::NotPair(cut(text)), "example: team-a=team-a-key,sandbox-*=refuse");
        let (namespace, key) = text.split_once('=').ok_or_else(refused)?;
        let (namespace, key) = (namespace.trim(), key.trim());
        if !is_glob(namespace) || !is_name(key) {
            return Err(refused());
        }
        let key = match key {
            "default" => KeyChoice::Default,
            "refuse" => KeyChoice::Refuse,
            name => KeyChoice::Secret(name.to_owned()),
        };
        Ok(Self { namespace: namespace.to_owned(), key })
    }

    fn text(&self) -> String {
        let key = match &self.key {
            KeyChoice::Default => "default",
            KeyChoice::Secret(name) => name,
            KeyChoice::Refuse => "refuse",
        };
        format!("{}={key}", self.namespace)
    }
}

/// A name as Kubernetes has them, of at most 253 characters.
fn is_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let inner = |byte: u8| letter(byte) || matches!(byte, b'-' | b'.');
    let ends = text.bytes().next().is_some_and(letter) && text.bytes().last().is_some_and(letter);
    ends && text.bytes().all(inner) && text.len() <= 253
}

/// A namespace with any number of `*` in it.
fn is_glob(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'*');
    !text.is_empty() && text.bytes().all(inner) && text.len() <= 253
}

/// Whether `glob` fits the whole of `text`: its pieces lie in it one after the other, the first at the begin, the last
/// at the end.
fn fits(glob: &str, text: &str) -> bool {
    let Some((first, rest)) = glob.split_once('*') else { return glob == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match text.split_once(piece) {
            _ if piece.is_empty() => {}
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> KeyPolicy {
        KeyPolicy::read(text).unwrap()
    }

    #[test]
    fn the_first_rule_that_fits_counts_and_without_one_the_default_key_signs() {
        let policy = policy("team-a=team-a-key, team-*=teams, sandbox-*=refuse,sandbox-x=default");
        let key = |namespace: &str| policy.of(namespace).clone();
        assert_eq!(key("team-a"), KeyChoice::Secret("team-a-key".into()));
        assert_eq!(key("team-b"), KeyChoice::Secret("teams".into()));
        assert_eq!(key("sandbox-x"), KeyChoice::Refuse);
        assert_eq!(key("other"), KeyChoice::Default);
        assert_eq!(policy.secrets(), BTreeSet::from(["team-a-key", "teams"]));
    }

    #[test]
    fn a_list_that_ends_in_refuse_leaves_no_namespace_to_the_default_key() {
        let policy = policy("ci=default,*=refuse");
        assert_eq!((policy.of("ci"), policy.of("cd")), (&KeyChoice::Default, &KeyChoice::Refuse));
        assert_eq!(KeyPolicy::default().of("cd"), &KeyChoice::Default);
    }

    #[test]
    fn stars_stand_for_any_run_of_characters() {
        for (glob, text, expected) in [
            ("team-a", "team-a", true),
            ("team-a", "team-ab", false),
            ("*", "", true),
            ("*-ci", "team-a-ci", true),
            ("*-ci", "team-ci-a", false),
            ("team-*-ci", "team-a-ci", true),
            ("team-*-ci", "team-ci", false),
            ("a**b", "ab", true),
            ("*a*b*", "xaxbx", true),
            ("*a*b*", "xbxax", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(fits(glob, text), expected, "{glob} {text}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_and_what_is_written_is_read_again() {
        for text in ["team-a", "=key", "team-a=", "a=b=c", "a=B", "A=b", "a=b,", "a=../b", "a/b=c", "a=-b"] {
            let refused = KeyPolicy::read(text).unwrap_err();
            assert!(matches!(refused.problem, Problem::NotPair(_)), "{text}");
        }
        let text = "team-a=team-a-key,ci=default,*=refuse";
        assert_eq!(policy(text).text(), text);
        assert_eq!(policy(" "), KeyPolicy::default());
    }
}
